"""Every way of calling the optimizers that the documentation names."""

from __future__ import annotations

import copy
import io
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch_cases import attention, cost, mlp

import mep_hw
from mep_hw.errors import Notice
from mep_hw.optimizers import SDMEPOptimizer, SMEPOptimizer

KINDS = (SMEPOptimizer, SDMEPOptimizer)


def module(width: int = 8) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(),
        nn.Linear(width, 3),
    )  # fmt: skip


X, Y = torch.randn(12, 6, generator=torch.Generator().manual_seed(1)), torch.arange(12) % 3


def loss(net: nn.Module) -> Tensor:
    return nn.functional.cross_entropy(net(X), Y)


@pytest.mark.parametrize("kind", KINDS)
def test_backprop(kind: type[SMEPOptimizer]) -> None:
    net = module()
    optimizer = kind(net.parameters(), lr=0.01, mode="backprop")
    before = float(loss(net).detach())
    for _ in range(20):
        optimizer.zero_grad()
        loss(net).backward()
        assert optimizer.step() is None
    assert float(loss(net).detach()) < before - 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_equilibrium_propagation(kind: type[SMEPOptimizer]) -> None:
    net = module()
    optimizer = kind(net.parameters(), model=net, lr=0.01, mode="ep", beta=0.5, settle_steps=20)
    before = float(loss(net).detach())
    for _ in range(20):
        optimizer.zero_grad()
        output = net(X)
        optimizer.step(target=Y)
    assert output.shape == (12, 3)
    assert float(loss(net).detach()) < before - 0.1


def test_the_model_given_at_each_step() -> None:
    net, twin = module(), module()
    legacy = SMEPOptimizer(net.parameters(), lr=0.01, mode="ep")
    modern = SMEPOptimizer(twin.parameters(), model=twin, lr=0.01, mode="ep")
    for _ in range(3):
        legacy.step(x=X, target=Y, model=net)
        twin(X)
        modern.step(target=Y)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), twin.parameters(), strict=True))
    net(X)
    legacy.step(target=Y)  # the model is known by now


def test_bound_and_feedback() -> None:
    net = module()
    optimizer = SMEPOptimizer(
        net.parameters(), model=net, lr=0.1, use_spectral_constraint=True, gamma=0.95, use_error_feedback=True
    )
    for _ in range(5):
        net(X)
        optimizer.step(target=Y)
        norms = [float(torch.linalg.matrix_norm(net[n].weight.detach(), 2)) for n in (0, 2, 4, 6)]
        assert max(norms[1:3]) <= 0.95 + 1e-5
    assert max(norms[1:3]) > 0.85 and max(norms[0], norms[3]) > 1.0


def test_dion_by_size() -> None:
    net = module(40)
    optimizer = SDMEPOptimizer(net.parameters(), model=net, rank_frac=0.2, dion_thresh=1e3)
    before = copy.deepcopy(net)
    net(X)
    optimizer.step(target=Y)
    ranks = [int(torch.linalg.matrix_rank(net[n].weight - before[n].weight, rtol=1e-4)) for n in (0, 2, 4)]
    assert ranks == [6, 8, 8]  # 240 entries: Muon, full rank; 1600: Dion, a fifth of 40
    assert [set(optimizer.state[net[n].weight]) & {"rule.rule.q"} for n in (0, 2)] == [set(), {"rule.rule.q"}]


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_small_beta_takes_the_same_steps_as_backprop(loss: str) -> None:
    # More samples than units: the orthogonal factor of a matrix without full rank is not determined.
    case, twin = mlp(2, loss=loss, samples=40), mlp(2, loss=loss, samples=40)
    ep = SMEPOptimizer(case.module.parameters(), model=case.module, beta=1e-4, tolerance=1e-8, settle_steps=50)
    bp = SMEPOptimizer(twin.module.parameters(), mode="backprop")
    for _ in range(3):
        case.module(case.x)
        ep.step(target=case.target)
        bp.zero_grad()
        cost(twin.module(twin.x), twin.target).mean().backward()
        bp.step()
    for p, q in zip(case.module.parameters(), twin.module.parameters(), strict=True):
        assert torch.allclose(p, q, rtol=0, atol=1e-4)  # steps are 0.02 long


def test_blocks_of_a_module_that_is_no_sequential() -> None:
    case = attention()
    optimizer = SMEPOptimizer(case.module.parameters(), model=case.module, blocks=case.blocks, lr=0.02)
    before = nn.functional.cross_entropy(case.module(case.x).flatten(0, 1), case.target.flatten()).item()
    for _ in range(20):
        case.module(case.x)
        optimizer.step(target=case.target)
    after = nn.functional.cross_entropy(case.module(case.x).flatten(0, 1), case.target.flatten()).item()
    assert after < 0.7 * before


def test_schedulers_groups_and_closures() -> None:
    net, twin = module(), module()
    groups = [{"params": net[:4].parameters(), "lr": 0.03}, {"params": net[4:].parameters()}]
    optimizer = SMEPOptimizer(groups, lr=0.01, mode="backprop")
    plain = SMEPOptimizer(twin.parameters(), lr=0.01, mode="backprop")
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(net)
        value.backward()
        return value

    start = [p.detach().clone() for p in net.parameters()]
    value = optimizer.step(closure)
    assert torch.equal(value, loss(twin))
    loss(twin).backward()
    plain.step()
    moved = [float((p - q).detach().norm()) for p, q in zip(net.parameters(), start, strict=True)]
    other = [float((p - q).detach().norm()) for p, q in zip(twin.parameters(), start, strict=True)]
    ratios = [a / b for a, b in zip(moved, other, strict=True)]
    assert ratios == pytest.approx([3.0] * 4 + [1.0] * 4, rel=1e-3)
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.015, 0.005]
    middle = net[0].weight.detach().clone()
    optimizer.step(closure)
    assert float((net[0].weight - middle).detach().norm()) < 0.6 * moved[0]


def test_a_scheduler_in_mode_ep_may_reach_zero() -> None:
    net = module()
    optimizer = SMEPOptimizer(net.parameters(), model=net)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 - step)
    net(X)
    optimizer.step(target=Y)
    scheduler.step()
    before = [p.detach().clone() for p in net.parameters()]
    net(X)
    optimizer.step(target=Y)
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_run_is_the_same_to_the_bit(kind: type[SMEPOptimizer], dtype: torch.dtype) -> None:
    def made() -> tuple[nn.Sequential, SMEPOptimizer]:
        net = module(20).to(dtype)
        more = {"dion_thresh": 200} if kind is SDMEPOptimizer else {}
        return net, kind(
            net.parameters(), mode="backprop", use_spectral_constraint=True, use_error_feedback=True, **more
        )

    def train(net: nn.Sequential, optimizer: SMEPOptimizer, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(X.to(dtype)).float(), Y).backward()
            optimizer.step()

    whole, first = made(), made()
    train(*whole, 5)
    train(*first, 2)
    file = io.BytesIO()
    torch.save({"model": first[0].state_dict(), "optimizer": first[1].state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    net, optimizer = made()
    net.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    train(net, optimizer, 3)
    for p, q in zip(whole[0].parameters(), net.parameters(), strict=True):
        assert torch.equal(p, q)
        mine, theirs = whole[1].state[p], optimizer.state[q]
        assert set(mine) == set(theirs)
        for key in mine:
            assert mine[key].dtype == theirs[key].dtype and torch.equal(mine[key], theirs[key]), key


def test_autocast_and_gradient_scaling() -> None:
    net = module()
    optimizer = SMEPOptimizer(net.parameters(), lr=0.01, mode="backprop")
    scaler = torch.amp.GradScaler("cpu")
    before = float(loss(net).detach())
    for _ in range(20):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss(net)
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
    assert float(loss(net).detach()) < before - 0.1
    kept = [p.detach().clone() for p in net.parameters()]
    scaler.scale(loss(net) * float("inf")).backward()
    scaler.step(optimizer)  # skips the step
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), kept, strict=True))


def test_a_compiled_model_with_backprop() -> None:
    net, twin = module(), module()
    compiled = torch.compile(net, backend="eager")
    mine = SMEPOptimizer(net.parameters(), mode="backprop")
    theirs = SMEPOptimizer(twin.parameters(), mode="backprop")
    for _ in range(2):
        for called, optimizer in ((compiled, mine), (twin, theirs)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(called(X), Y).backward()
            optimizer.step()
    assert all(torch.allclose(p, q, atol=1e-6) for p, q in zip(net.parameters(), twin.parameters(), strict=True))


def test_an_equilibrium_model_keeps_its_own_energy() -> None:
    model, twin = mep_hw.mlp(6, 8, 3, seed=1), mep_hw.mlp(6, 8, 3, seed=1)
    optimizer = SMEPOptimizer(model.parameters(), model=model, lr=0.02, beta=0.05, settle_steps=20)
    x = torch.rand(12, 6)
    output = model(x)
    settled = mep_hw.machine.build(twin, *mep_hw.machine.cards("cpu"), seed=0).settle(x).output
    assert torch.equal(output, settled)
    target = nn.functional.one_hot(Y, 3).float()
    before = float((output - target).square().mean())
    for _ in range(30):
        optimizer.zero_grad()
        model(x)
        optimizer.step(target=Y)
    assert float((model(x) - target).square().mean()) < 0.9 * before
    assert not torch.equal(model.weights[0], twin.weights[0])


def test_one_warning_where_no_hidden_matrix_exists() -> None:
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    with torch.no_grad():
        net[2].weight.mul_(5)
        net[0].weight.mul_(5)
    with pytest.warns(Notice, match="no matrix lies between hidden layers, so the read-out's is bounded") as caught:
        optimizer = SMEPOptimizer(net.parameters(), model=net, use_spectral_constraint=True, gamma=0.5)
    assert [w.filename for w in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net(X)
        optimizer.step(target=Y)
    norms = [float(torch.linalg.matrix_norm(net[n].weight.detach(), 2)) for n in (0, 2)]
    assert norms[0] > 1.0 and norms[1] <= 0.5 + 1e-5
