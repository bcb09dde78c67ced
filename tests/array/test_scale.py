"""The range of weights that a card tells is the one that its cells reach."""

from __future__ import annotations

import pytest
import torch
from cell_arrays import device
from compiler_cards import crossbar

from mep_hw.array import banks
from mep_hw.array.scale import weight_range
from mep_hw.cards import BackendCard

F64 = torch.float64


@pytest.mark.parametrize(
    ("cells", "changes", "wanted"),
    [
        ("ecram", {"pairing": "reference"}, (-0.8276 * 1.5, 1.1724 * 1.5)),
        ("ecram", {"pairing": "differential"}, (-1.5, 1.5)),
        ("pcm", {}, (-3.0, 3.0)),
        ("flash-sonos", {"slices": 3}, (-1.5 * 1.3125, 1.5 * 1.3125)),
        ("ecram", {"slices": 2, "pairing": "reference"}, (-0.8276 * 1.875, 1.1724 * 1.875)),
    ],
)
def test_weights_reach_the_range_and_no_more(
    cells: str, changes: dict[str, object], wanted: tuple[float, float]
) -> None:
    data = crossbar(("cell",)).model_dump()
    data["array"] |= {"scale": 1.5, **changes}
    backend = BackendCard.model_validate(data)
    exact = {"law": "none", "source": "test"}
    card = device(cells, spread=None, noise=None, stuck=None, programming=exact, retention=exact)
    assert weight_range(backend, card) == pytest.approx(wanted)
    assert backend.array is not None
    made = banks.make(backend.array, card, (3, 4), torch.Generator().manual_seed(0), F64)
    for change, bound in ((-9.0, wanted[0]), (9.0, wanted[1])):
        made.write(torch.full((3, 4), change, dtype=F64), tolerance=1e-6, iterations=40)
        assert torch.allclose(made.weights, torch.tensor(bound, dtype=F64), rtol=0, atol=0.01)


def test_without_a_device_only_registers_bound_weights() -> None:
    assert weight_range(crossbar(), None) == (None, None)
