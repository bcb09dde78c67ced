"""What many tests need: a bundled card with a few numbers changed, and the machine it describes."""

from __future__ import annotations

from typing import Any

from mep_hw.cards import BackendCard, import_substrate, load_backend
from mep_hw.model import Model
from mep_hw.substrates.base import Substrate


def card(name: str = "cpu", **changes: object) -> BackendCard:
    """The bundled card with fields changed; `settle__tolerance=0.0` sets settle.tolerance."""
    data: dict[str, Any] = load_backend(name).model_dump()
    for path, value in changes.items():
        *blocks, field = path.split("__")
        block = data
        for key in blocks:
            block = block[key]
        assert field in block, path
        block[field] = value
    return BackendCard.model_validate(data)


def machine(model: Model, name: str = "cpu", seed: int = 0, **changes: object) -> Substrate:
    """The substrate of that card, holding `model` and no memory cells."""
    backend = card(name, **changes)
    return import_substrate(backend)(model, backend, None, seed)
