"""Studies: the count of products by hand, the backprop twin, and a table that agrees with its runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import mep_hw
from mep_hw.errors import ModelError
from mep_hw.studies.accuracy import accuracy_over_seeds
from mep_hw.studies.speed import backprop_twin, floor
from mep_hw.training.run import Run


def test_products_counted_by_hand() -> None:
    assert floor(mep_hw.mlp(4, 3, 2), 2, 1) == pytest.approx((2 * 12 + 9 * 6) / (2 * 12 + 3 * 6))
    conv = mep_hw.convnet((1, 6, 6), (2, 3), kernel=3, pool=None, outputs=2)
    first, second, last = 9 * 2 * 16, 9 * 2 * 3 * 4, 12 * 2
    assert floor(conv, 1, 1) == pytest.approx((2 * first + 7 * (second + last)) / (2 * first + 3 * (second + last)))


def test_the_twin_is_the_feed_forward_pass() -> None:
    model = mep_hw.mlp(6, 5, 4, 3)
    x = torch.rand(7, 6)
    with torch.no_grad():
        hidden = (x @ model.weights[0].T).clamp(0, 1)
        hidden = (hidden @ model.weights[1].T).clamp(0, 1)
        twin = backprop_twin(model)
        for layer in twin:
            if isinstance(layer, torch.nn.Linear):
                layer.bias.zero_()
        assert torch.allclose(twin(x), hidden @ model.weights[2].T, atol=1e-6)
    with pytest.raises(ModelError, match="must be a chain with squared error"):
        backprop_twin(mep_hw.mlp(6, 5, 3, cost="cross_entropy"))


def test_a_table_over_seeds(tmp_path: Path) -> None:
    def train(seed: int, checkpoint: Path) -> Run:
        return mep_hw.train(
            mep_hw.mlp(64, 8, 10, seed=seed), seed=seed, epochs=1, checkpoint=checkpoint, resume=True, progress=False
        )

    table = accuracy_over_seeds("small", train, [0, 1], tmp_path)
    assert json.loads((tmp_path / "small.json").read_text()) == table
    assert table["mean_test_error"] == pytest.approx(sum(row["test_error"] for row in table["rows"]) / 2)
    kept = json.loads((tmp_path / "logs" / "small-seed1" / "run.json").read_text())
    assert 1 - kept["test_accuracy"] == pytest.approx(table["rows"][1]["test_error"])
