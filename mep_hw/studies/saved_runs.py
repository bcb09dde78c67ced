"""The file of a study that goes on where it was cut off: finished runs by name, with the settings they share.

Runs of another study, or with other settings, are refused and never overwritten. What the code did between two calls is
not looked at: the environment tells the commit of the last run only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mep_hw.errors import CheckpointError

Runs = dict[str, dict[str, Any]]


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
