"""Every option changes what it should, and nothing is changed by a step that is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import mep_hw
from mep_hw.errors import CheckpointError, DataError, DivergenceError, InputError, ModelError
from mep_hw.optimizers import SDMEPOptimizer, SMEPOptimizer

X, Y = torch.randn(12, 6, generator=torch.Generator().manual_seed(1)), torch.arange(12) % 3


def module() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 3)
    ).double()


def ran(kind: type[SMEPOptimizer] = SMEPOptimizer, steps: int = 3, **given: Any) -> list[Tensor]:
    """Parameters after some steps of mode ep."""
    net = module()
    with torch.no_grad():
        net[2].weight.mul_(2.0)
    optimizer = kind(net.parameters(), model=net, **given)
    for _ in range(steps):
        net(X.double())
        optimizer.step(target=Y)
    return [p.detach() for p in net.parameters()]


def distance(one: list[Tensor], other: list[Tensor]) -> float:
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True))


SMEP: list[dict[str, Any]] = [
    {"lr": 0.01}, {"beta": 0.5}, {"settle_steps": 1}, {"estimator": "one_sided"}, {"tolerance": 1.0},
    {"loss": "squared_error"}, {"momentum": 0.5}, {"nesterov": False}, {"weight_decay": 1.0},
    {"use_spectral_constraint": True}, {"use_spectral_constraint": True, "gamma": 0.3},
]  # fmt: skip


@pytest.mark.parametrize("given", SMEP, ids=str)
def test_options_of_smep(given: dict[str, Any]) -> None:
    base = {"use_spectral_constraint": True} if "gamma" in given else {}
    assert distance(ran(**base), ran(**base)) == 0.0
    assert distance(ran(**(base | given)), ran(**base)) > 1e-6


SDMEP: list[dict[str, Any]] = [{"rank_frac": 0.5}, {"dion_thresh": 1e6}, {"use_error_feedback": False}, {"seed": 1}]


@pytest.mark.parametrize("given", SDMEP, ids=str)
def test_options_of_sdmep(given: dict[str, Any]) -> None:
    base = {"dion_thresh": 100.0}
    assert distance(ran(SDMEPOptimizer, **base), ran(SDMEPOptimizer, **base)) == 0.0
    assert distance(ran(SDMEPOptimizer, **(base | given)), ran(SDMEPOptimizer, **base)) > 1e-6


def fixed(dtype: torch.dtype, steps: int, **given: Any) -> float:
    """Mean change of a matrix under a constant gradient, in a number format."""
    p = nn.Parameter(torch.ones(4, 4, dtype=dtype))
    optimizer = SMEPOptimizer([p], mode="backprop", **given)
    p.grad = torch.eye(4).flip(0).to(dtype)
    for _ in range(steps):
        optimizer.step()
    return float((1 - p.detach().double()).sum()) / 4


@pytest.mark.parametrize(("dtype", "lr"), [(torch.bfloat16, 1e-4), (torch.float16, 1e-5), (torch.float32, 1e-9)])
def test_feedback_saves_what_rounding_loses(dtype: torch.dtype, lr: float) -> None:
    steps = 400
    assert fixed(dtype, steps, lr=lr) == 0.0
    spacing = torch.finfo(dtype).eps
    assert fixed(dtype, steps, lr=lr, use_error_feedback=True) == pytest.approx(steps * lr, abs=spacing)


def test_matrices_get_orthogonal_steps_and_the_rest_adam() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 5, 3), nn.LayerNorm((4, 4)), nn.Flatten(), nn.Linear(80, 3))
    table = nn.Embedding(7, 6)
    whole = nn.ModuleList([net, table])
    start = {name: p.detach().clone() for name, p in whole.named_parameters()}
    optimizer = SMEPOptimizer(whole.parameters(), model=whole, lr=0.01, mode="backprop")
    adam = torch.optim.Adam([p.clone().detach().requires_grad_() for p in whole.parameters()], 0.01, (0.95, 0.999))
    (net(torch.randn(3, 2, 6, 6)).square().sum() + table(torch.tensor([1, 2])).sum()).backward()
    for mine, twin in zip(whole.parameters(), adam.param_groups[0]["params"], strict=True):
        twin.grad = mine.grad
    optimizer.step()
    adam.step()
    twins = dict(zip(start, adam.param_groups[0]["params"], strict=True))
    for name, p in whole.named_parameters():
        if name in ("0.0.weight", "0.3.weight"):
            change = (p.detach() - start[name]).flatten(1)
            scale = max(1.0, change.shape[0] / change.shape[1]) ** 0.5
            assert torch.allclose(torch.linalg.svdvals(change) / (0.01 * scale), torch.ones(len(change)), atol=1e-2)
        else:
            assert torch.allclose(p, twins[name], atol=1e-7), name


def nan_in_the_last() -> tuple[nn.Sequential, SMEPOptimizer]:
    net = module()
    optimizer = SMEPOptimizer(net.parameters(), mode="backprop", use_error_feedback=True)
    for _ in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(X.double()), Y).backward()
        optimizer.step()
    net[6].bias.grad[1] = float("nan")
    return net, optimizer


def test_a_nan_gradient_changes_nothing() -> None:
    net, optimizer = nan_in_the_last()
    values = [p.detach().clone() for p in net.parameters()]
    memory = {p: {k: v.clone() for k, v in m.items()} for p, m in optimizer.state.items()}
    with pytest.raises(DivergenceError, match="gradient = NaN or infinite in number 7: must be finite; nothing was"):
        optimizer.step()
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), values, strict=True))
    assert all(torch.equal(v, memory[p][k]) for p, m in optimizer.state.items() for k, v in m.items())


def test_overflow_of_the_format_changes_nothing() -> None:
    p, q = nn.Parameter(torch.zeros(4, 4).half()), nn.Parameter(torch.full((4, 4), 65000.0).half())
    optimizer = SMEPOptimizer([p, q], lr=1e4, mode="backprop")
    p.grad = q.grad = -torch.eye(4).half()
    with pytest.raises(DivergenceError, match="new values = NaN or infinite in number 1"):
        optimizer.step()
    assert not bool(p.any())


@pytest.mark.parametrize("kind", ["module", "model"])
def test_a_nan_contrast_changes_nothing(kind: str) -> None:
    net = module().float() if kind == "module" else mep_hw.mlp(6, 8, 3)
    optimizer = SMEPOptimizer(net.parameters(), model=net)
    values = [p.detach().clone() for p in net.parameters()]
    net(X * float("nan"))
    with pytest.raises(DivergenceError):
        optimizer.step(target=Y)
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), values, strict=True))
    assert not optimizer.state


BUILT: list[tuple[dict[str, Any], str]] = [
    ({"lr": 0.0}, "lr = 0.0: must be above 0"),
    ({"lr": float("nan")}, "lr = nan"),
    ({"mode": "bptt"}, "mode = bptt: is not one of ep, backprop"),
    ({"beta": 0.0}, "beta = 0.0: must be above 0"),
    ({"settle_steps": 0}, "settle_steps = 0: must be at least 1"),
    ({"estimator": "holomorphic"}, "estimator = holomorphic: is not one of centered"),
    ({"tolerance": -1.0}, "tolerance = -1.0"),
    ({"loss": "hinge"}, "loss = hinge: is not one of squared_error"),
    ({"momentum": 1.0}, "momentum = 1.0"),
    ({"weight_decay": -0.1}, "weight_decay = -0.1"),
    ({"use_spectral_constraint": True, "gamma": 0.0}, "gamma = 0.0: must be above 0 and at most 1"),
    ({"use_spectral_constraint": True, "gamma": 1.1}, "gamma = 1.1"),
    ({"gamma": 0.9}, "gamma = 0.9: has no effect without the constraint; set use_spectral_constraint=True"),
    ({"mode": "backprop", "beta": 0.1}, "beta = 0.1: has no effect in mode backprop"),
    ({"mode": "backprop", "settle_steps": 5}, "settle_steps = 5: has no effect in mode backprop"),
    ({"mode": "backprop", "blocks": []}, r"blocks = \[\]: has no effect in mode backprop"),
    ({"beta": "0.1"}, "beta = 0.1: must be a number; 0.01 is a good start"),
    ({"settle_steps": 2.5}, "settle_steps = 2.5: must be a whole number; 20 is a good start"),
    ({"settle_steps": True}, "settle_steps = True: must be a number"),
    ({"tolerance": "tight"}, "tolerance = tight: must be a number"),
    ({"use_spectral_constraint": True, "gamma": "0.9"}, "gamma = 0.9: must be a number"),
    ({"lr": "0.1"}, "lr = 0.1: must be a number; 0.02 is a good start"),
    ({"lr": None}, "lr = None: must be a number"),
    ({"momentum": True}, "momentum = True: must be a number"),
    ({"momentum": [0.9, 0.99]}, r"momentum = \[0.9, 0.99\]: must be a number"),
    ({"weight_decay": "none"}, "weight_decay = none: must be a number"),
]


@pytest.mark.parametrize(("given", "message"), BUILT)
def test_bad_settings(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SMEPOptimizer(module().parameters(), **given)


def test_bad_settings_of_groups_and_of_sdmep() -> None:
    net = module()
    with pytest.raises(InputError, match="rank_frac = 0.0: must be above 0"):
        SDMEPOptimizer(net.parameters(), rank_frac=0.0)
    with pytest.raises(InputError, match="rank_frac = 1.5"):
        SDMEPOptimizer(net.parameters(), rank_frac=1.5)
    with pytest.raises(InputError, match="dion_thresh = -1"):
        SDMEPOptimizer(net.parameters(), dion_thresh=-1)
    with pytest.raises(InputError, match="rank_frac = half: must be a number; leave it out"):
        SDMEPOptimizer(net.parameters(), rank_frac="half")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="lr = -1.0"):
        SMEPOptimizer([{"params": net.parameters(), "lr": -1.0}])


@pytest.mark.parametrize(("field", "value", "message"), [
    ("momentum", 1.0, "optimizer: momentum = 1.0: must be at least 0 and below 1; 0.95 is usual"),
    ("momentum", "high", "momentum = high: must be a number"),
    ("lr", float("nan"), "optimizer: lr = nan: must be at least 0 and finite; see who sets it"),
    ("lr", -0.1, "lr = -0.1: must be at least 0"),
    ("weight_decay", float("inf"), "weight_decay = inf: must be at least 0"),
])  # fmt: skip
@pytest.mark.parametrize("mode", ["ep", "backprop"])
def test_numbers_that_are_set_later_are_checked_at_the_step(mode: str, field: str, value: Any, message: str) -> None:
    net = module()
    optimizer = SMEPOptimizer(net.parameters(), mode=mode, **({"model": net} if mode == "ep" else {}))
    values = [p.detach().clone() for p in net.parameters()]
    good = optimizer.param_groups[0][field]
    nn.functional.cross_entropy(net(X.double()), Y).backward()
    target = {"target": Y} if mode == "ep" else {}
    optimizer.param_groups[0][field] = value
    with pytest.raises(InputError, match=message):
        optimizer.step(**target)
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), values, strict=True)) and not optimizer.state
    optimizer.param_groups[0][field] = torch.tensor(good)  # as schedulers of a capturable optimizer leave it
    optimizer.step(**target)  # the forward call before is still good
    assert not torch.equal(net[0].weight, values[0])


def test_models_that_do_not_fit() -> None:
    net, other = module(), module()
    with pytest.raises(InputError, match=r"parameter = number 0 of shape \(16, 6\): does not belong to the model"):
        SMEPOptimizer(net.parameters(), model=other)
    with pytest.raises(ModelError, match=r"module 0 \(LSTM\)"):
        lstm = nn.Sequential(nn.LSTM(4, 4))
        SMEPOptimizer(lstm.parameters(), model=lstm)
    whole = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    with pytest.raises(InputError, match=r"parameter = 2.weight of shape \(4, 4\): is in no block"):
        SMEPOptimizer(whole.parameters(), model=whole, blocks=[whole[0], whole[1]])
    late = SMEPOptimizer(net[0].parameters(), model=net)
    late.add_param_group({"params": net[2].parameters()})
    with pytest.raises(InputError, match=r"parameter = number 4 of shape \(16, 6\): is in no block of the model"):
        late.add_param_group({"params": other[0].parameters()})
    assert len(late.param_groups) == 2
    model = mep_hw.mlp(6, 8, 3)
    with pytest.raises(InputError, match="has no gradients for mode backprop"):
        SMEPOptimizer(model.parameters(), model=model, mode="backprop")
    with pytest.raises(InputError, match="blocks = 1 modules: has no effect with a mep_hw.Model"):
        SMEPOptimizer(model.parameters(), model=model, blocks=[nn.Linear(2, 2)])
    with pytest.raises(InputError, match="none of the parameters given is a matrix between hidden layers"):
        SMEPOptimizer(net[6].parameters(), model=net, use_spectral_constraint=True)


def test_steps_that_lack_something() -> None:
    net = module()
    optimizer = SMEPOptimizer(net.parameters(), model=net)
    with pytest.raises(InputError, match="target = None: is needed in mode ep"):
        optimizer.step()
    with pytest.raises(InputError, match=r"has no free phase yet; call model\(x\) first"):
        optimizer.step(target=Y)
    with pytest.raises(InputError, match="step argument closure = function: has no effect in mode ep"):
        optimizer.step(lambda: 0.0)
    with pytest.raises(InputError, match="model = Sequential: is not the optimizer's own"):
        optimizer.step(x=X.double(), target=Y, model=module())
    net(X.double())
    optimizer.step(target=Y)
    with pytest.raises(InputError, match="has no free phase yet"):  # each forward call serves one step
        optimizer.step(target=Y)
    plain = SMEPOptimizer(net.parameters(), mode="backprop")
    with pytest.raises(InputError, match="step argument target = Tensor: has no effect in mode backprop"):
        plain.step(target=Y)
    legacy = SMEPOptimizer(net.parameters())
    with pytest.raises(InputError, match="model = None: is not known"):
        legacy.step(target=Y)
    with pytest.raises(InputError, match="x = None: is needed with a new model"):
        legacy.step(target=Y, model=net)
    legacy.step(x=X.double(), target=Y, model=net)
    legacy.step(x=X.double(), target=Y, model=nn.Sequential(*net))  # another model of the same parameters
    assert len(net._forward_hooks) == 1  # that of `optimizer` above
    with pytest.raises(InputError, match=r"parameter = number 0 of shape \(16, 6\): does not belong to the model"):
        legacy.step(x=X.double(), target=Y, model=module())


@pytest.mark.parametrize("kind", ["module", "model"])
def test_a_closed_optimizer_hears_no_more(kind: str) -> None:
    net = module().float() if kind == "module" else mep_hw.mlp(6, 8, 3)
    optimizer = SMEPOptimizer(net.parameters(), model=net)
    optimizer.close()
    net(X)
    with pytest.raises(InputError, match="model = None: is not known"):
        optimizer.step(target=Y)
    hooks = net.listeners if isinstance(net, mep_hw.Model) else net._forward_hooks
    assert not hooks


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (Y[:5], r"shape = \(5,\): must be \(12,\)"),
        (Y + 1, "labels = 1 to 3"),
        (torch.zeros(12, 3, dtype=torch.bool), "dtype = torch.bool"),
        (torch.zeros(12, 4), r"shape = \(12, 4\): must be \(12, 3\)"),
    ],
)
@pytest.mark.parametrize("kind", ["module", "model"])
def test_targets_that_do_not_fit(kind: str, target: Tensor, message: str) -> None:
    net = module().float() if kind == "module" else mep_hw.mlp(6, 8, 3)
    optimizer = SMEPOptimizer(net.parameters(), model=net)
    net(X)
    with pytest.raises(DataError, match=None if kind == "model" else message):
        optimizer.step(target=target)


def test_an_equilibrium_model_has_its_own_loss() -> None:
    model = mep_hw.mlp(6, 8, 3)
    optimizer = SMEPOptimizer(model.parameters(), model=model, loss="cross_entropy")
    model(X)
    with pytest.raises(InputError, match="loss = cross_entropy: is not the squared_error that the model"):
        optimizer.step(target=Y)
    with pytest.raises(DataError, match=r"input shape = \(12, 5\)"):
        model(X[:, :5])


def test_sparse_gradients_are_refused() -> None:
    table = nn.Embedding(5, 4, sparse=True)
    optimizer = SMEPOptimizer(table.parameters(), mode="backprop")
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(InputError, match="gradient = sparse: must be dense"):
        optimizer.step()


def test_a_state_of_other_settings_is_refused() -> None:
    net = module()
    kinds = [SMEPOptimizer(net.parameters(), mode="backprop", use_error_feedback=flag) for flag in (True, False)]
    nn.functional.cross_entropy(net(X.double()), Y).backward()
    kinds[0].step()
    kinds[1].load_state_dict(kinds[0].state_dict())
    with pytest.raises(CheckpointError, match="optimizer state: number 0 = .*residual.*must hold rule.m"):
        kinds[1].step()
