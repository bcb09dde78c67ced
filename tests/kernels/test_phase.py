"""The fused kernel against the cpu machine in float64, block by block and tile by tile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from gpu_cases import PLACE, TIGHT, WHOLE, both, case, chain, off
from helpers import machine
from torch import Tensor

from mep_hw.kernels.chain import Chain, Tiles
from mep_hw.kernels.run import Packed, run_phase
from mep_hw.model import Model
from mep_hw.state import Nudge
from mep_hw.substrates.gpu import Gpu

ROUNDING = 1e-5  # what a tolerance of 1e-6 and float32 leave, relative; a wrong layer or sign is of order 1
SHAPES: dict[str, Model] = {
    "one hidden layer, narrower than a tile": chain(9),
    "odd widths, several tiles": chain(33, 17, 40),
    "tanh": chain(20, 19, activation="tanh"),
    "sigmoid": chain(35, activation="sigmoid"),
    "cross entropy": chain(18, 21, cost="cross_entropy", activation="tanh"),
}


def fused(model: Model, rows: int = 16, units: int = 16, **changes: object) -> Gpu:
    """A machine whose kernel has tiles of this size, and with them several blocks and tiles in small models."""
    built = machine(model, "gpu", gpu__path="fused", **(TIGHT | WHOLE | changes))
    assert isinstance(built, Gpu)
    assert built.chain is not None
    weights, biases = [w.clone() for w in built.weights], [None if b is None else b.clone() for b in built.biases]
    built.chain = Chain(model, built.torch_device, torch.float32, Tiles(rows, units))
    built._move(built.chain)  # pyright: ignore[reportPrivateUsage]
    for c, weight in enumerate(weights):
        built.write(c, weight)
    for n, bias in enumerate(biases, start=1):
        if bias is not None:
            built.write_bias(n, bias)
    return built


@pytest.mark.parametrize("shape", SHAPES)
def test_free_and_nudged_states_are_those_of_the_reference(shape: str) -> None:
    wanted = case(SHAPES[shape], batch=19)  # two ragged blocks in the free phase, three in the nudged one
    found = both(fused(wanted.model), wanted)
    assert off(found[0], wanted.free) < ROUNDING
    assert off(found[1], wanted.nudged) < ROUNDING
    small = float((found[1].output.cpu() - wanted.nudged.output.float()).abs().max())
    moved = float((wanted.nudged.output[:19] - wanted.free.output).abs().max())
    assert small < 1e-4 * moved  # not just near the free state


@pytest.mark.parametrize("batch", [1, 16, 17])
@pytest.mark.parametrize("tiles", [(16, 32), (32, 16)])
def test_blocks_and_tiles_do_not_change_the_result(batch: int, tiles: tuple[int, int]) -> None:
    wanted = case(chain(33, 17), batch)
    found = both(fused(wanted.model, *tiles), wanted)
    assert off(found[0], wanted.free) < ROUNDING
    assert off(found[1], wanted.nudged) < ROUNDING


@pytest.fixture
def poisoned() -> Iterator[None]:
    """Every tensor that torch leaves uninitialised holds NaN, or the largest integer."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("poisoned")
def test_every_output_is_written() -> None:
    assert bool(torch.empty(1).isnan())  # the poison works
    wanted = case(chain(21, 18), batch=5)
    for found in both(fused(wanted.model), wanted):
        packed = found.resume
        assert isinstance(packed, Packed)
        for value in (packed.states, packed.drives, packed.residual):
            assert bool(value.isfinite().all())
        assert 0 < int(packed.sweeps.min()) <= int(packed.sweeps.max()) <= 400


def test_rows_stop_by_themselves() -> None:
    wanted = case(chain(25, 25), batch=24)
    built = fused(wanted.model, settle__tolerance=1e-3)
    whole = built.settle(wanted.x.to(built.torch_device))
    assert len(set(whole.sweeps.tolist())) > 1
    for n in (0, 7, 23):
        alone = built.settle(wanted.x[n : n + 1].to(built.torch_device))
        assert int(alone.sweeps) == int(whole.sweeps[n])
        for a, b in zip(alone.state, whole.state, strict=True):
            torch.testing.assert_close(a[0], b[n], atol=1e-6, rtol=0)
    assert bool((whole.residual <= 1e-3).all())
    same = machine(wanted.model, **(TIGHT | {"settle__tolerance": 1e-3})).settle(wanted.x)
    assert float((whole.sweeps.cpu() - same.sweeps).abs().double().mean()) < 0.1  # rounding may tip one over the limit


def test_a_fixed_number_of_sweeps_is_kept() -> None:
    wanted = case(chain(25, 14), batch=3)
    free: dict[str, object] = {"settle__tolerance": 0.0, "settle__free_sweeps": 3}
    nudged: dict[str, object] = {"settle__nudged_tolerance": 0.0, "settle__nudged_sweeps": 2}
    for count, changes in ((3, free), (2, nudged)):
        mine, theirs = (
            both(fused(wanted.model, **changes), wanted),
            both(machine(wanted.model, **TIGHT | changes), wanted),
        )
        a, b = (mine[0], theirs[0]) if changes is free else (mine[1], theirs[1])
        assert a.sweeps.tolist() == [count] * len(a.sweeps)
        for x, y in zip(a.state, b.state, strict=True):
            torch.testing.assert_close(x.cpu(), y, atol=2e-6, rtol=0)
        torch.testing.assert_close(a.residual.cpu(), b.residual, atol=2e-6, rtol=0)


@pytest.mark.parametrize("where", ["weights", "inputs"])
def test_what_is_not_a_number_shows(where: str) -> None:
    wanted = case(chain(6, 6), batch=3)
    built = fused(wanted.model, settle__free_sweeps=5)
    x = wanted.x.clone()
    if where == "inputs":
        x[1] = torch.nan
    else:
        built.write(1, torch.full_like(built.weights[1], torch.nan))
    found = built.settle(x.to(built.torch_device))
    assert bool(found.output[1].isnan().all())
    assert float(found.residual[1]) == torch.inf
    assert int(found.sweeps[1]) == 5
    if where == "inputs":
        assert bool(found.output[[0, 2]].isfinite().all())


def test_a_start_of_its_own_drives_and_one_without_agree() -> None:
    wanted = case(chain(12, 13), batch=4)
    built = fused(wanted.model)
    free = built.settle(wanted.x.to(built.torch_device))
    x, nudge = wanted.on(built.torch_device)
    kept, anew = built.settle(x, nudge, free), built.settle(x, nudge, free.bare())
    for a, b in zip(kept.state, anew.state, strict=True):
        torch.testing.assert_close(a, b, atol=2e-6, rtol=0)
    again = built.settle(x, None, free.bare([value + 0.1 for value in free.state]))
    for a, b in zip(again.state, free.state, strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=0)


def test_a_lone_phase_from_tensors_to_tensors() -> None:
    """Without a machine around it: copies of a batch under one another, with strengths of their own."""
    model = chain(10)
    wanted = case(model, batch=2)
    held = Chain(model, PLACE, torch.float32, Tiles(16, 16))
    held.views[1].copy_(model.weights[1])
    bias = model.biases[1]
    assert bias is not None
    held.biases[held.spans[1]].copy_(bias)
    static = torch.addmm(_of(model.biases[0]), wanted.x, model.weights[0].T).to(PLACE)
    free = run_phase(held, "fp32", limit=torch.full((2,), 1e-6, device=PLACE), cap=50, static=static)
    beta = torch.tensor([0.1, 0.1, -0.1, -0.1, 0.0, 0.0], device=PLACE)
    nudge, limit = Nudge(beta, wanted.nudge.target.to(PLACE)), torch.full((6,), 1e-7, device=PLACE)
    found = run_phase(held, "fp32", limit=limit, cap=50, start=(free.drives, free.states), nudge=nudge)
    for layer, exact, rest in zip(held.split(found.states), wanted.nudged.state, wanted.free.state, strict=True):
        torch.testing.assert_close(layer[:4].cpu(), exact.float(), atol=1e-6, rtol=0)
        torch.testing.assert_close(layer[4:].cpu(), rest.float()[[0, 1]], atol=1e-6, rtol=0)


def _of(value: Tensor | None) -> Tensor:
    assert value is not None
    return value
