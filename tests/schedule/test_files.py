"""Schedules and updates as files: the same pulses afterwards, and one line for every file that is not right."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from cell_arrays import device as cells
from helpers import card
from hypothesis import given, settings

import mep_hw
from mep_hw.compiler import compile
from mep_hw.errors import InputError, ScheduleError
from mep_hw.machine import build
from mep_hw.outersum import OuterSum, Update, dense
from mep_hw.schedule import Cell, Cycle, Hold, Outer, Read, Refresh, Registers, Row, Schedule
from mep_hw.schedule.files import Saved, load, save
from mep_hw.schedule.updates import load_update, load_weights, save_update, save_weights

OUT, IN = 5, 7
PLAIN: dict[str, Any] = {"deadline": None, "derandomize": True, "database": None}  # the same examples every time


def saved(schedule: Schedule, folder: Path) -> Saved:
    save(schedule, folder / "s.npz", backend="crossbar", device="ecram", scale=0.1)
    return load(folder / "s.npz")


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, in kind, dtype and value."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and a.shape == b.shape and bool(torch.equal(a, b))
    if isinstance(a, tuple):
        return isinstance(b, tuple) and len(a) == len(b) and all(map(same, a, b))
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(same(getattr(a, n), getattr(b, n)) for n in a.__dataclass_fields__)
    return bool(a == b) and type(a) is type(b)


SEEDS = st.integers(0, 10**6)
DTYPES = st.sampled_from([torch.float32, torch.float64])


@st.composite
def tensors(draw: st.DrawFn, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(draw(SEEDS))
    scale = 10.0 ** draw(st.integers(-20, 20))
    return scale * torch.randn(*shape, generator=generator, dtype=draw(DTYPES))


@st.composite
def updates(draw: st.DrawFn) -> Update:
    if draw(st.booleans()):
        return draw(tensors(OUT, IN))
    rank = draw(st.integers(0, 3))
    left = draw(tensors(OUT, rank))
    return OuterSum(left, draw(tensors(IN, rank)).to(left), draw(st.floats(-1e9, 1e9)))


@st.composite
def cycles(draw: st.DrawFn) -> Cycle:
    generator = torch.Generator().manual_seed(draw(SEEDS))
    kind = draw(st.sampled_from([Registers, Outer, Row, Cell, Refresh, Read, Hold]))
    size = st.floats(0, 1e3)
    if kind is Registers:
        return Registers(draw(updates()))
    if kind is Outer:
        lengths = tuple(draw(st.lists(st.integers(1, 9), max_size=4)))
        words, bits = (
            torch.randint(-1, 2, (sum(lengths), n), generator=generator, dtype=torch.int8) for n in (IN, OUT)
        )
        return Outer(words, bits, lengths)
    if kind is Row:
        pulses = torch.randint(-(2**31), 2**31 - 1, (OUT, IN), generator=generator, dtype=torch.int32)
        return Row(pulses, draw(st.sampled_from(["words", "bits"])))
    if kind is Cell:
        return Cell(draw(tensors(OUT, IN)), draw(size), draw(st.integers(1, 99)))
    if kind is Refresh:
        return Refresh(draw(size), draw(st.integers(1, 99)))
    if kind is Read:
        return Read(draw(st.none() | tensors(OUT, 3)), draw(st.integers(1, 99)))
    return Hold(draw(size))


@settings(max_examples=120, **PLAIN)
@given(st.lists(cycles(), max_size=4), updates(), st.none() | updates(), st.floats(0, 10))
def test_any_schedule_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, entries: list[Cycle], intended: Update, left: Update | None, rest: float
) -> None:
    schedule = Schedule(tuple(entries), intended, left, rest)
    found = saved(schedule, tmp_path_factory.mktemp("saved"))
    assert same(found.schedule, schedule)
    assert (found.backend, found.device, found.scale, found.version) == ("crossbar", "ecram", 0.1, 1)


FORMS = {
    "row": {"write_modes": ["row"], "array__writing__read_every": 1},
    "row drawn": {"write_modes": ["row"], "array__writing__rounding": "stochastic"},
    "outer": {"write_modes": ["outer"], "array__writing__read_what": "written", "array__writing__read_every": 1},
    "outer counted": {"write_modes": ["outer"], "array__writing__trains": "deterministic"},
    "outer few": {"write_modes": ["outer"], "array__writing__rank_max": 2},
    "cell": {"write_modes": ["cell"]},
    "cell refreshed": {"write_modes": ["cell"], "array__writing__refresh_every": 1},
}


@pytest.mark.parametrize("form", FORMS)
def test_a_schedule_from_a_file_executes_as_the_one_that_was_compiled(form: str, tmp_path: Path) -> None:
    backend = card("crossbar", **FORMS[form])
    # Only pairs of cells that hold one sign are written anew.
    changes: dict[str, object] = {"w_min": 0.0} if form == "cell refreshed" else {}
    device = cells("gokmen-vlasov", **changes)
    model = mep_hw.mlp(IN, OUT, seed=1)
    generator = torch.Generator().manual_seed(2)
    change = 0.05 * torch.randn(OUT, 4, generator=generator) @ torch.randn(4, IN, generator=generator)
    first, second = (build(model, backend, device, 3) for _ in range(2))
    writing = backend.array.writing  # type: ignore[union-attr]
    schedule = compile(
        change, None, first.card_of(0), device, torch.Generator().manual_seed(4), read=writing.read_every > 0,
        refresh=writing.refresh_every > 0,
    )  # fmt: skip
    again = saved(schedule, tmp_path).schedule
    assert first.apply(0, schedule) == second.apply(0, again)
    assert torch.equal(first.read(0), second.read(0)) and not torch.equal(first.read(0), model.weights[0])


@pytest.mark.parametrize("change", [torch.randn(OUT, IN), OuterSum(torch.randn(OUT, 2), torch.randn(IN, 2), 0.3)])
def test_register_writes_execute_the_same(change: Update, tmp_path: Path) -> None:
    model, backend = mep_hw.mlp(IN, OUT), card("cpu")
    first, second = (build(model, backend, None, 0) for _ in range(2))
    schedule = compile(change, None, backend, None)
    save(schedule, tmp_path / "s.npz", backend="cpu", device=None)
    found = load(tmp_path / "s.npz")
    assert (found.device, found.scale) == (None, None)
    assert first.apply(0, schedule) == second.apply(0, found.schedule)
    assert torch.equal(first.read(0), second.read(0))


def test_updates_of_convolutions_and_of_biases_keep_their_shape(tmp_path: Path) -> None:
    for shape in ((4, 2, 3, 3), (6,)):
        schedule = Schedule((Registers(torch.randn(*shape)),), torch.randn(*shape), torch.randn(*shape))
        assert same(saved(schedule, tmp_path).schedule, schedule)


def outer() -> Schedule:
    generator = torch.Generator().manual_seed(0)
    words, bits = (torch.randint(-1, 2, (6, n), generator=generator, dtype=torch.int8) for n in (IN, OUT))
    left, right, basis, rest = (
        torch.randn(n, m, generator=generator) for n, m in ((OUT, 2), (IN, 2), (OUT, 2), (OUT, IN))
    )
    return Schedule((Outer(words, bits, (2, 4)), Read(basis, 3)), OuterSum(left, right), rest, 0.5)


def content(path: Path) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    with np.load(path) as file:
        arrays = dict(file)
    return arrays, json.loads(str(arrays["header"]))


def without(name: str) -> Callable[..., None]:
    return lambda arrays, header: arrays.pop(name)


def entry(name: str, change: Callable[[Any], Any]) -> Callable[..., None]:
    return lambda arrays, header: arrays.update({name: change(arrays[name])})


def header(**changes: object) -> Callable[..., None]:
    return lambda arrays, head: head.update(changes)


def cycle(**changes: object) -> Callable[..., None]:
    return lambda arrays, head: head["cycles"][0].update(changes)


FAULTS: dict[str, tuple[Callable[..., None], str]] = {
    "entry missing": (without("cycles.0.words"), "cycles.0.words: is missing"),
    "entry too many": (lambda a, h: a.update(extra=np.zeros(2)), "extra: is not an entry"),
    "dtype of trains": (entry("cycles.0.bits", lambda v: v.astype(np.int16)), "bits = int16: must be int8"),
    "dtype of weights": (entry("left", lambda v: v.astype(np.float16)), "left = float16: must be float32 or float64"),
    "byte order": (entry("left", lambda v: v.astype(">f4")), "left = >f4: must be"),
    "no trains": (entry("cycles.0.words", lambda v: v * 2), "words = 2: must be -1, 0 or 1"),
    "lowest byte": (entry("cycles.0.words", lambda v: np.full_like(v, -128)), "must be -1, 0 or 1"),
    "nan": (entry("left", lambda v: v * np.nan), "left = nan: must be finite"),
    "infinity": (entry("intended.left", lambda v: v / 0.0), "intended.left = nan: must be finite"),
    "lines": (entry("cycles.0.words", lambda v: v[:, 1:]), r"shape of cycles.0.words = \(6, 6\): must be \(6, 7\)"),
    "dimensions": (entry("cycles.0.words", lambda v: v[0]), "must have 2 dimensions"),
    "left": (entry("left", lambda v: v[:3]), r"shape of left = \(3, 7\): must be \(5, 7\)"),
    "ranks": (entry("intended.left", lambda v: v[:, :1]), "shapes of intended"),
    "basis": (entry("cycles.1.basis", lambda v: v[:3]), "shape of cycles.1.basis"),
    "lengths": (cycle(lengths=[2, 3]), r"shape of cycles.0.words = \(6, 7\): must be \(5, 7\)"),
    "length 0": (cycle(lengths=[0, 6]), "header.cycles.0.outer.lengths.0: input should be greater than or equal to 1"),
    "kind": (cycle(kind="column"), "header.cycles.0: input tag 'column'"),
    "version": (header(version=2), "header.version: input should be 1"),
    "format": (header(format="zip"), "header.format: input should be 'mep_hw schedule'"),
    "key too many": (header(author="me"), "header.author: extra inputs"),
    "carried": (header(carried=-1.0), "header.carried: input should be greater"),
    "scale": (header(scale=0.0), "header.scale: input should be greater"),
    "number as text": (header(carried="1"), "header.carried: input should be a valid number"),
    "not json": (lambda a, h: h.update(carried=float("nan")), "header.carried: input should be a finite number"),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # numpy: divide by zero, made on purpose
@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_contradicts_itself_is_one_line(fault: str, tmp_path: Path) -> None:
    saved(outer(), tmp_path)
    arrays, head = content(tmp_path / "s.npz")
    change, message = FAULTS[fault]
    change(arrays, head)
    np.savez(tmp_path / "broken.npz", **(arrays | {"header": np.array(json.dumps(head))}))  # type: ignore[arg-type]
    with pytest.raises(ScheduleError, match=message) as caught:
        load(tmp_path / "broken.npz")
    assert str(caught.value).startswith(str(tmp_path / "broken.npz")) and "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_truncated_file_is_one_line(share: float, tmp_path: Path) -> None:
    saved(outer(), tmp_path)
    whole = (tmp_path / "s.npz").read_bytes()
    (tmp_path / "s.npz").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match="s.npz: is not a whole npz file|s.npz: cannot be read"):
        load(tmp_path / "s.npz")


@settings(max_examples=300, **PLAIN)
@given(st.data())
def test_a_file_with_altered_bytes_is_refused_or_read_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """The zip's checksums cover the arrays; places that nobody reads may change."""
    folder, schedule = tmp_path_factory.mktemp("altered"), outer()
    saved(schedule, folder)
    raw = bytearray((folder / "s.npz").read_bytes())
    place = int(data.draw(st.floats(0, 1, exclude_max=True)) * len(raw))
    raw[place] ^= data.draw(st.integers(1, 255))
    (folder / "s.npz").write_bytes(raw)
    try:
        found = load(folder / "s.npz")
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert same(found.schedule, schedule)


def test_other_files_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    with pytest.raises(InputError, match=r"cannot be read \(No such file"):
        load(path)
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory"):
        load(tmp_path)
    path.write_text("weights: 3")
    with pytest.raises(InputError, match="not a whole npz file"):
        load(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match="is a single array"):
        load(path)
    np.savez(path, header=np.array([{}], dtype=object))
    with pytest.raises(InputError, match="not a whole npz file of numbers"):
        load(path)
    np.savez(path, header=np.zeros(3))
    with pytest.raises(InputError, match="header = float64: must be text"):
        load(path)
    np.savez(path, header=np.array("{"))
    with pytest.raises(InputError, match="header: invalid JSON"):
        load(path)
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(huge, {"descr": "<f8", "fortran_order": False, "shape": (2**50,)})
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("header.npy", huge.getvalue())
    with pytest.raises(InputError, match="not a whole npz file"):
        load(path)
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("header.npy", b"text")
    with pytest.raises(InputError, match="is not an array|not a whole"):
        load(path)


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    wrong = [
        Schedule((), torch.full((2, 2), torch.nan)),
        Schedule((Hold(float("nan")),), torch.zeros(2, 2)),
        Schedule((Row(torch.zeros(2, 3, dtype=torch.int32)),), torch.zeros(2, 2)),
        Schedule((), torch.zeros(2, 2, dtype=torch.bfloat16)),
    ]
    for schedule in wrong:
        with pytest.raises(ScheduleError, match="schedule: "):
            save(schedule, tmp_path / "s.npz", backend="cpu", device=None)
    with pytest.raises(InputError, match="cannot be written to"):
        save(outer(), tmp_path / "no" / "s.npz", backend="cpu", device=None)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("update", [torch.randn(OUT, IN), OuterSum(torch.randn(OUT, 2), torch.randn(IN, 2), -0.5)])
def test_updates_are_read_as_they_were_written(update: Update, tmp_path: Path) -> None:
    held, residual = torch.randn(OUT, IN, dtype=torch.float64), OuterSum(torch.randn(OUT, 1), torch.randn(IN, 1))
    save_update(tmp_path / "u.npz", update, held=held, residual=residual)
    found = load_update(tmp_path / "u.npz")
    assert same(found.update, update) and same(found.held, held) and same(found.residual, dense(residual))
    assert same(load_weights(tmp_path / "u.npz"), held)
    save_update(tmp_path / "u.npz", update)
    assert (load_update(tmp_path / "u.npz").held, load_update(tmp_path / "u.npz").residual) == (None, None)
    save_weights(tmp_path / "w.npz", held)
    assert same(load_weights(tmp_path / "w.npz"), held)


ROUGH: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({"held": np.zeros((2, 2))}, "update: is missing"),
    "one side": ({"left": np.zeros((2, 1))}, "right: is missing"),
    "rank 0": ({"left": np.zeros((2, 0)), "right": np.zeros((3, 0))}, "r at least 1"),
    "columns": ({"left": np.zeros((2, 1)), "right": np.zeros((3, 2))}, "r at least 1"),
    "empty": ({"update": np.zeros((0, 3))}, "must not be empty"),
    "vector": ({"update": np.zeros(3)}, "must have 2 dimensions"),
    "whole numbers": ({"update": np.zeros((2, 2), dtype=int)}, "must be float32 or float64"),
    "nan": ({"update": np.full((2, 2), np.nan)}, "must be finite"),
    "scale": ({"left": np.zeros((2, 1)), "right": np.zeros((2, 1)), "scale": np.nan}, "scale = nan: must be one"),
    "both": ({"update": np.zeros((2, 2)), "left": np.zeros((2, 1))}, "left: is not an entry"),
    "held": ({"update": np.zeros((2, 2)), "held": np.zeros((2, 3))}, r"shape of held = \(2, 3\): must be \(2, 2\)"),
    "residual": ({"update": np.zeros((2, 2)), "residual": np.zeros((3, 2))}, "shape of residual"),
}


@pytest.mark.parametrize("fault", ROUGH)
def test_a_rough_update_is_one_line(fault: str, tmp_path: Path) -> None:
    arrays, message = ROUGH[fault]
    np.savez(tmp_path / "u.npz", **arrays)
    with pytest.raises(ScheduleError, match=message):
        load_update(tmp_path / "u.npz")
