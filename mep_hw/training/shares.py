"""A batch shared out to several processes: who settles which samples, and how the parts of a contrast become whole.

Every process holds the whole training set and draws the same shuffle, so a share is a range of each batch's rows, and
nothing but contrasts has to travel. A contrast is a mean over samples; weighted by (own samples) (processes) / (batch),
the mean over processes of the shares' contrasts is that of the batch. Per coupling it is brought together

    as factors    every process receives the columns of all samples, k of them:  k (out + in) numbers pass each process
    as a sum      the dense products are summed:                                 2 out in

(times (n - 1) / n with n processes in a ring), whichever is less; convolutions and biases have no factors. A rule that
`reduces` takes the share's own contrast and sums what it makes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mep_hw.cards import BackendCard
from mep_hw.contrast import Contrast
from mep_hw.distributed import Group
from mep_hw.errors import CapabilityError
from mep_hw.outersum import OuterSum, Update, dense
from mep_hw.rules import Rule
from mep_hw.settings import Settings
from mep_hw.state import LocalStates

ORDERED = {
    "random_sign": "draws a sign for every sample of a whole batch, which no share can draw by itself",
    "continual": "updates weights after every sweep until the whole batch has stopped, and shares stop earlier",
}  # estimators that need a whole batch, and for what


@dataclass(frozen=True)
class Share:
    """What this process settles of one batch.

    counts: samples of each process; they differ by one at most.
    """

    group: Group
    counts: tuple[int, ...]

    @classmethod
    def of(cls, group: Group, batch: int) -> Share:
        """The share of `group`'s process in a batch of so many samples."""
        least, more = divmod(batch, group.size)
        return cls(group, tuple(least + (rank < more) for rank in range(group.size)))

    @property
    def own(self) -> int:
        """Samples of this process; 0 when the batch has fewer than there are processes."""
        return self.counts[self.group.rank]

    @property
    def weight(self) -> float:
        """Of a mean over the own samples, for the mean over processes to be that over the batch."""
        return self.own * self.group.size / sum(self.counts)

    def rows(self, batch: Tensor) -> Tensor:
        """Of the entries of a batch those to settle: the own ones; without any, the first, which then counts for 0."""
        start = sum(self.counts[: self.group.rank])
        return batch[start : start + self.own] if self.own else batch[:1]

    def states(self, states: LocalStates) -> LocalStates:
        """Those of the whole batch, sample after sample."""
        if self.group.size == 1:
            return states
        before, after = self._gathered([states.before, states.after])
        return LocalStates(before, after)

    def whole(self, contrast: Contrast, rules: Mapping[int, Rule], layers: Sequence[int]) -> Contrast:
        """The batch's contrast where its coupling's rule wants that, and the weighted share's where it `reduces`.

        Args:
            rules: of the couplings that are trained; the others' contrasts are left out.
            layers: whose biases are trained, from 1.
        """
        if self.group.size == 1:
            return contrast
        weights: list[Update | None] = [None] * len(contrast.weights)
        biases: list[Tensor | None] = [None] * len(contrast.biases)
        joined: dict[int, OuterSum] = {}
        summed: dict[tuple[str, int], Tensor] = {}
        for c, rule in rules.items():
            update = contrast.weights[c]
            assert update is not None  # trained couplings always have one
            if rule.reduces:
                weights[c] = update * self.weight
            elif isinstance(update, OuterSum) and (rule.local or self._lighter(update)):
                joined[c] = update
            else:
                summed["weights", c] = dense(update)
        for n in layers:
            bias = contrast.biases[n - 1]
            assert bias is not None  # only layers with a bias are listed
            summed["biases", n - 1] = bias
        for c, update in zip(joined, self._joined(list(joined.values())), strict=True):
            weights[c] = update
        for (kind, place), value in zip(summed, self._means(list(summed.values())), strict=True):
            (weights if kind == "weights" else biases)[place] = value
        return replace(contrast, weights=weights, biases=biases)

    def _lighter(self, update: OuterSum) -> bool:
        """Whether the columns of all samples are fewer numbers than a sum of the dense products passes on."""
        columns = update.rank // self._settled * sum(self.counts)
        return columns * sum(update.shape) < 2 * update.shape[0] * update.shape[1]

    def _joined(self, updates: Sequence[OuterSum]) -> list[OuterSum]:
        """The columns of all processes, in the order in which one process would have them."""
        rows: list[Tensor] = []
        for update in updates:
            factors = torch.cat([update.left * (update.scale * self.weight), update.right])
            # Columns are copy after copy, and rows that are gathered sample after sample.
            rows.append(factors.T.unflatten(0, (-1, self._settled)).transpose(0, 1).flatten(0, 1))
        found: list[OuterSum] = []
        for update, gathered in zip(updates, self._gathered(rows), strict=True):
            columns = gathered.unflatten(0, (sum(self.counts), -1)).transpose(0, 1).flatten(0, 1).T
            left, right = columns.split(update.shape)
            found.append(OuterSum(left, right, 1 / self.group.size))
        return found

    def _means(self, values: Sequence[Tensor]) -> list[Tensor]:
        """Weighted means over processes, all by one sum."""
        if not values:
            return []
        flat = torch.cat([value.flatten() for value in values]) * self.weight
        parts = self.group.mean(flat).split([value.numel() for value in values])
        return [part.view(value.shape) for value, part in zip(values, parts, strict=True)]

    def _gathered(self, parts: Sequence[Tensor]) -> list[Tensor]:
        """Rows (settled samples * k, width) of all processes, each (batch * k, width), all by one message."""
        if not parts:
            return []
        flat = [part.reshape(self._settled, -1) for part in parts]
        whole = self.group.gather(torch.cat(flat, 1)[: self.own], self.counts)
        split = whole.split([part.shape[1] for part in flat], 1)
        return [rows.reshape(-1, part.shape[1]) for rows, part in zip(split, parts, strict=True)]

    @property
    def _settled(self) -> int:
        """Samples that this process settles, the stand-in of an empty share included."""
        return max(self.own, 1)


def require_sharable(group: Group, card: BackendCard, settings: Settings) -> None:
    """Refuse what several processes cannot do together.

    Raises:
        CapabilityError: another torch device than the job's, weights in analog cells, an estimator that needs a whole
            batch, or a batch smaller than the job.
    """
    if group.size == 1:
        return
    processes, alone = f"{group.size} processes", "or start a single process"
    if card.compute.torch_device != group.place:
        rule = f"{processes} were joined to sum on {group.place}"
        raise CapabilityError(
            f"backend {card.name}", "compute.torch_device", card.compute.torch_device, rule=rule,
            fix=f"join them with the card's torch_device, {alone}",
        )  # fmt: skip
    if card.write_modes != ("exact",):
        rule = f"{processes} would be as many arrays, each with writes and noise of its own"
        raise CapabilityError(
            f"backend {card.name}", "write_modes", ", ".join(card.write_modes), rule=rule,
            fix=f"use a backend with exact writes, {alone}",
        )  # fmt: skip
    if settings.estimator in ORDERED:
        rule = ORDERED[settings.estimator]
        raise CapabilityError(
            "train", "estimator", settings.estimator, rule=rule, fix=f"use estimator centered, {alone}"
        )
    if settings.batch_size < group.size:
        rule = f"must be at least the number of processes, {group.size}"
        raise CapabilityError("train", "batch_size", settings.batch_size, rule=rule, fix=f"use a larger batch, {alone}")
