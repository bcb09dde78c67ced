"""An explanation of the compiler as tables and lines for people."""

from __future__ import annotations

from mep_hw.cli import output
from mep_hw.explain import Explanation

COSTS = ("time_s", "energy_j", "cycles", "slots", "pulses", "line_pulses", "reads")
NOTICED = 0.01  # change of time or energy by which an assumption is worth a line


def explained(found: Explanation) -> None:
    """Print it: forms, choice, assumptions that matter, headroom, lines to exchange."""
    output.rows(
        ("form", *COSTS, "per cell", "p99", "max", "wear", "expected error", "left"),
        [
            [
                form.form, *(getattr(form.cost, name) for name in COSTS), form.pulses_mean, form.pulses_p99,
                form.pulses_max, form.wear, form.error, form.left,
            ]
            for form in found.forms if form.cost is not None
        ],
    )  # fmt: skip
    for form in found.forms:
        if form.objection is not None:
            output.line(f"not {form.form}: {form.objection}")
        if form.over:
            output.line(f"{form.form} exceeds the budget: {', '.join(form.over)}")
    output.line(f"Chosen: {found.why}.")
    for line in found.assumed:
        output.line(f"Assumed: {line}")
    for swing in found.sensitivity:
        factors = {"time": swing.time, "energy": swing.energy}
        moved = {n: v for n, v in factors.items() if v is not None and abs(v - 1) > NOTICED}
        if moved or swing.chosen != found.chosen:
            told = "".join(f", {name} x {value:.3g}" for name, value in moved.items())
            output.line(f"{swing.path} x {swing.factor:g}{told}: {swing.chosen}")
    if found.headroom is not None:
        room = found.headroom
        limits = f"{output.text(room.low)} to {output.text(room.high)}"
        output.line(f"Out of {limits}: {room.cells} weights ({room.share:.2%})")
    for pair in found.exchanges:
        before, after = pair.most
        told = f"takes {pair.times:.2g} times the mean; exchanged with {pair.cold}, its most pulsed cell gets"
        output.line(f"Wear: {pair.lines} {pair.hot} {told} {after:g} instead of {before:g}")
