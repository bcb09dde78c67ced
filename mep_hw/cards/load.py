"""Find, read and check cards: by name among the bundled ones, or a user's own by path.

Bundled cards are folders `devices/NAME/card.yaml` and `backends/NAME/card.yaml`. They lie at the repository root in a
checkout and inside the package in an installed wheel. Whatever names a file is a path: a `Path`, a text with a path
separator, or one that ends in .yaml or .yml; so `load_backend("my_chip.yaml")` reads a file of the working folder.

Not valid for packages run out of a zip file: cards are opened as ordinary files (torch needs that too).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, TypeVar

import yaml
from pydantic import ValidationError

from mep_hw.cards.explain import card_error, did_you_mean
from mep_hw.cards.schema import BackendCard, Card, DeviceCard
from mep_hw.errors import CardError
from mep_hw.strict import parse_yaml

Kind = Literal["backends", "devices"]
AnyCard = TypeVar("AnyCard", bound=Card)
_FILE = "card.yaml"


def load_backend(name: str | Path) -> BackendCard:
    """The card of a machine.

    Args:
        name: a name from `backend_names()`, or the path of a card file or of a folder that holds a `card.yaml`.

    Raises:
        CardError: no such card, not YAML, or a field that breaks its rule.
    """
    return _load(name, "backends", BackendCard)


def load_device(name: str | Path) -> DeviceCard:
    """The card of a memory-cell technology; arguments and errors as for `load_backend`, names in `device_names()`."""
    return _load(name, "devices", DeviceCard)


def backend_names() -> list[str]:
    """Names of the bundled backends, sorted."""
    return _names("backends")


def device_names() -> list[str]:
    """Names of the bundled devices, sorted."""
    return _names("devices")


def root(kind: Kind) -> Path:
    """The folder that holds the bundled cards of one kind, one folder per card.

    Raises:
        CardError: the installation holds no cards.
    """
    here = Path(__file__).resolve()
    # The wheel carries the cards inside the package; a checkout or editable install has them at the repository root.
    # (An editable install also leaves copies in site-packages; this file lies in the checkout, so they are never read.)
    for folder in (here.parent / kind, here.parents[2] / kind):
        if folder.is_dir():
            return folder
    raise CardError(kind, rule="is missing from this installation", fix="install mep-hw again, or run from a checkout")


def _names(kind: Kind) -> list[str]:
    return sorted(card.parent.name for card in root(kind).glob(f"*/{_FILE}"))


def _load(name: str | Path, kind: Kind, schema: type[AnyCard]) -> AnyCard:
    if is_path(name):
        path = Path(name).expanduser()
        folder = path.name if path.is_dir() else None
        path = path / _FILE if folder is not None else path
        return read_card(path, str(path), schema, folder)
    known = _names(kind)
    if name not in known:
        word = kind.removesuffix("s")
        fix = f"{did_you_mean(str(name), known)}known {kind} are {', '.join(known)}, or give the path of a card file"
        raise CardError(word, "", name, rule=f"is not a known {word}", fix=fix)
    return read_card(root(kind) / name / _FILE, f"{kind}/{name}/{_FILE}", schema, str(name))


def is_path(name: str | Path) -> bool:
    """Whether this names a file, as the module says, and not a bundled card."""
    if isinstance(name, Path):
        return True
    separators = [mark for mark in ("/", os.sep, os.altsep) if mark]
    return any(mark in name for mark in separators) or name.lower().endswith((".yaml", ".yml"))


def read_card(path: Path, where: str, schema: type[AnyCard], folder: str | None) -> AnyCard:
    """Read one card file; `folder` is the name that the card must bear, or None for a loose file.

    Args:
        where: the file, as messages shall name it.

    Raises:
        CardError: not readable, not YAML, or a field that breaks its rule.
    """
    try:
        data = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        fix = "give the path of a card file, or a bundled name without .yaml"
        raise CardError(where, rule=f"cannot be read: {error.strerror}", fix=fix) from error
    except UnicodeDecodeError as error:
        rule = f"is not UTF-8 text (byte {error.start})"
        raise CardError(where, rule=rule, fix="save the file as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        spot = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise CardError(where, spot, rule=error.problem or "is not YAML", fix="mend the YAML there") from error
    except yaml.YAMLError as error:
        raise CardError(where, rule=f"is not YAML: {error}", fix="mend the file") from error
    if not isinstance(data, dict):
        rule = "must be a block of keys and values"
        raise CardError(where, rule=rule, fix="start from a copy of a bundled card")
    try:
        card = schema.model_validate(data)
    except ValidationError as error:
        raise card_error(where, schema, error) from error
    if folder is not None and card.name != folder:
        rule = f"must equal the name of its folder, {folder}"
        raise CardError(where, "name", card.name, rule=rule, fix="rename one of the two")
    card._path = path.resolve()  # pyright: ignore[reportPrivateUsage]  # where it was read: kept beside the data
    return card
