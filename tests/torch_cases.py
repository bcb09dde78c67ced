"""Small torch modules of every kind, with inputs and targets, and the gradient that backprop gives for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mep_hw.layerwise import Layerwise

DOUBLE = torch.float64


@dataclass
class Case:
    module: nn.Module
    x: Tensor
    target: Tensor
    blocks: list[nn.Module] | None = None

    def layerwise(self) -> Layerwise:
        return Layerwise(self.module, self.blocks)


class Residual(nn.Module):
    """s + W tanh(s)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Linear(width, width)

    def forward(self, value: Tensor) -> Tensor:
        return value + self.inner(torch.tanh(value))


class Attended(nn.Module):
    """A model that is no Sequential, so that its blocks have to be given."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(11, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 11)

    def forward(self, tokens: Tensor) -> Tensor:
        value = self.table(tokens)
        return self.head(self.norm(self.attention(value, value, value)[0]))

    def blocks(self) -> list[nn.Module]:
        return [self.table, self.attention, self.norm, self.head]


def mlp(hidden: int, *, loss: str = "squared_error", samples: int = 5) -> Case:
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Linear(7, 10), nn.Tanh()]
    for _ in range(hidden - 1):
        layers += [nn.Linear(10, 10), nn.Tanh()]
    module = nn.Sequential(*layers, nn.Linear(10, 4))
    for layer in module:
        if isinstance(layer, nn.Linear):
            nn.init.orthogonal_(layer.weight)
    target = torch.randn(samples, 4) if loss == "squared_error" else torch.arange(samples) % 4
    return _double(module, torch.randn(samples, 7), target)


def conv() -> Case:
    torch.manual_seed(1)
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2),
        nn.Sequential(nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5), nn.ELU()), nn.Flatten(), nn.Linear(20, 4),
    )  # fmt: skip
    return _double(module, torch.randn(6, 2, 8, 8), torch.arange(6) % 4)


def conv1d() -> Case:
    torch.manual_seed(2)
    module = nn.Sequential(
        nn.Flatten(2), nn.Conv1d(2, 4, 3), nn.ReLU(inplace=True), nn.AvgPool1d(2), nn.Flatten(), nn.Linear(12, 3)
    )
    return _double(module, torch.randn(5, 2, 2, 4), torch.randn(5, 3))


def residual() -> Case:
    torch.manual_seed(3)
    blocks = [Residual(9) for _ in range(4)]
    module = nn.Sequential(nn.Linear(7, 9), *blocks, nn.LayerNorm(9), nn.Linear(9, 4))
    return _double(module, torch.randn(5, 7), torch.arange(5) % 4)


def transformer() -> Case:
    torch.manual_seed(4)
    layers = [nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True) for _ in range(2)]
    module = nn.Sequential(nn.Embedding(11, 8), *layers, nn.Linear(8, 11))
    return _double(module, torch.randint(0, 11, (4, 6)), torch.randint(0, 11, (4, 6)))


def encoder(kind: type[nn.TransformerEncoder] = nn.TransformerEncoder) -> Case:
    """Layers in an nn.TransformerEncoder, with normalisation first and at the end."""
    torch.manual_seed(6)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=True)
    whole = kind(layer, 2, norm=nn.LayerNorm(8), enable_nested_tensor=False)
    with torch.no_grad():
        for p in whole.parameters():  # the layers are copies of one
            p.add_(0.1 * torch.randn_like(p))
    module = nn.Sequential(nn.Embedding(11, 8), whole, nn.Linear(8, 11))
    return _double(module, torch.randint(0, 11, (4, 6)), torch.randint(0, 11, (4, 6)))


def attention() -> Case:
    torch.manual_seed(5)
    module = Attended()
    case = _double(module, torch.randint(0, 11, (4, 6)), torch.randint(0, 11, (4, 6)))
    case.blocks = module.blocks()
    return case


CASES: dict[str, Callable[[], Case]] = {
    "2 hidden": lambda: mlp(2), "8 hidden": lambda: mlp(8), "16 hidden": lambda: mlp(16),
    "cross entropy": lambda: mlp(2, loss="cross_entropy"), "conv": conv, "conv1d": conv1d, "residual": residual,
    "transformer": transformer, "attention": attention, "encoder": encoder,
}  # fmt: skip


def cost(output: Tensor, target: Tensor) -> Tensor:
    """C per sample, written with torch's own losses."""
    if target.is_floating_point():
        return 0.5 * nn.functional.mse_loss(output, target, reduction="none").flatten(1).sum(1)
    rows = nn.functional.cross_entropy(output.flatten(0, -2), target.flatten(), reduction="none")
    return rows.reshape(len(target), -1).sum(1)


def backprop(case: Case, energy: Layerwise) -> list[Tensor]:
    """Gradient of the mean of C in the module's parameters, batch statistics held as in the last forward call."""
    with energy.statistics.frozen():
        loss = cost(case.module(case.x), case.target).mean()
        return list(torch.autograd.grad(loss, list(case.module.parameters())))


def _double(module: nn.Module, x: Tensor, target: Tensor) -> Case:
    return Case(
        module.to(DOUBLE), x.to(DOUBLE) if x.is_floating_point() else x,
        target.to(DOUBLE) if target.is_floating_point() else target,
    )  # fmt: skip
