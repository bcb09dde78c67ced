"""The layerwise (predictive-coding) energy of a torch module, and its parameter contrast.

    E(s; x) = sum_l |s_l - f_l(s_{l-1})|^2 / 2,  s_0 = x          F = E + beta C(s_L, y)

The user's forward call is the free phase: E = 0 there. A contrast settles the nudged phases and takes
sum_k w_k J_theta^T e_l(beta_k) / beta over the nodes of an estimator; as beta -> 0 it tends to minus the gradient of
the batch mean of C. Sums are per sample; only the contrast is divided by the batch. Errors are kept themselves and not
as differences of states, so that a small beta costs no digits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from mep_hw import estimator as estimators
from mep_hw.errors import DivergenceError, InputError, ModelError
from mep_hw.layerwise.blocks import find
from mep_hw.layerwise.chain import Chain
from mep_hw.layerwise.frozen import Statistics, buffers
from mep_hw.layerwise.loss import Loss, choose
from mep_hw.layerwise.settle import Nudged, settle
from mep_hw.layerwise.supported import check_mode, check_structure
from mep_hw.ranges import COUNT, NOT_NEGATIVE, require

NAMES = ("centered", "one_sided", "richardson")
GROWTH = 10.0  # a residual above this multiple of the first one is running away; a kink alone moves it by less


@dataclass(frozen=True)
class Contrast:
    """values: per parameter, in its shape, what approaches minus the gradient. nudged: the phases behind it."""

    values: dict[nn.Parameter, Tensor]
    nudged: Nudged


class Layerwise:
    """The energy of `module`; from now on every call of the module is taken for a free phase.

    Args:
        module: an nn.Sequential or nn.TransformerEncoder, or any module when `blocks` are given.
        blocks: modules that `module` calls one after the other, each from one tensor to one tensor.

    Raises:
        ModelError: a module that has no place in such an energy, by its path.
    """

    def __init__(self, module: nn.Module, blocks: Sequence[nn.Module] | None = None) -> None:
        self.module = module
        self.blocks = find(module, blocks)
        check_structure(self.blocks)
        check_mode(self.blocks)
        self.statistics = Statistics(self.blocks)
        self.x: Tensor | None = None  # input of the last forward call
        self.output: Tensor | None = None
        self.handles: list[RemovableHandle] = [
            module.register_forward_pre_hook(self._before, with_kwargs=True),
            module.register_forward_hook(self._after),
        ]

    def close(self) -> None:
        """Stop listening to the module."""
        for handle in self.handles:
            handle.remove()
        self.statistics.close()

    def forget(self) -> None:
        """Drop the last free phase, which belongs to older parameters."""
        self.x = self.output = None

    def energy(self, states: Sequence[Tensor]) -> Tensor:
        """E(s; x) per sample, (batch,), for states s_1 .. s_L and the input of the last forward call."""
        x, _ = self._free()
        with self.statistics.frozen(), torch.no_grad():
            below = [x, *states[:-1]]
            parts = [s - block(value) for block, value, s in zip(self.blocks, below, states, strict=True)]
        return torch.stack([e.square().flatten(1).sum(1) for e in parts]).sum(0) / 2

    def contrast(
        self,
        target: Tensor,
        *,
        beta: float,
        estimator: str = "centered",
        loss: str | None = None,
        tolerance: float = 1e-4,
        sweeps: int = 50,
        parameters: Iterable[nn.Parameter] | None = None,
    ) -> Contrast:
        """The contrast of the last forward call.

        Args:
            target: labels (batch, ...) or values in the shape of the output.
            beta: nudging strength, above 0.
            estimator: centered, one_sided or richardson.
            loss: squared_error or cross_entropy; None decides by the target's type.
            tolerance: a sample stops when no entry of |dF/de| is above tolerance * |beta|.
            sweeps: most sweeps of a nudged phase.
            parameters: those wanted, None for all; frozen ones are left out.

        Raises:
            InputError: a value out of range, or no forward call before.
            DataError: the target does not fit the output.
            ModelError: the blocks do not compute what the module did, or one has no gradient to its input.
            DivergenceError: a nudged phase left the finite range or moved away from its fixed point.
        """
        strengths = _nodes(estimator, beta)
        require("layerwise", "tolerance", tolerance, NOT_NEGATIVE, "1e-4 is a good start")
        require("layerwise", "sweeps", sweeps, COUNT, "20 is a good start")
        x, output = self._free()
        cost = choose(target, loss)
        target = cost.fit(output, target)
        copies, batch = len(strengths), len(x)
        with self.statistics.frozen():
            before = buffers(self.blocks)
            chain = Chain(self.blocks, x, copies)
            states = chain.forward()
            self._require_same(states[-1][:batch], output, before)
            values = torch.tensor([b for b, _ in strengths], dtype=output.dtype, device=output.device)
            rows = values.repeat_interleave(batch)
            repeated = target.repeat(copies, *[1] * (target.dim() - 1))
            nudged = settle(chain, states, rows, repeated, cost, tolerance=tolerance, cap=sweeps)
            _require_settled(nudged, cost)
            weights = torch.tensor([w / batch for _, w in strengths], dtype=output.dtype, device=output.device)
            wanted = {id(p) for p in (self.module.parameters() if parameters is None else parameters)}
            return Contrast(dict(chain.products(nudged.errors, weights.repeat_interleave(batch), wanted)), nudged)

    def _before(self, module: nn.Module, inputs: tuple[object, ...], named: dict[str, object]) -> None:
        if torch.is_inference_mode_enabled():
            return  # evaluation; its tensors could not be settled from
        check_mode(self.blocks)
        if len(inputs) != 1 or named or not isinstance(inputs[0], Tensor):
            shown = f"{len(inputs)} positional, {len(named)} named"
            raise InputError("layerwise", "arguments", shown, rule="must be one tensor", fix="call model(x)")
        if torch.is_autocast_enabled(inputs[0].device.type):
            raise InputError(
                "layerwise", "autocast", True, rule="would round the small changes that a nudge makes",
                fix="call model(x) outside autocast, or train with backprop",
            )  # fmt: skip
        self.x = inputs[0].detach().clone()  # later changes in place, by the caller or a module, must not reach it
        self.output = None
        self.statistics.clear()

    def _after(self, module: nn.Module, inputs: object, output: object) -> None:
        if torch.is_inference_mode_enabled():
            return
        self.statistics.listening = False
        self.output = output.detach().clone() if isinstance(output, Tensor) else None

    def _free(self) -> tuple[Tensor, Tensor]:
        if self.x is None or self.output is None:
            raise InputError("layerwise", rule="has no free phase yet", fix="call model(x) first")
        return self.x, self.output

    def _require_same(self, mine: Tensor, output: Tensor, before: dict[str, tuple[nn.Module, int, int]]) -> None:
        for path, held in buffers(self.blocks).items():
            if before[path] != held:
                raise ModelError(
                    f"module {path.rpartition('.')[0]} ({type(held[0]).__name__})", "buffer", path,
                    rule="changes in every forward pass, so phases would differ", fix="put that module into eval mode",
                )  # fmt: skip
        scale = 10 * torch.finfo(output.dtype).eps ** 0.5  # TensorFloat-32 products differ by more than rounding
        if mine.shape != output.shape or not torch.allclose(mine, output, rtol=scale, atol=scale, equal_nan=True):
            raise ModelError(
                "layerwise", "blocks", " | ".join(b.name for b in self.blocks),
                rule="do not give the output of the last model(x)",
                fix="list all blocks in order, leave out random ones, and change no weights in between",
            )  # fmt: skip


def _nodes(name: str, beta: float) -> list[tuple[float, float]]:
    """(beta_k, w_k / beta) of every nudged phase; the free one, where e = 0, adds nothing."""
    found = estimators.make(name, beta) if name in NAMES else None
    if not isinstance(found, estimators.Pairs):
        raise InputError("estimator", value=name, rule=f"is not one of {', '.join(NAMES)}", fix="choose one of them")
    ends = [end for plus, minus, weight in found.pairs for end in ((plus, weight), (minus, -weight))]
    return [(node * beta, weight / beta) for node, weight in ends if node]


def _require_settled(nudged: Nudged, loss: Loss) -> None:
    """Stopping early is the caller's choice; moving away from the fixed point is not an estimate of anything."""
    away = ~(nudged.residual <= GROWTH * nudged.start)
    if bool(away.any()):
        row = int(away.int().argmax())
        raise DivergenceError(
            "layerwise", "residual", f"{float(nudged.residual[row]):.3g} from {float(nudged.start[row]):.3g}",
            rule=f"grew in {int(away.sum())} of {len(away)} nudged samples with {loss.name}, so they do not settle",
            fix="use a smaller beta, more sweeps or estimator one_sided, and check inputs for NaN",
        )  # fmt: skip
