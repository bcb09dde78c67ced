"""A product costs what its parts cost, by the numbers of a card; published designs come out within a factor of 2."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from cell_arrays import device
from helpers import card

from mep_hw.array.mapping import Mapping
from mep_hw.array.product import product_cost
from mep_hw.array.scale import pairing_of, two_sided
from mep_hw.cards import BackendCard, DeviceCard, device_names, load_backend, load_device
from mep_hw.compiler.sensitivity import sensitivity
from mep_hw.errors import CapabilityError, InputError

CARDS = Path(__file__).parent / "cards"
CIRCUIT = {
    "read_s": 2e-7, "drive_s": 1e-7, "read_v": 0.5, "line_f": 1e-15, "dac_j": 1e-12, "adc_j": 1e-11, "overhead_j": 1e-9,
}  # fmt: skip
G_MIN, G_MAX = 1e-6, 9e-6
RANGE: dict[str, Any] = {"electrical__g_min": G_MIN, "electrical__g_max": G_MAX}


def published(name: str, **circuit: object) -> tuple[BackendCard, DeviceCard]:
    """The cards of a published design, with numbers of its circuit changed."""
    data = load_backend(CARDS / f"{name}.yaml").model_dump()
    data["array"]["circuit"] |= circuit
    return BackendCard.model_validate(data), load_device(CARDS / f"{name}-cell.yaml")


# Core: Khaddam-Aljameh et al. 2022, 10.5 TOPS/W. Chip: Le Gallo et al. 2023, 9.76 and 2.48 TOPS/W, 63.1 and 16.1 TOPS
# of 64 cores. A product is 2 x 256 x 256 operations. Block: Marinella et al. 2018, 11 fJ a weight; 65,536 weights.
@pytest.mark.parametrize(
    ("name", "size", "reads", "share", "nanojoules", "nanoseconds"),
    [
        pytest.param("hermes", 256, 1, 1.0, 131072 / 10.5e3, 131072 / 1.008e3, id="core"),
        pytest.param("hermes", 256, 1, 1.0, 131072 / 9.76e3, 131072 * 64 / 63.1e3, id="chip in one phase"),
        pytest.param("hermes", 256, 4, 1.0, 131072 / 2.48e3, 131072 * 64 / 16.1e3, id="chip in four phases"),
        pytest.param("marinella", 1024, 1, 1 / 16, 65536 * 11e-6, 384.0, id="block"),
    ],
)
def test_published_designs(
    name: str, size: int, reads: int, share: float, nanojoules: float, nanoseconds: float
) -> None:
    cost = product_cost(*published(name, reads_per_product=reads), size, size)
    assert cost.energy_j is not None and cost.time_s is not None
    assert 0.5 < cost.energy_j * share * 1e9 / nanojoules < 2
    assert 0.5 < cost.time_s * 1e9 / nanoseconds < 2


@pytest.mark.parametrize("name", ["hermes", "marinella"])
def test_published_cards_say_what_they_assume(name: str) -> None:
    """Each number of the circuit that a comment calls an assumption is told with the figure, and no other."""
    text = (CARDS / f"{name}.yaml").read_text().partition("  circuit:")[2].partition("    unsourced:")[0]
    blocks = re.split(r"(?m)^    (?=\w)", text)
    assumed: set[str] = set()
    for before, block in zip(blocks, blocks[1:], strict=False):  # a comment stands behind its number, or above it
        above = before.split("\n", 1)[-1]
        if "assumption" in block.split("\n")[0] or "assumption" in above:
            assumed.add(block.split(":")[0])
    backend, cells = published(name)
    cost = product_cost(backend, cells, 64, 64)
    told = {line.split()[1] for line in cost.assumptions if line.startswith("array.circuit: ")}
    assert backend.array is not None and backend.array.circuit is not None
    assert told == assumed == set(backend.array.circuit.unsourced) and told
    assert ("device marinella-cell: g_min" in " ".join(cost.assumptions)) == (name == "marinella")


@pytest.mark.parametrize(("name", "size", "doubled"), [("hermes", 256, 1.83), ("marinella", 1024, 1.69)])
def test_the_converters_behind_the_cells_carry_the_figures(name: str, size: int, doubled: float) -> None:
    """So the factor of 2 above stands and falls with what is assumed of them, and with nothing else."""
    backend, cells = published(name)
    assert backend.array is not None and backend.array.circuit is not None
    paths = [f"array.circuit.{field}" for field in backend.array.circuit.unsourced]
    first, *rest = sensitivity(lambda changed: product_cost(changed, cells, size, size).energy_j, backend, paths)
    assert first.path == "array.circuit.adc_j" and first.doubled == pytest.approx(doubled, abs=0.01)
    assert all(row.size < 1.35 for row in rest)


def array(pairing: str = "differential", slices: int = 1, **circuit: object) -> BackendCard:
    changed = CIRCUIT | circuit
    return card(
        "crossbar", array__pairing=pairing, array__slices=slices, array__circuit=changed, array__assumed=None,
        array__rows=128, array__cols=128,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "pairing"), [("pcm", "differential"), ("ecram", "reference"), ("ecram", "differential")]
)
def test_cells_and_lines_against_arrays_of_random_weights(name: str, pairing: str) -> None:
    """The conductances that the mapping gives to evenly spread weights, counted cell by cell and line by line."""
    rows, cols = 100, 120
    cell = device(name, **RANGE)
    mapping = Mapping(G_MIN, G_MAX, 1.0, pairing_of(array(pairing).array, cell))  # pyright: ignore[reportArgumentType]
    weights = 2 * torch.rand(rows, cols, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
    if two_sided(cell) and pairing == "differential":
        held = mapping.conductances(torch.stack([weights, -weights]), True)
    else:
        held = mapping.to_cells(weights)[:, :rows]  # the reference word line is not driven
    cost = product_cost(array(pairing), cell, rows, cols)
    assert cost.parts["cells"] == pytest.approx(float(held.sum()) * 0.5**2 * 1e-7, rel=0.01)  # 4 standard errors
    assert cost.parts["lines"] == pytest.approx(held.numel() * 0.5**2 * 1e-15)
    assert (cost.parts["dac"], cost.parts["adc"]) == (pytest.approx(rows * 1e-12), pytest.approx(cols * 1e-11))
    assert cost.energy_j == pytest.approx(sum(part for part in cost.parts.values() if part is not None))


def test_slices_are_read_at_once_and_repeated_reads_one_after_the_other() -> None:
    pcm = device("pcm", **RANGE)
    one = product_cost(array(), pcm, 8, 16)
    three = product_cost(array(slices=3), pcm, 8, 16)
    again = product_cost(array(reads_per_product=4), pcm, 8, 16)
    assert one.energy_j is not None and one.time_s == pytest.approx(2e-7)
    assert three.time_s == one.time_s and three.energy_j == pytest.approx(3 * one.energy_j)
    assert again.time_s == pytest.approx(8e-7) and again.energy_j == pytest.approx(4 * one.energy_j)
    assert (again.cost.reads, again.cost.time_s, again.cost.energy_j) == (4, again.time_s, again.energy_j)
    assert (again.cost + again.cost).wear_max == 0


@pytest.mark.parametrize("field", sorted(CIRCUIT))
def test_what_is_not_known_is_none_and_so_is_the_sum(field: str) -> None:
    cost = product_cost(array(**{field: None}), device("pcm", **RANGE), 8, 16)
    lost = {
        "read_s": set(), "drive_s": {"cells"}, "read_v": {"cells", "lines"}, "line_f": {"lines"}, "dac_j": {"dac"},
        "adc_j": {"adc"}, "overhead_j": {"overhead"},
    }[field]  # fmt: skip
    assert {name for name, part in cost.parts.items() if part is None} == lost
    assert (cost.energy_j is None) == bool(lost) and (cost.time_s is None) == (field == "read_s")


def test_conductances_come_from_the_device_or_from_the_array_but_never_from_both() -> None:
    nominal = load_backend("crossbar")
    assert nominal.array is not None and nominal.array.assumed is not None
    own = product_cost(nominal, device("ecram", **RANGE), 8, 16)
    assumed = product_cost(nominal, load_device("ecram"), 8, 16)
    half = product_cost(nominal, device("ecram", electrical__g_max=9e-6), 8, 16)  # its g_min is unknown
    assert own.parts["cells"] == pytest.approx(assumed.parts["cells"] * 5.0 / 10.5)  # means of 1..9 and 1..20 uS
    assert half.parts == assumed.parts
    assert not any("assumed: " in line for line in own.assumptions)
    assert sum(line.startswith("array.assumed: g_m") for line in assumed.assumptions) == 2
    assert product_cost(array(), load_device("ecram"), 8, 16).parts["cells"] is None
    given = card("crossbar", array__pairing="reference")
    assert product_cost(given, None, 8, 16).parts == assumed.parts


@pytest.mark.parametrize("name", device_names())
def test_the_nominal_crossbar_has_figures_for_every_device(name: str) -> None:
    cost = product_cost(load_backend("crossbar"), load_device(name), 127, 127)
    assert cost.time_s == pytest.approx(2.5e-7)
    assert cost.energy_j is not None and 0.5e-9 < cost.energy_j < 2e-9  # 30 to 120 fJ a weight


@pytest.mark.parametrize(
    ("backend", "cell", "rows", "cols", "error", "message"),
    [
        ("cpu", "pcm", 1, 1, CapabilityError, "backend cpu: array = null: has no products to read"),
        ("crossbar", "ecram", 128, 8, InputError, "product_cost: rows = 128: must be 1 to 127, the lines of one array"),
        ("crossbar", "pcm", 128, 129, InputError, "product_cost: cols = 129: must be 1 to 128"),
        ("crossbar", "pcm", 0, 8, InputError, "product_cost: rows = 0: must be 1 to 128"),
        ("crossbar", None, 8, 8, CapabilityError, "product_cost: device = None: must be given, as array.pairing is"),
    ],
)
def test_what_has_no_product_is_refused(
    backend: str, cell: str | None, rows: int, cols: int, error: type[InputError], message: str
) -> None:
    with pytest.raises(error) as caught:
        product_cost(load_backend(backend), None if cell is None else load_device(cell), rows, cols)
    assert message in str(caught.value)
