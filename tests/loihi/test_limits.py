"""Chips as data: the bundled ones are whole, a user's own works by path, and wrong ones give one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from mep_hw.errors import CardError
from mep_hw.loihi import limits
from mep_hw.loihi.limits import Chip, Limit, chip_names, load_chip
from mep_hw.strict import parse_yaml

FOLDER = Path(limits.__file__).parent / "chips"


def quantities(chip: Chip) -> list[Limit]:
    blocks = (chip, chip.synapse_memory, chip.energy)
    return [value for block in blocks for _, value in block if isinstance(value, Limit)]


def test_bundled_chips_say_where_each_number_is_from() -> None:
    assert chip_names() == ["loihi1", "loihi2"]
    for name in chip_names():
        found = load_chip(name)
        assert found.name == name and len(quantities(found)) == 17
        for limit in quantities(found):
            assert (limit.value is None) == limit.source.startswith("unknown;") == (limit.confidence == "unknown")
    assert load_chip("loihi1").synapse_bits_per_core.count == 128 * 1024 * 8


def test_a_chip_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        (FOLDER / "loihi1.yaml").read_text().replace("value: 1024", "value: 2048").replace("loihi1", "mine")
    )
    assert load_chip(path).neurons_per_core.count == load_chip(str(path)).neurons_per_core.count == 2048


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["core_count"], 1, "core_count = 1: is not a known key; "),
        (["neurons_per_core", "value"], -1.0, "neurons_per_core.value = -1.0: must be >= 0; "),
        (["neurons_per_core", "value"], 1.5, "neurons_per_core.*: value must be a whole number, or null; "),
        (["neurons_per_core", "value"], "many", "neurons_per_core.value = many: must be a number; "),
        (["neurons_per_core", "value"], None, "neurons_per_core.*: confidence must be unknown where the value is null"),
        (
            ["axons_in_per_core", "confidence"],
            "unknown",
            "confidence must be unknown where the value is null, and only",
        ),
        (["axons_in_per_core", "confidence"], "sure", "axons_in_per_core.confidence = sure: must be 'primary', 'code'"),
        (["synapse_memory", "word_bits", "unit"], "", "synapse_memory.word_bits.unit = : must not be empty; "),
    ],
)
def test_wrong_files_give_one_line(path: list[str], value: object, message: str, tmp_path: Path) -> None:
    content = parse_yaml((FOLDER / "loihi1.yaml").read_text())
    assert isinstance(content, dict)
    block = content
    for key in path[:-1]:
        block = block[key]
    block[path[-1]] = value
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(CardError, match=message) as caught:
        load_chip(file)
    assert "\n" not in str(caught.value) and "mine.yaml" in str(caught.value)


def test_a_missing_limit_and_an_unknown_chip() -> None:
    with pytest.raises(CardError, match="chip = loihi3: is not a known chip; did you mean 'loihi.'"):
        load_chip("loihi3")
    with pytest.raises(CardError, match="nothing.yaml: cannot be read"):
        load_chip("nothing.yaml")
