"""What cannot be written or read: one line that names it, and files that are whole or not there."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest
import torch
from nir_cases import case
from problems import problem

import mep_hw
from mep_hw.errors import InputError, ModelError
from mep_hw.export import from_nir, to_nir, write_nir
from mep_hw.export import unrolled as unrolled_module
from mep_hw.model import Model


def small(**options: object) -> Model:
    return mep_hw.mlp(3, 4, 2, **options)  # pyright: ignore[reportArgumentType]


def spoiled() -> Model:
    model = small()
    model.weights[1][0, 0] = float("nan")
    return model


TO: dict[str, tuple[Callable[[], object], str]] = {
    "form": (lambda: to_nir(small(), form="graph"), "form = graph: must be one of matrices, forward"),  # pyright: ignore
    "beta 0": (lambda: to_nir(small(), nudge=0.0), "nudge = 0.0: must be a number above -1, not 0"),
    "beta -1": (lambda: to_nir(small(), nudge=-1.0), "nudge = -1.0: must be a number above -1"),
    "beta nan": (lambda: to_nir(small(), nudge=float("nan")), "nudge = nan: must be a number above -1"),
    "beta inf": (lambda: to_nir(small(), nudge=float("inf")), "nudge = inf: must be a number above -1"),
    "softmax": (lambda: to_nir(small(cost="cross_entropy"), nudge=0.1), "cost = cross_entropy: needs a softmax"),
    "nudged forward": (lambda: to_nir(small(), nudge=0.1, form="forward"), "nudge with form = forward: is a phase"),
    "half": (lambda: to_nir(small(dtype=torch.float16)), "dtype = torch.float16: is not kept by NIR files"),
    "nan": (lambda: to_nir(spoiled()), "weights.2: holds a number that is not finite"),
    "max pool": (lambda: to_nir(problem("maxpool").model), "coupling 1: max pooling has no node in NIR"),
    "max pool forward": (lambda: to_nir(problem("maxpool").model, form="forward"), "coupling 1: max pooling has no"),
    "padded": (lambda: to_nir(case("padded")[0], form="forward"), "coupling 1: the bias behind a padded pool"),
}


@pytest.mark.parametrize("name", TO)
def test_what_cannot_be_written_is_named(name: str) -> None:
    make, message = TO[name]
    with pytest.raises(ModelError, match=re.escape(message)):
        make()


def test_a_matrix_that_is_too_large_is_refused_with_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unrolled_module, "LIMIT", 128 * 192 - 1)
    with pytest.raises(ModelError, match="coupling 1 = 24576: has more than 24575 entries as a matrix; give form='for"):
        to_nir(problem("conv").model)


def edited(folder: Path, edit: Callable[[h5py.File], None], **options: object) -> Path:
    """A file of ours after `edit`."""
    path = folder / "m.nir"
    write_nir(path, to_nir(small(), **options))  # pyright: ignore[reportArgumentType]
    with h5py.File(path, "r+") as file:
        edit(file)
    return path


def put(place: str, value: object) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        del file[place]
        file[place] = value

    return edit


def remove(place: str) -> Callable[[h5py.File], None]:
    return lambda file: file.__delitem__(place)


NODES, META = "node/nodes", "node/metadata"
EDITS: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "not nir": (remove("node"), "is HDF5, but holds no NIR graph"),
    "no version": (remove("version"), "is HDF5, but holds no NIR graph"),
    "unknown node": (put(f"{NODES}/units_1/type", "Perceptron"), "node units_1 = Perceptron: is a type that this"),
    "no weight": (remove(f"{NODES}/weights_1/weight"), "graph: is not a whole NIR graph"),
    "shape": (put(f"{NODES}/weights_1/weight", np.ones((5, 3))), "graph: is not a whole NIR graph (Type inference"),
    "edges": (put("node/edges", [["input", "nowhere"]]), "graph: is not a whole NIR graph (Edge"),
    "later": (put(f"{META}/mep_format", 2), "mep_format = 2: is not the version that this mep_hw reads, 1"),
    "profile": (put(f"{META}/mep_profile", "spiking"), "mep_profile = spiking: is not 'rate'"),
    "model": (put(f"{META}/mep_model", "{"), "mep_model: holds no description of a model"),
    "no model": (remove(f"{META}/mep_model"), "mep_model: holds no description of a model"),
    "spec": (put(f"{META}/mep_model", '{"input": [3], "layers": []}'), "layers = []"),
    "other model": (
        put(f"{META}/mep_model", '{"input": [3], "layers": [{"dense": 5}, {"dense": 2}]}'),
        "node weights_1 = (4, 3): does not have the shape (5, 3) of the model in the metadata",
    ),
    "more layers": (
        put(f"{META}/mep_model", '{"input": [3], "layers": [{"dense": 4}, {"dense": 4}, {"dense": 2}]}'),
        "node weights_2 = (2, 4): does not have the shape (4, 4)",
    ),
    "fewer layers": (
        put(f"{META}/mep_model", '{"input": [3], "layers": [{"dense": 4}]}'),
        "nodes and edges = back_weights_2, units_2, weights_2, back_weights_2 -> units_1",
    ),
    "form": (put(f"{META}/mep_form", "other"), "form = other: must be one of"),
    "asymmetric": (
        put(f"{NODES}/back_weights_2/weight", np.ones((4, 2), dtype="float32")),
        "cycle of weights_2 and back_weights_2: is not the transpose of weights_2",
    ),
    "time constant": (put(f"{NODES}/units_2/tau", np.ones(2)), "node units_2 = LI: is not what the model in the"),
    "activation": (put(f"{NODES}/units_1/metadata/high", 2.0), "node units_1 = LI: is not what the model in the"),
    "bias": (put(f"{NODES}/weights_1/bias", np.zeros(7)), "node weights_1 = (7,): does not have the shape (4,)"),
    "kind": (put(f"{NODES}/weights_1/type", "Linear"), "graph: is not a whole NIR graph"),
}


@pytest.mark.parametrize("name", EDITS)
def test_a_file_that_was_changed_is_refused(name: str, tmp_path: Path) -> None:
    edit, message = EDITS[name]
    path = edited(tmp_path, edit)
    with pytest.raises(ModelError, match=re.escape(message)) as refused:
        from_nir(path)
    assert "\n" not in str(refused.value)


def test_what_a_nudge_adds_is_checked_too(tmp_path: Path) -> None:
    path = edited(tmp_path, put(f"{META}/mep_nudge", 0.25), nudge=0.5)
    with pytest.raises(ModelError, match="node units_2 = LI: is not what the model in the metadata says"):
        from_nir(path)


def test_files_of_other_kinds_are_named(tmp_path: Path) -> None:
    text, whole = tmp_path / "text.nir", tmp_path / "whole.nir"
    text.write_text("not a graph")
    write_nir(whole, to_nir(small()))
    (tmp_path / "half.nir").write_bytes(whole.read_bytes()[:2000])
    for name in ("text.nir", "half.nir"):
        with pytest.raises(ModelError, match=f"{name}: is not an HDF5 file, or a damaged one"):
            from_nir(tmp_path / name)
    for path in (tmp_path, tmp_path / "absent.nir"):
        with pytest.raises(ModelError, match="does not exist or is not a file"):
            from_nir(path)
    nir.write(tmp_path / "node.nir", nir.Linear(np.ones((2, 3))))
    with pytest.raises(ModelError, match=r"graph: holds a single node \(Linear\)"):
        from_nir(tmp_path / "node.nir")
    with pytest.raises(ModelError, match="activation = tanh: is part of a graph that mep_hw wrote"):
        from_nir(whole, activation="tanh")


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.nir"
    write_nir(path, to_nir(small()))
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_nir(path, to_nir(small(seed=1)))
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["m.nir"]
    with pytest.raises(ModelError, match="is a folder; give the name of a file in it"):
        write_nir(tmp_path, to_nir(small()))
    with pytest.raises(InputError, match="cannot be written to"):
        write_nir(tmp_path / "absent" / "m.nir", to_nir(small()))


def test_whatever_is_replaced_in_a_file_is_refused_or_changes_nothing(tmp_path: Path) -> None:
    model = case("skip", torch.float32)[0]
    whole = tmp_path / "whole.nir"
    write_nir(whole, to_nir(model, nudge=0.5))
    names: list[str] = []
    with h5py.File(whole) as file:
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    odd = (7, -0.5, "word", np.ones(3), np.ones((2, 2), dtype="float32"), np.array([], dtype="float64"))
    for number, name in enumerate(names):
        path = tmp_path / "odd.nir"
        path.write_bytes(whole.read_bytes())
        with h5py.File(path, "r+") as file:
            put(name, odd[number % len(odd)])(file) if number % 7 else remove(name)(file)
        try:
            read = from_nir(path)
        except ModelError as error:
            assert "\n" not in str(error)
        else:
            assert all(torch.equal(value, read.tensors()[key]) for key, value in model.tensors().items()), name
