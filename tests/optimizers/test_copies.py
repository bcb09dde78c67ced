"""A deep copy or a pickle of model and optimizer is a pair of its own that goes on in exactly the same way."""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mep_hw
from mep_hw.errors import Notice
from mep_hw.optimizers import SDMEPOptimizer, SMEPOptimizer

X, Y = torch.randn(12, 6, generator=torch.Generator().manual_seed(1)), torch.arange(12) % 3
Pair = tuple[Any, SMEPOptimizer]  # a module or a Model, and its optimizer


def pickled(pair: Pair) -> Pair:
    file = io.BytesIO()
    torch.save(pair, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def module() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(),
        nn.Linear(16, 3),
    )  # fmt: skip


def smep(mode: str) -> Pair:
    net = module()
    return net, SMEPOptimizer(net.parameters(), mode=mode, model=net, use_spectral_constraint=True, gamma=0.5)


def sdmep(mode: str) -> Pair:
    net = module()
    return net, SDMEPOptimizer(net.parameters(), mode=mode, model=net, dion_thresh=200, rank_frac=0.3, seed=5)


def hopfield(mode: str) -> Pair:
    model = mep_hw.mlp(6, 12, 12, 3, seed=1)
    return model, SMEPOptimizer(model.parameters(), mode=mode, model=model, beta=0.05)


def train(pair: Pair, steps: int, x: Tensor = X) -> list[Tensor]:
    """The parameters after so many steps."""
    net, optimizer = pair
    for _ in range(steps):
        output = net(x)
        if optimizer.mode == "backprop":
            optimizer.zero_grad()
            nn.functional.cross_entropy(output, Y).backward()
        optimizer.step(**({"target": Y} if optimizer.mode == "ep" else {}))
    return [p.detach().clone() for p in net.parameters()]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(p, q) for p, q in zip(one, other, strict=True))


KINDS = [(smep, "ep"), (smep, "backprop"), (sdmep, "ep"), (sdmep, "backprop"), (hopfield, "ep")]


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled], ids=["deepcopy", "pickle"])
@pytest.mark.parametrize(("made", "mode"), KINDS, ids=[f"{made.__name__} {mode}" for made, mode in KINDS])
def test_a_copy_takes_identical_steps(made: Callable[[str], Pair], mode: str, copied: Callable[[Pair], Pair]) -> None:
    pair = made(mode)
    middle = train(pair, 2)
    twin = copied(pair)
    assert type(twin[1]) is type(pair[1])
    expected = train(pair, 3)
    assert same([p.detach() for p in twin[0].parameters()], middle)  # nothing is shared
    assert same(train(twin, 3), expected)
    assert same([p.detach() for p in pair[0].parameters()], expected)


@pytest.mark.parametrize("made", [smep, hopfield])
def test_a_copy_listens_to_its_own_model_only(made: Callable[[str], Pair]) -> None:
    pair = made("ep")
    pair[0](X)
    twin = copy.deepcopy(pair)  # between the forward call and the step: both have a free phase
    pair[0](0.5 * X)
    for _, optimizer in (pair, twin):
        optimizer.step(target=Y)
    reference = made("ep")
    expected = train(reference, 1)
    assert same([p.detach() for p in twin[0].parameters()], expected)
    assert not same([p.detach() for p in pair[0].parameters()], expected)
    twin[1].close()
    net = pair[0]
    train(pair, 1)  # the original still hears its model
    hooks = twin[0].listeners if isinstance(net, mep_hw.Model) else [
        hook for part in twin[0].modules() for hook in (*part._forward_hooks, *part._forward_pre_hooks)
    ]  # fmt: skip
    assert not hooks


def test_a_copy_of_the_optimizer_alone_has_a_model_of_its_own() -> None:
    pair = smep("ep")
    train(pair, 1)
    twin = copy.deepcopy(pair[1])
    expected = train(pair, 2)
    net = twin.phases.model
    assert isinstance(net, nn.Module) and net is not pair[0]
    assert same(train((net, twin), 2), expected)


def test_a_copy_under_a_scheduler_steps_itself() -> None:
    pair = smep("backprop")
    scheduler = torch.optim.lr_scheduler.StepLR(pair[1], 1, gamma=0.5)
    train(pair, 1)
    scheduler.step()
    middle = [p.detach().clone() for p in pair[0].parameters()]
    twin = copy.deepcopy(pair)
    assert twin[1].param_groups[0]["lr"] == 0.01
    changed = train(twin, 1)
    assert same([p.detach() for p in pair[0].parameters()], middle) and not same(changed, middle)


def test_a_copy_does_not_warn_again() -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    with pytest.warns(Notice, match="so the read-out's is bounded"):
        optimizer = SMEPOptimizer(net.parameters(), model=net, use_spectral_constraint=True)
    twin = copy.deepcopy((net, optimizer))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(twin, 1)
