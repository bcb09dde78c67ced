"""Where a module is cut: encoders at their layers if that is all they compute, and nowhere that would change it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_cases import encoder

from mep_hw.errors import InputError, ModelError
from mep_hw.layerwise import Layerwise


class Doubled(nn.TransformerEncoder):
    """An encoder that computes something else than its layers in order."""

    def forward(self, src: Tensor) -> Tensor:  # type: ignore[override]
        return 2 * super().forward(src)


class OwnLayer(nn.Linear):
    """No TransformerEncoderLayer, and not callable with one tensor."""

    def forward(self, input: Tensor, src_mask: None, is_causal: bool, src_key_padding_mask: None) -> Tensor:
        return super().forward(input)  # type: ignore[override]


def layer() -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)


def names(energy: Layerwise) -> list[str]:
    return [block.name for block in energy.blocks]


def check(module: nn.Module, x: Tensor, target: Tensor) -> None:
    """The contrast is minus the gradient of every parameter."""
    energy = Layerwise(module)
    output = module(x)
    contrast = energy.contrast(target, beta=1e-4, tolerance=1e-6)
    nn.functional.cross_entropy(output.flatten(0, -2), target.flatten(), reduction="sum").div(len(x)).backward()
    assert set(contrast.values) == set(module.parameters())
    for p, value in contrast.values.items():
        assert p.grad is not None
        assert float((value + p.grad).norm()) <= 1e-3 * float(p.grad.norm()) + 1e-9


def test_an_encoder_is_cut_into_its_layers_and_its_norm() -> None:
    case = encoder()
    assert names(case.layerwise()) == ["0", "1.layers.0", "1.layers.1", "1.norm", "2"]


def test_an_encoder_may_be_the_model_itself_and_takes_no_mask() -> None:
    torch.manual_seed(0)
    module = nn.TransformerEncoder(layer(), 3, enable_nested_tensor=False).double()
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.1 * torch.randn_like(p))
    energy = Layerwise(module)
    assert names(energy) == ["layers.0", "layers.1", "layers.2"]
    x = torch.randn(4, 5, 8, dtype=torch.float64)
    with pytest.raises(InputError, match=r"arguments = 1 positional, 1 named: must be one tensor; call model\(x\)"):
        module(x, mask=nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64))
    energy.close()
    check(module, x, torch.arange(20).view(4, 5) % 8)


def test_an_encoder_with_a_forward_of_its_own_stays_whole() -> None:
    case = encoder(Doubled)
    energy = case.layerwise()
    assert names(energy) == ["0", "1", "2"]
    energy.close()
    check(case.module, case.x, case.target)
    with pytest.raises(ModelError, match=r"model = Doubled: is no nn\.Sequential .*give blocks="):
        Layerwise(case.module[1])  # type: ignore[index]


def test_layers_that_share_weights_stay_in_one_block() -> None:
    case = encoder()
    whole = case.module[1]  # type: ignore[index]
    whole.layers[1] = whole.layers[0]
    energy = case.layerwise()
    assert names(energy) == ["0", "1", "2"]
    energy.close()
    check(case.module, case.x, case.target)


def test_layers_of_another_class_stay_in_one_block() -> None:
    case = encoder()
    whole = case.module[1]  # type: ignore[index]
    whole.layers = nn.ModuleList([layer(), OwnLayer(8, 8)]).double()
    energy = case.layerwise()
    assert names(energy) == ["0", "1", "2"]
    energy.close()
    check(case.module, case.x, case.target)
