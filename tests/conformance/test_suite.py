"""Excused checks, exit codes, and that nothing which machines can be asked for is left out of the suite."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import get_args

import pytest
from command import call
from helpers import card

from mep_hw import estimator, rules
from mep_hw.cards import BackendCard, load_backend
from mep_hw.conformance import CHECKS, run
from mep_hw.conformance.refusing import EXAMPLES
from mep_hw.conformance.subject import Subject
from mep_hw.errors import CardError, InputError
from mep_hw.schedule import Cycle


def excused(*names: str, chip: str = "mep_hw.substrates.cpu:Cpu") -> BackendCard:
    return card("cpu", substrate=chip, conformance__unsupported={name: f"no {name} here" for name in names})


def own_card(folder: Path, changed: BackendCard) -> str:
    path = folder / "chip.yaml"
    path.write_text(changed.model_dump_json(), encoding="utf-8")  # JSON is YAML
    return str(path)


def test_an_excused_check_is_left_out_with_its_reason() -> None:
    seen: list[str] = []
    report = run(excused("cost"), ["cost", "bounds"], on_check=seen.append)
    assert seen == ["bounds"] and report.ok
    left_out = [{"check": "cost", "reason": "no cost here"}]
    assert report.as_dict() == {"backend": "cpu", "passed": ["bounds"], "failed": [], "unsupported": left_out}


def test_an_excuse_that_is_no_longer_needed_is_a_failure() -> None:
    report = run(excused("cost"), ["cost", "bounds"], unsupported=True)
    assert (report.named("passed"), report.named("failed"), report.named("unsupported")) == (["bounds"], ["cost"], [])
    (line,) = report.outcomes[1].complaints
    assert line == "now supported: remove it from the card, which says: no cost here"


def test_an_excuse_that_is_needed_stays_one() -> None:
    report = run(excused("cost", chip="conformance.chips:Cheap"), ["cost"], unsupported=True)
    assert report.ok and report.named("unsupported") == ["cost"]
    assert any(not finding.kept for finding in report.outcomes[0].findings)


def test_kinds_of_models_that_a_card_excuses_are_left_out_and_must_be_refused() -> None:
    reasons = {"cross_entropy": "no exponentials here", "deep": "no tanh here"}
    lazy = card("cpu", conformance__unsupported_models=reasons)
    report = run(lazy, ["refuse", "batch_invariance", "gradient"])
    refuse, invariance, gradient = report.outcomes
    assert list(refuse.complaints) == [
        f"not so: a model of kind {kind} is refused, as the card says" for kind in reasons
    ]
    texts = [finding.text for outcome in (invariance, gradient) for finding in outcome.findings]
    assert not [text for text in texts if text.startswith(("cross_entropy", "deep"))]
    assert any(text.startswith("mlp, richardson") for text in texts)  # estimators are looked at on another model


def test_the_report_names_the_models_that_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mep_hw.conformance.suite.CHECKS", {"cost": CHECKS["cost"]})
    report = run(card("cpu", conformance__unsupported_models={"conv": "no convolutions here"}))
    assert report.as_dict()["unsupported"] == [{"check": "models of kind conv", "reason": "no convolutions here"}]


@pytest.mark.parametrize("kind", ["mlp", "skips"])
def test_kinds_that_cannot_be_excused(kind: str) -> None:
    with pytest.raises(CardError, match="those are deep, conv, skip, cross_entropy"):
        run(card("cpu", conformance__unsupported_models={kind: "no"}), ["bounds"])


def test_unknown_checks() -> None:
    with pytest.raises(CardError, match="conformance.unsupported.costs: is not a check; did you mean 'cost'?"):
        run(excused("costs"), ["bounds"])
    with pytest.raises(InputError, match="check = gradeint: is not a check; did you mean 'gradient'?"):
        run("cpu", ["gradeint"])


def test_a_machine_that_complains_fails_the_check_and_the_suite_goes_on() -> None:
    report = run(card("reference", settle__euler_step=None), ["fixed_point", "bounds"])
    assert (report.named("failed"), report.named("passed")) == (["fixed_point"], ["bounds"])
    (line,) = report.outcomes[0].complaints
    assert "euler_step" in line


def test_a_failure_shows_value_and_bar_and_exits_with_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = own_card(tmp_path, excused("bounds", chip="conformance.chips:Halving"))
    shown = call(capsys, "conformance", "--backend", path, "--check", "apply", "--check", "bounds")
    assert shown.code == 1
    assert "|realised share - 1| = 0.5, must be at most 1e-05" in shown.out
    assert "bounds unsupported: no bounds here" in shown.out


def test_the_module_is_the_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["-m", "--backend", "cpu", "--check", "cost", "--json"])
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("mep_hw.conformance", run_name="__main__")
    assert stopped.value.code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"backend": "cpu", "passed": ["cost"], "failed": [], "unsupported": []}


def test_every_kind_of_cycle_is_asked_for() -> None:
    assert set(EXAMPLES) == set(get_args(Cycle) or (Cycle,))


def test_the_contrast_of_every_estimator_and_a_run_of_every_rule_are_looked_at() -> None:
    subject = Subject(load_backend("cpu"), None)
    found = {check: [f.text for f in CHECKS[check].measure(subject)] for check in ("gradient", "seed")}
    for name in estimator.NAMES:
        assert any(f", {name}, weights 1" in text for text in found["gradient"]), name
    for name in rules.NAMES:
        assert any(text.startswith(f"rule {name}:") for text in found["seed"]), name


def test_every_check_says_what_it_means() -> None:
    for name, check in CHECKS.items():
        assert check.name == name and check.meaning and check.measure.__doc__
