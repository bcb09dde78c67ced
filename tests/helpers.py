"""What many tests need: a bundled card with a few numbers changed, and the machine it describes."""

from __future__ import annotations

from mep_hw.cards import BackendCard, import_substrate, load_backend
from mep_hw.cards.changed import changed
from mep_hw.model import Model
from mep_hw.substrates.base import Substrate


def card(name: str = "cpu", **changes: object) -> BackendCard:
    """The bundled card with fields changed; `settle__tolerance=0.0` sets settle.tolerance."""
    return changed(load_backend(name), {path.replace("__", "."): value for path, value in changes.items()})


def machine(model: Model, name: str = "cpu", seed: int = 0, **changes: object) -> Substrate:
    """The substrate of that card, holding `model` and no memory cells."""
    backend = card(name, **changes)
    return import_substrate(backend)(model, backend, None, seed)
