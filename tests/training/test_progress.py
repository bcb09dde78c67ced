"""The bar asks for numbers as seldom as it is drawn, and passes every step on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from mep_hw import progress
from mep_hw.cards import load_backend
from mep_hw.progress import REDRAW_S, progress_bar
from mep_hw.settings import resolve


@dataclass
class Step:
    """What the bar reads of a `StepInfo`; `asked` notes the steps whose loss it wanted."""

    step: int
    asked: list[int] = field(default_factory=list[int])
    epoch: int = 1
    steps: int = 100
    free_sweeps: float = 3.0

    @property
    def loss(self) -> float:
        self.asked.append(self.step)
        return 0.5


def test_the_loss_is_read_when_the_bar_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    now, asked, passed = 0.0, list[int](), list[int]()
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)

    def on_step(info: Any) -> None:
        passed.append(info.step)

    with progress_bar(resolve(load_backend("cpu"), epochs=2), True, on_step) as watch:
        assert watch is not None
        for step in range(1, 101):
            watch(Step(step, asked))  # pyright: ignore[reportArgumentType]
            now += REDRAW_S / 4 * 1.001
    assert passed == list(range(1, 101)) and asked == list(range(1, 101, 4))
