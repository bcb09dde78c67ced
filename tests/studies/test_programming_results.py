"""What the tables and the picture of the programming study say of runs that are written down by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from mep_hw.studies.markdown import as_markdown
from mep_hw.studies.programming_plot import draw, plot_programming
from mep_hw.studies.programming_results import COSTS, FIGURES, best_rate, choices, curves, finalists, rows, winners
from mep_hw.studies.programming_table import CHOICES, COLUMNS, WINNERS, cells, choice_cells, markdown, winner_cells
from mep_hw.studies.saved_runs import Runs

FORMS = {"sgd-rows": "rows", "muon-rows": "rows", "dion-8": "low rank", "sgd-samples": "samples"}


def run(
    stage: str, variant: str, accuracies: list[float], spent: list[float | None], lr: float = 0.06, seed: int = 0,
    device: str = "ecram", **more: Any,
) -> tuple[str, dict[str, Any]]:  # fmt: skip
    """A run whose every cost is `spent`, by epoch."""
    curve = [{"accuracy": a} | dict.fromkeys(FIGURES, s) for a, s in zip(accuracies, spent, strict=True)]
    rule, _, rank = variant.partition("-")
    found = {
        "stage": stage, "variant": variant, "device": device, "rule": rule, "form": FORMS.get(variant, "chosen"),
        "rank": int(rank) if rank.isdecimal() else None, "lr": lr, "seed": seed, "accuracy": accuracies[-1],
        "stopped": None, "curve": curve, "frozen": 0.5, "seconds": 2.0, "array": {}, "fixed": [],
    }  # fmt: skip
    return f"{stage} / {variant} / {device} / {lr} / {seed}", found | more


def runs(*of: tuple[str, dict[str, Any]]) -> Runs:
    """These runs, with tuning runs that make 0.06 the rate of each of them."""
    tuning = [run("tune", r["variant"], [a], [1.0], lr, device=r["device"])
              for _, r in of if r["stage"] == "run" for lr, a in ((0.02, 0.1), (0.06, 0.9), (0.18, 0.1))]  # fmt: skip
    return dict([*tuning, *of])


RACE = runs(
    run("run", "sgd-rows", [0.5, 0.89, 0.92], [1.0, 3.0, 5.0]),
    run("run", "sgd-rows", [0.5, 0.89, 0.88], [1.0, 7.0, 9.0], seed=1),
    run("run", "dion-8", [0.5, 0.8, 0.9], [10.0, 20.0, 30.0]),
    run("run", "muon-rows", [0.1, 0.2, 0.3], [0.1, 0.2, 0.3]),
)


@pytest.mark.parametrize(("accuracies", "rate"), [
    ((0.895, 0.9, 0.905), 0.02), ((0.88, 0.9, 0.905), 0.06), ((0.5, 0.6, 0.9), 0.18), ((0.1, 0.1, 0.1), 0.02),
])  # fmt: skip
def test_the_smallest_of_the_rates_that_are_as_good(accuracies: tuple[float, ...], rate: float) -> None:
    found = dict(run("tune", "dion-8", [a], [1.0], lr) for a, lr in zip(accuracies, (0.02, 0.06, 0.18), strict=True))
    assert best_rate(found, "dion-8", "ecram") == rate


def test_rows_are_means_of_the_last_epoch_at_the_rate() -> None:
    stray = dict([run("run", "dion-8", [1.0], [0.0], lr=0.18)])  # of a former choice of the rate
    found = {row["variant"]: row for row in rows(RACE | stray)}
    assert found["sgd-rows"]["mean"] == pytest.approx(0.9) and found["sgd-rows"]["seeds"] == [0, 1]
    assert found["sgd-rows"]["slots"] == 7 and found["dion-8"]["time_s"] == 30 and found["dion-8"]["mean"] == 0.9
    assert not any(row["lr_at_the_edge"] for row in found.values())
    assert [row["accuracy"] for row in curves(RACE, "sgd-rows", "ecram")] == pytest.approx([0.5, 0.89, 0.9])


def test_a_stopped_run_counts_as_guessing_and_has_no_cost() -> None:
    some = runs(
        run("run", "sgd-rows", [0.9], [4.0]), run("run", "sgd-rows", [0.1], [9.0], seed=1, stopped="diverged"),
        run("run", "dion-8", [0.1], [9.0], stopped="diverged"),
    )  # fmt: skip
    first, second = rows(some)
    assert first["mean"] == pytest.approx(0.5) and first["time_s"] == 4 and first["stopped"] == 1
    assert second["time_s"] is None and curves(some, "dion-8", "ecram") == []
    line = dict(zip(COLUMNS, cells({"rows": [second]})[0], strict=True))
    assert line["time (s)"] == "" and line["stopped"] == "1"


def test_the_winner_is_who_gets_there_first_and_with_all_seeds() -> None:
    time = next(row for row in winners(RACE) if row["cost"] == "time_s")
    assert time["bar"] == pytest.approx(0.88) and time["variant"] == "sgd-rows" and time["form"] == "rows"
    assert time["spent"] == (3 + 7) / 2  # the first epoch at the bar, not the last
    assert time["reached"] == {"sgd-rows": 5, "dion-8": 30, "muon-rows": None}
    assert time["low_rank_over_rows"] == 30 / 5
    slow = runs(*((k, r) for k, r in RACE.items() if r["stage"] == "run"), run("run", "sgd-rows", [0.1], [1.0], seed=2))
    assert {row["variant"] for row in winners(slow)} == {"dion-8"}  # one seed of the other does not get there
    assert {row["low_rank_over_rows"] for row in winners(slow)} == {None}


def test_what_is_not_known_has_no_winner() -> None:
    found = winners(runs(run("run", "dion-8", [0.9], [None])))
    assert [row["spent"] for row in found] == [None] * len(COSTS) and found[0]["variant"] is None
    assert winner_cells({"winners": found})[0][-4:] == ["none", "", "unknown", "not both"]


def test_a_choice_is_held_against_the_same_rate() -> None:
    more: dict[str, Any] = {"array": {"writing.minimise": "wear"}, "fixed": ["sgd-rows", "dion-8"]}
    chosen = dict(
        [run("tune", "dion-time", [0.9], [0.5], **more), run("tune", "dion-time", [0.9], [9.0], 0.02, **more)]
    )
    fixed = dict(run("tune", name, [0.9], [spent]) for name, spent in (("sgd-rows", 2.0), ("dion-8", 4.0)))
    (found,) = choices(chosen | fixed)  # at the other rate no fixed form has run
    assert (found["lr"], found["best"], found["ratio"], found["cost"]) == (0.06, "sgd-rows", 0.25, "pulses")
    assert choice_cells({"choices": [found]}) == [["ecram", "dion-time", "0.06", "0.5", "sgd-rows", "2", "0.25"]]
    late = fixed | dict([run("tune", "dion-8", [0.9], [4.0], stopped="diverged")])
    assert choices(chosen | late) == []


def test_finalists_are_the_best_over_all_devices() -> None:
    some = runs(
        run("run", "dion-8", [0.7], [1.0]), run("run", "dion-8", [0.9], [1.0], device="pcm"),
        run("run", "sgd-rows", [0.95], [1.0]), run("run", "sgd-rows", [0.6], [1.0], device="pcm"),
        run("run", "muon-rows", [1.0], [1.0]),
    )  # fmt: skip
    assert finalists(rows(some), 5) == ["dion-8", "sgd-rows"] and finalists(rows(some), 1) == ["dion-8"]


def table(of: Runs) -> dict[str, Any]:
    return {"rows": rows(of), "winners": winners(of), "choices": choices(of), "runs": of}


def test_tables_have_a_cell_for_every_column() -> None:
    whole = table(RACE)
    assert all(len(line) == len(COLUMNS) for line in cells(whole))
    assert all(len(line) == len(WINNERS) for line in winner_cells(whole)) and len(CHOICES) == 7
    page = markdown(whole).splitlines()
    assert "| ecram | sgd-rows | rows | 0.06 | 90.0 | 2.0 | 2 | 50.0 | 7 | 7 | 7 | 7 | 7 |  |" in page
    assert "| ecram | 88.0 | time (s) | sgd-rows | rows | 5 | 6 |" in page
    assert as_markdown(("a", "b"), [("1", "2")]) == "| a | b |\n|---|---|\n| 1 | 2 |"


def test_the_picture_has_a_row_of_panels_per_device(tmp_path: Path) -> None:
    pcm = run("run", "dion-8", [0.4, 0.6], [None, None], device="pcm")
    of = runs(*((k, r) for k, r in RACE.items() if r["stage"] == "run"), pcm)
    figure = draw(table(of))
    FigureCanvasAgg(figure).draw()
    assert len(figure.axes) == 2 * len(COSTS)
    first = figure.axes[0]
    drawn = {tuple(line.get_ydata()) for line in first.lines}
    assert (50.0, 11.0, 10.0) in {tuple(round(float(y), 6) for y in ys) for ys in drawn}  # errors
    assert (
        first.get_xscale() == "log"
        and [line.get_xdata()[0] for line in first.lines if line.get_marker() == "o"][-1] == 5
    )
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["not known"] * len(COSTS)
    (legend,) = figure.legends
    assert {"sgd-rows", "dion-8", "hidden weights frozen"} <= {text.get_text() for text in legend.get_texts()}
    plot_programming(table({}), tmp_path / "empty.png")
    assert (tmp_path / "empty.png").read_bytes().startswith(b"\x89PNG")
