"""Several weights at once against each by itself, which other tests hold to independent implementations."""

from __future__ import annotations

import pytest
import torch
from dispatch import Launches
from torch import Tensor

from mep_hw.outersum import OuterSum, Update, dense
from mep_hw.rules import Adam, Asked, Bounded, Clipped, Decayed, Dion, Muon, Rule, Sgd
from mep_hw.rules.batched import Batched
from mep_hw.rules.clip import scaled
from mep_hw.rules.orthogonal import COEFFICIENTS, METHODS, newton_schulz, orthogonalise

META = torch.device("meta")
F64 = torch.float64


def given(rule: Rule, shape: tuple[int, ...], count: int, place: str = "cpu") -> list[Asked]:
    """`count` weights of one shape with rates, memories and contrasts of their own, every other contrast as factors."""
    generator = torch.Generator().manual_seed(0)
    found: list[Asked] = []
    for n in range(count):
        draw = torch.randn(shape, generator=generator, dtype=F64).to(place)
        factors = [torch.randn(side, 3, generator=generator, dtype=F64).to(place) for side in (shape[0], shape[-1])]
        contrast: Update = OuterSum(*factors, 0.5) if len(shape) == 2 and n % 2 else draw
        memory = {
            key: (value + torch.rand(value.shape, generator=generator, dtype=F64)).to(place)
            if value.dim()
            else value + n
            for key, value in rule.init(shape, generator, F64).items()
        }
        weights = torch.randn(shape, generator=generator, dtype=F64).to(place)
        found.append(Asked(contrast, memory, 0.01 * (n + 1), weights if rule.needs_weights else None))
    return found


def alone(rule: Rule, a: Asked) -> tuple[Update, dict[str, Tensor]]:
    return rule.step(a.contrast, a.memory, lr=a.lr, weights=a.weights, states=a.states)


BATCHED: dict[str, Batched] = {
    "sgd": Sgd(momentum=0.9),
    "sgd decayed": Sgd(momentum=0.9, weight_decay=0.1),
    "sgd plain": Sgd(),
    "adam": Adam(),
    "adam decayed": Adam(weight_decay=0.1),
    **{f"muon {method}": Muon(method=method) for method in METHODS},
    "muon, no nesterov": Muon(method="quintic", nesterov=False),
}


SHAPES = [(5, 8), (8, 5), (4, 2, 3, 3), (6,)]
CASES = [(name, shape) for name in BATCHED for shape in SHAPES if len(shape) > 1 or not name.startswith("muon")]


@pytest.mark.parametrize(("name", "shape"), CASES, ids=str)
def test_together_is_each_alone(name: str, shape: tuple[int, ...]) -> None:
    rule = BATCHED[name]
    group = given(rule, shape, 4)
    for a, (update, memory) in zip(group, rule.several(group), strict=True):
        expected, after = alone(rule, a)
        assert torch.allclose(dense(update), dense(expected), rtol=0, atol=1e-12)
        assert memory.keys() == after.keys()
        assert all(torch.allclose(memory[k], after[k], rtol=0, atol=1e-12) for k in after)


DIONS = {"dion": Dion(rank=3), "dion, no feedback": Dion(rank=3, feedback=False)}


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if len(shape) > 1], ids=str)
@pytest.mark.parametrize("name", DIONS)
@pytest.mark.parametrize("first", [0, 1], ids=["whole", "factors"])
def test_dion_together_is_dion_alone(name: str, shape: tuple[int, ...], first: int) -> None:
    """Contrasts of both kinds do not go together."""
    rule = DIONS[name]
    group = given(rule, shape, 6)[first::2]
    assert len({rule.alike(a) for a in group}) == 1
    for a, (update, memory) in zip(group, rule.several(group), strict=True):
        expected, after = alone(rule, a)
        assert torch.allclose(dense(update), dense(expected), rtol=0, atol=1e-12)
        assert all(torch.allclose(memory[k], after[k], rtol=0, atol=1e-12) for k in ("m", "q"))
        assert memory["m"].shape == shape


def test_dion_keeps_contrasts_of_two_kinds_apart() -> None:
    group = given(DIONS["dion"], (5, 8), 4)
    assert len({DIONS["dion"].alike(a) for a in group}) == 2


@pytest.mark.parametrize("method", ["svd", *COEFFICIENTS])
@pytest.mark.parametrize("shape", [(6, 9), (9, 6)], ids=str)
@pytest.mark.parametrize(("dtype", "bar"), [(F64, 1e-12), (torch.float32, 1e-3)], ids=["float64", "float32"])
def test_matrices_of_a_stack_do_not_touch_each_other(
    method: str, shape: tuple[int, int], dtype: torch.dtype, bar: float
) -> None:
    """Not in size, either: one is tiny, one huge, one zero."""
    sizes = torch.tensor([1e-25, 1.0, 0.0, 1e25], dtype=dtype)
    stack = torch.randn(4, *shape, generator=torch.Generator().manual_seed(0), dtype=dtype) * sizes[:, None, None]
    found = orthogonalise(stack, method)
    for matrix, result in zip(stack, found, strict=True):
        assert torch.allclose(result, orthogonalise(matrix, method), rtol=0, atol=bar)
    assert not found[2].any() and float(torch.linalg.matrix_norm(found[3])) > 1


def test_one_tall_stack_in_bfloat16_keeps_its_format() -> None:
    stack = torch.randn(3, 40, 8, generator=torch.Generator().manual_seed(0))
    found = newton_schulz(stack, COEFFICIENTS["polar-express"], torch.bfloat16)
    polar = orthogonalise(stack, "svd")
    assert found.dtype == torch.bfloat16 and found.shape == stack.shape
    shares = (found.float() * polar).sum((1, 2)) / (found.float().norm(dim=(1, 2)) * polar.norm(dim=(1, 2)))
    assert float(shares.min()) > 0.98


def test_off_the_cpu_auto_is_polar_express_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, torch.dtype]] = []

    def noted(matrix: Tensor, coefficients: object, dtype: torch.dtype) -> Tensor:
        asked.append((coefficients, dtype))
        return matrix.to(dtype)

    monkeypatch.setattr("mep_hw.rules.orthogonal.newton_schulz", noted)
    for sides in ((4, 4), (2, 600, 700)):
        assert orthogonalise(torch.empty(sides, device=META)).dtype == torch.float32
    assert asked == [(COEFFICIENTS["polar-express"], torch.bfloat16)] * 2


def test_couplings_of_one_shape_take_one_newton_schulz() -> None:
    """Seven of one shape and one of another, in the order they came in."""
    rule = Muon()
    group = given(rule, (8, 8), 7, "meta")
    group.insert(3, given(rule, (5, 8), 1, "meta")[0])
    with Launches() as launched:
        results = list(rule.steps(group))
    assert [dense(update).shape[0] for update, _ in results] == [8, 8, 8, 5, 8, 8, 8, 8]
    steps = len(COEFFICIENTS["polar-express"].steps)
    assert (launched.counts["bmm"], launched.counts["baddbmm"]) == (steps, 2 * steps)
    assert launched.counts["mm"] == steps


@pytest.mark.parametrize("name", ["sgd", "adam", "muon quintic"])
def test_groups_give_everybody_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two shapes in turn, as if the tensors lay on a GPU."""
    rule = BATCHED[name]
    mixed = [a for pair in zip(given(rule, (5, 8), 3), given(rule, (4, 6), 3), strict=True) for a in pair]
    expected = [alone(rule, a) for a in mixed]
    monkeypatch.setattr("mep_hw.rules.batched._place", lambda update: META)
    for (update, memory), (other, after) in zip(rule.steps(mixed), expected, strict=True):
        assert torch.allclose(dense(update), dense(other), rtol=0, atol=1e-12)
        assert all(torch.allclose(memory[k], after[k], rtol=0, atol=1e-12) for k in after)


def test_on_the_cpu_each_goes_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    rule, sizes = Adam(), list[int]()
    real = Adam.several
    monkeypatch.setattr(Adam, "several", lambda self, group: sizes.append(len(group)) or real(self, group))
    assert len(list(rule.steps(given(rule, (3, 4), 5)))) == 5 and sizes == [1] * 5


AROUND: dict[str, Rule] = {
    "clip and decay": Clipped(Decayed(Muon(), 0.1), 0.7),
    "bound": Bounded(Sgd(momentum=0.9), 0.9),
    "clip, no batches": Clipped(Dion(rank=2), 0.7),
}


@pytest.mark.parametrize("name", AROUND)
def test_rules_around_a_rule_keep_every_weight_apart(name: str) -> None:
    rule = AROUND[name]
    group = given(rule, (5, 8), 3)
    for a, (update, memory) in zip(group, rule.steps(iter(group)), strict=True):
        expected, after = alone(rule, a)
        assert torch.equal(dense(update), dense(expected))
        assert memory.keys() == after.keys() and all(torch.equal(memory[k], after[k]) for k in after)


@pytest.mark.parametrize("number", [0, 1], ids=["dense", "factors"])
def test_a_number_on_the_device_scales_as_one_on_the_host(number: int) -> None:
    contrast = given(Sgd(), (5, 8), 2)[number].contrast
    expected = dense(contrast) * 0.3
    assert torch.allclose(dense(scaled(contrast, torch.tensor(0.3, dtype=F64))), expected, rtol=0, atol=1e-12)
