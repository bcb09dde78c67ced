"""Acceleration saves sweeps, ends in the same minimum, and steps aside where it would not."""

from __future__ import annotations

import torch
from helpers import machine
from torch import Tensor

from mep_hw.anderson import START, Anderson
from mep_hw.model import Model, mlp
from mep_hw.state import Settled


def hard(norm: float, activation: str = "hard_sigmoid") -> Model:
    """Three hidden layers whose couplings are so strong that plain sweeps creep."""
    model = mlp(8, 40, 40, 40, 4, activation="tanh" if activation == "tanh" else "hard_sigmoid", dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    for weight, wanted in zip(model.weights, (None, norm, norm, 0.9), strict=True):
        drawn = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        weight.copy_(drawn * (8**-0.5 if wanted is None else wanted / torch.linalg.matrix_norm(drawn, 2)))
    return model


def inputs(samples: int) -> Tensor:
    return torch.randn(samples, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def settled(model: Model, samples: int, anderson: int, tolerance: float = 1e-9) -> Settled:
    changes = {"settle__tolerance": tolerance, "settle__free_sweeps": 3000, "settle__anderson": anderson}
    return machine(model, compute__dtype="float64", **changes).settle(inputs(samples))


def apart(a: Settled, b: Settled) -> float:
    return max(float((x - y).abs().max()) for x, y in zip(a.state, b.state, strict=True))


def test_it_halves_the_sweeps_of_a_slow_model_and_ends_in_the_same_state() -> None:
    model = hard(0.97)
    plain, mixed = settled(model, 24, 0), settled(model, 24, 5)
    assert bool((plain.residual <= 1e-9).all()) and bool((mixed.residual <= 1e-9).all())
    assert float(mixed.sweeps.double().mean()) < 0.5 * float(plain.sweeps.double().mean())
    assert apart(plain, mixed) < 1e-6


def test_it_does_not_stop_at_saddles() -> None:
    # Without a look at the curvature, a quarter of these samples end on a saddle that plain sweeps walk past.
    model = hard(0.9, "tanh")
    plain, mixed = settled(model, 64, 0), settled(model, 64, 5)
    assert apart(plain, mixed) < 1e-5
    assert float(mixed.sweeps.double().mean()) < 0.5 * float(plain.sweeps.double().mean())


def test_fast_models_are_left_alone() -> None:
    model = mlp(8, 20, 4, activation="sigmoid", dtype=torch.float64)
    plain, mixed = settled(model, 16, 0), settled(model, 16, 5)
    assert torch.equal(plain.sweeps, mixed.sweeps) and apart(plain, mixed) == 0.0


def test_a_memory_of_one_sweep_is_plain() -> None:
    model = hard(0.9)
    assert apart(settled(model, 4, 0), settled(model, 4, 1)) == 0.0


def walk(mixer: Anderson, maps: list[tuple[float, float]], residual: Tensor, sweeps: int) -> list[Tensor]:
    """Two samples of two entries under x -> rate * x per entry, with residuals that the caller makes up."""
    rates = torch.tensor(maps, dtype=torch.float64)
    x = torch.ones(2, 2, dtype=torch.float64)
    seen: list[Tensor] = []
    for _ in range(sweeps):
        (x,) = mixer.mix([x], [rates * x], residual)
        seen.append(x)
    return seen


def test_two_slow_linear_modes_are_solved_at_once() -> None:
    seen = walk(Anderson(5), [(0.9, 0.8), (0.9, 0.7)], torch.tensor([1.0, 1.0]).double(), START + 2)
    assert torch.allclose(seen[START - 2], torch.tensor([[0.9, 0.8], [0.9, 0.7]]).double() ** (START - 1))
    assert float(seen[-1].abs().max()) < 1e-4


def test_a_sample_with_an_unstable_mode_is_left_to_plain_sweeps() -> None:
    # The second entry of the first sample grows: x = 0 is a saddle, and the combination would go there.
    seen = walk(Anderson(5), [(0.9, 1.1), (0.9, 0.7)], torch.tensor([1.0, 1.0]).double(), START + 2)
    assert torch.allclose(seen[-1][0], torch.tensor([0.9, 1.1]).double() ** (START + 2))
    assert float(seen[-1][1].abs().max()) < 1e-4


def test_a_sample_whose_residual_jumps_goes_back_and_gives_up_for_good() -> None:
    mixer = Anderson(5)
    rates = torch.tensor([[0.9, 0.8], [0.9, 0.7]], dtype=torch.float64)
    x = torch.ones(2, 2, dtype=torch.float64)
    before = x
    for sweep in range(START + 6):
        jump = START  # the sweep after the first mixed step
        residual = torch.tensor([5.0**sweep if sweep >= jump else 1.0, 1.0], dtype=torch.float64)
        new = rates * x
        (after,) = mixer.mix([x], [new], residual)
        if sweep >= jump:
            assert torch.equal(after[0], before[0] if sweep == jump else new[0])
        else:
            assert sweep < START - 1 or not torch.equal(after, new)
        x, before = after, new
    assert mixer.given_up is not None and mixer.given_up.tolist() == [True, False]


def test_rows_that_leave_do_not_disturb_the_others() -> None:
    rates = torch.linspace(0.5, 0.95, 12, dtype=torch.float64).reshape(3, 4)
    one, all_rows = Anderson(4), Anderson(4)
    x = torch.ones(3, 4, dtype=torch.float64)
    y = x[[0, 2]]
    ones = torch.ones(3, dtype=torch.float64)
    for sweep in range(START + 4):
        (y,) = one.mix([y], [rates[[0, 2]] * y], ones[:2])
        kept = [0, 1, 2] if sweep < START + 1 else [0, 2]
        (x,) = all_rows.mix([x], [rates[kept] * x], ones[: len(kept)])
        if sweep == START:
            all_rows.keep(torch.tensor([0, 2]))
            x = x[[0, 2]]
    assert torch.allclose(x, y, rtol=0, atol=1e-12)
