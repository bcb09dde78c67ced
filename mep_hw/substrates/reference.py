"""The plain machine, to be read first: the equations of motion of `mep_hw.flow`, with exact weights and products."""

from __future__ import annotations

from torch import Tensor

from mep_hw.flow import integrate
from mep_hw.state import Nudge, Settled
from mep_hw.substrates.digital import Digital


class Reference(Digital):
    """Integrates until no state's rate is above the tolerance; slow, and as simple as a machine can be."""

    def settle(self, inputs: Tensor, nudge: Nudge | None = None, start: Settled | None = None) -> Settled:
        energy = self.energy if self.record_energy else None
        return integrate(self.model, self, self.backend, inputs, nudge, start, energy=energy)
