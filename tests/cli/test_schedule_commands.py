"""`schedule compile`, `explain`, `run`, `show`: what they print is what the package computes; bad input is one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from command import call
from compiler_cards import arrays, update

import mep_hw
from mep_hw.cards import load_device
from mep_hw.compiler import predict
from mep_hw.explain import explain
from mep_hw.machine import build
from mep_hw.outersum import dense
from mep_hw.schedule.files import load
from mep_hw.schedule.updates import load_weights, save_update, save_weights

HELD = 0.2 * torch.randn(24, 40, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With an update, and a card whose times and energies are known."""
    save_update(tmp_path / "u.npz", update(), held=HELD)
    card = arrays("known").model_dump(mode="json")
    (tmp_path / "known.yaml").write_text(yaml.safe_dump(card))
    return tmp_path


def compiled(capsys: pytest.CaptureFixture[str], folder: Path, *options: object) -> dict[str, object]:
    return call(
        capsys, "schedule", "compile", folder / "u.npz", "--backend", folder / "known.yaml", "--device",
        "gokmen-vlasov", "--out", folder / "s.npz", *options, "--json",
    ).json  # fmt: skip


def kept(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_compile_writes_the_schedule_that_it_prices(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed, saved = compiled(capsys, folder, "--form", "outer", "--seed", 3), load(folder / "s.npz")
    assert (saved.backend, saved.device, saved.scale) == ("known", "gokmen-vlasov", 1.0)
    backend, device = arrays("known"), load_device("gokmen-vlasov")
    assert printed["cost"] == predict(saved.schedule, backend, device, HELD).as_dict()
    assert printed["cycles"][0]["kind"] == "outer" and printed["shape"] == [24, 40]  # type: ignore[index]
    first = saved.schedule
    compiled(capsys, folder, "--form", "outer", "--seed", 3)
    again = load(folder / "s.npz").schedule
    assert torch.equal(first.cycles[0].words, again.cycles[0].words)  # type: ignore[union-attr]
    compiled(capsys, folder, "--form", "outer", "--seed", 4)
    other = load(folder / "s.npz").schedule.cycles[0].words  # type: ignore[union-attr]
    assert other.shape != again.cycles[0].words.shape or not torch.equal(other, again.cycles[0].words)  # type: ignore[union-attr]


@pytest.mark.parametrize(("goal", "kind"), [("time", "outer"), ("wear", "row")])
def test_the_objective_chooses_the_form(goal: str, kind: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = compiled(capsys, folder, "--minimise", goal)
    assert [cycle["kind"] for cycle in printed["cycles"]] == [kind]  # type: ignore[union-attr, index]
    explained = call(
        capsys, "schedule", "explain", folder / "u.npz", "--backend", folder / "known.yaml", "--device",
        "gokmen-vlasov", "--minimise", goal, "--json",
    ).json  # fmt: skip
    assert explained["chosen"] == kind


def test_explain_prints_the_explanation(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = (
        "schedule", "explain", folder / "u.npz", "--backend", folder / "known.yaml", "--device", "gokmen-vlasov",
        "--minimise", "time",
    )  # fmt: skip
    backend = arrays("known", array__writing__minimise="time")
    found = explain(update(), None, backend, load_device("gokmen-vlasov"), HELD)
    printed = call(capsys, *words, "--json").json
    assert printed["forms"] == [dict(vars(f), cost=vars(f.cost), over=list(f.over)) for f in found.forms]
    shown = call(capsys, *words)
    assert shown.code == 0 and found.why in shown.out
    assert all(form.form in shown.out for form in found.forms)
    assert (
        all(line in shown.out for line in found.assumed)
        and "array.assumed.pulse_width.value x 2, time x 1.2" in shown.out
    )
    assert "Out of -1 to 1: 0 weights" in shown.out
    limited = call(capsys, *words, "--time-max", "1e-9")
    assert "row exceeds the budget: time_s" in limited.out and "no form keeps to the budget" in limited.out
    pcm = call(capsys, "schedule", "explain", folder / "u.npz", "--device", "pcm")
    assert "not outer: pcm is not pulsed both ways" in pcm.out and "unknown" in pcm.out


def test_run_executes_what_the_file_holds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compiled(capsys, folder, "--form", "row")
    printed = call(
        capsys, "schedule", "run", folder / "s.npz", "--weights", folder / "u.npz", "--backend",
        folder / "known.yaml", "--seed", 7, "--out", folder / "after.npz", "--json",
    ).json  # fmt: skip
    model = mep_hw.mlp(40, 24)
    model.weights[0].copy_(HELD)
    machine = build(model, arrays("known"), load_device("gokmen-vlasov"), 7)
    schedule, before = load(folder / "s.npz").schedule, machine.read(0)
    predicted = predict(schedule, machine.card_of(0), machine.device, before)
    assert printed["cost"] == machine.apply(0, schedule).as_dict()
    assert printed["predicted"] == predicted.as_dict()
    assert torch.equal(load_weights(folder / "after.npz"), machine.read(0))
    error = (machine.read(0) - before - dense(schedule.intended)).norm() / dense(schedule.intended).norm()
    assert printed["error"] == pytest.approx(float(error), rel=1e-5)
    shown = call(
        capsys, "schedule", "run", folder / "s.npz", "--weights", folder / "u.npz", "--backend", folder / "known.yaml"
    )
    assert shown.code == 0 and "predicted" in shown.out and "executed" in shown.out


def test_registers_are_written_and_run_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("schedule", "compile", folder / "u.npz", "--backend", "cpu", "--out", folder / "s.npz")
    assert call(capsys, *words, "--json").json["pulses"] is None
    printed = call(capsys, "schedule", "run", folder / "s.npz", "--json").json
    assert printed["error"] == 0 and printed["cost"]["cycles"] == 1


def test_show_and_its_picture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("row", "outer"):
        compiled(capsys, folder, "--form", form)
        shown = call(capsys, "schedule", "show", folder / "s.npz", "--plot", folder / "p.png", "--json").json
        assert (folder / "p.png").read_bytes().startswith(b"\x89PNG") and shown["backend"] == "known"
        assert shown["pulses"]["max"] >= shown["pulses"]["p99"] >= shown["pulses"]["mean"] > 0
    assert "kind: outer" in call(capsys, "schedule", "show", folder / "s.npz").out
    compiled(capsys, folder, "--form", "cell")
    (folder / "p.png").unlink()
    refused = call(capsys, "schedule", "show", folder / "s.npz", "--plot", folder / "p.png")
    assert refused.code == 2 and "needs pulses that are known beforehand" in refused.err
    assert not (folder / "p.png").exists()


def broken(folder: Path) -> None:
    np.savez(folder / "rank0.npz", left=np.zeros((24, 0)), right=np.zeros((40, 0)))
    np.savez(folder / "nan.npz", update=np.full((24, 40), np.nan))
    np.savez(folder / "short.npz", update=np.zeros((24, 40)), held=np.zeros((24, 39)))
    (folder / "text.npz").write_text("no zip")
    (folder / "cut.npz").write_bytes((folder / "u.npz").read_bytes()[:200])


BAD = {
    "rank0.npz": "r at least 1",
    "nan.npz": "update = nan: must be finite",
    "short.npz": r"shape of held = \(24, 39\): must be \(24, 40\)",
    "text.npz": "is not a whole npz file",
    "cut.npz": "is not a whole npz file",
    "none.npz": "cannot be read",
    "u.npz --form exact": "exact",
    "u.npz --backend cpu --form row": "form = row: must be one of its write modes: exact",
    "u.npz --backend cpu --device ideal --minimise time": "minimise = time: has no effect",
    "u.npz --device pcm --form outer": "holds no mode that pcm can execute",
    "u.npz --time-max 1e-9": "budget: time_s = 1e-09: cannot be kept",
    "u.npz --backend cpu --energy-max 1": "budget: energy_j = 1: cannot be kept",
    "u.npz --wear-max 0": "budget: wear_max = 0.0: must be above 0",
    "u.npz --time-max nan": "budget: time_s = nan: must be above 0",
    "u.npz --backend nowhere": "nowhere: is not a known backend",
    "u.npz --minimise space": "space",
}


@pytest.mark.parametrize("words", BAD)
def test_bad_input_is_one_line_and_writes_nothing(
    words: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken(folder)
    monkeypatch.chdir(folder)
    before = kept(folder)
    found = call(capsys, "schedule", "compile", *words.split(), "--out", "s.npz")
    assert found.code == 2 and found.out == ""
    assert found.err.startswith("mep-hw: error: ") and found.err.count("\n") == 1
    with pytest.raises(ValueError, match=BAD[words]):
        raise ValueError(found.err)
    assert kept(folder) == before


def test_run_refuses_other_machines_shapes_and_weights(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    save_weights("w.npz", torch.zeros(3, 4))
    call(capsys, "schedule", "compile", "u.npz", "--form", "outer", "--out", "s.npz")
    rows = arrays(write_modes=["row"], array__scale_by="largest", array__scale=2.0)
    (folder / "rows.yaml").write_text(yaml.safe_dump(rows.model_dump(mode="json")))
    before = kept(folder)
    for words, message in {
        "s.npz": "scale = 2: is not",
        "s.npz --weights w.npz": "shape = (24, 40): must be (3, 4)",
        "s.npz --backend known.yaml --weights u.npz": "backend = known: is not crossbar",
        "s.npz --backend cpu": "device = ecram: would have no effect",
        "s.npz --weights u.npz --device gokmen-vlasov": "device = gokmen-vlasov: is not ecram",
        "s.npz --weights u.npz --backend rows.yaml": "cycle = Outer",
        "s.npz --weights none.npz": "cannot be read",
        "u.npz": "header: is missing",
        "none.npz": "cannot be read",
        "s.npz --weights u.npz --out no/after.npz": "cannot be written to",
    }.items():
        found = call(capsys, "schedule", "run", "--out", "after.npz", *words.split())
        assert found.code == 2 and message in found.err and found.err.count("\n") == 1, (words, found.err)
        assert kept(folder) == before
