"""What a card must say, and must not say, for a machine that computes as Loihi does."""

from __future__ import annotations

import math

from mep_hw.cards.loihi import LoihiOptions
from mep_hw.cards.schema import BackendCard
from mep_hw.errors import CardError

BITS = 8  # of a synapse's weight, with its sign


def required(card: BackendCard) -> LoihiOptions:
    """The card's own block, after a look at the others.

    Raises:
        CardError: names the field that no Loihi follows.
    """

    def refuse(field: str, value: object, rule: str, fix: str) -> CardError:
        return CardError(card.origin, field, value, rule=rule, fix=fix)

    options, settle, registers = card.loihi, card.settle, card.registers
    if options is None:
        raise refuse("loihi", None, "this substrate needs it", "copy it from backends/loihi/card.yaml")
    for field in ("tolerance", "nudged_tolerance"):
        value = getattr(settle, field)
        if value:
            rule, fix = "must be 0, as a chip runs a fixed number of steps", "set free_sweeps and nudged_sweeps"
            raise refuse(f"settle.{field}", value, rule, fix)
    for field in ("anderson", "average"):
        if getattr(settle, field):
            raise refuse(f"settle.{field}", getattr(settle, field), "must be 0, as no chip does it", "set it to 0")
    if options.send_threshold and options.mode != "emulator":
        rule, fix = "is for the emulator, as Lava's simulation sends in every step", "set it to 0, or mode to emulator"
        raise refuse("loihi.send_threshold", options.send_threshold, rule, fix)
    if settle.euler_step is None:
        raise refuse("settle.euler_step", None, "this substrate needs a step", "set it to 0.5")
    if options.mode == "lava-float":
        if registers is not None:
            rule, fix = "must be null in floating point, where weights are not rounded", "leave the block out"
            raise refuse("registers", f"{registers.bits} bits", rule, fix)
        if card.compute.dtype != "float64":
            rule, fix = "must be float64 where Lava computes in floating point", "set it to float64"
            raise refuse("compute.dtype", card.compute.dtype, rule, fix)
        return options
    if not _is_power_of_two(settle.euler_step):
        raise refuse("settle.euler_step", settle.euler_step, "must be a power of two, as steps are shifts", "take 0.5")
    if registers is None or registers.bits > BITS:
        value = None if registers is None else registers.bits
        raise refuse("registers.bits", value, f"must be at most {BITS}, those of a synapse", f"set it to {BITS}")
    if registers.step_by == "weight" and not _is_power_of_two(registers.step):
        raise refuse("registers.step", registers.step, "must be a power of two", "set registers.step_by to largest")
    if options.mode == "emulator" and not options.batched:
        raise refuse("loihi.batched", False, "is for Lava's simulation only", "leave it out, or set mode to lava-fixed")
    return options


def step_shift(card: BackendCard) -> int:
    """Binary logarithm of 1 / dt."""
    assert card.settle.euler_step is not None  # `required` has seen it
    return -round(math.log2(card.settle.euler_step))


def _is_power_of_two(value: float) -> bool:
    return math.frexp(value)[0] == 0.5
