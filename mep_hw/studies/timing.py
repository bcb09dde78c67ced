"""Several things timed against each other: all in turn in one process, so that a busy machine slows all alike."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any


def in_turn(
    subjects: Mapping[str, Callable[[], object]],
    base: str,
    rounds: int,
    before: Mapping[str, Callable[[], object]] | None = None,
) -> list[dict[str, Any]]:
    """Rows {name ms ratio ratio_quartiles}: median time of a call, and over that of `base` in the same round.

    Args:
        before: what is done, and not timed, before each call of the subject of this name.
    """
    before = before or {}
    times: dict[str, list[float]] = {name: [] for name in subjects}
    for turn in range(rounds + 1):
        for name, call in subjects.items():
            if name in before:
                before[name]()
            start = time.perf_counter()
            call()
            if turn:  # the first round warms the caches
                times[name].append(time.perf_counter() - start)
    return [_row(name, seconds, times[base]) for name, seconds in times.items()]


def _row(name: str, seconds: list[float], base: list[float]) -> dict[str, Any]:
    ratios = [mine / theirs for mine, theirs in zip(seconds, base, strict=True)]
    quartiles = statistics.quantiles(ratios, n=4)
    return {
        "name": name, "ms": 1e3 * statistics.median(seconds), "ratio": statistics.median(ratios),
        "ratio_quartiles": [quartiles[0], quartiles[2]],
    }  # fmt: skip
