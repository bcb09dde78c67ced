"""The contract of a rule: what to change, given what was measured and what is remembered.

A rule is pure: it gets a memory and returns a new one, and it never touches the weights. That is what lets the same
rule drive a register file, an array of analog cells or a remote board, and what makes a resumed run exact. Rules are
put around rules with `Wrapper`: clipping, decay, a spectral bound and error feedback work with every rule.

A training step asks for the updates of all weights at once (`steps`), so that a rule may work on several of them
together (`mep_hw.rules.batched`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mep_hw.files import under
from mep_hw.outersum import Update
from mep_hw.state import LocalStates

Memory = dict[str, Tensor]


@dataclass(frozen=True)
class Asked:
    """What `Rule.step` is given, for one of several weights."""

    contrast: Update
    memory: Memory
    lr: float
    weights: Tensor | None = None
    states: LocalStates | None = None


class Rule(ABC):
    """What a step needs and what biases get.

    needs_weights: `step` wants the present weights, which some machines must pay to read.
    needs_states: `step` wants the states behind the contrast.
    reduces: `step` wants this process's share of the contrast and sums over processes what it makes of it.
    local: the update is applied product by product, as the samples come, where a machine can.
    bias_lr: learning rate for the rule of `for_biases` where it is another one; None: the coupling's own.
    """

    name: str
    needs_weights: bool = False
    needs_states: bool = False
    reduces: bool = False
    local: bool = False
    bias_lr: float | None = None

    @abstractmethod
    def init(self, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Memory:
        """Memory before the first step, for weights of this shape and number format on the generator's device."""

    @abstractmethod
    def step(
        self,
        contrast: Update,
        memory: Memory,
        *,
        lr: float,
        weights: Tensor | None = None,
        states: LocalStates | None = None,
    ) -> tuple[Update, Memory]:
        """The intended weight change and the memory for the next step.

        Args:
            contrast: approaches -dL/dW, in the shape of the weights or as an `OuterSum`.
            lr: learning rate, already scheduled.
            weights: present values, given when `needs_weights`.
            states: of the batch behind the contrast, given when `needs_states`.
        """

    def steps(self, asked: Iterable[Asked]) -> Iterator[tuple[Update, Memory]]:
        """`step` for each of several weights, in their order; each is asked for only when it is needed."""
        for a in asked:
            yield self.step(a.contrast, a.memory, lr=a.lr, weights=a.weights, states=a.states)

    def for_biases(self) -> Rule:
        """The rule for biases: this one, unless it is made for matrices."""
        return self

    def together(self, memory: Memory) -> Memory:
        """The memory as all processes of a job can go on with it; only a rule that `reduces` has parts to join."""
        return memory


@dataclass(frozen=True)
class Wrapper(Rule):
    """A rule around another one: it changes what that is given, or what comes out, or both.

    The memory of the inner rule lies beside its own, under `rule.`.
    """

    rule: Rule

    @property
    def name(self) -> str:  # type: ignore[override]
        return self.rule.name

    @property
    def needs_weights(self) -> bool:  # type: ignore[override]
        return self.rule.needs_weights

    @property
    def needs_states(self) -> bool:  # type: ignore[override]
        return self.rule.needs_states

    @property
    def reduces(self) -> bool:  # type: ignore[override]
        return self.rule.reduces

    @property
    def local(self) -> bool:  # type: ignore[override]
        return self.rule.local

    @property
    def bias_lr(self) -> float | None:  # type: ignore[override]
        return self.rule.bias_lr

    def for_biases(self) -> Rule:
        return self.rule.for_biases()

    def together(self, memory: Memory) -> Memory:
        joined = self.rule.together(under("rule.", memory))
        return memory | {f"rule.{key}": value for key, value in joined.items()}

    def init(self, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Memory:
        return {f"rule.{key}": value for key, value in self.rule.init(shape, generator, dtype).items()}

    def before(self, asked: Asked) -> Update:
        """The contrast that the inner rule gets."""
        return asked.contrast

    def after(self, asked: Asked, update: Update, new: Memory) -> tuple[Update, Memory]:
        """What is made of the inner rule's `update`; `new` holds its part of the memory."""
        return update, new

    def step(
        self,
        contrast: Update,
        memory: Memory,
        *,
        lr: float,
        weights: Tensor | None = None,
        states: LocalStates | None = None,
    ) -> tuple[Update, Memory]:
        return next(self.steps([Asked(contrast, memory, lr, weights, states)]))

    def steps(self, asked: Iterable[Asked]) -> Iterator[tuple[Update, Memory]]:
        waiting: deque[Asked] = deque()

        def inner() -> Iterator[Asked]:
            for a in asked:
                waiting.append(a)
                yield replace(a, contrast=self.before(a), memory=under("rule.", a.memory))

        for update, new in self.rule.steps(inner()):
            yield self.after(waiting.popleft(), update, {f"rule.{key}": value for key, value in new.items()})
