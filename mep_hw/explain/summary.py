"""What is in a schedule, as plain values for people and scripts."""

from __future__ import annotations

from typing import Any

from mep_hw.explain.firing import firing
from mep_hw.outersum import OuterSum, dense
from mep_hw.schedule.ir import Cell, Cycle, Hold, Outer, Read, Refresh, Registers, Row, Schedule, Transfer
from mep_hw.schedule.pulses import per_cell


def summary(schedule: Schedule) -> dict[str, Any]:
    """Shape, size of what is intended and left, one entry for each kind of cycle, and pulses of one weight.

    `left` is a share of what is intended; pulses are None where they are decided while the schedule is executed.
    """
    intended, found = schedule.intended, firing(schedule)
    size = float(dense(intended).double().norm())
    left = 0.0 if schedule.left is None else float(dense(schedule.left).double().norm())
    counts = None
    if found is not None:
        mean, p99, most = per_cell(found.up + found.down)
        counts = {
            "mean": mean, "p99": int(p99), "max": int(most),
            "words": int(found.words.sum()), "bits": int(found.bits.sum()),
        }  # fmt: skip
    return {
        "shape": list(intended.shape),
        "rank": intended.rank if isinstance(intended, OuterSum) else None,
        "norm": size,
        "left": left / size if size else None,
        "carried": schedule.carried,
        "cycles": [described(cycle) for cycle in schedule.cycles],
        "pulses": counts,
    }


def described(cycle: Cycle) -> dict[str, Any]:
    """The kind of a cycle and its numbers."""
    match cycle:
        case Registers():
            return {"kind": "registers"}
        case Outer(words, _, lengths):
            return {"kind": "outer", "products": len(lengths), "slots": len(words), "longest": max(lengths, default=0)}
        case Row(counts, along):
            return {"kind": "row", "along": along, "pulses": int(counts.abs().sum()), "most": int(counts.abs().max())}
        case Cell(_, tolerance, iterations) | Refresh(tolerance, iterations):
            return {"kind": type(cycle).__name__.lower(), "tolerance": tolerance, "iterations": iterations}
        case Read(basis, reads):
            return {"kind": "read", "directions": None if basis is None else basis.shape[1], "reads": reads}
        case Transfer(lines):
            return {"kind": "transfer", "lines": lines}
        case Hold(seconds):
            return {"kind": "hold", "seconds": seconds}
