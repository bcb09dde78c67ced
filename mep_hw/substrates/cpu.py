"""The fast exact machine: Gauss-Seidel sweeps with library matrix products, on any torch device."""

from __future__ import annotations

from torch import Tensor

from mep_hw.settle import settle
from mep_hw.state import Nudge, Settled
from mep_hw.substrates.digital import Digital


class Cpu(Digital):
    """Settles with `mep_hw.settle`; no autograd, static drive computed once, nudge copies in one batch."""

    def settle(self, inputs: Tensor, nudge: Nudge | None = None, start: Settled | None = None) -> Settled:
        trace = self.energy if self.record_energy else None
        return settle(self.model, self, self.backend.settle, inputs, nudge, start, trace)
