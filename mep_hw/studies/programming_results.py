"""What the runs of the programming study say: accuracy and cost of every pair, who reaches an accuracy at the least
cost, and whether the compiler's choice was worth having.

Rates: the smallest one whose accuracy on held-out samples is within CLOSE of the best, as small steps take few pulses.

Winners: a device's bar is MARGIN below the best mean accuracy on it. The cost of a run up to the first epoch whose test
accuracy is at the bar counts, and a variant is in only if all its seeds get there. So epochs are as fine as this sees.

A stopped run has no cost. Where a figure of one seed is unknown, so is the mean.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from mep_hw.studies.saved_runs import Runs

CLOSE, MARGIN = 0.01, 0.02
COSTS = {"time_s": "time (s)", "energy_j": "energy (J)", "cell_pulses_mean": "pulses per cell"}
FIGURES = (
    *COSTS,
    "cell_pulses_p99",
    "cell_pulses_max",
    "cycles",
    "slots",
    "pulses",
    "line_pulses",
    "reads",
    "wear_max",
)
GOALS = {"time": "time_s", "energy": "energy_j", "wear": "pulses"}
Row = dict[str, Any]


def tuned(runs: Runs, variant: str, device: str) -> list[Row]:
    """The tuning runs there are of a pair."""
    return [r for r in runs.values() if (r["stage"], r["variant"], r["device"]) == ("tune", variant, device)]


def best_rate(runs: Runs, variant: str, device: str) -> float:
    """The rate that a pair runs with, by its tuning runs; there must be one."""
    of = tuned(runs, variant, device)
    good = max(run["accuracy"] for run in of) - CLOSE
    return min(run["lr"] for run in of if run["accuracy"] >= good)


def rows(runs: Runs) -> list[Row]:
    """One per pair that has runs at its rate, in the order of the runs: means over seeds of the last epoch."""
    found: list[Row] = []
    for variant, device, of in _pairs(runs):
        lr, rates = of[0]["lr"], sorted(run["lr"] for run in tuned(runs, variant, device))
        whole = [run for run in of if run["stopped"] is None]
        accuracies = [run["accuracy"] for run in of]
        row = {name: of[0][name] for name in ("device", "variant", "rule", "rank", "form", "lr")}
        row |= {"lr_at_the_edge": lr in (rates[0], rates[-1]), "seeds": [run["seed"] for run in of]}
        row |= {"accuracies": accuracies, "mean": statistics.mean(accuracies), "stopped": len(of) - len(whole)}
        row |= {"frozen": _mean(run["frozen"] for run in whole)}
        row |= {name: _mean(run["curve"][-1][name] for run in whole) for name in FIGURES}
        found.append(row | {"seconds": statistics.mean(run["seconds"] for run in of)})
    return found


def curves(runs: Runs, variant: str, device: str) -> list[Row]:
    """Accuracy and costs of a pair after every epoch, means over the seeds that were not stopped."""
    of = [run["curve"] for run in _at_its_rate(runs, variant, device) if run["stopped"] is None]
    return [
        {name: _mean(row[name] for row in epoch) for name in ("accuracy", *COSTS)} for epoch in zip(*of, strict=True)
    ]


def winners(runs: Runs) -> list[Row]:
    """One per device and cost: the variant of a fixed form that takes the least to the bar, and the least that low rank
    takes as a multiple of the least that rows take; None where nobody gets there, or one of the two does not."""
    table, found = [row for row in rows(runs) if row["form"] != "chosen"], list[Row]()
    for device in dict.fromkeys(row["device"] for row in table):
        here = [row for row in table if row["device"] == device]
        bar = max(row["mean"] for row in here) - MARGIN
        for cost in COSTS:
            reached = [(_to_reach(runs, row["variant"], device, bar, cost), row) for row in here]
            order = sorted(((spent, row) for spent, row in reached if spent is not None), key=lambda entry: entry[0])
            least = {row["form"]: spent for spent, row in reversed(order)}
            spent, best = order[0] if order else (None, {"variant": None, "form": None})
            low, full = least.get("low rank"), least.get("rows")
            found.append({
                "device": device, "bar": bar, "cost": cost, "variant": best["variant"], "form": best["form"],
                "spent": spent, "low_rank_over_rows": low / full if low and full else None,
                "reached": {row["variant"]: spent for spent, row in reached},
            })  # fmt: skip
    return found


def finalists(found: Sequence[Row], number: int) -> list[str]:
    """The `number` variants with the best accuracy in the mean over devices, of those with `rows` on every device."""
    devices = {row["device"] for row in found}
    scores: dict[str, float] = {}
    for variant in dict.fromkeys(row["variant"] for row in found):
        means = [row["mean"] for row in found if row["variant"] == variant]
        if len(means) == len(devices):
            scores[variant] = statistics.mean(means)
    return sorted(scores, key=lambda name: -scores[name])[:number]


def choices(runs: Runs) -> list[Row]:
    """One per chosen form and rate: what it took in tuning, and what the best fixed form took with the same rate and
    seed. The compiler compares the forms of one update, so over a run the ratio may come out a little above 1."""
    found: list[Row] = []
    for run in runs.values():
        if run["stage"] != "tune" or not run["fixed"] or run["stopped"] is not None:
            continue
        cost = GOALS[run["array"]["writing.minimise"]]
        others = [
            (other["curve"][-1][cost], name)
            for name in run["fixed"]
            for other in tuned(runs, name, run["device"])
            if other["lr"] == run["lr"] and other["stopped"] is None
        ]
        if len(others) == len(run["fixed"]):
            least, name = min(others)
            spent = run["curve"][-1][cost]
            found.append({
                "device": run["device"], "variant": run["variant"], "lr": run["lr"], "cost": cost, "spent": spent,
                "best": name, "spent_by_best": least, "ratio": spent / least,
            })  # fmt: skip
    return found


def _pairs(runs: Runs) -> Iterable[tuple[str, str, list[Row]]]:
    names = dict.fromkeys((run["variant"], run["device"]) for run in runs.values() if run["stage"] == "run")
    for variant, device in names:
        if of := _at_its_rate(runs, variant, device):
            yield variant, device, of


def _at_its_rate(runs: Runs, variant: str, device: str) -> list[Row]:
    lr = best_rate(runs, variant, device)
    named = "run", variant, device, lr
    return [run for run in runs.values() if (run["stage"], run["variant"], run["device"], run["lr"]) == named]


def _to_reach(runs: Runs, variant: str, device: str, bar: float, name: str) -> float | None:
    """Mean cost up to the bar; None: not all seeds get there, or it is not known."""
    spent: list[float | None] = []
    for run in _at_its_rate(runs, variant, device):
        there = [row[name] for row in run.get("curve", ()) if row["accuracy"] >= bar]
        spent.append(there[0] if there else None)
    return _mean(spent)


def _mean(values: Iterable[float | None]) -> float | None:
    """None where there are no values, or one is unknown."""
    every = list(values)
    known = [value for value in every if value is not None]
    return statistics.mean(known) if known and len(known) == len(every) else None
