"""Checkpoints: one safetensors file a run can go on from, bit for bit, and any model can be loaded from.

It is written whole after every good epoch. Shuffling depends only on the seed and the epoch's number, so the state is:
what the substrate holds, its random generator, the rule's memory, the history and the cost so far.
"""

from __future__ import annotations

import json
from pathlib import Path

from torch import Tensor

from mep_hw.errors import CheckpointError
from mep_hw.files import read_tensors, under, write_tensors
from mep_hw.model import Model
from mep_hw.schedule import Cost
from mep_hw.settings import Settings
from mep_hw.training.run import Run
from mep_hw.training.step import TrainingStep

Best = tuple[float, dict[str, Tensor]]  # merit on the validation part and the model's tensors at that epoch


def save(path: Path, run: Run, step: TrainingStep, best: Best | None) -> None:
    """Write the state after the epochs in `run.history`; the file is replaced in one piece."""
    step.substrate.store()
    tensors = dict(run.model.tensors())
    tensors |= {f"substrate.{name}": value for name, value in step.substrate.snapshot().items()}
    for key, memory in step.memory.items():
        tensors |= {f"memory.{key}.{name}": value for name, value in memory.items()}
    for c, owed in step.owed.items():
        tensors |= {f"owed.{c}.{name}": value for name, value in owed.tensors().items()}
    if best is not None:
        tensors |= {f"best.{name}": value for name, value in best[1].items()}
    metadata = {
        "model": json.dumps(run.model.spec.as_dict()),
        "settings": run.settings.model_dump_json(),
        "history": json.dumps(run.history),
        "cost": json.dumps(step.cost.as_dict()),
        "seconds": json.dumps(run.seconds),
        "best": json.dumps(None if best is None else best[0]),
    }
    write_tensors(path, tensors, metadata)


def restore(path: Path, run: Run, step: TrainingStep) -> Best | None:
    """Bring `run` and `step` to the state in `path`; returns the best validation state so far.

    Raises:
        CheckpointError: unreadable, of another model, or of a run with other settings.
    """
    tensors, metadata = read_tensors(path)
    where = str(path)
    if "settings" not in metadata:
        raise CheckpointError(
            where, "metadata", rule="holds no training run", fix="give a checkpoint written by mep_hw.train"
        )
    _same_model(where, metadata, run.model)
    _same_settings(where, Settings.model_validate_json(metadata["settings"]), run.settings)
    run.model.load_tensors(tensors, where)
    step.substrate.restore(under("substrate.", tensors))
    for key, fresh in step.memory.items():
        kept = under(f"memory.{key}.", tensors)
        step.memory[key] = {name: value.to(fresh[name].device) for name, value in kept.items()}
    for c, owed in step.owed.items():
        owed.load(under(f"owed.{c}.", tensors))
    run.history = json.loads(metadata["history"])
    run.seconds = json.loads(metadata["seconds"])
    step.cost = Cost(**json.loads(metadata["cost"]))
    merit = json.loads(metadata["best"])
    return None if merit is None else (merit, under("best.", tensors))


def _same_model(where: str, metadata: dict[str, str], model: Model) -> None:
    theirs, mine = json.loads(metadata["model"]), model.spec.as_dict()
    if theirs != mine:
        raise CheckpointError(
            where, "model", json.dumps(theirs), rule=f"differs from the model to train, {json.dumps(mine)}",
            fix="resume with the same model, or choose another folder",
        )  # fmt: skip


def _same_settings(where: str, theirs: Settings, mine: Settings) -> None:
    for name in Settings.model_fields:
        old, new = getattr(theirs, name), getattr(mine, name)
        if old != new:
            raise CheckpointError(
                where, name, old, rule=f"the run to resume was asked for {new}",
                fix="resume with the settings the run was started with, or choose another folder",
            )  # fmt: skip
