"""The gpu backend: which path settles what, rounded operands, and machines that it refuses."""

from __future__ import annotations

import pytest
import torch
from gpu_cases import OUTPUTS, TIGHT, WHOLE, both, case, chain, off
from helpers import card, machine

import mep_hw
from mep_hw import estimator
from mep_hw.errors import CapabilityError, CardError
from mep_hw.gradcheck import gradient_check
from mep_hw.kernels import place as places
from mep_hw.model import Model
from mep_hw.outersum import dense
from mep_hw.state import Nudge
from mep_hw.substrates.gpu import Gpu
from mep_hw.substrates.products import Products

OTHERS: dict[str, Model] = {
    "chain": chain(14, 9),
    "skips": mep_hw.mlp(7, 12, 9, OUTPUTS, skips=[(0, 2), (1, 3)]),
    "conv": mep_hw.convnet((1, 10, 10), (3, 4), kernel=3, outputs=OUTPUTS, activation="tanh"),
    "cross entropy": chain(11, 8, cost="cross_entropy"),
}


def gpu(model: Model, **changes: object) -> Gpu:
    built = machine(model, "gpu", **(TIGHT | WHOLE | changes))
    assert isinstance(built, Gpu)
    return built


@pytest.mark.parametrize("kind", OTHERS)
def test_graphs_settle_to_the_reference(kind: str) -> None:
    wanted = case(OTHERS[kind], batch=6)
    built = gpu(wanted.model, gpu__path="graph")
    assert built.path(6).name == "graph"
    free, nudged = both(built, wanted)
    assert off(free, wanted.free) < 2e-5
    assert off(nudged, wanted.nudged) < 2e-5
    assert len(set(free.sweeps.tolist())) > 1  # every sample stops by itself
    kept = built.settle(wanted.on(built.torch_device)[0][2:3])
    for a, b in zip(kept.state, free.state, strict=True):
        torch.testing.assert_close(a[0], b[2], atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", OTHERS)
def test_graphs_with_fixed_sweeps_are_those_of_the_cpu(kind: str) -> None:
    wanted = case(OTHERS[kind], batch=4)
    changes: dict[str, object] = {"settle__tolerance": 0.0, "settle__free_sweeps": 11}  # more than one chunk
    (mine, _), (theirs, _) = (
        both(built, wanted)
        for built in (gpu(wanted.model, gpu__path="graph", **changes), machine(wanted.model, **TIGHT | changes))
    )
    assert mine.sweeps.tolist() == [11] * 4
    for a, b in zip(mine.state, theirs.state, strict=True):
        torch.testing.assert_close(a.cpu(), b, atol=1e-6, rtol=0)


def test_the_path_and_its_reason() -> None:
    small = gpu(chain(8), gpu__fused_batch=16, gpu__fused_width=9)
    assert str(small.path(16)) == "fused"
    assert str(small.path(17)) == "graph: 17 samples, and the kernel pays up to 16"
    assert str(gpu(chain(10), gpu__fused_width=9).path(1)) == (
        "graph: a layer has 10 units, and the kernel pays up to 9"
    )  # fmt: skip
    assert gpu(OTHERS["skips"]).path(1).why == "it has skips"
    assert gpu(OTHERS["conv"]).path(1).why == "it has layers that are not dense"
    assert gpu(chain(8), compute__dtype="float64").path(1).why == "its states are float64"
    wide = mep_hw.mlp(3, 4, 65, cost="cross_entropy")
    assert gpu(wide).path(1).why == "its softmax has 65 units, and the kernel takes 64"
    assert gpu(mep_hw.mlp(3, 4)).path(1).why == "it has no hidden layer"
    pooled = mep_hw.convnet((1, 10, 10), (2, 3), kernel=3, pool="max", outputs=OUTPUTS)
    assert str(gpu(pooled).path(1)) == "library: max pooling"
    assert gpu(chain(8), settle__anderson=3).path(1).why == "the card asks for Anderson mixing"
    assert gpu(chain(8), settle__over_relaxation=1.2).path(1).why == "the card asks for over-relaxation"
    turning = Nudge(torch.full((2,), 0.1j), torch.zeros(2, OUTPUTS))
    assert small.path(2, turning).why == "states are complex"
    small.record_energy = True
    assert small.path(2).why == "energies are recorded after every sweep"


@pytest.mark.parametrize("width", [64, 65])
def test_a_wide_softmax_is_right_on_either_path(width: int) -> None:
    model = mep_hw.mlp(6, 8, width, cost="cross_entropy", activation="tanh")
    built, plain = gpu(model), machine(model, **TIGHT)
    x, y = torch.rand(2, 6, generator=torch.Generator().manual_seed(0)), torch.eye(width)[[3, width - 1]]
    beta = torch.tensor([0.5, -0.5])
    found = built.settle(built.tensor(x), Nudge(built.tensor(beta), built.tensor(y)))
    for a, b in zip(found.state, plain.settle(x, Nudge(beta, y)).state, strict=True):
        torch.testing.assert_close(a.cpu(), b, atol=2e-6, rtol=0)


@pytest.mark.parametrize("path", ["fused", "graph"])
def test_the_residual_of_a_start_of_its_own_is_that_of_real_units(path: str) -> None:
    """Padding of a tile jumps from 0 to 0.5 there."""
    wanted = case(chain(9, activation="sigmoid"), batch=4)
    built = gpu(wanted.model, gpu__path=path)
    x, nudge = wanted.on(built.torch_device)
    once = built.settle(x, Nudge(nudge.beta[:4], nudge.target, sweeps=1), built.settle(x).bare())
    plain = machine(wanted.model, **TIGHT)
    same = plain.settle(wanted.x, Nudge(wanted.nudge.beta[:4], wanted.nudge.target, sweeps=1), plain.settle(wanted.x))
    torch.testing.assert_close(once.residual.cpu(), same.residual, atol=1e-5, rtol=0)


def test_rounded_operands_keep_the_contrast_of_a_weak_nudge() -> None:
    """bf16 keeps 8 bits, and a nudge of 0.001 moves states by less than that; in differences nothing of it is lost."""
    model = chain(30, 20, seed=3)
    x = torch.rand(16, 7, generator=torch.Generator().manual_seed(1))
    y = torch.eye(OUTPUTS)[torch.arange(16) % OUTPUTS]
    how = estimator.make("centered", 1e-3)
    exact = [dense(u) for u in how.total(machine(model, **TIGHT), x, y).weights if u is not None]
    built = gpu(model, gpu__path="graph", settle__nudged_tolerance=1e-3)
    built.products = Products(model, built.weights, built.biases, "bf16", {})
    rounded = [dense(u).cpu() for u in how.total(built, built.tensor(x), built.tensor(y)).weights if u is not None]
    for mine, wanted in zip(rounded, exact, strict=True):
        cosine = float((mine * wanted).sum() / (mine.norm() * wanted.norm()))
        assert cosine > 0.999
        assert abs(float(mine.norm() / wanted.norm()) - 1) < 0.02
    # The same rounding of whole states, as sweeps that are not in differences have it.
    plain = machine(model, **TIGHT)
    free = plain.settle(x)
    beta = torch.full((32,), 1e-3)
    beta[16:] *= -1
    nudged = plain.settle(x, Nudge(beta, y), free)
    low = nudged.state[0].bfloat16().float()
    lost = (low[:16] - low[16:]) - (nudged.state[0][:16] - nudged.state[0][16:])
    assert float(lost.norm() / (nudged.state[0][:16] - nudged.state[0][16:]).norm()) > 0.5


def test_writes_reach_rounded_copies_and_the_kernel_alike() -> None:
    model = chain(10, 9)
    built = gpu(model)
    products = Products(model, built.weights, built.biases, "bf16", {})
    built.products = products
    built.write(1, torch.full((9, 10), 0.25))
    assert bool((products.held[1] == 0.25).all())
    assert built.chain is not None
    assert bool((built.chain.views[1] == 0.25).all())
    built.write_bias(2, torch.full((9,), 0.5))
    assert bool((built.chain.biases[built.chain.spans[1]] == 0.5).all())


@pytest.mark.parametrize("path", ["fused", "graph"])
def test_an_unsettled_free_phase_leaves_the_one_sided_estimator_alone(path: str) -> None:
    """Its error of residual / beta is what the state still moves by itself; drives of the free phase do not move."""
    model = chain(16, 12, activation="tanh", seed=5)
    x = torch.rand(8, 7, generator=torch.Generator().manual_seed(2))
    y = torch.arange(8) % OUTPUTS
    few: dict[str, object] = {"settle__tolerance": 0.0, "settle__free_sweeps": 4}

    def cosine(name: str, **more: object) -> float:
        chosen = card(name, **(TIGHT | few | more))
        report = gradient_check(model, (x, y), backend=chosen, estimator="one_sided", beta=0.002, as_trained=True)
        found = report.min_cosine
        assert found is not None
        return found

    assert cosine("gpu", gpu__path=path, **WHOLE) > 0.97
    assert cosine("cpu") < 0.9


def test_no_gpu_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "interpreted", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(CapabilityError, match="needs an NVIDIA GPU .* use --backend cpu"):
        places.place(card("gpu"))


def test_an_old_gpu_and_one_too_many_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "interpreted", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name: (7, 5))
    with pytest.raises(CapabilityError, match=r"compute capability 8\.0, and this GPU has 7\.5; use --backend cpu"):
        places.place(card("gpu"))
    with pytest.raises(CapabilityError, match="there are only 1 GPUs here"):
        places.place(card("gpu", compute__torch_device="cuda:1"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda name: (8, 0))
    assert places.place(card("gpu")) == "cuda"


def test_what_cards_may_not_ask() -> None:
    with pytest.raises(CapabilityError, match="path = fused.*does not suit: it has skips"):
        gpu(OTHERS["skips"], gpu__path="fused")
    with pytest.raises(CardError, match="gpu = None: this substrate needs it"):
        machine(chain(4), "gpu", gpu=None)
    with pytest.raises(CardError, match="gpu: kernels of a GPU"):
        machine(chain(4), "cpu", gpu={"operands": "tf32", "path": "auto", "fused_batch": 8, "fused_width": 8})


def test_a_run_says_which_path_it_took() -> None:
    x = torch.rand(12, 7, generator=torch.Generator().manual_seed(0))
    data = (x, torch.arange(12) % OUTPUTS)
    backend = card("gpu", gpu__fused_batch=8)
    run = mep_hw.train(chain(6), data, backend=backend, epochs=1, batch_size=6, progress=False)
    assert run.as_dict()["path"] == "fused"
    run = mep_hw.train(chain(6), data, backend=backend, epochs=1, batch_size=12, progress=False)
    assert run.as_dict()["path"] == "graph: 12 samples, and the kernel pays up to 8"
