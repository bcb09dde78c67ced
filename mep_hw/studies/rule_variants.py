"""What the rule study compares: the rules in all their forms, and the models they are compared on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

RANKS = (4, 8, 16, 32)
BOUND = 0.9
TUNING_IMAGES = 10_000


Rates = dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Task:
    """One model and data set. `passes` epochs over `images` training images make the tuning budget.

    rates: five per rule, placed so that the best one has a neighbour on both sides.
    bounded_rates: of bounded variants where they differ, since a bound lets larger steps live.
    """

    data: str
    sizes: tuple[int, ...]
    batch: int
    free_sweeps: int
    images: int
    held: int
    passes: int
    rates: Rates
    bounded_rates: Rates = field(default_factory=Rates)
    probes: int = 256

    def rates_of(self, variant: Variant) -> tuple[float, ...]:
        return (self.rates | self.bounded_rates if variant.bound else self.rates)[variant.rule]


TASKS = {
    "mnist": Task(
        "mnist", (784, 512, 512, 10), 128, 5, TUNING_IMAGES, 5000, 1,
        {
            "sgd": (0.01, 0.03, 0.1, 0.3, 1.0), "adam": (0.0003, 0.001, 0.003, 0.01, 0.03),
            "muon": (0.002, 0.006, 0.02, 0.06, 0.2), "dion": (0.006, 0.02, 0.06, 0.2, 0.6),
            "natural": (0.001, 0.003, 0.01, 0.03, 0.1),
        },
        {
            "sgd": (0.1, 0.3, 1.0, 3.0, 10.0), "adam": (0.001, 0.003, 0.01, 0.03, 0.1),
            "dion": (0.02, 0.06, 0.2, 0.6, 2.0), "natural": (0.01, 0.03, 0.1, 0.3, 1.0),
        },
    ),
    "digits": Task(
        "digits", (64, 64, 64, 64, 64, 64, 64, 10), 32, 15, 1237, 200, 8,
        {
            "sgd": (0.003, 0.01, 0.03, 0.1, 0.3), "adam": (0.0001, 0.0003, 0.001, 0.003, 0.01),
            "muon": (0.002, 0.006, 0.02, 0.06, 0.2), "dion": (0.002, 0.006, 0.02, 0.06, 0.2),
            "natural": (0.0003, 0.001, 0.003, 0.01, 0.03),
        },
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Variant:
    """A rule as the study runs it."""

    rule: str
    rank: int | None = None
    bound: float | None = None
    feedback: bool | None = None

    @property
    def name(self) -> str:
        parts = [self.rule + (f" {self.rank}" if self.rank else "")]
        parts += ["no feedback"] if self.feedback is False else []
        return ", ".join(parts + (["bounded"] if self.bound else []))

    def settings(self) -> dict[str, Any]:
        return {"rule": self.rule, "rank": self.rank, "error_feedback": self.feedback, "spectral_bound": self.bound}


def variants() -> list[Variant]:
    """All that are compared: five rules, four ranks of Dion with and without feedback, each free and bounded."""
    plain = [Variant(rule) for rule in ("sgd", "adam", "muon", "natural")]
    plain += [Variant("dion", rank, feedback=feedback) for rank in RANKS for feedback in (True, False)]
    return [Variant(v.rule, v.rank, bound, v.feedback) for v in plain for bound in (None, BOUND)]
