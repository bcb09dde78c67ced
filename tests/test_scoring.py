"""By what a run is judged: accuracy with labels, the loss with real-valued targets; and which epoch it keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

import mep_hw
from mep_hw.data import as_data, check, one_hot
from mep_hw.errors import InputError
from mep_hw.files import read_tensors
from mep_hw.scoring import batches


def curve(outputs: int = 1, count: int = 60) -> tuple[Tensor, Tensor]:
    """Smooth targets of random inputs in [0, 1]."""
    x = torch.rand(count, 4, generator=torch.Generator().manual_seed(3))
    return x, torch.stack([(x * (n + 1)).sin().mean(1) for n in range(outputs)], 1)


def test_batches_cover_every_sample_once_and_depend_on_the_seed_only() -> None:
    parts = batches(10, 4, 3)
    assert [len(p) for p in parts] == [4, 4, 2]
    assert sorted(torch.cat(list(parts)).tolist()) == list(range(10))
    assert all(torch.equal(a, b) for a, b in zip(parts, batches(10, 4, 3), strict=True))
    assert not torch.equal(torch.cat(list(parts)), torch.cat(list(batches(10, 4, 4))))
    for seed in (None, 3):
        assert all(p.device.type == "meta" for p in batches(10, 4, seed, torch.device("meta")))


@pytest.mark.parametrize("outputs", [1, 2])
def test_real_targets_have_a_loss_and_no_accuracy(tmp_path: Path, outputs: int) -> None:
    x, y = curve(outputs)
    run = mep_hw.train(
        mep_hw.mlp(4, 6, outputs), ((x[:40], y[:40]), (x[40:], y[40:])), epochs=2, control=True, progress=False
    )
    assert run.test_accuracy is None and run.control_accuracy is None
    assert all(row["train_accuracy"] is None and row["test_accuracy"] is None for row in run.history)
    found = mep_hw.evaluate(run.model, (x[40:], y[40:]))
    by_hand = (run.model(x[40:]) - y[40:]).square().sum(1).mean() / 2
    assert found.accuracy is None and found.loss == pytest.approx(float(by_hand), rel=1e-4)
    assert run.test_loss == pytest.approx(found.loss, rel=1e-6) and run.history[-1]["test_loss"] == run.test_loss
    assert run.control_loss is not None and run.control_loss != run.test_loss
    run.save(tmp_path)
    assert json.loads((tmp_path / "run.json").read_text())["test_accuracy"] is None
    assert (tmp_path / "curve.png").stat().st_size > 1000


def test_the_epoch_of_the_least_loss_is_kept_where_there_are_no_labels(tmp_path: Path) -> None:
    x, y = curve()
    file = tmp_path / "run.safetensors"
    run = mep_hw.train(
        mep_hw.mlp(4, 6, 1), (x, y), epochs=6, batch_size=8, validation=0.25, seed=1, checkpoint=file, progress=False
    )
    losses = [row["validation_loss"] for row in run.history]
    best = min(loss for loss in losses if loss is not None)
    assert losses[0] is not None and best < 0.9 * losses[0]  # the first epoch would be a poor choice
    _, held_x, held_y = check(as_data((x, y)), input_shape=(4,), outputs=1).split(0.25, 1)
    assert mep_hw.evaluate(run.model, (held_x, held_y)).loss == pytest.approx(best, rel=1e-5)
    assert json.loads(read_tensors(file)[1]["best"]) == -best


def test_the_epoch_of_the_best_accuracy_is_kept_where_there_are_labels() -> None:
    run = mep_hw.train(mep_hw.mlp(64, 8, 10), epochs=3, validation=0.2, progress=False)
    _, held_x, held_y = check(as_data("digits"), input_shape=(64,), outputs=10).split(0.2, 0)
    accuracies = [row["validation_accuracy"] for row in run.history]
    assert mep_hw.evaluate(run.model, (held_x, held_y)).accuracy == max(a for a in accuracies if a is not None)


def test_label_smoothing_spreads_its_share_evenly_over_the_classes() -> None:
    x, labels = curve()[0], torch.arange(60) % 3
    smooth = mep_hw.train(mep_hw.mlp(4, 6, 3), (x, labels), epochs=2, label_smoothing=0.3, progress=False)
    by_hand = mep_hw.train(mep_hw.mlp(4, 6, 3), (x, 0.7 * one_hot(labels, 3) + 0.1), epochs=2, progress=False)
    plain = mep_hw.train(mep_hw.mlp(4, 6, 3), (x, labels), epochs=2, progress=False)
    assert torch.allclose(smooth.model.weights[0], by_hand.model.weights[0], atol=1e-6)
    assert not torch.allclose(smooth.model.weights[0], plain.model.weights[0], atol=1e-4)


def test_label_smoothing_is_refused_where_there_are_no_labels() -> None:
    with pytest.raises(InputError, match="label_smoothing = 0.1: is for class labels"):
        mep_hw.train(mep_hw.mlp(4, 6, 2), curve(2), label_smoothing=0.1, progress=False)
