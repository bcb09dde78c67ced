"""Registers: a schedule changes the weights by exactly what it says, reading is a copy, a snapshot brings all back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from helpers import card, machine
from problems import problem
from torch import Tensor

from mep_hw.array.scale import weight_range
from mep_hw.cards import BackendCard
from mep_hw.compiler import compile
from mep_hw.errors import CapabilityError, CardError, ScheduleError
from mep_hw.model import Model, mlp
from mep_hw.outersum import OuterSum
from mep_hw.schedule import Cost, Registers, Schedule
from mep_hw.state import Nudge
from mep_hw.substrates.base import Substrate
from mep_hw.substrates.cpu import Cpu

NAMES = ("cpu", "reference")


@pytest.fixture(params=NAMES)
def build(request: pytest.FixtureRequest) -> Callable[[Model], Substrate]:
    return lambda model: machine(model, request.param, compute__dtype="float64")


def schedule(*changes: Tensor | OuterSum) -> Schedule:
    return Schedule(tuple(Registers(change) for change in changes), changes[0])


def factors(out: int, inputs: int) -> OuterSum:
    return OuterSum(torch.ones(out, 1).double(), torch.arange(1.0, inputs + 1).double()[:, None], 0.5)


def test_an_update_that_is_not_finite_gets_no_schedule() -> None:
    for update in (torch.tensor([[1.0, math.nan]]), OuterSum(torch.ones(2, 1), torch.ones(3, 1), math.inf)):
        with pytest.raises(ScheduleError, match="update: weights = nan: must be finite"):
            compile(update, None, card("cpu", registers={"bits": 8, "step": 0.1}), None)


def test_apply_adds_every_cycle_to_one_coupling(build: Callable[[Model], Substrate]) -> None:
    model = problem("mlp").model
    substrate = build(model)
    cost = substrate.apply(1, schedule(factors(8, 10), torch.full((8, 10), 0.25).double()))
    change = torch.arange(1.0, 11).double() * 0.5 + 0.25
    assert torch.allclose(substrate.read(1), model.weights[1] + change, rtol=0, atol=1e-14)
    assert torch.equal(substrate.read(0), model.weights[0]) and torch.equal(substrate.read(2), model.weights[2])
    # Two register writes, whose time and energy nobody knows; there are no lines and no cells.
    assert cost == Cost(None, None, cycles=2, slots=0, pulses=0, line_pulses=0, reads=0, wear_max=None)


def test_apply_changes_convolutions_and_what_is_settled() -> None:
    p = problem("conv")
    substrate = machine(p.model, compute__dtype="float64")
    before = substrate.settle(p.x).output
    update = torch.full_like(p.model.weights[0], 0.1)
    substrate.apply(0, compile(update, None, substrate.backend, None))
    assert torch.allclose(substrate.read(0), p.model.weights[0] + 0.1, rtol=0, atol=1e-14)
    assert float((substrate.settle(p.x).output - before).abs().max()) > 1e-3


@dataclass(frozen=True)
class Stranger:
    """A cycle of another kind of machine."""

    change: Tensor


def test_an_unknown_cycle_is_refused_before_anything_changes(build: Callable[[Model], Substrate]) -> None:
    substrate = build(problem("mlp").model)
    before = substrate.read(1)
    change = torch.ones(8, 10).double()
    mixed = Schedule((Registers(change), Stranger(change)), change)  # pyright: ignore[reportArgumentType]
    with pytest.raises(CapabilityError, match="cycle = Stranger"):
        substrate.apply(1, mixed)
    assert torch.equal(substrate.read(1), before)


@pytest.mark.parametrize("name", NAMES)
def test_an_array_that_would_be_ignored_is_refused(name: str) -> None:
    with pytest.raises(CapabilityError, match=f"backend {name}: array: this substrate holds weights in registers"):
        machine(problem("mlp").model, name, array={"rows": 64, "cols": 64}, write_modes=["row"])


def test_registers_that_cannot_hold_the_weights_they_are_given_are_refused() -> None:
    model = mlp(3, 2)
    model.weights[0].copy_(torch.tensor([[0.5, -0.52, 0.1], [0.0, 0.2, -0.3]]))
    message = "backend cpu: registers = 8 bits, step 0.004: hold -0.512 to 0.508, and coupling 1 has .* size 0.52"
    with pytest.raises(CapabilityError, match=message):
        machine(model, registers={"bits": 8, "step": 0.004})
    model.weights[0][0, 1] = -0.513  # rounded to the lowest
    substrate = machine(model, registers={"bits": 8, "step": 0.004})
    held = substrate.read(0)
    assert float(held.min()) == pytest.approx(-0.512)
    with pytest.raises(CapabilityError, match="coupling 1 has a weight of size 2; "):
        substrate.write(0, torch.full((2, 3), 2.0))
    assert torch.equal(substrate.read(0), held)


def test_updates_beyond_the_range_of_registers_saturate_and_come_back_from_storage() -> None:
    substrate = machine(mlp(3, 2), registers={"bits": 4, "step": 0.3})
    for change, bound in ((9.0, 2.1), (-30.0, -2.4)):
        substrate.apply(0, schedule(torch.full((2, 3), change)))
        assert torch.allclose(substrate.read(0), torch.tensor(bound), rtol=1e-6)
        saved = substrate.snapshot()
        substrate.restore(saved)
        assert torch.equal(substrate.read(0), saved["held.1"])
        assert weight_range(substrate.backend, None) == pytest.approx((-2.4, 2.1))


def test_read_and_write_copy(build: Callable[[Model], Substrate]) -> None:
    model = problem("mlp").model
    substrate = build(model)
    weights = torch.full((8, 10), 2.0)  # of another number format than the machine's
    assert substrate.write(1, weights).cycles == 1
    weights.zero_()
    held = substrate.read(1)
    assert held.dtype == torch.float64 and bool((held == 2.0).all())
    held.zero_()
    assert bool((substrate.read(1) == 2.0).all()) and not bool((model.weights[1] == 2.0).any())


def test_biases_are_registers(build: Callable[[Model], Substrate]) -> None:
    model = problem("skip").model
    substrate = build(model)
    given = model.biases[0]
    assert given is not None
    assert substrate.apply_bias(1, schedule(torch.ones(8).double())) == Cost(
        cycles=1, slots=0, pulses=0, line_pulses=0, reads=0
    )
    held = substrate.biases[0]
    assert held is not None and torch.allclose(held, given + 1, rtol=0, atol=1e-14)
    values = torch.full((8,), 0.5)  # of another number format than the machine's
    substrate.write_bias(1, values)
    values.zero_()
    held = substrate.biases[0]
    assert held is not None and held.dtype == torch.float64 and bool((held == 0.5).all())
    for refused in (lambda: substrate.apply_bias(3, schedule(torch.ones(8))), lambda: substrate.write_bias(3, values)):
        with pytest.raises(CapabilityError, match="layer 3: bias"):
            refused()


def change_everything(substrate: Substrate) -> None:
    for c in range(len(substrate.model.couplings)):
        substrate.apply(c, schedule(torch.ones_like(substrate.read(c))))
    for layer, bias in enumerate(substrate.biases, start=1):
        if bias is not None:
            substrate.apply_bias(layer, schedule(torch.ones_like(bias)))
    torch.rand(3, generator=substrate.generator)


def test_a_snapshot_brings_everything_back(build: Callable[[Model], Substrate]) -> None:
    substrate = build(problem("skip").model)
    saved = substrate.snapshot()
    kept = {name: value.clone() for name, value in saved.items()}
    change_everything(substrate)
    now = substrate.snapshot()
    assert now.keys() == kept.keys() and not any(torch.equal(now[name], value) for name, value in kept.items())
    assert all(torch.equal(saved[name], value) for name, value in kept.items())  # later steps left it alone
    substrate.restore(saved)
    change_everything(substrate)  # the machine does not write into the snapshot that it was restored from either
    substrate.restore(saved)
    assert all(torch.equal(value, kept[name]) for name, value in substrate.snapshot().items())


def test_store_copies_into_the_model(build: Callable[[Model], Substrate]) -> None:
    model = problem("skip").model
    substrate = build(model)
    before = {name: value.clone() for name, value in model.tensors().items()}
    change_everything(substrate)
    assert all(torch.equal(value, before[name]) for name, value in model.tensors().items())
    substrate.store()
    assert all(torch.allclose(value, before[name] + 1) for name, value in model.tensors().items())


def test_the_card_decides_on_the_number_format() -> None:
    model = problem("mlp").model
    assert machine(model).read(0).dtype == torch.float32 and machine(model, "reference").read(0).dtype == torch.float64


def test_a_place_that_this_computer_has_not_is_a_fault_of_the_card() -> None:
    # meta tensors hold no numbers, so there is never a generator for them
    with pytest.raises(CardError, match=r"compute.torch_device = meta: is not on this computer"):
        machine(mlp(3, 2), compute__torch_device="meta")


def test_the_seed_decides_the_random_numbers() -> None:
    model = problem("mlp").model
    draws = [torch.rand(4, generator=machine(model, seed=seed).generator) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])


def test_the_reference_needs_a_step() -> None:
    p = problem("mlp")
    with pytest.raises(CapabilityError, match="settle.euler_step"):
        machine(p.model, "reference", settle__euler_step=None).settle(p.x)


def test_the_reference_reports_its_cap_and_its_energy() -> None:
    p = problem("tanh")
    substrate = machine(p.model, "reference", settle__tolerance=1e-6)
    substrate.record_energy = True
    settled = substrate.settle(p.x)
    assert settled.energy is not None and bool((settled.energy.diff(dim=0) <= 1e-9).all())
    assert bool((settled.residual <= 1e-6).all()) and len(set(settled.sweeps.tolist())) > 1
    beta = torch.full((6,), 0.3, dtype=torch.float64)
    for start in (settled, substrate.settle(p.x, Nudge(beta, p.y), settled)):
        short = substrate.settle(p.x, Nudge(-beta, p.y, sweeps=2), start)
        assert short.sweeps.tolist() == [2] * 6 and bool((short.residual > 1e-5).all())


def test_helpers_refuse_a_field_that_the_card_does_not_have() -> None:
    assert card(settle__tolerance=0.5).settle.tolerance == 0.5
    with pytest.raises(CardError, match="settle.tolerence: is no key"):
        card(settle__tolerence=0.5)


class Mixed(Cpu):
    """The second coupling alone has registers of whole steps."""

    def card_of(self, coupling: int) -> BackendCard:
        form = {"bits": 4, "step": 0.25}
        return card("cpu", registers=form) if coupling == 1 else self.backend


def test_registers_are_those_of_the_couplings_card() -> None:
    model = mlp(4, 3, 2)
    built = Mixed(model, card("cpu"), None, 0)
    for c, whole in ((0, False), (1, True)):
        for change in (None, torch.full_like(model.weights[c], 0.1)):
            if change is None:
                built.write(c, model.weights[c])
            else:
                built.apply(c, schedule(change))
            steps = built.read(c) / 0.25
            assert torch.equal(steps, steps.round()) is whole
