"""The contract every machine fulfils: settle a batch, execute a schedule.

`settle` and not a matrix product is the contract, because a fused kernel, a neuromorphic chip and an FPGA own the whole
loop. A substrate that only offers products gives `couple` and `couple_back` to `mep_hw.settle`. Biases are digital
registers here, whatever holds the weights.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor

from mep_hw.cards.schema import BackendCard, DeviceCard
from mep_hw.compiler import predict
from mep_hw.errors import CapabilityError, CardError, ScheduleError
from mep_hw.model import Model
from mep_hw.outersum import Update, add_into_
from mep_hw.schedule import Cost, Registers, Schedule
from mep_hw.state import Nudge, Settled

BLOCKS = {"gpu": "kernels of a GPU", "loihi": "formats of Loihi", "fpga": "formats of an FPGA"}  # each for one kind


class Substrate(ABC):
    """One machine that holds one model.

    Args:
        model: structure and initial weights; the substrate keeps its own copy of the values.
        backend: the machine's card.
        device: the memory-cell card, None for machines without such cells.
        seed: of every random number the machine draws.

    Raises:
        CardError: the card asks for a torch device that this computer has not, or has a block that is of no use to it.
    """

    own_blocks: tuple[str, ...] = ()  # of the card: those for one kind of machine that are of use to this one

    def __init__(self, model: Model, backend: BackendCard, device: DeviceCard | None, seed: int) -> None:
        for block, owner in BLOCKS.items():
            if getattr(backend, block) is not None and block not in self.own_blocks:
                rule, fix = f"{owner} are of no use to this substrate", "leave the block out"
                raise CardError(backend.origin, block, rule=rule, fix=fix)
        self.model, self.backend, self.device = model, backend, device
        self.dtype: torch.dtype = getattr(torch, backend.compute.dtype)
        self.torch_device = torch.device(backend.compute.torch_device)
        try:
            self.generator = torch.Generator(self.torch_device).manual_seed(seed)
        except RuntimeError:
            rule, fix = "is not on this computer, or not in this build of torch", "set compute.torch_device to cpu"
            name = backend.compute.torch_device
            raise CardError(backend.origin, "compute.torch_device", name, rule=rule, fix=fix) from None
        self.biases: list[Tensor | None] = [None if b is None else self.tensor(b) for b in model.biases]
        self.record_energy = False  # fills Settled.energy

    def close(self) -> None:  # noqa: B027  # not abstract: most machines hold nothing
        """Let go of what the machine holds: ports, processes, memory; it is not used again. Nothing by default."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @abstractmethod
    def settle(self, inputs: Tensor, nudge: Nudge | None = None, start: Settled | None = None) -> Settled:
        """The state that the dynamics reach for `inputs` (batch, *input_shape), see `Nudge` and `Settled`.

        Its tensors are the caller's from then on: estimators overwrite those of nudged phases.
        """

    @abstractmethod
    def apply(self, coupling: int, schedule: Schedule) -> Cost:
        """Execute `schedule` on the weights of one coupling.

        Raises:
            CapabilityError: a cycle is of a kind that the card does not list; nothing was executed.
        """

    @property
    def learns(self) -> bool:
        """Whether the machine computes updates by itself, see `learner`; the host does unless the card says so."""
        return False

    def learner(
        self,
        beta: float,
        lr: Sequence[float],
        bias_lr: Sequence[float],
        couplings: Sequence[int],
        layers: Sequence[int],
    ) -> Callable[[Tensor, Tensor], tuple[Settled, Cost]]:
        """A function of one sample's inputs (1, *input_shape) and target (1, outputs) by which the machine learns.

        It returns the free phase, settled before the update, and what the update cost.

        Args:
            beta: nudging strength of both nudged phases.
            lr, bias_lr: learning rate of each layer, of weights and biases.
            couplings, layers: whose weights (from 0) and whose biases (from 1) learn.

        Raises:
            CapabilityError: the machine does not learn by itself, or not at these rates.
        """
        rule, fix = "is not what this machine does", "let the host learn"
        raise CapabilityError(f"backend {self.backend.name}", "learning by itself", rule=rule, fix=fix)

    def card_of(self, coupling: int) -> BackendCard:
        """The card as it is for one coupling: what its schedules are compiled for."""
        return self.backend

    def read(self, coupling: int) -> Tensor:
        """What the hardware holds for one coupling, in the shape of its weights."""
        raise CapabilityError(
            f"backend {self.backend.name}", "read", rule="weights cannot be read back", fix="use another backend"
        )

    def found(self, coupling: int) -> Tensor:
        """What the last `Read` of a schedule found of one coupling: its weights (out, in), or basis^T W (k, in)."""
        raise CapabilityError(
            f"backend {self.backend.name}", "cycle", "Read", rule="weights are not looked at", fix="use read"
        )

    def check_shape(self, coupling: int, schedule: Schedule) -> None:
        """Raises ScheduleError for a schedule that was made for weights of another shape."""
        k = self.model.couplings[coupling]
        mine, theirs = k.weight_shape, tuple(schedule.intended.shape)
        if theirs != mine and (len(mine) < 2 or theirs != (mine[0], math.prod(mine[1:]))):
            raise ScheduleError(
                f"schedule for coupling {k.name}", "shape", theirs, rule=f"must be {mine}, that of its weights",
                fix="compile the update for this coupling",
            )  # fmt: skip

    def write(self, coupling: int, weights: Tensor) -> Cost:
        """Initial programming of one coupling."""
        raise CapabilityError(
            f"backend {self.backend.name}", "write", rule="weights cannot be set", fix="use another backend"
        )

    def wait(self, seconds: float, compensate: bool = False) -> None:
        """Let time pass between training and use.

        Args:
            compensate: measure how far all weights of a coupling have shrunk, and make up for it.

        Raises:
            ScheduleError: a negative time.
            CapabilityError: the machine does not know what time does to its weights.
        """
        rule, fix = "weights in registers do not change with time", "leave it out, or use an array of memory cells"
        raise CapabilityError(f"backend {self.backend.name}", "after", f"{seconds:g} s", rule=rule, fix=fix)

    def remarks(self) -> dict[str, float | str]:
        """What the machine has to say of itself at the end of an epoch, for the record of a run; most have nothing."""
        return {}

    def pulses_per_cell(self) -> Tensor | None:
        """Pulses that each cell of all arrays has had since it was programmed, int64; None: there are no cells."""
        return None

    def write_bias(self, layer: int, values: Tensor) -> None:
        """Set the bias registers of layer `layer` (counted from 1).

        Raises:
            CapabilityError: the layer has none.
        """
        held = self._bias(layer)
        held.copy_(self.tensor(values).reshape(held.shape))

    def apply_bias(self, layer: int, schedule: Schedule) -> Cost:
        """Execute `schedule` on the bias registers of layer `layer` (counted from 1)."""
        bias = self._bias(layer)
        for change in self.register_changes(schedule):
            add_into_(bias, change)
        return predict(schedule, self.backend, self.device)

    def register_changes(self, schedule: Schedule) -> list[Update]:
        """The changes of a schedule that holds register writes only.

        Raises:
            CapabilityError: it holds another kind of cycle.
        """
        changes: list[Update] = []
        for cycle in schedule.cycles:
            if not isinstance(cycle, Registers):
                raise CapabilityError(
                    f"backend {self.backend.name}", "cycle", type(cycle).__name__,
                    rule="registers can only be written as such", fix="compile the update for this backend's card",
                )  # fmt: skip
            changes.append(cycle.change)
        return changes

    def tensor(self, value: Tensor) -> Tensor:
        """A copy of `value` in this machine's number format and place."""
        return value.detach().to(self.torch_device, self.dtype, copy=True)

    def store(self) -> None:
        """Copy the weights and biases that the machine holds into `self.model`."""
        for c in range(len(self.model.couplings)):
            self.model.weights[c].copy_(self.read(c))
        for mine, held in zip(self.model.biases, self.biases, strict=True):
            if mine is not None and held is not None:
                mine.copy_(held)

    def snapshot(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs to go on bit for bit: weights, biases, random state."""
        tensors = {f"held.{k.name}": self.read(c) for c, k in enumerate(self.model.couplings)}
        tensors |= {f"bias.{n}": b.clone() for n, b in enumerate(self.biases, start=1) if b is not None}
        return tensors | {"generator": self.generator.get_state()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go back to a `snapshot`."""
        for c, k in enumerate(self.model.couplings):
            self.write(c, tensors[f"held.{k.name}"])
        self.restore_biases(tensors)
        self.generator.set_state(tensors["generator"])

    def restore_biases(self, tensors: dict[str, Tensor]) -> None:
        """The part of `restore` that brings the biases back."""
        for layer, bias in enumerate(self.biases, start=1):
            if bias is not None:
                self.write_bias(layer, tensors[f"bias.{layer}"])

    def _bias(self, layer: int) -> Tensor:
        bias = self.biases[layer - 1]
        if bias is None:
            raise CapabilityError(f"layer {layer}", "bias", rule="this layer has none", fix="build it with bias: true")
        return bias
