"""Models through NIR files and back: every number bit for bit, and so the same settled state."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nir_cases import DENSE_KINDS, LINEAR_KINDS, case, centre, settled_output, through_file

import mep_hw
from mep_hw.export import from_nir, to_nir, write_nir
from mep_hw.export.rate import FORMS, Form
from mep_hw.model import Model

# A bias behind a padded pool has no place in that form, which test_refused holds.
PAIRS = [(kind, form) for kind in LINEAR_KINDS for form in FORMS if (kind, form) != ("padded", "forward")]


def assert_same(model: Model, read: Model) -> None:
    assert read.spec == model.spec
    mine, theirs = model.tensors(), read.tensors()
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        assert theirs[name].dtype == value.dtype and torch.equal(theirs[name], value), name


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("kind", "form"), PAIRS)
def test_every_kind_comes_back_bit_for_bit(kind: str, form: Form, dtype: torch.dtype, tmp_path: Path) -> None:
    model, x, _ = case(kind, dtype)
    assert_same(model, from_nir(through_file(to_nir(model, form=form), tmp_path)))
    centre(model)
    read = from_nir(through_file(to_nir(model, form=form), tmp_path))
    assert_same(model, read)
    assert torch.equal(read(x), model(x))


@pytest.mark.parametrize("kind", DENSE_KINDS)
def test_a_nudged_graph_holds_the_same_model(kind: str, tmp_path: Path) -> None:
    model, x, y = case(kind)
    centre(model)
    graph = through_file(to_nir(model, nudge=-0.25), tmp_path)
    assert float(graph.metadata["mep_nudge"]) == -0.25
    read = from_nir(graph)
    assert_same(model, read)
    assert torch.equal(settled_output(read, x, y, -0.25), settled_output(model, x, y, -0.25))


def test_a_trained_model_keeps_its_answers(tmp_path: Path) -> None:
    run = mep_hw.train(mep_hw.mlp(64, 12, 10), "digits", epochs=1, centre=True, progress=False)
    write_nir(tmp_path / "m.nir", to_nir(run.model))
    read = from_nir(tmp_path / "m.nir")
    assert_same(run.model, read)
    assert mep_hw.evaluate(read, "digits").accuracy == run.test_accuracy


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=2, max_size=4),
    activation=st.sampled_from(["hard_sigmoid", "clipped_relu", "sigmoid", "tanh"]),
    seed=st.integers(0, 99),
    nudge=st.none() | st.floats(-0.9, 10).filter(bool),
)
def test_any_sizes_come_back(sizes: list[int], activation: str, seed: int, nudge: float | None) -> None:
    model = mep_hw.mlp(*sizes, activation=activation, seed=seed)  # pyright: ignore[reportArgumentType]
    assert_same(model, from_nir(to_nir(model, nudge=nudge)))


@settings(max_examples=15, deadline=None)
@given(
    kernel=st.integers(1, 3), stride=st.integers(1, 3), padding=st.integers(0, 2), side=st.integers(5, 7),
    pool=st.sampled_from(["avg", None]), form=st.sampled_from(FORMS),
)  # fmt: skip
def test_any_convolution_comes_back(
    kernel: int, stride: int, padding: int, side: int, pool: str | None, form: Form
) -> None:
    shape = (2, side, side)
    if pool is not None and (side + 2 * padding - kernel) // stride < 1:
        pool = None  # nothing left to pool
    model = mep_hw.convnet(shape, (3,), kernel=kernel, stride=stride, padding=padding, pool=pool, outputs=2)
    assert_same(model, from_nir(to_nir(model, form=form)))
