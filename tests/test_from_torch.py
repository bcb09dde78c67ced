"""An nn.Sequential and the model made from it compute the same feed-forward pass; what has no counterpart is named."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from mep_hw.errors import ModelError
from mep_hw.from_torch import from_torch
from mep_hw.model import Model
from mep_hw.spec import BoxSpec


def feed_forward(model: Model, x: Tensor) -> Tensor:
    """The read-out when no layer hears from those above it."""
    values = [x]
    for number, layer in enumerate(model.layers, start=1):
        drive = model.biases[number - 1]
        for c in model.incoming[number]:
            coupling = model.couplings[c]
            drive = coupling.forward(values[coupling.source], model.weights[c], drive)
        assert drive is not None
        values.append(drive if layer.activation is None else layer.activation.rho(drive))
    return values[-1]


def dense() -> nn.Sequential:
    inner = nn.Sequential(nn.Linear(7, 6, bias=False), nn.Identity(), nn.ReLU6())
    first, last = nn.Linear(5, 7), nn.Linear(6, 3)
    return nn.Sequential(first, nn.Hardtanh(-0.5, 2.0), inner, nn.Linear(6, 6), nn.Hardsigmoid(), last)


def pooled() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.MaxPool2d(3, stride=1, padding=1), nn.Hardtanh(0, 1),
        nn.AvgPool2d(2), nn.Conv2d(3, 4, 2, bias=False), nn.AvgPool2d(2, stride=1), nn.Tanh(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4, 5), nn.Sigmoid(), nn.Linear(5, 3),
    )  # fmt: skip


def pool_first() -> nn.Sequential:
    return nn.Sequential(
        nn.AvgPool2d(2, padding=1), nn.Conv2d(2, 3, 3, padding="same"), nn.Flatten(), nn.Sigmoid(), nn.Linear(3 * 81, 2)
    )


def no_image() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * 16 * 16, 4), nn.Tanh(), nn.Linear(4, 2))


@pytest.mark.parametrize(
    ("build", "shape"), [(dense, (5,)), (pooled, (2, 16, 16)), (pool_first, (2, 16, 16)), (no_image, (2, 16, 16))]
)
def test_the_feed_forward_pass_is_the_same(build, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = build().double()
    model = from_torch(module, input_shape=shape)
    x = 3 * torch.randn((4, *shape), dtype=torch.float64)
    assert torch.allclose(feed_forward(model, x), module(x), rtol=0, atol=1e-12)


def test_pooling_lands_on_the_right_side_of_the_activation() -> None:
    first, second, third, _ = from_torch(pooled(), input_shape=(2, 16, 16)).spec.layers
    assert [p.pool for p in first.after] == ["max"] and first.before == ()
    assert [p.pool for p in second.before] == ["avg"] and [p.pool for p in second.after] == ["avg"]
    assert [p.pool for p in third.before] == ["max"] and not second.bias and third.bias


def test_activations_keep_their_numbers() -> None:
    layers = from_torch(dense()).spec.layers
    wanted = [BoxSpec(low=-0.5, high=2.0), "clipped_relu", BoxSpec(gain=1 / 6, offset=0.5), None]
    assert [layer.activation for layer in layers] == wanted


def test_weights_are_copies_in_the_format_of_the_module() -> None:
    module = dense()
    model = from_torch(module)
    before = model.weights[0].clone()
    with torch.no_grad():
        module[0].weight.zero_()
    assert model.weights[0].dtype == torch.float32 and not model.weights[0].requires_grad
    assert torch.equal(model.weights[0], before) and bool(before.any())
    assert from_torch(dense().double()).weights[0].dtype == torch.float64


@pytest.mark.parametrize("last", [nn.Softmax(dim=1), nn.LogSoftmax(dim=-1)])
def test_a_last_softmax_means_cross_entropy(last: nn.Module) -> None:
    assert from_torch(nn.Sequential(*dense(), last, nn.Identity())).spec.cost == "cross_entropy"
    assert from_torch(dense()).spec.cost == "squared_error"
    assert from_torch(dense(), cost="cross_entropy").spec.cost == "cross_entropy"


def test_an_activation_may_be_used_twice_but_a_weighted_layer_may_not() -> None:
    act, tied = nn.Tanh(), nn.Linear(4, 4)
    model = from_torch(nn.Sequential(nn.Linear(4, 4), act, nn.Linear(4, 4), act, nn.Linear(4, 4)))
    assert model.depth == 3
    with pytest.raises(ModelError, match=r"module 2 \(Linear\): occurs twice"):
        from_torch(nn.Sequential(tied, act, tied, act, nn.Linear(4, 2)))


def around(*parts: nn.Module) -> nn.Sequential:
    return nn.Sequential(*parts, nn.Flatten(), nn.Linear(8, 2))


class Doubled(nn.Linear):
    """Computes something else than a Linear."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


REFUSED = [
    (nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), r"1 \(ReLU\).*ReLU6 or Hardtanh\(0, 1\).*Conv2d"),
    (nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.Tanh(), nn.Dropout()), nn.Linear(3, 2)), r"1\.1 \(Dropout\)"),
    (nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)), r"1 \(BatchNorm1d\).*supported: Linear"),
    (nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2)), r"module 0 \(Linear\): has no activation"),
    (nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Tanh(), nn.Linear(3, 2)), r"module 2 \(Tanh\): does not follow"),
    (nn.Sequential(nn.Tanh(), nn.Linear(3, 2)), r"module 0 \(Tanh\): does not follow"),
    (nn.Sequential(nn.Linear(4, 3), nn.Tanh()), r"module 1 \(Tanh\): comes last"),
    (nn.Sequential(nn.Linear(4, 3), nn.Softmax(1), nn.Linear(3, 2)), r"module 1 \(Softmax\)"),
    (nn.Sequential(nn.Linear(4, 3), nn.Softmax(0)), r"module 1 \(Softmax\): normalises over dimension 0"),
    (nn.Sequential(nn.Linear(4, 3), nn.Hardtanh(0, float("inf")), nn.Linear(3, 2)), "finite"),
    (nn.Sequential(Doubled(4, 2)), r"module 0 \(Doubled\)"),
    (nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(5, 2)), r"in_features 5, but what comes before it gives 3"),
    (nn.Sequential(nn.Conv2d(2, 1, 3), nn.Tanh(), nn.Flatten(), nn.Linear(4, 2)), "give input_shape="),
    (nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 2)), "give input_shape="),
    (nn.Sequential(nn.Identity()), "holds no Linear"),
    (nn.Linear(4, 2), "must be an nn.Sequential"),
]


@pytest.mark.parametrize(("module", "message"), REFUSED)
def test_modules_without_a_counterpart_are_named(module: nn.Module, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        from_torch(module)  # pyright: ignore[reportArgumentType]


REFUSED_IMAGES = [
    (around(nn.Conv2d(3, 2, 3), nn.Tanh()), r"0 \(Conv2d\): has in_channels 3, but what comes before it gives 2"),
    (around(nn.Conv2d(2, 2, (1, 3)), nn.Tanh()), r"kernel_size \(1, 3\), which is not square"),
    (around(nn.Conv2d(2, 2, 3, groups=2), nn.Tanh()), "groups=1"),
    (around(nn.Conv2d(2, 2, 3, dilation=2), nn.Tanh()), "dilation=1"),
    (around(nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"), nn.Tanh()), "padding_mode='zeros'"),
    (around(nn.Conv2d(2, 2, 2, padding="same"), nn.Tanh()), "pads one side more"),
    (around(nn.Conv2d(2, 2, 9), nn.Tanh()), "window = 9"),
    (around(nn.Conv2d(2, 2, 3), nn.Tanh(), nn.AvgPool2d(2, ceil_mode=True)), r"module 2 \(AvgPool2d\): uses ceil_mode"),
    (around(nn.Conv2d(2, 2, 3), nn.Tanh(), nn.MaxPool2d(2, dilation=2)), "plain form of pooling"),
    (around(nn.Conv2d(2, 2, 3), nn.AvgPool2d(2, padding=1, count_include_pad=False), nn.Tanh()), "plain form"),
    (around(nn.Conv2d(2, 2, 3), nn.Tanh()), r"3 \(Linear\): has in_features 8, but what comes before it gives 32"),
    (nn.Sequential(nn.Conv2d(2, 2, 3), nn.Tanh(), nn.Linear(4, 2)), r"module 2 \(Linear\).*put a Flatten before it"),
    (nn.Sequential(nn.Conv2d(2, 2, 3), nn.Tanh()), r"module 1 \(Tanh\): comes last"),
    (around(nn.Conv2d(2, 2, 3), nn.Tanh(), nn.Flatten(2)), "flattens only some dimensions"),
    (around(nn.Flatten(), nn.AvgPool2d(2)), r"module 1 \(AvgPool2d\): needs \(channels, height, width\)"),
]


@pytest.mark.parametrize(("module", "message"), REFUSED_IMAGES)
def test_image_modules_that_do_not_fit_are_named(module: nn.Sequential, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        from_torch(module, input_shape=(2, 6, 6))
