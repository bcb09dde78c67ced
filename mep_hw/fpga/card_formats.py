"""The formats that a card asks for: those of its `fpga` block, and of weights those of each coupling's registers."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mep_hw.cards.fpga import FpgaOptions
from mep_hw.cards.registers import RegisterFormat
from mep_hw.errors import CapabilityError
from mep_hw.fpga.quantised import Formats
from mep_hw.fpga.spec import Format


def card_formats(options: FpgaOptions, registers: Sequence[RegisterFormat], name: str) -> Formats:
    """The formats of a model whose couplings have these registers, with steps in weights of the model.

    Args:
        name: of the backend.

    Raises:
        CapabilityError: a step that is no power of two from 2^-31 to 1; names the layer.
    """
    weights = list[Format]()
    for number, form in enumerate(registers, start=1):
        fraction = -round(math.log2(form.step))
        if form.step != 2.0**-fraction or not 0 <= fraction <= 31:
            rule, fix = "must be a power of two from 2^-31 to 1", "set registers.step_by to largest"
            raise CapabilityError(f"backend {name}", f"step of layer {number}", f"{form.step:g}", rule=rule, fix=fix)
        weights.append(Format(bits=form.bits, fraction=fraction))
    state = Format(bits=options.state_bits, fraction=options.state_fraction)
    given = Format(bits=options.input_bits, fraction=options.input_fraction)
    return Formats(state, given, options.bias_bits, tuple(weights))
