"""What a card must say, and must not say, for a machine that computes as Loihi does."""

from __future__ import annotations

from mep_hw.cards.loihi import LoihiOptions
from mep_hw.cards.schema import BackendCard
from mep_hw.cards.whole import require_fixed_steps, require_shifts
from mep_hw.errors import CardError

BITS = 8  # of a synapse's weight, with its sign


def required(card: BackendCard) -> LoihiOptions:
    """The card's own block, after a look at the others.

    Raises:
        CardError: names the field that no Loihi follows.
    """

    def refuse(field: str, value: object, rule: str, fix: str) -> CardError:
        return CardError(card.origin, field, value, rule=rule, fix=fix)

    options, registers = card.loihi, card.registers
    if options is None:
        raise refuse("loihi", None, "this substrate needs it", "copy it from backends/loihi/card.yaml")
    require_fixed_steps(card)
    if options.send_threshold and options.mode != "emulator":
        rule, fix = "is for the emulator, as Lava's simulation sends in every step", "set it to 0, or mode to emulator"
        raise refuse("loihi.send_threshold", options.send_threshold, rule, fix)
    if options.mode == "lava-float":
        if registers is not None:
            rule, fix = "must be null in floating point, where weights are not rounded", "leave the block out"
            raise refuse("registers", f"{registers.bits} bits", rule, fix)
        if card.compute.dtype != "float64":
            rule, fix = "must be float64 where Lava computes in floating point", "set it to float64"
            raise refuse("compute.dtype", card.compute.dtype, rule, fix)
        return options
    if registers is None or registers.bits > BITS:
        value = None if registers is None else registers.bits
        raise refuse("registers.bits", value, f"must be at most {BITS}, those of a synapse", f"set it to {BITS}")
    require_shifts(card)
    if options.mode == "emulator" and not options.batched:
        raise refuse("loihi.batched", False, "is for Lava's simulation only", "leave it out, or set mode to lava-fixed")
    return options
