"""The file of a study that goes on where it was cut off: finished runs by name, with the settings they share.

Runs of another study, or with other settings, are refused and never overwritten. What the code did between two calls is
not looked at: the environment tells the commit of the last run only.
"""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mep_hw.errors import CheckpointError
from mep_hw.files import require_writable, write_atomic
from mep_hw.studies.environment import environment

Found = dict[str, Any]
Runs = dict[str, Found]


class Study(ABC):
    """Does the runs that its file lacks, and writes the file after each of them.

    Args:
        path: of the file, whose folder is made.
        name: what the file holds, for messages.
        settings: what all runs in the file have in common, as JSON gives them back.
        tell: called with a line about every finished run.
        hours: start no run after this time.

    Raises:
        InputError: the folder cannot be written to.
        CheckpointError: there is a file, and it is no study of these settings.
    """

    def __init__(
        self, path: Path, name: str, settings: dict[str, Any], tell: Callable[[str], None], hours: float = math.inf
    ) -> None:
        require_writable(path.parent)
        self.path, self.settings, self.tell = path, settings, tell
        self.deadline = time.monotonic() + 3600 * hours
        self.runs: Runs = {}
        self.environment = environment()
        if path.exists():
            self.runs, self.environment = saved_runs(path, name, settings)

    @abstractmethod
    def table(self) -> dict[str, Any]:
        """What is written: `settings`, `environment`, `runs`, and what follows of these."""

    def once(self, key: str, run: Callable[[], Found], told: Callable[[Found], str]) -> None:
        """Do the run of that name if it is missing and there is time.

        Args:
            told: the line about what was found.
        """
        if key in self.runs or time.monotonic() > self.deadline:
            return
        found = run()
        self.environment = environment()
        self.runs[key] = found
        write_table(self.path, self.table())
        self.tell(told(found))


def write_table(path: Path, table: Mapping[str, Any]) -> None:
    """The file of a study; NaN, which is not JSON, is a fault."""
    write_atomic(path, (json.dumps(table, indent=1, allow_nan=False) + "\n").encode())


def saved_runs(path: Path, study: str, settings: Mapping[str, object]) -> tuple[Runs, dict[str, Any]]:
    """The runs of a former call, and the environment it had.

    Args:
        study: what the file should hold, for the message.
        settings: of this call, as JSON gives them back.

    Raises:
        CheckpointError: the file is no study of these settings.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        theirs, runs, where = found["settings"], found["runs"], found["environment"]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise CheckpointError(
            str(path), rule=f"holds no {study}", fix="choose another folder, or remove the file"
        ) from None
    for name, mine in settings.items():
        if theirs.get(name) != mine:
            raise CheckpointError(
                str(path), name, theirs.get(name), rule=f"this study has {mine}", fix="choose another folder"
            )
    return runs, where
