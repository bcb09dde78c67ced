"""Both directions and the local product of every coupling are derivatives of one number, <s_target, Phi(s_source; W)>.

Phi itself is written out here with plain torch modules, so that a wrong forward pass is noticed as well.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mep_hw.coupling import Conv, Coupling, Dense, Identity, Pool
from mep_hw.errors import ModelError
from mep_hw.outersum import dense

Plain = Callable[[Tensor, Tensor], Tensor]


def image(operator: Conv, **pools: tuple[Pool, ...]) -> Coupling:
    return Coupling("c", 1, 2, (2, 9, 8), operator, **pools)


CASES: dict[str, tuple[Coupling, Plain]] = {
    "dense": (Coupling("c", 1, 2, (5,), Dense(3)), lambda s, w: s @ w.T),
    "dense_image": (Coupling("c", 1, 2, (2, 3, 4), Dense(3)), lambda s, w: s.flatten(1) @ w.T),
    "dense_pooled": (
        Coupling("c", 1, 2, (2, 5, 5), Dense(3), before=(Pool("avg", 2, 2),)),
        lambda s, w: nn.AvgPool2d(2)(s).flatten(1) @ w.T,
    ),
    "conv": (image(Conv(3, 3)), F.conv2d),
    "conv_stride": (image(Conv(3, 3, stride=2, padding=1)), lambda s, w: F.conv2d(s, w, stride=2, padding=1)),
    "conv_wide": (image(Conv(4, 2, stride=3, padding=2)), lambda s, w: F.conv2d(s, w, stride=3, padding=2)),
    "avg_after": (image(Conv(3, 3), after=(Pool("avg", 2, 2),)), lambda s, w: nn.AvgPool2d(2)(F.conv2d(s, w))),
    "max_after": (
        image(Conv(3, 3), after=(Pool("max", 3, 2, 1),)), lambda s, w: nn.MaxPool2d(3, 2, 1)(F.conv2d(s, w))
    ),
    "avg_before": (
        image(Conv(3, 3), before=(Pool("avg", 3, 1, 1),)), lambda s, w: F.conv2d(nn.AvgPool2d(3, 1, 1)(s), w)
    ),
    "max_before": (image(Conv(3, 2), before=(Pool("max", 2, 2),)), lambda s, w: F.conv2d(nn.MaxPool2d(2)(s), w)),
    "all": (
        image(Conv(3, 2), before=(Pool("max", 2, 1), Pool("avg", 2, 1)), after=(Pool("avg", 2, 1), Pool("max", 2, 2))),
        lambda s, w: nn.MaxPool2d(2)(nn.AvgPool2d(2, 1)(F.conv2d(nn.AvgPool2d(2, 1)(nn.MaxPool2d(2, 1)(s)), w))),
    ),
    "avg_twice": (
        image(Conv(3, 2), after=(Pool("avg", 2, 1), Pool("avg", 3, 2))),
        lambda s, w: nn.AvgPool2d(3, 2)(nn.AvgPool2d(2, 1)(F.conv2d(s, w))),
    ),
    "identity": (Coupling("c", 1, 3, (2, 3, 3), Identity()), lambda s, w: w * s),
}  # fmt: skip


def drawn(coupling: Coupling) -> tuple[Tensor, Tensor, Tensor]:
    """Source, weight and target values, the first two ready for autograd."""
    generator = torch.Generator().manual_seed(3)
    shapes = [(4, *coupling.source_shape), coupling.weight_shape, (4, *coupling.target_shape)]
    source, weight, target = (torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes)
    return source.requires_grad_(), weight.requires_grad_(), target


@pytest.mark.parametrize("name", CASES)
def test_forward_is_the_plain_torch_computation(name: str) -> None:
    coupling, plain = CASES[name]
    source, weight, target = drawn(coupling)
    wanted = plain(source, weight)
    assert wanted.shape == target.shape
    assert torch.allclose(coupling.forward(source, weight), wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_backward_and_product_are_its_derivatives(name: str) -> None:
    coupling, plain = CASES[name]
    source, weight, target = drawn(coupling)
    by_source, by_weight = torch.autograd.grad((target * plain(source, weight)).sum(), [source, weight])
    source, weight = source.detach(), weight.detach()
    assert torch.allclose(coupling.backward(target, weight, source), by_source, rtol=0, atol=1e-12)
    product = dense(coupling.product(target, source, weight))
    assert product.shape == coupling.weight_shape
    assert torch.allclose(product, by_weight, rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", CASES)
def test_add_is_added_once_and_left_alone(name: str) -> None:
    coupling, _ = CASES[name]
    source, weight, target = (v.detach() for v in drawn(coupling))
    forward, backward = coupling.forward(source, weight), coupling.backward(target, weight, source)
    channels = coupling.target_shape[0]
    bias = torch.arange(1.0, channels + 1, dtype=torch.float64).reshape(-1, *[1] * (len(coupling.target_shape) - 1))
    for add in (torch.ones_like(forward), bias):
        kept = add.clone()
        assert torch.allclose(coupling.forward(source, weight, add), forward + add, rtol=0, atol=1e-12)
        assert torch.equal(add, kept)
    add = torch.linspace(0, 1, backward.numel(), dtype=torch.float64).reshape(backward.shape)
    kept = add.clone()
    assert torch.allclose(coupling.backward(target, weight, source, add), backward + add, rtol=0, atol=1e-12)
    assert torch.equal(add, kept)


def test_average_pooling_is_linear_so_its_transpose_ignores_the_source_values() -> None:
    coupling, _ = CASES["avg_twice"]
    source, weight, target = (v.detach() for v in drawn(coupling))
    assert not coupling.routes_by_argmax and CASES["max_before"][0].routes_by_argmax
    elsewhere = coupling.backward(target, weight, torch.full_like(source, torch.nan))
    assert torch.equal(elsewhere, coupling.backward(target, weight, source))


@pytest.mark.parametrize(
    ("coupling", "message"),
    [
        (Coupling("c", 0, 1, (2, 3, 3), Conv(1, 5)), "conv: window = 5: does not fit an input of 3 with padding 0"),
        (Coupling("c", 0, 1, (2, 3, 3), Conv(1, 3), after=(Pool("avg", 2, 2),)), "pool: window = 2"),
        (Coupling("c", 0, 1, (9,), Conv(1, 3)), "conv: input = .9,."),
        (Coupling("c", 0, 1, (9,), Dense(3), before=(Pool("avg", 2, 2),)), "pool: input = .9,."),
    ],
)
def test_shapes_that_do_not_fit_are_named(coupling: Coupling, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        _ = coupling.target_shape
