"""What cannot be settled is refused by the path of its module, and bad values by their names."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_cases import Attended, mlp

from mep_hw.errors import DataError, DivergenceError, InputError, ModelError
from mep_hw.layerwise import Layerwise


class Noisy(nn.Module):
    """Random inside a forward method, which no look at modules can find."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, value: Tensor) -> Tensor:
        return nn.functional.dropout(self.inner(value), 0.5)


class Pair(nn.Linear):
    def forward(self, input: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return super().forward(input), input


class Renamed(nn.Sequential):
    """A Sequential that computes something else than its modules in order."""

    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


TIED = nn.Linear(4, 4)
ENCODER = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
REFUSED = [
    (nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Dropout(0.1))), r"module 1\.1 \(Dropout\): is random"),
    (nn.Sequential(nn.Linear(8, 8), ENCODER), r"module 1\.self_attn \(MultiheadAttention\): is random.*eval mode"),
    (nn.Sequential(nn.Linear(4, 4), nn.RReLU()), r"module 1 \(RReLU\): is random"),
    (nn.Sequential(nn.LSTM(4, 4), nn.Linear(4, 4)), r"module 0 \(LSTM\): takes or returns more.*supported are.*Linear"),
    (nn.Sequential(nn.GRU(4, 4)), r"module 0 \(GRU\)"),
    (nn.Sequential(nn.Linear(4, 4), nn.LazyLinear(4)), r"module 1 \(LazyLinear\): is lazy"),
    (nn.Sequential(TIED, nn.ReLU(), TIED, nn.ReLU()), r"module 2 to 3: parameter = \(4, 4\): is shared with module 0"),
    (nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, 0.0)), r"module 0\.self_attn .*batch in dimension 1"),
    (nn.TransformerEncoder(ENCODER, 2), r"module layers\.0\.self_attn \(MultiheadAttention\): is random.*eval mode"),
    (
        nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, 0.0), 2, enable_nested_tensor=False),
        r"module layers\.0\.self_attn .*batch in dimension 1",
    ),
    (nn.Sequential(nn.Linear(4, 4), nn.Embedding(3, 4)), r"module 1 \(Embedding\): needs integers"),
    (nn.Sequential(nn.Embedding(3, 4, max_norm=1.0)), r"module 0 \(Embedding\): changes its weights"),
    (nn.Sequential(nn.ReLU()), "Sequential: has no parameters"),
    (nn.Sequential(), "Sequential: has no parameters"),
    (Attended(), r"model = Attended: is no nn\.Sequential.*give blocks="),
    (Renamed(nn.Linear(4, 4)), "model = Renamed: is no nn"),
]


@pytest.mark.parametrize(("module", "message"), REFUSED)
def test_modules_are_named(module: nn.Module, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Layerwise(module)


def test_switching_dropout_on_later_is_refused_too() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1)).eval()
    energy = Layerwise(module)
    module(torch.ones(2, 4))
    energy.contrast(torch.ones(2, 4), beta=0.1)
    module.train()
    with pytest.raises(ModelError, match=r"module 1 \(Dropout\)"):
        module(torch.ones(2, 4))


def spectral() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(4, 4)), nn.Linear(4, 4))


class NormalisedTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, value: Tensor) -> Tensor:
        return self.norm(self.norm(value).tanh())


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.Sequential(nn.Linear(4, 4), Noisy()), r"blocks = 0 \| 1: do not give the output"),
        (spectral(), r"module 0\.parametrizations\.weight\.0 .*changes in every forward pass"),
        (nn.Sequential(nn.Linear(4, 4), nn.Unflatten(0, (1, -1)), nn.Linear(4, 4)), r"module 1 .*output = \(1, 3, 4\)"),
    ],
)
def test_what_shows_only_in_the_evaluation(module: nn.Module, message: str) -> None:
    energy = Layerwise(module)
    output = module(torch.randn(3, 4))
    with pytest.raises(ModelError, match=message):
        energy.contrast(torch.zeros_like(output), beta=0.1)


class Detached(nn.Linear):
    """Depends on its parameters only, as backprop sees it."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.detach())


class Stopped(nn.Module):
    def forward(self, value: Tensor) -> Tensor:
        return value.detach()


class Coded(nn.Linear):
    """An integer code of what it computes."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input).argmax(-1, keepdim=True)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([Detached(4, 4)], "module 1: has no gradient to its input; take out what cuts it off"),
        ([nn.Linear(4, 4), Stopped(), nn.Linear(4, 4)], "module 1 to 2: has no gradient to its input"),
        ([Coded(4, 4)], "module 1: output = torch.int64: must be floating, as states are; let the model end"),
    ],
)
def test_a_block_without_a_gradient_is_named(blocks: list[nn.Module], message: str) -> None:
    module = nn.Sequential(nn.Linear(4, 4), *blocks)
    energy = Layerwise(module)
    output = module(torch.randn(3, 4))
    with pytest.raises(ModelError, match=message):
        energy.contrast(torch.zeros(output.shape), beta=0.1)


def test_a_first_block_without_a_gradient_may_stay_as_it_is() -> None:
    module = nn.Sequential(nn.Linear(4, 4), Stopped(), nn.Linear(4, 4))
    energy = Layerwise(module)
    module(torch.randn(3, 4))
    with pytest.raises(ModelError, match="module 0 to 1: has no gradient to its parameters"):
        energy.contrast(torch.zeros(3, 4), beta=0.1)
    assert set(energy.contrast(torch.zeros(3, 4), beta=0.1, parameters=module[2].parameters()).values) == {
        *module[2].parameters()
    }


def test_a_block_with_two_outputs_is_refused() -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.pair = Pair(4, 4)

        def forward(self, value: Tensor) -> Tensor:
            return self.pair(value)[0]

    module = Whole()
    energy = Layerwise(module, [module.pair])
    module(torch.ones(2, 4))
    with pytest.raises(ModelError, match=r"module pair \(Pair\): output = tuple: must be one tensor"):
        energy.contrast(torch.ones(2, 4), beta=0.1)


def test_batch_statistics_of_one_module_in_two_places_are_refused() -> None:
    module = nn.Sequential(nn.Linear(4, 4), NormalisedTwice())
    Layerwise(module)
    with pytest.raises(ModelError, match=r"module 1\.norm \(BatchNorm1d\): is used twice"):
        module(torch.randn(3, 4))


def test_blocks_in_the_wrong_order_are_refused() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    energy = Layerwise(module, [module[2], module[1], module[0]])
    module(torch.ones(2, 4))
    with pytest.raises(ModelError, match=r"blocks = 2 \| 1 \| 0: do not give"):
        energy.contrast(torch.ones(2, 4), beta=0.1)


VALUES = [
    ({"beta": 0.0}, InputError, "beta = 0.0: must be above 0"),
    ({"beta": 0.1, "estimator": "holomorphic"}, InputError, "estimator = holomorphic: is not one of centered"),
    ({"beta": 0.1, "loss": "hinge"}, InputError, "loss = hinge: is not one of squared_error"),
    ({"beta": 0.1, "loss": "cross_entropy"}, DataError, "dtype = torch.float64: must be integer labels"),
    ({"beta": 0.1, "tolerance": -1.0}, InputError, "tolerance = -1.0"),
    ({"beta": 0.1, "sweeps": 0}, InputError, "sweeps = 0: must be at least 1"),
    ({"beta": "0.1"}, InputError, "beta = 0.1: must be a number"),
    ({"beta": 0.1, "tolerance": None}, InputError, "tolerance = None: must be a number"),
    ({"beta": 0.1, "sweeps": 2.5}, InputError, "sweeps = 2.5: must be a whole number"),
]


@pytest.mark.parametrize(("options", "kind", "message"), VALUES)
def test_values_are_named(options: dict[str, object], kind: type[InputError], message: str) -> None:
    case = mlp(2)
    energy = case.layerwise()
    case.module(case.x)
    with pytest.raises(kind, match=message):
        energy.contrast(case.target, **options)  # pyright: ignore[reportArgumentType]


TARGETS = [
    (torch.zeros(5), r"shape = \(5,\): must be \(5, 4\)"),
    (torch.full((5, 4), float("nan")), "values = NaN or infinite"),
    (torch.zeros(4, dtype=torch.int64), r"shape = \(4,\): must be \(5,\)"),
    (torch.full((5,), 4), "labels = 4 to 4: must lie between 0 and 3"),
    (torch.full((5,), -1), "labels = -1 to -1"),
    (torch.zeros(5, 4, dtype=torch.bool), "dtype = torch.bool"),
]


@pytest.mark.parametrize(("target", "message"), TARGETS)
def test_targets_are_checked(target: Tensor, message: str) -> None:
    case = mlp(2)
    energy = case.layerwise()
    case.module(case.x)
    with pytest.raises(DataError, match=message):
        energy.contrast(target, beta=0.1)


def test_a_free_phase_comes_first_and_takes_one_tensor() -> None:
    case = mlp(2)
    energy = case.layerwise()
    with pytest.raises(InputError, match=r"has no free phase yet; call model\(x\) first"):
        energy.contrast(case.target, beta=0.1)
    with pytest.raises(InputError, match="arguments = 0 positional, 1 named"):
        case.module(input=case.x)
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(InputError, match="autocast = True: would round the small changes"),
    ):
        case.module(case.x)
    with torch.inference_mode():
        case.module(case.x)
    assert energy.x is None


def test_nan_is_a_divergence() -> None:
    case = mlp(2)
    energy = case.layerwise()
    case.module(case.x * float("nan"))
    with pytest.raises(DivergenceError, match="check inputs for NaN"):
        energy.contrast(case.target, beta=0.1)
