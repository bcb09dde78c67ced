"""A progress bar on stderr for anything that takes a while; stdout stays free for results.

It asks for the loss only as often as it is drawn, because who asks waits for the device that computes it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mep_hw.settings import Settings
from mep_hw.training.loop import OnStep, StepInfo

REDRAW_S = 0.1  # what rich takes between two pictures


@contextmanager
def progress_bar(
    settings: Settings, show: bool | None, on_step: OnStep | None, label: str = "train"
) -> Generator[OnStep | None]:
    """A step callback that moves a bar and then calls `on_step`; just `on_step` where no bar is to be shown."""
    if show is False or (show is None and not sys.stderr.isatty()):
        yield on_step
        return
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[note]}"), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task, due = bar.add_task(label, total=settings.epochs, note=""), time.monotonic()

        def advance(info: StepInfo) -> None:
            nonlocal due
            if (now := time.monotonic()) >= due:
                due = now + REDRAW_S
                note = f"epoch {info.epoch}/{settings.epochs}  loss {info.loss:.4f}  sweeps {info.free_sweeps:.1f}"
                bar.update(task, completed=info.epoch - 1 + info.step / info.steps, note=note)
            if on_step is not None:
                on_step(info)

        yield advance
