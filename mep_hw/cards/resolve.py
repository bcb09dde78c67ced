"""From a card's `substrate: package.module:Class` to the class, imported only when the backend is chosen.

The module is looked up on `sys.path` first, then as a .py file in the folder of the card, so that a user's chip can be
two files in one folder. A module found beside the card is one file: it cannot import its siblings, and it cannot be
pickled by name into another process; install it as a package for that. A vendor package that is not installed is
reported with the extra that brings it.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

from mep_hw.cards.explain import did_you_mean
from mep_hw.cards.schema import BackendCard
from mep_hw.errors import CapabilityError, CardError


def import_substrate(card: BackendCard) -> type:
    """The class that the card names.

    Raises:
        CardError: there is no such module or class.
        CapabilityError: the module needs a package that is not installed here.
    """
    module_name, _, class_name = card.substrate.partition(":")
    try:
        module = _import(module_name, card)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if missing.partition(".")[0] == "mep_hw":
            raise  # a broken import inside this package is our fault, not the card's
        rule = f"needs the Python package '{missing}', which is not installed"
        raise CapabilityError(f"backend {card.name}", rule=rule, fix=_way_out(missing, card)) from error
    found: object = getattr(module, class_name, None)
    if isinstance(found, type):
        return found
    classes = [name for name, value in vars(module).items() if isinstance(value, type)]
    raise CardError(
        card.origin,
        "substrate",
        card.substrate,
        rule=f"module {module_name} has no class {class_name}",
        fix=did_you_mean(class_name, classes) + "name a class of that module",
    )


def _import(module_name: str, card: BackendCard) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # Only the module itself or a parent of it; anything else is an import inside the module that failed.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise
        beside = None if card.path is None else card.path.parent.joinpath(*module_name.split(".")).with_suffix(".py")
        if beside is not None and beside.is_file():
            return _import_file(beside)
        places = "is not on sys.path" if beside is None else "is neither on sys.path nor a file beside the card"
        raise CardError(
            card.origin,
            "substrate",
            card.substrate,
            rule=f"module {module_name} {places}",
            fix="install it, correct the name, or put the file next to the card",
        ) from error


def _import_file(path: Path) -> ModuleType:
    """Import a file under a name made from its path: two cards may each bring a module of the same name."""
    name = f"mep_hw_beside_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}_{path.stem}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"no loader for {path}")
    module = importlib.util.module_from_spec(spec)
    with ExitStack() as undo:
        sys.modules[name] = module  # before execution, as dataclasses look their module up
        undo.callback(sys.modules.pop, name)
        spec.loader.exec_module(module)
        undo.pop_all()  # it ran to its end: keep it
    return module


def _way_out(missing: str, card: BackendCard) -> str:
    extra = _extra_for(missing.partition(".")[0], card.name)
    if extra is None:
        return f"install the package that provides '{missing}'"
    return f'run pip install "mep-hw[{extra}]"'


def _extra_for(module: str, backend: str) -> str | None:
    """The extra that requires a distribution of the module's name, or else the one named like the backend."""
    try:
        metadata = importlib.metadata.metadata("mep-hw")
    except importlib.metadata.PackageNotFoundError:  # run from a checkout that is not installed
        return None
    for requirement in metadata.get_all("Requires-Dist") or []:
        match = re.match(r"([\w.-]+).*extra == ['\"]([\w.-]+)['\"]", str(requirement))
        if match and re.sub(r"[-.]", "_", match[1]).lower() == module.lower():
            return match[2]
    extras = [str(extra) for extra in metadata.get_all("Provides-Extra") or []]
    return backend if backend in extras else None
