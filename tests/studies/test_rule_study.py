"""The rule study: its stages, what it resumes, and what its probe measures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import mep_hw
from mep_hw import machine
from mep_hw.data import Data, digits
from mep_hw.errors import CheckpointError, InputError
from mep_hw.gradcheck import gradient_check
from mep_hw.studies import rules as study
from mep_hw.studies.probe import Probe
from mep_hw.studies.rule_variants import Variant, variants
from mep_hw.studies.rules import RuleStudy
from mep_hw.studies.rules_plot import plot_rules
from mep_hw.studies.rules_table import long_means

SUBJECTS = [Variant("sgd"), Variant("adam"), Variant("dion", 4, 0.9, True)]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {"sgd": (0.05, 1e9), "adam": (1e-6, 0.01), "dion": (1e-9, 1e-6)}
    tiny = replace(
        study.TASKS["digits"], sizes=(64, 12, 8, 10), images=300, passes=2, probes=64, rates=rates,
        bounded_rates={"dion": (1e-6, 0.05)},
    )  # fmt: skip
    monkeypatch.setattr(study, "TASKS", {"digits": tiny})
    for name, value in (("EPOCHS", 10), ("FINALISTS", 2), ("SEEDS", (0, 1))):
        monkeypatch.setattr(study, name, value)
    monkeypatch.setattr(study, "variants", lambda: SUBJECTS)


def test_every_variant_gets_the_same_stages_and_the_best_go_on(tmp_path: Path) -> None:
    told: list[str] = []
    table = RuleStudy("digits", tmp_path, told.append).run(SUBJECTS)
    rows = {row["variant"]: row for row in table["rows"]}
    assert list(rows) == ["sgd", "adam", "dion 4, bounded"]
    assert rows["adam"]["lr"] == 0.01 and rows["dion 4, bounded"]["lr"] == 0.05  # the useful one of two
    assert table["runs"]["tune / sgd / 1e+09"]["error"] == 0.9 and rows["sgd"]["lr"] == 0.05  # diverged: guessing
    tuned = {name: table["runs"][f"tune / {name} / {row['lr']:g}"]["error"] for name, row in rows.items()}
    finished = sorted((row["short_mean"], name) for name, row in rows.items())
    for mean, name in finished:
        assert mean == pytest.approx(sum(rows[name]["short_errors"]) / 2)
        assert len(rows[name]["long_errors"]) == (2 if tuned[name] < max(tuned.values()) else 0)
    best = rows[min(tuned, key=lambda name: tuned[name])]
    assert long_means(best)[2] == pytest.approx(sum(run["10"] for run in best["long_errors"]) / 2)
    assert len(told) == len(table["runs"]) == 3 * 2 + 3 * 2 + 2 * 2
    assert json.loads((tmp_path / "rules-digits.json").read_text())["runs"] == table["runs"]
    plot_rules(table, tmp_path / "rules.png")
    assert (tmp_path / "rules.png").read_bytes().startswith(b"\x89PNG")


def test_a_study_goes_on_where_it_stopped(tmp_path: Path) -> None:
    nothing = RuleStudy("digits", tmp_path, lambda _: None, hours=0.0).run(SUBJECTS)
    assert not nothing["runs"] and nothing["rows"][0]["short_mean"] is None
    first = RuleStudy("digits", tmp_path, lambda _: None)
    first.run(SUBJECTS[:1])
    told: list[str] = []
    table = RuleStudy("digits", tmp_path, told.append).run(SUBJECTS[:2])
    assert told and all("adam" in line or line.startswith("long") for line in told)
    assert table["runs"]["short / sgd / 0.05 / 0"] == first.runs["short / sgd / 0.05 / 0"]


def test_all_variants_of_the_issue_are_there() -> None:
    real = [v.name for v in variants()]
    assert len(real) == len(set(real)) == 24
    assert {"sgd", "adam, bounded", "muon", "natural, bounded", "dion 4, no feedback", "dion 32, bounded"} <= set(real)
    assert Variant("dion", 8, 0.9, False).settings() == {
        "rule": "dion", "rank": 8, "error_feedback": False, "spectral_bound": 0.9,
    }  # fmt: skip


def test_an_unknown_task_is_refused_before_the_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="task = cifar: is not one of digits"):
        RuleStudy("cifar", tmp_path / "new", lambda _: None)
    assert not (tmp_path / "new").exists()


def test_the_probe_measures_the_model_as_it_stands() -> None:
    data, model = digits(), mep_hw.mlp(64, 12, 10)
    card, _ = machine.cards("cpu")
    batch = Data("probe", data.x[:64], data.y[:64], data.test_x, data.test_y, 10)
    probe = Probe(model, card, 0.001, batch, {45})
    training = (data.x, data.y), (data.test_x, data.test_y)
    mep_hw.train(model, training, epochs=1, on_step=probe, progress=False)  # 45 steps: the probe sees the last one
    report = gradient_check(model, batch, backend=card, as_trained=True)
    assert [row["coupling"] for row in probe.rows] == ["1", "2"] and {row["step"] for row in probe.rows} == {45}
    for row, weights in zip(probe.rows, model.weights, strict=True):
        layer = next(k for k in report.layers if k.name == f"weights {row['coupling']}")
        assert (row["norm_ratio"], row["cosine"]) == (layer.norm_ratio, layer.cosine)
        assert row["largest"] == pytest.approx(float(torch.linalg.matrix_norm(weights, 2)), rel=1e-5)
        assert 0 < row["relative_change"] < 0.01 and 0 <= row["smallest"] <= row["median"] <= row["largest"]


@pytest.mark.parametrize(("content", "message"), [
    ("nonsense", "holds no rule study"), ("{}", "holds no rule study"), (None, "beta = 99: this study has 0.05"),
])  # fmt: skip
def test_a_file_of_another_study_is_refused(content: str | None, message: str, tmp_path: Path) -> None:
    RuleStudy("digits", tmp_path, lambda _: None, hours=0.0).run(SUBJECTS)
    path = tmp_path / "rules-digits.json"
    if content is None:
        found = json.loads(path.read_text())
        found["settings"]["beta"] = 99
        content = json.dumps(found)
    path.write_text(content)
    with pytest.raises(CheckpointError, match=message):
        RuleStudy("digits", tmp_path, lambda _: None)
