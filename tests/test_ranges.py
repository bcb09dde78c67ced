"""One check of numbers: what is none is refused as such, and every constructor of a rule uses it."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from mep_hw.errors import InputError
from mep_hw.ranges import BELOW_ONE, COUNT, NOT_NEGATIVE, POSITIVE, SHARE, SIZE, Range, require, require_one_of
from mep_hw.rules import Adam, Bounded, Clipped, Decayed, Dion, Muon, Natural, Sgd
from mep_hw.rules.feedback import Truncated


@pytest.mark.parametrize(("allowed", "inside", "outside"), [
    (POSITIVE, [1e-300, 1, np.float32(0.5), torch.tensor(0.1)], [0, -1.0, math.inf, math.nan, torch.tensor(math.nan)]),
    (NOT_NEGATIVE, [0, 0.0, 1e300], [-1e-300, math.inf, math.nan]),
    (SHARE, [1, 1e-9, np.float64(1.0)], [0.0, 1 + 1e-9, math.nan]),
    (BELOW_ONE, [0, 0.999], [1, 1.0, -1e-9, math.nan]),
    (SIZE, [0, math.inf], [-1, math.nan]),
    (COUNT, [1, np.int64(3), torch.tensor(2), 10**400], [0, -1]),
])  # fmt: skip
def test_the_ends_of_every_range(allowed: Range, inside: list[object], outside: list[object]) -> None:
    for value in inside:
        require("here", "number", value, allowed, "give another")
    for value in outside:
        with pytest.raises(InputError, match=rf"^here: number = .*: {allowed.rule}; give another$"):
            require("here", "number", value, allowed, "give another")


@pytest.mark.parametrize(
    "value", [True, False, "0.5", None, [0.5], 1j, torch.tensor([0.5]), torch.tensor(True), np.array([0.5])], ids=repr
)
@pytest.mark.parametrize("allowed", [POSITIVE, COUNT], ids=["real", "whole"])
def test_what_is_no_number_is_refused(allowed: Range, value: object) -> None:
    with pytest.raises(InputError, match="here: number = .*: must be a number; give another"):
        require("here", "number", value, allowed, "give another")


@pytest.mark.parametrize("value", [2.5, 2.0, math.nan, torch.tensor(2.0)])
def test_counts_are_whole(value: object) -> None:
    with pytest.raises(InputError, match="must be a whole number"):
        require("here", "number", value, COUNT, "give another")


RULES: list[tuple[Callable[[], object], str]] = [
    (lambda: Sgd(momentum=1.0), "rule sgd: momentum = 1.0: must be at least 0 and below 1; 0.9 is usual"),
    (lambda: Sgd(weight_decay=-0.1), "rule sgd: weight_decay = -0.1: must be at least 0"),
    (lambda: Adam(beta1=1.0), "rule adam: beta1 = 1.0: must be at least 0 and below 1"),
    (lambda: Adam(beta2=-0.1), "rule adam: beta2 = -0.1: must be at least 0 and below 1"),
    (lambda: Adam(eps=0.0), "rule adam: eps = 0.0: must be above 0"),
    (lambda: Adam(weight_decay=math.nan), "rule adam: weight_decay = nan: must be at least 0"),
    (lambda: Muon(momentum=1.0), "rule muon: momentum = 1.0: must be at least 0 and below 1"),
    (lambda: Dion(rank=2.5), "rule dion: rank = 2.5: must be a whole number"),  # type: ignore[arg-type]
    (lambda: Dion(fraction=1.5), "rule dion: fraction = 1.5: must be above 0 and at most 1"),
    (lambda: Dion(momentum=1.0), "rule dion: momentum = 1.0: must be at least 0 and below 1"),
    (lambda: Natural(momentum=1.0), "rule natural: momentum = 1.0: must be at least 0 and below 1"),
    (lambda: Natural(decay=1.0), "rule natural: decay = 1.0: must be at least 0 and below 1"),
    (lambda: Natural(damping=0.0), "rule natural: damping = 0.0: must be above 0"),
    (lambda: Natural(trust=0.0), "rule natural: trust = 0.0: must be above 0"),
    (lambda: Natural(every=0), "rule natural: every = 0: must be at least 1"),
    (lambda: Clipped(Sgd(), 0.0), "clipping: limit = 0.0: must be above 0"),
    (lambda: Decayed(Sgd(), -0.1), "weight decay: rate = -0.1: must be at least 0"),
    (lambda: Truncated(0), "error feedback: rank = 0: must be at least 1"),
    (lambda: Bounded(Sgd(), True), "spectral bound: bound = True: must be a number"),
    (lambda: Bounded(Sgd(), 0.9, cycles=1.5), "spectral bound: cycles = 1.5: must be a whole number"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("build", "message"), RULES, ids=[message.partition(": must")[0] for _, message in RULES])
def test_every_rule_checks_its_numbers(build: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build()


def test_a_name_that_is_not_known_is_told_the_known_ones() -> None:
    require_one_of("here", "colour", "red", ("red", "blue"), "use red")
    with pytest.raises(InputError, match=r"^here: colour = green: is not one of red, blue; use red$"):
        require_one_of("here", "colour", "green", ("red", "blue"), "use red")
