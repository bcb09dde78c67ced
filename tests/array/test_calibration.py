"""Calibration of zeros: what is left of offsets, when it is done anew, and what it does not correct."""

from __future__ import annotations

import pytest
import torch
from cell_arrays import device
from helpers import card
from torch import Tensor

import mep_hw
from mep_hw import conformance
from mep_hw import machine as machines
from mep_hw.array.bank import READS, Bank
from mep_hw.array.converters import FREE, NEGATIVE, POSITIVE
from mep_hw.cards import load_device
from mep_hw.cards.array import ArrayOptions
from mep_hw.compiler import compile
from mep_hw.gradcheck import gradient_check
from mep_hw.schedule import Row

F64 = torch.float64
SHAPE = (60, 90)


def bank(every: int, side: dict[str, object], shape: tuple[int, int] = SHAPE, seed: int = 0, **changes: object) -> Bank:
    given = {
        "rows": 50, "cols": 40, "pairing": "differential", "calibrate_every": every, "forward": side,
        "transposed": side, **changes,
    }  # fmt: skip
    cells = device("gokmen-vlasov", spread=None, noise=None)
    made = Bank(ArrayOptions.model_validate(given), cells, shape, torch.Generator().manual_seed(seed), F64)
    made.set(0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=F64))
    return made


def offsets(made: Bank, reads: int = 2000) -> Tensor:
    """Mean drives of nothing, in all phases and both directions."""
    found: list[Tensor] = []
    for phase in (FREE, POSITIVE, NEGATIVE):
        found.append(made.product(torch.zeros(reads, SHAPE[1], dtype=F64), phase).mean(0))
        found.append(made.product_transposed(torch.zeros(reads, SHAPE[0], dtype=F64), phase).mean(0))
    return torch.cat(found)


@pytest.mark.parametrize(
    "adc", [{"noise_sd": 0.2}, {"noise_sd": 0.2, "bits": 8, "range": 4.0}], ids=["smooth", "rounded"]
)
def test_offsets_fall_to_the_noise_of_so_many_averaged_reads(adc: dict[str, object]) -> None:
    """Two arrays add up in each direction; noise of six steps' width spreads what is rounded."""
    side: dict[str, object] = {"adc": adc | {"offset": 0.3, "offset_sd": 0.1}}
    raw, calibrated = (offsets(bank(every, side, phase_mismatch={"offset_sd": 0.2})) for every in (0, 1))
    assert float(raw.mean()) > 0.5 and float(raw.std()) > 0.2
    left = 0.2 * (2 * (1 / READS + 1 / 2000)) ** 0.5
    assert float(calibrated.square().mean().sqrt()) == pytest.approx(left, rel=0.12)
    assert abs(float(calibrated.mean())) < 4 * left / len(calibrated) ** 0.5


def test_it_is_done_anew_after_so_many_changes_of_weights() -> None:
    """An offset of the DAC is driven through the weights, so that its correction goes stale with them."""
    made = bank(3, {"dac": {"offset": 0.1}})
    x, ones = torch.rand(4, 90, dtype=F64), torch.ones(SHAPE, dtype=torch.int32)
    assert torch.allclose(made.product(x), x @ made.weights.T, rtol=0, atol=1e-12)
    errors: list[float] = []
    for _ in range(4):
        made.pulse(Row(3 * ones))
        made.show()
        errors.append(float((made.product(x) - x @ made.weights.T).abs().max()))
    one = 0.1 * 90 * 3 * 0.0016  # offset times what the 90 weights of a line gained
    assert errors[:2] == pytest.approx([one, 2 * one], rel=1e-6)
    assert errors[2] < 1e-12 and errors[3] == pytest.approx(one, rel=1e-6)


def test_its_reads_are_in_the_cost_of_the_update_that_it_follows() -> None:
    update = torch.full((3, 4), 0.01)
    found: list[float | None] = []
    for every in (0, 2):
        backend = card("crossbar", array__calibrate_every=every, write_modes=["row"])
        array = machines.build(mep_hw.mlp(4, 3), backend, load_device("ecram"), 0)
        schedule = compile(update, None, array.card_of(0), array.device)
        costs = [array.apply(0, schedule) for _ in range(3)]
        found += [cost.reads for cost in costs]
        times = [cost.time_s for cost in costs]
        assert None not in times and (times[1] > times[0]) == bool(every)  # type: ignore[operator]
    assert found == [0, 0, 0, 0, 6 * READS, 0]
    report = conformance.run(card("crossbar", array__calibrate_every=2), ["cost"])
    assert report.ok, report.outcomes


def test_gains_are_not_corrected() -> None:
    side: dict[str, object] = {"adc": {"gain_sd": 0.1, "offset": 0.2}}
    made, wanted = bank(1, side, (30, 40)), bank(0, {"adc": {"gain_sd": 0.1}}, (30, 40))
    x = torch.rand(5, 40, dtype=F64)
    assert torch.allclose(made.product(x), wanted.product(x), rtol=0, atol=1e-12)
    assert float((made.product(x) - x @ made.weights.T).abs().max()) > 0.05


def test_phases_of_single_samples_have_their_own_zeros() -> None:
    made = bank(1, {}, phase_mismatch={"offset_sd": 0.3})
    x, phase = torch.rand(3, 90, dtype=F64), torch.tensor([NEGATIVE, FREE, POSITIVE])
    assert torch.allclose(made.product(x, phase), x @ made.weights.T, rtol=0, atol=1e-12)


def test_a_calibration_comes_back_from_a_snapshot() -> None:
    side: dict[str, object] = {"adc": {"offset_sd": 0.1, "noise_sd": 0.1}}
    one, other = bank(2, side), bank(2, side)
    one.show()  # one change since the last calibration
    other.show(solve=True)  # others draw other numbers
    other.restore({name: value.clone() for name, value in one.snapshot().items()})
    x, y = torch.rand(3, 90, dtype=F64), torch.rand(3, 60, dtype=F64)
    for _ in range(2):
        assert torch.equal(one.product(x), other.product(x))
        assert torch.equal(one.product_transposed(y), other.product_transposed(y))
        one.show()
        other.show()


def test_it_gives_back_the_contrast_that_mismatched_phases_destroy() -> None:
    """Cosine with the exact gradient; the bundled card without mismatch has 0.98 and more in every layer."""
    cosine: list[float] = []
    for every in (0, 10):
        changes: dict[str, object] = {"array__phase_mismatch": {"offset_sd": 0.1}, "array__calibrate_every": every}
        backend = card("crossbar", **changes)
        model = mep_hw.mlp(64, 24, 10, seed=0)
        report = gradient_check(model, "digits", backend=backend, as_trained=True, samples=256)
        cosine.append(min(layer.cosine for layer in report.layers if layer.cosine is not None))
    assert cosine[0] < 0.7 and cosine[1] > 0.97
