"""Every bundled backend passes every check of the conformance suite that its card does not excuse."""

from __future__ import annotations

import pytest

from mep_hw.cards import backend_names
from mep_hw.conformance import CHECKS, run


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("backend", backend_names())
def test_backend(backend: str, check: str) -> None:
    (outcome,) = run(backend, [check], unsupported=True).outcomes
    assert outcome.status != "failed", "\n".join(outcome.complaints)
    if outcome.status == "unsupported":
        pytest.skip(outcome.reason)
