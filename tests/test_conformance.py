"""Every bundled backend passes every check of the conformance suite that its card does not excuse, and so do cards that
use what no bundled one does."""

from __future__ import annotations

import pytest
import torch
from helpers import card

from mep_hw.cards import backend_names
from mep_hw.conformance import CHECKS, run

OTHERS = {
    "integers of 8 bits": card("cpu", registers={"bits": 8, "step": 1 / 64}, conformance__round_trip=1 / 128),
    "verified writes": card("crossbar", write_modes=("cell",)),
}
# By the kernel the tasks take four minutes in Triton's interpreter. Without a GPU they are learned on the graph path,
# which tests/substrates/test_gpu.py holds to the kernel's reference; all other checks take the card as it is.
INTERPRETED = {("gpu", "learns"): card("gpu", gpu__path="graph")}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("backend", backend_names())
def test_backend(backend: str, check: str) -> None:
    asked = backend if torch.cuda.is_available() else INTERPRETED.get((backend, check), backend)
    (outcome,) = run(asked, [check], unsupported=True).outcomes
    assert outcome.status != "failed", "\n".join(outcome.complaints)
    if outcome.status == "unsupported":
        pytest.skip(outcome.reason)


@pytest.mark.parametrize("other", OTHERS)
def test_other_cards(other: str) -> None:
    outcomes = run(OTHERS[other], [check for check in CHECKS if check != "learns"]).outcomes
    assert not [f"{outcome.check}: {line}" for outcome in outcomes for line in outcome.complaints]
