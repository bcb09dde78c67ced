"""The study of formats as tables of a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mep_hw.studies.markdown import as_markdown

FORMS = ("form", "states", "weights", "inputs", "biases", "widest sum", "free steps", "nudged steps", "cosine", "test")
PAIRS = ("states", "weights", "free steps", "accuracy", "changed", "cosines")


def form_cells(table: Mapping[str, Any]) -> list[list[str]]:
    """The float model, its control and the chosen forms, for `FORMS`; accuracies in percent."""
    model, blank = table["model"], [""] * 8
    found = [["float32", *blank, _percent(model["accuracy"])], ["frozen hidden", *blank, _percent(model["frozen"])]]
    for name, run in table["choices"].items():
        formats = run["formats"]
        found.append([
            f"for {name}", _format(formats["state"]), ", ".join(map(_format, formats["weights"])),
            _format(formats["input"]), str(formats["bias_bits"]), str(run["widest_sum"]), str(run["free_steps"]),
            str(run["nudged_steps"]), f"{min(run['measured']['cosines']):.4f}", _percent(run["test_accuracy"]),
        ])  # fmt: skip
    return found


def pair_cells(table: Mapping[str, Any]) -> list[list[str]]:
    """Every pair of the grid, for `PAIRS`."""
    found: list[list[str]] = []
    for row in table["rows"]:
        head = [str(row["state_bits"]), str(row["weight_bits"])]
        if row["refused"] is not None:
            found.append([*head, "", "", "", row["refused"]])
            continue
        cosines = ", ".join(f"{value:.4f}" for value in row["cosines"])
        found.append([*head, str(row["free_steps"]), _percent(row["accuracy"]), _percent(row["changed"]), cosines])
    return found


def markdown(table: Mapping[str, Any]) -> str:
    """The page beside the figure."""
    settings, where = table["settings"], table["environment"]
    training = ", ".join(f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                         for name, value in settings["training"].items())  # fmt: skip
    return "\n".join([
        f"# Formats of {settings['model']} on {settings['data']}", "",
        "Written by `mep-hw study formats`; the settings and all figures are in formats.json.", "",
        f"Commit {where['commit']}, {where['processor']}, torch {where['torch']}, {settings['compiler']}, "
        f"seed {settings['seed']}.", f"Training: {training}.", "",
        "Bits are written as all of them, and those behind the point. Test: accuracy on all test samples, in percent.",
        "", as_markdown(FORMS, form_cells(table)), "",
        f"The grid, on {settings['grid_samples']} samples held out from training; accuracy and changed answers in "
        "percent,", "the cosine of each coupling's contrast with that of `cpu`, from the input on.", "",
        as_markdown(PAIRS, pair_cells(table)), "",
    ])  # fmt: skip


def _format(form: Mapping[str, int]) -> str:
    return f"{form['bits']}.{form['fraction']}"


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"
