"""Cells whose every write leaves much by chance: held at a smaller scale, written until a read finds them right."""

from __future__ import annotations

import pytest
import torch
from cell_arrays import device
from helpers import card

import mep_hw
from mep_hw import machine as machines
from mep_hw.array.bank import Bank
from mep_hw.array.scale import scale_of
from mep_hw.cards import load_device
from mep_hw.compiler import compile
from mep_hw.errors import CheckpointError
from mep_hw.schedule import Cell, Outer, Row
from mep_hw.substrates.crossbar import Crossbar

OWN: dict[str, object] = {"array__scale": 0.5, "array__scale_by": "weight"}  # sizes in weights, not in the model's own
NOISE = {"reram-sb": 56 * 0.002, "reram-es": 75 * 0.00135}  # of one write, in weights of the cell: the presets'


@pytest.mark.parametrize("name", list(NOISE))
def test_scale_is_lowered_until_a_write_leaves_no_more_noise_than_allowed(name: str) -> None:
    model = mep_hw.mlp(40, 50, 10)
    backend = card("crossbar", **OWN, array__writing={"noise_max": 0.02})
    array = machines.build(model, backend, load_device(name), 0)
    assert isinstance(array, Crossbar) and array.banks[0] is not None
    bank = array.banks[0]
    assert bank.options.scale == pytest.approx(0.02 / NOISE[name])
    bank.pulse(Row(torch.ones(50, 40, dtype=torch.int32)))
    by_chance = bank.weights - bank.options.scale * bank.cells.stored[0]
    assert float(by_chance.std()) == pytest.approx(0.02, rel=0.07)  # 2000 cells: three standard errors are 5 %


def test_scale_is_lowered_for_stuck_cells_too_and_these_are_written_as_others() -> None:
    broken = device("ecram", stuck__share=0.1, spread__w_min=0.0, spread__w_max=0.0)
    backend = card("crossbar", **OWN | {"array__scale": 1.0}, array__writing={"noise_max": 0.05})
    array = machines.build(mep_hw.mlp(200, 50, 10), backend, broken, 0)
    assert isinstance(array, Crossbar) and isinstance(array.banks[0], Bank)
    bank = array.banks[0]
    bank.set(torch.zeros(50, 200))  # what is left is what stuck cells hold
    assert float(bank.weights.square().mean().sqrt()) == pytest.approx(0.05, rel=0.07)  # of about 1000 stuck cells
    (cycle,) = compile(torch.full((2, 3), 0.1), None, backend, broken).cycles
    assert isinstance(cycle, Row)


def test_cells_of_coarse_steps_are_verified_at_a_scale_where_a_pulse_is_small_enough() -> None:
    coarse, fine = load_device("oxide-1v5"), load_device("ecram")
    backend = card("crossbar", **OWN, array__writing={"step_max": 0.02})
    assert backend.array is not None
    assert scale_of(backend.array, coarse) == pytest.approx(0.02 / 0.087204) and scale_of(backend.array, fine) == 0.5
    kinds = [type(compile(torch.full((2, 3), 0.1), None, backend, d).cycles[0]) for d in (coarse, fine)]
    assert kinds == [Cell, Row]


@pytest.mark.parametrize(
    ("modes", "noise_max", "kind"),
    [
        (["row", "outer", "cell"], 0.05, Cell),
        (["row", "outer", "cell"], 0.2, Row),
        (["row", "outer", "cell"], None, Row),
        (["outer"], 0.05, Outer),
    ],
)
def test_noisy_cells_are_verified_where_the_card_allows_it(
    modes: list[str], noise_max: float | None, kind: type
) -> None:
    backend = card("crossbar", write_modes=modes, **OWN, array__writing__noise_max=noise_max)
    (cycle,) = compile(torch.full((2, 3), 0.1), None, backend, load_device("reram-sb")).cycles
    assert isinstance(cycle, kind)
    (cycle,) = compile(torch.full((2, 3), 0.1), None, card("crossbar"), load_device("ecram")).cycles
    assert isinstance(cycle, Row)


@pytest.mark.parametrize("name", list(NOISE))
def test_digits_are_learned_in_place_by_noisy_cells(name: str) -> None:
    """A fifth of the default epochs; the full figures are in docs/results."""
    run = mep_hw.train(mep_hw.mlp(64, 24, 10), backend="crossbar", device=name, epochs=4, progress=False)
    assert run.test_accuracy is not None and run.test_accuracy >= 0.75


def test_sizes_of_an_array_follow_the_largest_initial_weight_of_each_coupling() -> None:
    model = mep_hw.mlp(6, 5, 3)
    model.weights[1].zero_()
    array = machines.build(model, card("crossbar"), load_device("ecram"), 0)
    assert isinstance(array, Crossbar)
    for c, unit in enumerate((float(model.weights[0].abs().max()), 1.0)):
        own, bank = array.card_of(c).array, array.banks[c]
        assert own is not None and isinstance(bank, Bank)
        sizes = own.scale, own.writing.tolerance, own.writing.noise_max, own.writing.step_max, bank.options.scale
        assert sizes == pytest.approx((2 * unit, 0.02 * unit, 0.18 * unit, 0.06 * unit, 2 * unit))
        bank.set(torch.full(bank.weights.shape, 100.0))
        assert float(bank.weights.mean()) == pytest.approx(2 * unit * 1.1724, rel=0.06)  # ecram's upper bound


def test_a_snapshot_of_cells_for_weights_of_another_size_is_refused() -> None:
    one, other = mep_hw.mlp(6, 5, 3), mep_hw.mlp(6, 5, 3)
    other.weights[0].mul_(3.0)
    made, target = (machines.build(m, card("crossbar"), load_device("ecram"), 0) for m in (one, other))
    with pytest.raises(CheckpointError, match="array: scale = .* is not .*, that of these arrays; restore into"):
        target.restore(made.snapshot())
