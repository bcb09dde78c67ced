"""The backend `brian2` against `reference`: two integrators of the same equations that share no arithmetic."""

from __future__ import annotations

import gc
import importlib.metadata
import os
import subprocess
import sys
import tomllib
from email.message import Message
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from command import call
from helpers import card, machine
from problems import Problem, problem

from mep_hw import flow, mlp, spec
from mep_hw.activation import Activation, Tanh
from mep_hw.brian.equations import layer_text, synapse_text
from mep_hw.brian.network import Copies
from mep_hw.brian.paths import paths
from mep_hw.coupling import Conv, Coupling, Dense, Identity, Pool
from mep_hw.errors import CapabilityError
from mep_hw.model import Model, convnet
from mep_hw.state import Nudge, Settled
from mep_hw.substrates.base import Substrate
from mep_hw.substrates.brian2 import KEPT, Brian2

ROOT = Path(__file__).parents[2]
STEPS = {"settle__free_sweeps": 40, "settle__nudged_sweeps": 25}
FIXED = {**STEPS, "settle__tolerance": 0.0, "settle__nudged_tolerance": 0.0}
KINDS = ("mlp", "tanh", "sigmoid", "skip", "conv", "convskip", "boxes")


def example(kind: str) -> Problem:
    """One of the usual problems, or one whose boxes have other bounds, gains and offsets than the usual."""
    if kind != "boxes":
        return problem(kind)
    box = {"low": -0.5, "high": 0.7, "gain": 1.5, "offset": 0.1}
    layers = [{"dense": 10, "activation": box}, {"dense": 8, "activation": {"low": -1.0, "high": 1.0}}]
    model = Model(spec.parse({"input": [12], "layers": [*layers, {"dense": 4}]}), dtype=torch.float64)
    usual = problem("mlp")
    return Problem(model, usual.x, usual.y)


def nudge(p: Problem, beta: float = 0.5) -> Nudge:
    """Both signs in one batch."""
    return Nudge(torch.tensor([beta, -beta], dtype=torch.float64).repeat_interleave(len(p.x)), p.y)


def apart(a: Settled, b: Settled) -> float:
    pairs = zip((*a.state, a.output, a.residual), (*b.state, b.output, b.residual), strict=True)
    return max(float((x - y).abs().max()) for x, y in pairs)


@pytest.mark.parametrize("kind", KINDS)
def test_free_and_nudged_states_are_those_of_reference(kind: str) -> None:
    p = example(kind)
    one, other = machine(p.model, "reference", **FIXED), machine(p.model, "brian2", **FIXED)
    one.record_energy = other.record_energy = True
    free, witness = one.settle(p.x), other.settle(p.x)
    assert apart(free, witness) < 1e-12 and torch.equal(free.sweeps, witness.sweeps)
    pulled, seen = one.settle(p.x, nudge(p), free), other.settle(p.x, nudge(p), witness)
    assert apart(pulled, seen) < 1e-12
    assert float((pulled.output - free.output.repeat(2, 1)).abs().max()) > 0.1  # there was something to agree on
    for energies, theirs in ((free.energy, witness.energy), (pulled.energy, seen.energy)):
        assert energies is not None and theirs is not None
        assert energies.shape == theirs.shape and torch.allclose(energies, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["mlp", "tanh"])
def test_samples_stop_at_the_same_steps(kind: str) -> None:
    p = example(kind)
    bars = {"settle__tolerance": 1e-3, "settle__nudged_tolerance": 1e-3}
    one, other = machine(p.model, "reference", **bars), machine(p.model, "brian2", **bars)
    free, witness = one.settle(p.x), other.settle(p.x)
    assert torch.equal(free.sweeps, witness.sweeps) and len(free.sweeps.unique()) > 1
    assert apart(free, witness) < 1e-12
    pulled, seen = one.settle(p.x, nudge(p), free), other.settle(p.x, nudge(p), witness)
    assert torch.equal(pulled.sweeps, seen.sweeps) and apart(pulled, seen) < 1e-12


def test_updated_weights_and_biases_reach_the_simulator() -> None:
    p = example("mlp")
    one, other = machine(p.model, "reference", **FIXED), machine(p.model, "brian2", **FIXED)
    before = other.settle(p.x)
    for built in (one, other):
        built.write(1, -0.5 * p.model.weights[1])
        built.write_bias(1, torch.full_like(p.model.biases[0], 0.4))  # type: ignore[arg-type]
    after = other.settle(p.x)
    assert apart(one.settle(p.x), after) < 1e-12 < apart(before, after)


def test_nothing_of_ours_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    p = example("conv")
    expected = machine(p.model, "reference", **FIXED).settle(p.x)
    witness = machine(p.model, "brian2", **FIXED)

    def ours(*_: object, **__: object) -> None:
        raise AssertionError("the witness asked us")

    for owner, name in ((Coupling, "forward"), (Coupling, "backward"), (flow, "integrate"), (Tanh, "rho_")):
        monkeypatch.setattr(owner, name, ours)
    monkeypatch.setattr(Substrate, "energy", ours, raising=False)
    assert apart(expected, witness.settle(p.x)) < 1e-12


COUPLINGS = {
    "dense": Coupling("1", 0, 1, (5,), Dense(3)),
    "dense on an image": Coupling("1", 0, 1, (2, 3, 4), Dense(3)),
    "identity": Coupling("1", 0, 1, (2, 3), Identity()),
    "conv": Coupling("1", 0, 1, (2, 5, 6), Conv(3, 3)),
    "stride and padding": Coupling("1", 0, 1, (2, 5, 6), Conv(3, 3, 2, 1)),
    "pool behind": Coupling("1", 0, 1, (2, 6, 6), Conv(3, 3, 1, 1), after=(Pool("avg", 3, 2, 1),)),
    "pools around": Coupling("1", 0, 1, (2, 8, 8), Conv(3, 2), (Pool("avg", 2, 2),), (Pool("avg", 2, 1),)),
}


@pytest.mark.parametrize("name", COUPLINGS)
def test_paths_are_the_coupling_written_out(name: str) -> None:
    coupling, generator = COUPLINGS[name], torch.Generator().manual_seed(0)
    weight = torch.randn(coupling.weight_shape, generator=generator, dtype=torch.float64)
    found = paths(coupling)
    units = int(np.prod(coupling.source_shape))
    matrix = np.zeros((int(np.prod(coupling.target_shape)), units))
    np.add.at(matrix, (found.target, found.source), weight.flatten().numpy()[found.weight] * found.factor)
    every = torch.eye(units, dtype=torch.float64).unflatten(1, coupling.source_shape)
    assert np.allclose(matrix, coupling.forward(every, weight).flatten(1).T.numpy(), rtol=0, atol=1e-14)


def test_equations_say_what_a_layer_does() -> None:
    model = mlp(3, 4, 2)
    assert "ds/dt = live*(drive - s)/tau : 1" in layer_text(model, 1).ode
    assert "drive = bias + up_0 + down_1 : 1" in layer_text(model, 1).ode
    assert layer_text(model, 1).after == "s = clip(s, 0.0, 1.0)"
    assert "ds/dt = live*(drive - s + beta*(y - s))/tau : 1" in layer_text(model, 2).ode
    assert synapse_text(model, 1).splitlines()[1:] == [
        "up_1_post = w*s_pre : 1 (summed)",
        "down_1_pre = w*s_post : 1 (summed)",
    ]


class Unheard(Activation):
    smooth, low, high = True, 0.0, 1.0
    rho_ = potential = inverse = lambda self, value: value  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        (mlp(3, 4, 2, cost="cross_entropy"), {}, "cost = cross_entropy"),
        (convnet((1, 6, 6), (2,), kernel=3, pool="max", outputs=2), {}, "pool = max"),
        (mlp(3, 4, 2), {"compute__dtype": "float32"}, "compute = float32 on cpu"),
        (mlp(3, 4, 2), {"settle__euler_step": None}, "settle.euler_step"),
    ],
)
def test_what_it_cannot_do_is_refused(model: Model, changes: dict[str, object], words: str) -> None:
    with pytest.raises(CapabilityError, match=words):
        machine(model, "brian2", **changes)


def test_an_activation_without_a_formula_is_refused() -> None:
    model = mlp(3, 4, 2)
    object.__setattr__(model.layers[0], "activation", Unheard())
    with pytest.raises(CapabilityError, match="activation of layer 1 = Unheard"):
        machine(model, "brian2")


def test_complex_strengths_are_refused() -> None:
    p = problem("tanh")
    witness = machine(p.model, "brian2")
    with pytest.raises(CapabilityError, match="beta = complex: states of brian2 are real"):
        witness.settle(p.x, Nudge(torch.full((len(p.x),), 0.1j, dtype=torch.complex128), p.y))


def test_networks_are_kept_and_given_up() -> None:
    p = problem("mlp", KEPT + 2)
    witness = machine(p.model, "brian2", **FIXED)
    assert isinstance(witness, Brian2)
    first = witness.settle(p.x[:1])
    kept: dict[int, Copies] = dict(witness.networks)
    for rows in range(2, KEPT + 1):
        witness.settle(p.x[:rows])
    assert apart(witness.settle(p.x[:1]), first) == 0 and witness.networks[1] is kept[1]
    witness.settle(p.x[: KEPT + 1])
    assert sorted(witness.networks) == [1, *range(3, KEPT + 2)]  # that of two rows was used longest ago
    assert gc.get_freeze_count() == 0


def test_without_brian2_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in [name for name in sys.modules if name.startswith(("mep_hw.brian.", "mep_hw.substrates.brian2"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "brian2", None)
    metadata = Message()  # as an installation writes it
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extra, needs in extras.items():
        for need in needs:
            metadata["Requires-Dist"] = f'{need}; extra == "{extra}"'
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: metadata)
    result = call(capsys, "train", "--backend", "brian2", "--data", "digits", "--model", "64-8-10")
    assert result.code == 2
    assert result.err.splitlines() == [
        "mep-hw: error: backend brian2: needs the Python package 'brian2', which is not installed; "
        'run pip install "mep-hw[brian2]"'
    ]


QUIET = """
import os, sys, warnings
hooks = sys.excepthook, warnings.showwarning
import torch, mep_hw
from mep_hw.cards import load_backend
from mep_hw.substrates.brian2 import Brian2
machine = Brian2(mep_hw.mlp(3, 4, 2, dtype=torch.float64), load_backend("brian2"), None, 0)
machine.settle(torch.rand(2, 3, dtype=torch.float64))
assert (sys.excepthook, warnings.showwarning) == hooks
print(sorted(os.listdir(os.environ["TMPDIR"])), sorted(os.listdir(os.environ["HOME"])))
"""


def test_it_leaves_no_files_and_takes_no_hooks(tmp_path: Path) -> None:
    places = {name: tmp_path / name for name in ("TMPDIR", "HOME")}
    for place in places.values():
        place.mkdir()
    script = tmp_path / "quiet.py"
    script.write_text(QUIET)
    fonts = {"MPLCONFIGDIR": matplotlib.get_cachedir()}  # which matplotlib would look for anew, for many seconds
    environment = os.environ | {name: str(place) for name, place in places.items()} | fonts
    done = subprocess.run(
        [sys.executable, script], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert (done.stdout, done.stderr) == ("[] []\n", "")


def test_the_card_settles_as_reference_does() -> None:
    mine, theirs = card("brian2"), card("reference")
    assert (mine.settle, mine.training, mine.compute) == (theirs.settle, theirs.training, theirs.compute)
