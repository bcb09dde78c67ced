"""From a backend's name to a running substrate: cards, device, class."""

from __future__ import annotations

from pathlib import Path

from mep_hw.cards import BackendCard, DeviceCard, import_substrate, load_backend, load_device
from mep_hw.cards.changed import changed
from mep_hw.errors import CapabilityError, CardError
from mep_hw.model import Model
from mep_hw.substrates.base import Substrate


def cards(
    backend: str | Path | BackendCard, device: str | Path | DeviceCard | None = None
) -> tuple[BackendCard, DeviceCard | None]:
    """The backend's card and the card of its device: the one asked for, or the backend's own default.

    Raises:
        CardError: no such card, or a malformed one.
        CapabilityError: memory cells for a machine that only has exact registers.
    """
    card = backend if isinstance(backend, BackendCard) else load_backend(backend)
    name = device if device is not None else card.device
    found = name if name is None or isinstance(name, DeviceCard) else load_device(name)
    if found is not None and found.family != "ideal" and card.write_modes == ("exact",):
        raise CapabilityError(
            f"backend {card.name}", "device", found.name,
            rule="would have no effect: this backend holds weights in exact registers",
            fix="leave the device out, or use a backend with an array of cells",
        )  # fmt: skip
    return card, found


def fixed_sweeps(card: BackendCard, free: int | None, nudged: int | None) -> BackendCard:
    """The card with exactly so many sweeps in a phase in place of its tolerance; None leaves a phase as it is."""
    values: dict[str, object] = {}
    if free is not None:
        values |= {"settle.free_sweeps": free, "settle.tolerance": 0.0}
    if nudged is not None:
        values |= {"settle.nudged_sweeps": nudged, "settle.nudged_tolerance": 0.0}
    return changed(card, values)


def minimising(card: BackendCard, goal: str | None) -> BackendCard:
    """The card with this objective of the compiler, one of those of `Writing.minimise`; None leaves it as it is.

    Raises:
        CapabilityError: it has no arrays.
    """
    if goal is None:
        return card
    if card.array is None:
        rule, fix = "has no effect without an array of cells", "leave it out, or choose another backend"
        raise CapabilityError(f"backend {card.name}", "minimise", goal, rule=rule, fix=fix)
    return changed(card, {"array.writing.minimise": goal})


def build(model: Model, card: BackendCard, device: DeviceCard | None, seed: int) -> Substrate:
    """The substrate that the card names, holding the model's weights."""
    kind = import_substrate(card)
    if not issubclass(kind, Substrate):
        raise CardError(
            card.origin, "substrate", card.substrate, rule="is not a Substrate", fix="derive it from mep_hw.Substrate"
        )
    return kind(model, card, device, seed)
