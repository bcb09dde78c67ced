"""Bundled cards load and hold their values; a user's own card works by path; nothing else is taken for a card."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError

import mep_hw.cards.load as load_module
from mep_hw.cards import (
    BackendCard,
    DeviceCard,
    Known,
    Quantity,
    backend_names,
    device_names,
    load_backend,
    load_device,
    root,
)
from mep_hw.cards.explain import keys
from mep_hw.errors import CardError


def copy_of_cpu(folder: Path, name: str = "my_chip", file: str = "my_chip.yaml") -> Path:
    """A user's own card, made from the bundled cpu card; returns its path."""
    text = (root("backends") / "cpu" / "card.yaml").read_text(encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file
    path.write_text(text.replace("name: cpu", f"name: {name}"), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", backend_names())
def test_every_bundled_backend_loads_with_its_device_and_readme(name: str) -> None:
    card = load_backend(name)
    assert card.name == name
    assert card.origin == f"backends/{name}/card.yaml"
    assert (root("backends") / name / "README.md").is_file()
    if card.device is not None:
        assert load_device(card.device).name == card.device


@pytest.mark.parametrize("name", device_names())
def test_every_bundled_device_has_golden_statistics(name: str) -> None:
    assert load_device(name).name == name
    golden = json.loads((root("devices") / name / "golden.json").read_text(encoding="utf-8"))
    assert golden["device"] == name and golden["source"]
    for statistic in golden["statistics"].values():
        assert set(statistic) == {"value", "tolerance", "unit"}
        assert statistic["tolerance"] >= 0


def test_the_values_of_the_first_cards() -> None:
    assert {"cpu", "reference"} <= set(backend_names()) and "ideal" in device_names()
    cpu, reference = load_backend("cpu"), load_backend("reference")
    assert (cpu.compute.dtype, reference.compute.dtype) == ("float32", "float64")
    assert (cpu.settle.anderson, reference.settle.anderson) == (5, 0)
    assert cpu.settle.euler_step is None and reference.settle.euler_step == 0.5
    assert cpu.write_modes == reference.write_modes == ("exact",)
    assert load_device("ideal").w_max.value is None
    assert load_device("reram-es").family == "exp-step" and load_device("reram-es").w_max.value == 1.0


@pytest.mark.parametrize("name", device_names())
def test_every_number_of_a_device_has_a_source_and_what_is_unknown_says_so(name: str) -> None:
    def quantities(block: BaseModel) -> Iterator[Quantity | Known]:
        for field in type(block).model_fields:
            value = getattr(block, field)
            if isinstance(value, Quantity | Known):
                yield value
            elif isinstance(value, BaseModel):
                yield from quantities(value)

    for quantity in quantities(load_device(name)):
        if quantity.value is None:
            assert quantity.source.startswith(("unknown: ", "unbounded, ", "no smallest change, ", "no pulses, "))
        else:
            assert not quantity.source.startswith("unknown")


@pytest.mark.parametrize("schema", [BackendCard, DeviceCard])
def test_every_field_says_what_it_means(schema: type[BaseModel]) -> None:
    for name, info in schema.model_fields.items():
        assert info.description, f"{schema.__name__}.{name}"
        for inner in (info.annotation, *get_args(info.annotation)):
            if isinstance(inner, type) and issubclass(inner, BaseModel):
                test_every_field_says_what_it_means(inner)


@pytest.mark.parametrize("schema", [BackendCard, DeviceCard])
def test_bundled_cards_write_their_keys_in_schema_order(schema: type[BaseModel]) -> None:
    card = load_backend("cpu") if schema is BackendCard else load_device("ideal")
    assert card.path is not None
    written = [line.split(":")[0] for line in card.path.read_text().splitlines() if line and line[0].isalpha()]
    assert written == [key for key in keys(schema) if key in written]


def test_a_card_survives_dump_and_validation() -> None:
    card = load_backend("cpu")
    again = BackendCard.model_validate(card.model_dump())
    assert again.model_dump() == card.model_dump()
    assert again.path is None and again.origin == "card cpu"
    assert BackendCard.model_validate_json(card.model_dump_json()).model_dump() == card.model_dump()


def test_cards_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_backend("cpu").settle.anderson = 3


def test_own_card_by_path_text_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = copy_of_cpu(tmp_path)
    assert load_backend(path).name == "my_chip"
    assert load_backend(str(path)).path == path.resolve()
    monkeypatch.chdir(tmp_path)
    assert load_backend("my_chip.yaml").name == "my_chip"
    copy_of_cpu(tmp_path / "my_chip", file="card.yaml")
    assert load_backend("./my_chip").name == "my_chip"
    assert load_backend(Path("my_chip")).name == "my_chip"


def test_own_folder_must_bear_the_name_of_its_card(tmp_path: Path) -> None:
    copy_of_cpu(tmp_path / "other", file="card.yaml")
    with pytest.raises(CardError, match="name = my_chip: must equal the name of its folder, other; rename"):
        load_backend(tmp_path / "other")


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(CardError) as caught:
        load_backend("referense")
    message = str(caught.value)
    assert message.startswith("backend = referense: is not a known backend; did you mean 'reference'? ")
    assert "known backends are " in message and " cpu, " in message and "path" in message
    with pytest.raises(CardError, match="device = zzz: is not a known device; known devices are"):
        load_device("zzz")


def test_a_name_is_not_a_way_into_other_folders(tmp_path: Path) -> None:
    with pytest.raises(CardError, match="not a known backend"):
        load_backend("..")
    with pytest.raises(CardError, match="not a known backend"):
        load_backend("")
    with pytest.raises(CardError, match="cannot be read: No such file"):
        load_backend(tmp_path / "absent.yaml")


def test_installation_without_cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_module, "__file__", str(tmp_path / "mep_hw" / "cards" / "load.py"))
    with pytest.raises(CardError, match="backends: is missing from this installation"):
        root("backends")
    (tmp_path / "backends").mkdir()
    assert root("backends") == (tmp_path / "backends").resolve()
    (tmp_path / "mep_hw" / "cards" / "backends").mkdir(parents=True)
    assert root("backends") == (tmp_path / "mep_hw" / "cards" / "backends").resolve()
