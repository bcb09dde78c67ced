"""At small beta the contrast is minus the gradient of backprop in every tensor; graphs and batches stay apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_cases import CASES, Case, backprop, conv, mlp, transformer

import mep_hw.layerwise.settle
from mep_hw.layerwise import Layerwise
from mep_hw.layerwise.chain import Chain


def compare(case: Case, energy: Layerwise, values: dict[nn.Parameter, Tensor]) -> list[tuple[float, float]]:
    """Per parameter the cosine with minus the gradient, and the ratio of norms."""
    found: list[tuple[float, float]] = []
    for p, gradient in zip(case.module.parameters(), backprop(case, energy), strict=True):
        value = values[p]
        assert value.shape == p.shape
        if gradient.norm() < 1e-12:  # the bias of attention's keys, or one before batch statistics: no effect
            assert value.norm() < 1e-9
            continue
        cosine = -(value * gradient).sum() / (value.norm() * gradient.norm())
        found.append((float(cosine), float(value.norm() / gradient.norm())))
    return found


@pytest.mark.parametrize("estimator", ["centered", "one_sided"])
@pytest.mark.parametrize("name", CASES)
def test_the_contrast_is_minus_the_gradient(name: str, estimator: str) -> None:
    case = CASES[name]()
    energy = case.layerwise()
    case.module(case.x)
    contrast = energy.contrast(case.target, beta=1e-4, estimator=estimator, tolerance=1e-6)
    assert bool((contrast.nudged.residual <= 1e-10).all())
    for cosine, ratio in compare(case, energy, contrast.values):
        assert cosine >= 0.999 and abs(ratio - 1) <= 0.05


@pytest.mark.parametrize(("estimator", "order"), [("one_sided", 1), ("centered", 2), ("richardson", 4)])
def test_the_order_of_the_error(estimator: str, order: int) -> None:
    case = mlp(2, loss="cross_entropy")
    energy = case.layerwise()
    case.module(case.x)
    exact = backprop(case, energy)

    def error(beta: float) -> float:
        values = energy.contrast(case.target, beta=beta, estimator=estimator, tolerance=1e-12, sweeps=500).values
        return max(float((values[p] + g).norm()) for p, g in zip(case.module.parameters(), exact, strict=True))

    assert error(0.2) / error(0.1) == pytest.approx(2**order, rel=0.3)


def test_the_wrong_order_reaches_no_early_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    case = mlp(8)
    energy = case.layerwise()
    case.module(case.x)
    first = next(case.module.parameters())
    right = energy.contrast(case.target, beta=1e-3, sweeps=3).values[first]
    monkeypatch.setattr(mep_hw.layerwise.settle, "order", lambda depth: range(1, depth + 1))
    wrong = energy.contrast(case.target, beta=1e-3, sweeps=3).values[first]
    assert float(right.norm()) > 1e-3 and float(wrong.norm()) == 0.0


@pytest.mark.parametrize("name", ["8 hidden", "conv", "transformer"])
def test_a_sample_does_not_depend_on_its_batch(name: str) -> None:
    case = CASES[name]()
    energy = case.layerwise()
    case.module(case.x)  # batch statistics, where there are any, are those of the whole batch in both settings
    whole = energy.contrast(case.target, beta=0.05, tolerance=1e-4)
    assert len(set(whole.nudged.sweeps.tolist())) > 1 or name == "transformer"
    total = {p: torch.zeros_like(p) for p in case.module.parameters()}
    for row in range(len(case.x)):
        energy.x, energy.output = case.x[row : row + 1], whole_output(case, energy)[row : row + 1]
        alone = energy.contrast(case.target[row : row + 1], beta=0.05, tolerance=1e-4)
        for p, value in alone.values.items():
            total[p] += value.detach() / len(case.x)
        mine = [s[row :: len(case.x)] for s in whole.nudged.states]
        assert all(torch.allclose(a, b, rtol=0, atol=1e-10) for a, b in zip(mine, alone.nudged.states, strict=True))
        assert whole.nudged.sweeps[row] == alone.nudged.sweeps[0]
    for p, value in whole.values.items():
        assert torch.allclose(value, total[p], rtol=0, atol=1e-10)


def whole_output(case: Case, energy: Layerwise) -> Tensor:
    x, output = energy.x, energy.output
    with energy.statistics.frozen(), torch.inference_mode():
        result = case.module(case.x)
    energy.x, energy.output = x, output
    return result.clone()


def test_single_precision_and_a_tiny_beta() -> None:
    case = mlp(2)
    case = Case(case.module.float(), case.x.float(), case.target.float())
    energy = case.layerwise()
    case.module(case.x)
    for cosine, ratio in compare(case, energy, energy.contrast(case.target, beta=1e-5).values):
        assert cosine >= 0.999 and abs(ratio - 1) <= 0.05


def test_no_graph_reaches_across_blocks() -> None:
    case = transformer()
    energy = case.layerwise()
    chain = Chain(energy.blocks, case.x, copies=2)
    chain.forward()
    reached = [leaves(chain.first)] + [leaves(output) for output in chain.outputs]
    for number, block in enumerate(energy.blocks):
        allowed = {id(p) for p in block.parameters()} | ({id(chain.inputs[number - 1])} if number else set())
        assert reached[number] == allowed
    assert all(leaf.is_leaf for leaf in chain.inputs)


def leaves(value: Tensor) -> set[int]:
    """Ids of all tensors that a backward pass from `value` could reach."""
    found: set[int] = set()
    stack, seen = [value.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            found.add(id(node.variable))
        stack += [parent for parent, _ in node.next_functions]
    return found


def test_running_statistics_move_once_and_modes_come_back() -> None:
    case = conv()
    twin = conv().module
    energy = case.layerwise()
    case.module(case.x)
    twin(case.x)
    energy.contrast(case.target, beta=0.1)
    for mine, theirs in zip(case.module.buffers(), twin.buffers(), strict=True):
        assert torch.equal(mine, theirs)
    assert all(module.training for module in case.module.modules())


def test_frozen_and_unwanted_parameters_are_left_out() -> None:
    case = mlp(2)
    energy = case.layerwise()
    case.module[0].weight.requires_grad_(False)
    case.module(case.x)
    bias, read_out = case.module[0].bias, case.module[4].weight
    assert case.module[0].weight not in energy.contrast(case.target, beta=0.1).values
    assert set(energy.contrast(case.target, beta=0.1, parameters=[bias, read_out]).values) == {bias, read_out}


def test_a_closed_energy_hears_no_more() -> None:
    case = conv()
    energy = case.layerwise()
    energy.close()
    case.module(case.x)
    assert energy.x is None and not any(m._forward_pre_hooks for m in case.module.modules())


class PreActivated(nn.Module):
    """A block that changes its input in place before anything else."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.activation, self.inner = nn.ELU(inplace=inplace), nn.Linear(6, 6)

    def forward(self, value: Tensor) -> Tensor:
        return self.inner(self.activation(value))


def test_activations_in_place_change_neither_inputs_nor_states() -> None:
    def values(inplace: bool) -> list[Tensor]:
        torch.manual_seed(0)
        first = nn.ELU(inplace=inplace)
        module = nn.Sequential(first, nn.Linear(6, 6), PreActivated(inplace), nn.Linear(6, 3)).double()
        energy = Layerwise(module)
        x = torch.linspace(-1, 1, 24, dtype=torch.float64).view(4, 6)
        module(x)
        return list(energy.contrast(torch.arange(4) % 3, beta=0.1).values.values())

    assert all(torch.allclose(a, b, rtol=0, atol=1e-12) for a, b in zip(values(True), values(False), strict=True))
