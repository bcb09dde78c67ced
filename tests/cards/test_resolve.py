"""The substrate class of a card: found on sys.path, then beside the card; a missing vendor package names its extra."""

from __future__ import annotations

import importlib.metadata
import sys
from email.message import Message
from pathlib import Path

import pytest

from mep_hw.cards import BackendCard, import_substrate, load_backend, root
from mep_hw.errors import CapabilityError, CardError

CPU = (root("backends") / "cpu" / "card.yaml").read_text(encoding="utf-8")


def own_card(folder: Path, substrate: str, name: str = "my_chip") -> BackendCard:
    folder.mkdir(exist_ok=True)
    path = folder / "my_chip.yaml"
    text = CPU.replace("mep_hw.substrates.cpu:Cpu", substrate).replace("name: cpu", f"name: {name}")
    path.write_text(text, encoding="utf-8")
    return load_backend(path)


def test_any_importable_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert import_substrate(own_card(tmp_path, "collections:OrderedDict")).__name__ == "OrderedDict"
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "tests_module.py").write_text("class Chip: where = 'sys.path'\n")
    (tmp_path / "tests_module.py").write_text("class Chip: where = 'beside'\n")
    monkeypatch.syspath_prepend(elsewhere)
    monkeypatch.delitem(sys.modules, "tests_module", raising=False)
    assert import_substrate(own_card(tmp_path, "tests_module:Chip")).__dict__["where"] == "sys.path"


def test_a_module_beside_the_card(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        card = own_card(tmp_path / folder, "beside_only:Chip")
        (tmp_path / folder / "beside_only.py").write_text(
            f"from dataclasses import dataclass\n@dataclass\nclass Chip:\n    size: 'int' = 3\n    where = {folder!r}\n"
        )
        chip = import_substrate(card)
        assert chip.__dict__["where"] == folder
        assert import_substrate(card) is chip
    assert "beside_only" not in sys.modules


def test_a_dotted_module_beside_the_card(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "chip.py").write_text("class Chip: pass\n")
    assert import_substrate(own_card(tmp_path, "parts.chip:Chip")).__name__ == "Chip"


def test_a_module_that_fails_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "broken_chip.py").write_text("raise RuntimeError('at import')\n")
    card = own_card(tmp_path, "broken_chip:Chip")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="at import"):
            import_substrate(card)
    assert not [name for name in sys.modules if name.endswith("broken_chip")]


@pytest.mark.parametrize(
    ("substrate", "message"),
    [
        ("no_such_module:Chip", "module no_such_module is neither on sys.path nor a file beside the card; install it"),
        ("mep_hw.cards.none:Chip", "module mep_hw.cards.none is neither on sys.path nor a file beside the card"),
        ("mep_hw.cards:BackendCart", "module mep_hw.cards has no class BackendCart; did you mean 'BackendCard'?"),
        ("mep_hw.cards:root", "module mep_hw.cards has no class root; name a class of that module"),
    ],
)
def test_missing_module_or_class(tmp_path: Path, substrate: str, message: str) -> None:
    with pytest.raises(CardError) as caught:
        import_substrate(own_card(tmp_path, substrate))
    start = f"{tmp_path.resolve() / 'my_chip.yaml'}: substrate = {substrate}: {message}"
    assert str(caught.value).startswith(start)


def test_a_card_without_a_file_is_only_looked_up_on_sys_path() -> None:
    data = load_backend("cpu").model_dump() | {"substrate": "no_such_module:Chip"}
    with pytest.raises(CardError, match="card cpu: substrate = no_such_module:Chip: module no_such_module is not on"):
        import_substrate(BackendCard.model_validate(data))


def vendor_message(folder: Path, backend: str) -> str:
    (folder / "needs_vendor.py").write_text("import some_vendor.api\nclass Chip: pass\n")
    with pytest.raises(CapabilityError) as caught:
        import_substrate(own_card(folder, "needs_vendor:Chip", backend))
    return str(caught.value)


def test_a_missing_vendor_package_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = Message()
    metadata["Requires-Dist"] = "numpy"
    metadata["Requires-Dist"] = 'Some-Vendor>=1; extra == "vendor"'
    metadata["Provides-Extra"] = "vendor"
    monkeypatch.setattr(importlib.metadata, "metadata", lambda name: metadata)
    needs = "backend my_chip: needs the Python package 'some_vendor', which is not installed; "
    assert vendor_message(tmp_path, "my_chip") == needs + 'run pip install "mep-hw[vendor]"'

    del metadata["Requires-Dist"]
    assert vendor_message(tmp_path, "my_chip") == needs + "install the package that provides 'some_vendor'"
    metadata["Provides-Extra"] = "my_chip"
    assert vendor_message(tmp_path, "my_chip") == needs + 'run pip install "mep-hw[my_chip]"'


def test_a_missing_vendor_package_in_a_bare_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Message:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "metadata", absent)
    assert vendor_message(tmp_path, "my_chip").endswith("install the package that provides 'some_vendor'")


def test_a_broken_import_of_ours_is_not_blamed_on_the_card(tmp_path: Path) -> None:
    (tmp_path / "uses_ours.py").write_text("import mep_hw.does_not_exist\n")
    with pytest.raises(ModuleNotFoundError, match="mep_hw.does_not_exist"):
        import_substrate(own_card(tmp_path, "uses_ours:Chip"))
