"""Why no model runs on a Loihi from here; a simulation is never run in its place without a word.

What reaches a chip is Intel's extension of Lava, which is not public. Lava without it runs a process that has only a
CPU model on the CPU, silently, so its run configuration proves nothing, and we ask whether the extension is installed.
Where it is, our units still need microcode for the chip's cores, for which the tools are not public either.
"""

from __future__ import annotations

from mep_hw.errors import CapabilityError
from mep_hw.loihi.environment import lava_python


def no_hardware(name: str) -> CapabilityError:
    """The refusal of mode `hardware`.

    Raises:
        MachineError: there is no Lava to ask.
    """
    found, fix = lava_python(), "set loihi.mode to emulator or lava-fixed"
    rule = "needs Intel's extension of Lava for Loihi, which is not installed beside it"
    if found.hardware:
        rule = "needs units in the chip's own microcode, which this package does not have"
    return CapabilityError(f"backend {name}", "loihi.mode", "hardware", rule=rule, fix=fix)
