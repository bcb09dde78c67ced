"""What studies are asked for by name: variants, devices, tasks, sources of error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from mep_hw.errors import InputError


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str: ...


Subject = TypeVar("Subject", bound=Named)


def find(kind: str, names: Sequence[str], among: Sequence[Subject]) -> list[Subject]:
    """Those of `among` with these names, each once.

    Raises:
        InputError: there is none of a name.
    """
    known = {subject.name: subject for subject in among}
    for name in names:
        if name not in known:
            raise InputError("study", kind, name, rule=f"is not one of {', '.join(known)}", fix="choose among them")
    return [known[name] for name in dict.fromkeys(names)]
