"""A crossbar without errors, and the same with some: the cards that the study of error sources is made of.

The array is the bundled crossbar's with converters that neither round nor saturate, without noise, mismatch or wires.
The cell is made of the crossbar's own device: every step alike and independent of the weight, no noise, 10,000 steps
over its range of -1 to 1. It is finer and cleaner than any bundled cell, but it is still pulsed, as a whole number of
steps; the digital backend is what has none of that.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from mep_hw.cards import ArrayOptions, BackendCard, DeviceCard, load_backend, load_device

BACKEND, DEVICE = "crossbar", "ecram"
ORIGIN = "set by the study of error sources"
STEP = 0.0002  # weight units
# Of the array, what is no error:
KEPT = "rows", "cols", "scale", "scale_by", "pairing", "solve_every", "writing", "circuit", "assumed"
G_MIN, G_MAX = 0.25e-6, 25e-6  # siemens, as of phase-change cells: without a range, wires have no meaning

Block = dict[str, Any]
Changes = dict[str, object]  # place in {"array": ..., "device": ...}, joined by dots, to its new value


def cards_with(changes: Changes) -> tuple[BackendCard, DeviceCard]:
    """The crossbar without errors but for `changes`, whose places must exist.

    Raises:
        KeyError: no such place in the cards.
    """
    whole: Block = {"array": _ideal_array(), "device": _ideal_cell()}
    put(whole, changes)
    backend = bundled()[0].model_dump() | {"name": "study-array", "array": whole["array"]}
    return BackendCard.model_validate(backend), DeviceCard.model_validate(whole["device"])


def value_at(block: Block, place: str) -> Any:
    """What stands in nested blocks at a place such as `array.read_noise.absolute`."""
    for key in place.split("."):
        block = block[key]
    return block


def put(block: Block, changes: Changes) -> None:
    """Write every value to its place in nested blocks.

    Raises:
        KeyError: no such place in the blocks.
    """
    for place, value in changes.items():
        *path, key = place.split(".")
        inner = value_at(block, ".".join(path)) if path else block
        if key not in inner:
            raise KeyError(place)
        inner[key] = value


@cache
def bundled() -> tuple[BackendCard, DeviceCard]:
    """The crossbar and its device as they are shipped."""
    return load_backend(BACKEND), load_device(DEVICE)


def _ideal_array() -> Block:
    array = bundled()[0].model_dump()["array"]
    kept = {name: array[name] for name in KEPT}
    return ArrayOptions.model_validate(kept).model_dump()  # what is left out of a card is ideal


def _ideal_cell() -> Block:
    cell = bundled()[1].model_dump()
    for block in (cell["response"], cell["spread"], cell["noise"]):
        for entry in block.values():
            if isinstance(entry, dict) and "value" in entry:
                cast("Block", entry)["value"] = 0.0
    cell["stuck"]["share"]["value"] = 0.0
    electrical = cell["electrical"]
    electrical["g_min"]["value"], electrical["g_max"]["value"] = G_MIN, G_MAX
    cell["w_min"]["value"], cell["w_max"]["value"], cell["dw_min"]["value"] = -1.0, 1.0, STEP
    _name_origin(cell)
    return cell | {"name": "study-cell", "summary": "Cell without errors", "reference": ORIGIN}


def _name_origin(block: Block) -> None:
    """The numbers are no longer those of the cell's sources."""
    for value in block.values():
        if isinstance(value, dict):
            _name_origin(cast("Block", value))
    if block.get("value") is not None:
        block["source"] = ORIGIN
