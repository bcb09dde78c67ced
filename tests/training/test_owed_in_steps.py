"""What whole training steps leave owed: by rows, by verified cells, at bounds, by chance, and of convolutions."""

from __future__ import annotations

import pytest
import torch
from cell_arrays import device
from helpers import card
from problems import problem
from torch import Tensor

import mep_hw
from mep_hw import machine as machines
from mep_hw.cards import load_device
from mep_hw.estimator import make
from mep_hw.model import Model
from mep_hw.outersum import dense
from mep_hw.rules import Sgd
from mep_hw.training.step import TrainingStep

BY_WEIGHT: dict[str, object] = {
    "array__scale": 1.5, "array__scale_by": "weight", "array__writing": {"tolerance": 0.01},
}  # fmt: skip
OWN: dict[str, object] = {"array__scale": 0.5, "array__scale_by": "weight"}  # sizes in weights, not in the model's own


def step(model: Model, lr: float, cells: str, **changes: object) -> TrainingStep:
    return TrainingStep(
        machines.build(model, card("crossbar", **changes), load_device(cells), 0), make("centered", 0.1), Sgd(), lr=lr
    )


def residual(training: TrainingStep, c: int) -> Tensor:
    """What is owed to a coupling."""
    owed = training.owed[c].residual
    assert owed is not None
    return dense(owed)


def test_row_writes_owe_what_is_less_than_a_pulse_and_pay_it_later() -> None:
    """Cells without spread or noise: what the weights gained and what is owed add up to what was intended."""
    p = problem("mlp", dtype=torch.float32)
    cells = device("gokmen-vlasov", spread=None, noise=None)
    array = machines.build(p.model, card("crossbar", **BY_WEIGHT), cells, 0)
    training = TrainingStep(array, make("centered", 0.1), Sgd(), lr=0.002)
    total = [torch.zeros_like(array.read(c)) for c in range(3)]
    start = [array.read(c) for c in range(3)]
    for _ in range(12):
        (contrast,) = training.estimator.contrasts(array, p.x.float(), p.y.float())
        training._apply(contrast, p.x.float(), 1.0)  # pyright: ignore[reportPrivateUsage]
        for whole, update in zip(total, contrast.weights, strict=True):
            assert update is not None
            whole += 0.002 * dense(update)
    unit = 1.5 * 0.0016
    for c, whole in enumerate(total):
        owed = residual(training, c)
        assert float(owed.abs().max()) <= unit / 2 + 1e-7 and float(whole.abs().max()) > unit
        assert torch.allclose(array.read(c) - start[c] + owed, whole, rtol=0, atol=2e-6)


def test_verified_writes_owe_what_was_read_back() -> None:
    p = problem("mlp", dtype=torch.float32)
    training = step(p.model, 0.1, "ecram", write_modes=["cell"], **BY_WEIGHT)
    before = [training.substrate.read(c) for c in range(3)]
    (contrast,) = training.estimator.contrasts(training.substrate, p.x.float(), p.y.float())
    training._apply(contrast, p.x.float(), 1.0)  # pyright: ignore[reportPrivateUsage]
    for c, update in enumerate(contrast.weights):
        assert update is not None
        moved = training.substrate.read(c) - before[c]
        owed = residual(training, c)
        assert torch.allclose(moved + owed, 0.1 * dense(update), rtol=0, atol=1e-6)
        assert 0.001 < float(owed.abs().max()) <= 0.01 + 1.5 * 0.002 + 1e-6  # and one step


def test_a_cell_at_its_bound_is_not_owed_more_and_more() -> None:
    p = problem("mlp", dtype=torch.float32)
    training = step(p.model, 5.0, "ecram", write_modes=["cell"], **BY_WEIGHT | {"array__scale": 0.2})
    for _ in range(3):
        (contrast,) = training.estimator.contrasts(training.substrate, p.x.float(), p.y.float())
        training._apply(contrast, p.x.float(), 1.0)  # pyright: ignore[reportPrivateUsage]
    assert all(
        float(owed.abs().max()) <= 0.01 + 0.2 * 0.002 + 1e-6 for owed in (residual(training, c) for c in training.owed)
    )


def test_a_cell_that_missed_its_target_is_written_again() -> None:
    """With one round per write almost no cell is within the tolerance; what it misses by chance stays owed in full."""
    p = problem("mlp", dtype=torch.float32)
    backend = card(
        "crossbar", **OWN, array__writing__iterations=1, array__writing__tolerance=0.001, array__writing__noise_max=0.05
    )
    array = machines.build(p.model, backend, device("reram-sb", spread=None, noise__cycle=0.0), 0)
    training = TrainingStep(array, make("centered", 0.1), Sgd(), lr=0.05)
    start = [array.read(c) for c in range(3)]
    total = [torch.zeros_like(value) for value in start]
    for _ in range(4):
        (contrast,) = training.estimator.contrasts(array, p.x.float(), p.y.float())
        training._apply(contrast, p.x.float(), 1.0)  # pyright: ignore[reportPrivateUsage]
        for whole, update in zip(total, contrast.weights, strict=True):
            assert update is not None
            whole += 0.05 * (update if isinstance(update, torch.Tensor) else update.dense())
    for c, whole in enumerate(total):
        owed = training.owed[c].residual
        assert isinstance(owed, torch.Tensor)
        assert float(owed.abs().max()) <= 0.001 + 2 * 0.05 + 1e-6 and float(owed.std()) > 0.01
        added_up = (array.read(c) - start[c] + owed - whole).abs() < 1e-5
        assert float(added_up.float().mean()) > 0.7  # a draw beyond two deviations, one in twenty, is given up


@pytest.mark.parametrize("rule", ["muon", "sgd"])
@pytest.mark.parametrize(
    ("modes", "writing"),
    [(["outer"], {"read_every": 1}), (["outer"], {"rank_max": 1}), (["cell"], {"read_every": 2})],
    ids=["looks", "few directions", "verified"],
)
def test_convolutions_are_owed_in_their_own_shape(rule: str, modes: list[str], writing: dict[str, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    data = (torch.rand(24, 1, 6, 6, generator=generator), torch.randint(3, (24,), generator=generator))
    backend = card("crossbar", write_modes=modes, array__writing=writing)
    run = mep_hw.train(
        mep_hw.convnet((1, 6, 6), (3,), kernel=3, outputs=3), data, backend=backend, rule=rule, lr=0.02, epochs=2,
        batch_size=6, progress=False,
    )  # fmt: skip
    assert run.cost.pulses is not None and run.cost.pulses > 0
