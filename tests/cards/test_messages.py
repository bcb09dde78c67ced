"""Each way to get a card wrong gives one line: file, field, value, rule, way out."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from mep_hw.cards import Converter, DeviceCard, load_backend, load_device, root
from mep_hw.cards.blocks import Block
from mep_hw.cards.explain import card_error
from mep_hw.errors import CardError

CPU = (root("backends") / "cpu" / "card.yaml").read_text(encoding="utf-8")
IDEAL = (root("devices") / "ideal" / "card.yaml").read_text(encoding="utf-8")


def backend_message(folder: Path, old: str, new: str) -> str:
    """The message for the cpu card with one piece of its text replaced, without the folder."""
    assert old in CPU
    path = folder / "my.yaml"
    path.write_text(CPU.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CardError) as caught:
        load_backend(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tolerance: 1.0e-5", "tolerance: -1", "my.yaml: settle.tolerance = -1: must be >= 0; it means: largest"),
        ("lr: 0.003", "lr: 0", "my.yaml: training.lr = 0: must be > 0; it means: learning rate"),
        ("momentum: 0.9", "momentum: 1.0", "my.yaml: training.momentum = 1.0: must be < 1; it means"),
        ("euler_step: null", "euler_step: 2", "my.yaml: settle.euler_step = 2: must be <= 1; it means: dt / tau"),
        ("free_sweeps: 50", "free_sweeps: 0", "my.yaml: settle.free_sweeps = 0: must be >= 1; it means"),
        ("free_sweeps: 50", "free_sweeps: 2.5", "my.yaml: settle.free_sweeps = 2.5: must be a whole number; it means"),
        ("free_sweeps: 50", "free_sweeps: true", "my.yaml: settle.free_sweeps = True: must be a whole number; it"),
        ("free_sweeps: 50", "free_sweeps:", "my.yaml: settle.free_sweeps = null: must be a whole number; it means"),
        ("lr: 0.003", "lr: fast", "my.yaml: training.lr = fast: must be a number; it means"),
        ("lr: 0.003", 'lr: "0.1"', "my.yaml: training.lr = 0.1: must be a number; it means"),
        ("lr: 0.003", "lr: .nan", "my.yaml: training.lr = nan: must be a finite number; it means"),
        ("tolerance: 1.0e-5", "tolerance: .inf", "my.yaml: settle.tolerance = inf: must be a finite number; it means"),
        ("complex_states: true", "complex_states: 1", "my.yaml: complex_states = 1: must be true or false; it means"),
        ("  beta: 0.001", "", "my.yaml: training.beta: is missing; it means: nudging strength"),
        ("schema: 1", "schema: 2", "my.yaml: schema = 2: must be 1; it means: version"),
        ("dtype: float32", "dtype: half", "my.yaml: compute.dtype = half: must be 'float32' or 'float64'; it means"),
        ("torch_device: cpu", "torch_device: cud", "my.yaml: compute.torch_device = cud: must be a device of torch"),
        ("[exact]", "[exact, fast]", "my.yaml: write_modes.1 = fast: must be 'exact', 'outer', 'row' or 'cell'; it"),
        ("[exact]", "exact", "my.yaml: write_modes = exact: must be a list; it means"),
        ("[exact]", "[]", "my.yaml: write_modes = []: must not be empty; it means"),
        ("[exact]", "[cell]", "my.yaml: write_modes = ['cell']: must be [exact] without an array block, as digital"),
        (
            "write_modes: [exact]",
            "array: {rows: 8, cols: 8}\nwrite_modes: [row, exact]",
            "my.yaml: write_modes = ['row', 'exact']: must not hold exact beside an array block, whose cells take",
        ),
        ("[exact]", "[exact, exact]", "my.yaml: write_modes = ['exact', 'exact']: must name each mode once; it means"),
        ("summary: Fast", 'summary: ""  # Fast', "my.yaml: summary = : must not be empty; it means"),
        ("name: cpu", "name: My Chip", "my.yaml: name = My Chip: must match ^[a-z0-9][a-z0-9_-]*$; it means"),
        ("cpu:Cpu", "cpu", "my.yaml: substrate = mep_hw.substrates.cpu: must match "),
        ("unsupported: {}", "unsupported: [seed]", "my.yaml: conformance.unsupported = ['seed']: must be a block of"),
        ("unsupported: {}", 'unsupported: {seed: " "}', "my.yaml: conformance.unsupported.seed = : must not be empty"),
    ],
)
def test_a_broken_rule_names_field_value_rule_and_meaning(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert backend_message(tmp_path, old, new).startswith(message)


ARRAY = """array:
  rows: 128
  cols: 128
  pairing: differential
  wires: {word_ohm: 1.0, bit_ohm: 2.0}
  forward: {adc: {bits: 8, range: 4.0}}
  read_noise: {absolute: 0.01}
  circuit: {read_s: 2.0e-7, drive_s: 1.0e-7, adc_j: 1.0e-12, unsourced: [adc_j]}
settle:"""


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bits: 8", "bits: 1", "my.yaml: array.forward.adc.bits = 1: must be >= 2; it means: resolution, 2 to 16 bits"),
        ("bits: 8", "bits: 17", "my.yaml: array.forward.adc.bits = 17: must be <= 16; it means: resolution"),
        ("range: 4.0", "range: 0", "my.yaml: array.forward.adc.range = 0: must be > 0; it means: largest value before"),
        (", range: 4.0", "", "my.yaml: array.forward.adc.range = null: must be given where bits are; it means"),
        ("rows: 128", "rows: 0", "my.yaml: array.rows = 0: must be >= 1; it means: word lines of one array"),
        ("  cols: 128\n", "", "my.yaml: array.cols: is missing; it means: bit lines of one array"),
        ("word_ohm: 1.0", "word_ohm: -1", "my.yaml: array.wires.word_ohm = -1: must be >= 0; it means: resistance of"),
        ("bit_ohm: 2.0", "bit_ohm: .inf", "my.yaml: array.wires.bit_ohm = inf: must be a finite number; it means"),
        ("bit_ohm", "bit_ohms", "my.yaml: array.wires.bit_ohms = 2.0: is not a known key; did you mean 'bit_ohm'?"),
        ("differential", "pair", "my.yaml: array.pairing = pair: must be 'differential', 'reference' or 'device'"),
        ("128\n  pairing: differential", "1\n  pairing: reference", "my.yaml: array.pairing = reference: with a"),
        ("absolute: 0.01", "absolute: -0.01", "my.yaml: array.read_noise.absolute = -0.01: must be >= 0; it means"),
        ("drive_s: 1.0e-7", "drive_s: 3.0e-7", "my.yaml: array.circuit.drive_s = 3e-07: must be at most read_s, 2e-07"),
        ("[adc_j]", "[dac_j]", "my.yaml: array.circuit.unsourced = ['dac_j']: must name fields of this block that"),
        ("[adc_j]", "[adc]", "my.yaml: array.circuit.unsourced = ['adc']: must name fields of this block that"),
    ],
)  # fmt: skip
def test_impossible_arrays(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in ARRAY
    assert backend_message(tmp_path, "settle:", ARRAY.replace(old, new, 1)).startswith(message)


def test_an_array_is_ideal_where_nothing_is_said(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(CPU.replace("settle:", ARRAY, 1).replace("[exact]", "[row]"), encoding="utf-8")
    array = load_backend(path).array
    assert array is not None and array.forward.adc.bits == 8 and array.wires.solution == "exact"
    assert array.forward.dac == array.transposed.adc == Converter() and Converter().bits is None
    assert load_backend("cpu").array is None


def test_unknown_key_gets_a_guess_and_the_known_ones(tmp_path: Path) -> None:
    message = backend_message(tmp_path, "  tolerance:", "  tolerence:")
    assert message.startswith(
        "my.yaml: settle.tolerence = 1e-05: is not a known key; did you mean 'tolerance'? "
        "known keys are free_sweeps, nudged_sweeps, tolerance, "
    )
    message = backend_message(tmp_path, "complex_states:", "zebra: 1\ncomplex_states:")
    assert message.startswith("my.yaml: zebra = 1: is not a known key; known keys are schema, name, summary, ")


@pytest.mark.parametrize(
    ("text", "spot"),
    [
        ("name: [1, 2\nsummary: x", "line 2, column 8: expected ',' or ']'"),
        ("a: 1\nb: 2\na: 3\n", "line 3, column 1: key 'a' is given twice; mend"),
        ("a: 1\n---\nb: 2\n", "line 2, column 1: but found another document"),
        ("a: !!python/object:os.system {}\n", "line 1, column 4: could not determine a constructor for the tag"),
        ("? [a]\n: 1\n", "line 1, column 3: found unhashable key"),
        ("a: \x00\n", "is not YAML: unacceptable character"),
        ("", "must be a block of keys and values; start from"),
        ("- a\n", "must be a block of keys and values; start from"),
        ("1: a\n", "1 = 1: is not a known key; known keys are schema, name, "),
    ],
)
def test_malformed_yaml_says_where(tmp_path: Path, text: str, spot: str) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CardError) as caught:
        load_backend(path)
    assert str(caught.value).startswith(f"{path}: {spot}")


def test_duplicate_key_inside_a_block(tmp_path: Path) -> None:
    message = backend_message(tmp_path, "  anderson: 5\n", "  anderson: 5\n  anderson: 6\n")
    assert "key 'anderson' is given twice" in message and "line " in message


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_bytes("name: \u00e9".encode("latin-1"))
    with pytest.raises(CardError, match=r"is not UTF-8 text \(byte 6\)"):
        load_backend(path)


def test_short_exponents_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    text = CPU.replace("lr: 0.003", "lr: 1e-3").replace("tolerance: 1.0e-5", "tolerance: 1E-3")
    path.write_text(text, encoding="utf-8")
    card = load_backend(path)
    assert (card.training.lr, card.settle.tolerance) == (0.001, 0.001)


def test_device_range_and_step(tmp_path: Path) -> None:
    path = tmp_path / "cell.yaml"
    bounded = IDEAL.replace("value: null", "value: 0.5", 1)  # w_min
    path.write_text(bounded.replace("w_max: {value: null", "w_max: {value: -0.5"), encoding="utf-8")
    with pytest.raises(CardError, match=r"w_max = \{.*: must have a value above that of w_min, 0.5; it means: highest"):
        load_device(path)
    path.write_text(IDEAL.replace("dw_min: {value: null", "dw_min: {value: 0"), encoding="utf-8")
    with pytest.raises(CardError, match=r"dw_min = \{.*: must have a value above 0, or null; it means"):
        load_device(path)
    source = ', source: "no smallest change, by definition of the ideal cell"'
    path.write_text(IDEAL.replace(source, ""), encoding="utf-8")
    with pytest.raises(CardError, match=r"cell.yaml: dw_min.source: is missing; it means: where the number comes from"):
        load_device(path)
    path.write_text(IDEAL.replace("w_min: {value: null", "w_min: {value: low"), encoding="utf-8")
    with pytest.raises(CardError, match=r"w_min.value = low: must be a number"):
        load_device(path)


ECRAM = (root("devices") / "ecram" / "card.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("family: linear-step", "family: linear", "cell.yaml: response.family = linear: must be one of 'ideal', 'prog"),
        (
            "  family: linear-step",
            "  # nothing",
            "cell.yaml: response.family: is missing; it means: the pulse-response",
        ),
        ("  gamma_up:", "  gama_up:", "cell.yaml: response.gama_up = {'value': 0.1153, "),
        (
            "gamma_up: {value: 0.1153",
            "gamma_up: {value: null",
            "cell.yaml: response.gamma_up.value = null: must be a number",
        ),
        (
            "gamma_up_spread: {value: 0.05",
            "gamma_up_spread: {value: -1",
            "cell.yaml: response.gamma_up_spread.value = -1: mu",
        ),
        (
            "noise: relative",
            "noise: loud",
            "cell.yaml: response.noise = loud: must be 'relative' or 'constant'; it means",
        ),
        ("law: normal", "law: uniform", "cell.yaml: spread.law = uniform: must be 'normal' or 'lognormal'; it means"),
        ("cycle: {value: 0.3", "cycle: {value: -0.3", "cell.yaml: noise.cycle.value = -0.3: must be >= 0; it means"),
        (
            "share: {value: null",
            "share: {value: 1.5",
            "cell.yaml: stuck.share = {'value': 1.5, 'unit': '1', 'source': ",
        ),
        (
            "w_max: {value: 1.1724",
            "w_max: {value: null",
            "cell.yaml: w_min, w_max and dw_min must have values, as the fam",
        ),
        ("w_min: {value: -0.8276", "w_min: {value: 0.5", "cell.yaml: the range 0.5 to 1.1724 must contain 0, where a"),
        (
            "law: unknown",
            "law: magic",
            "cell.yaml: noise.read.law = magic: must be one of 'unknown', 'none', 'saturating', ",
        ),
    ],
)
def test_impossible_cells_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in ECRAM
    path = tmp_path / "cell.yaml"
    path.write_text(ECRAM.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(CardError) as caught:
        load_device(path)
    told = str(caught.value).replace(f"{tmp_path}/", "")
    assert told.startswith(message) and "\n" not in told


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("flash-sonos", {"w_max": None}, "w_min and w_max must have values, as programming, retention and read noise"),
        ("fefet", {"g_max": None}, "w_min, w_max, electrical.g_min and electrical.g_max must have values for a table"),
    ],
)
def test_laws_and_tables_need_the_range_they_refer_to(name: str, changes: dict[str, None], message: str) -> None:
    data = load_device(name).model_dump()
    if name == "fefet":
        data["response"] = {"family": "table", "folder": "x", "up": "a", "down": "b"}
    for field, value in changes.items():
        (data["electrical"] if field in data["electrical"] else data)[field]["value"] = value
    with pytest.raises(ValidationError, match=message):
        DeviceCard.model_validate(data)


def test_cells_can_only_be_stuck_within_a_range() -> None:
    data = load_device("ideal").model_dump()
    share = {"value": 0.1, "unit": "1", "source": "test"}
    data["stuck"] = {"share": share, "reach": share | {"value": None}}
    with pytest.raises(ValidationError, match="w_min and w_max must have values where cells are stuck"):
        DeviceCard.model_validate(data)
    data["w_min"]["value"], data["w_max"]["value"] = -1.0, 1.0
    assert DeviceCard.model_validate(data).stuck is not None


def test_blocks_that_may_be_null_are_searched_too() -> None:
    class Inner(Block):
        rows: int

    class Outer(Block):
        inner: Inner | None = None

    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"inner": {"row": 3}})
    assert str(card_error("x", Outer, caught.value)) == (
        "x: inner.row = 3: is not a known key; did you mean 'rows'? known keys are rows"
    )


def test_a_field_without_description_still_gets_a_way_out() -> None:
    class Bare(Block):
        rows: int

    with pytest.raises(ValidationError) as caught:
        Bare.model_validate({"rows": "many"})
    assert str(card_error("x", Bare, caught.value)) == (
        "x: rows = many: must be a whole number; a card has the keys rows"
    )


def test_a_range_is_only_refused_where_both_ends_are_known() -> None:
    data = load_device("ideal").model_dump()
    data["w_min"]["value"] = -1.0
    assert DeviceCard.model_validate(data).w_min.value == -1.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0], "nodes_up.values = [1.0]: must have at least 2 entries; it means: the numbers, two or more"),
        ([1.0, -1.0], "nodes_up.values.1 = -1.0: must be >= 0; it means"),
        ([1.0, "a"], "nodes_up.values.1 = a: must be a number; it means"),
        (1.0, "nodes_up.values = 1.0: must be a list; it means"),
    ],
)
def test_nodes_of_a_piecewise_step(tmp_path: Path, values: object, message: str) -> None:
    data = load_device("fefet").model_dump(mode="json")
    nodes = {"values": values, "unit": "dw_min", "source": "test"}
    up_down = data["response"]["up_down"]
    data["response"] = {"family": "piecewise", "up_down": up_down, "nodes_up": nodes, "nodes_down": nodes}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(data), encoding="utf-8")
    with pytest.raises(CardError) as caught:
        load_device(path)
    assert f"response.{message}" in str(caught.value)
