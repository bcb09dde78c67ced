"""What simulated links and steps take, and what a run has taken."""

from __future__ import annotations

from dataclasses import dataclass, field

from mep_hw.errors import InputError
from mep_hw.fpga.cluster.protocol import LAST


@dataclass(frozen=True)
class Timing:
    """Of links and stalls, in cycles.

    Args:
        drop: probability that a frame is lost.
        stall: probability that a step takes `stall_cycles` longer.
        limit: steps of every node after which an asynchronous phase ends, though states still move.
    """

    latency: int = 100
    jitter: int = 0
    drop: float = 0.0
    stall: float = 0.0
    stall_cycles: int = 0
    limit: int = 5000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, low, high in (("latency", 0, 1 << 30), ("jitter", 0, 1 << 30), ("limit", 1, LAST)):
            if not low <= getattr(self, name) <= high:
                raise _wrong(name, getattr(self, name), f"must be from {low} to {high}")
        for name in ("drop", "stall"):
            if not 0 <= getattr(self, name) < 1:
                raise _wrong(name, getattr(self, name), "must be a probability below 1")


@dataclass
class Phase:
    """What one phase of one job took.

    Args:
        steps: of each node.
        cycles: from its first event to the last node's end.
        still: no state moved any more; always set in the synchronous mode, which does not look.
    """

    steps: list[int]
    cycles: int = 0
    still: bool = True


@dataclass
class Trace:
    """What a run took: the phases of each job, and frames in all."""

    phases: list[tuple[Phase, Phase, Phase]] = field(default_factory=list[tuple[Phase, Phase, Phase]])
    sent: int = 0
    lost: int = 0
    left_out: int = 0
    most_waiting: int = 0  # frames at one end of a link that have come and are not yet used; two banks hold two


def _wrong(field_name: str, value: object, rule: str) -> InputError:
    return InputError("timing", field_name, value, rule=rule, fix="give another value")
