"""What a card must say, and must not say, for a machine that computes as `mep_hw.fpga.spec` does."""

from __future__ import annotations

from mep_hw.cards.fpga import FpgaOptions
from mep_hw.cards.schema import BackendCard
from mep_hw.cards.whole import require_fixed_steps, require_shifts, step_shift
from mep_hw.errors import CardError

MOST_SHIFT = 8  # of a step of settling


def required(card: BackendCard) -> FpgaOptions:
    """The card's own block, after a look at the others.

    Raises:
        CardError: names the field that no such machine follows.
    """
    if card.fpga is None:
        rule, fix = "this substrate needs it", "copy it from backends/fpga/card.yaml"
        raise CardError(card.origin, "fpga", None, rule=rule, fix=fix)
    if card.registers is None:
        rule, fix = "this substrate holds weights in whole steps", "copy it from backends/fpga/card.yaml"
        raise CardError(card.origin, "registers", None, rule=rule, fix=fix)
    if card.compute.torch_device != "cpu":
        rule, fix = "must be cpu, where the executable runs", "set it to cpu"
        raise CardError(card.origin, "compute.torch_device", card.compute.torch_device, rule=rule, fix=fix)
    require_fixed_steps(card)
    require_shifts(card)
    if step_shift(card) > MOST_SHIFT:
        rule, fix = f"must be at least {2.0**-MOST_SHIFT:g}", "take 0.5"
        raise CardError(card.origin, "settle.euler_step", card.settle.euler_step, rule=rule, fix=fix)
    return card.fpga
