"""From `--model` to a model: layer sizes joined by dashes, or the path of a YAML or JSON description or a NIR file.

Cost and activation are part of a description, so they can be chosen beside sizes only. A NIR file holds weights, too.
"""

from __future__ import annotations

import os
from pathlib import Path

from mep_hw import spec
from mep_hw.errors import InputError
from mep_hw.export import from_nir
from mep_hw.model import Model, load

NIR, CHECKPOINT = ".nir", ".safetensors"


def build(text: str, *, seed: int, cost: str | None = None, activation: str | None = None) -> Model:
    """The model that `text` describes, with initial weights of `seed`; None takes squared_error and hard_sigmoid.

    The weights of a NIR file stay as they are.

    Raises:
        ModelError: neither sizes nor a readable, valid file; an unknown cost or activation.
        InputError: a cost or activation that would have no effect.
    """
    if os.sep in text or text.lower().endswith((".yaml", ".yml", ".json", NIR)):
        for name, value in (("cost", cost), ("activation", activation)):
            if value is not None:
                fix = f"set it in {text}, or give sizes such as 784-512-10"
                raise InputError("model", name, value, rule="is part of a model given as a file", fix=fix)
        return from_nir(text) if text.lower().endswith(NIR) else Model(spec.read(text), seed=seed)
    sizes = spec.sizes(text)
    if activation is not None and len(sizes) == 2:
        rule = f"has no effect on {text}, which has no hidden layer"
        raise InputError("model", "activation", activation, rule=rule, fix="leave it out, or add a hidden layer")
    layers = [{"dense": n, "activation": activation or "hard_sigmoid"} for n in sizes[1:-1]] + [{"dense": sizes[-1]}]
    described = {"input": [sizes[0]], "layers": layers, "cost": cost or "squared_error"}
    return Model(spec.parse(described), seed=seed)


def saved(path: Path) -> Model:
    """The trained model in a checkpoint or in a NIR file.

    Raises:
        InputError: it is neither.
    """
    return from_nir(path) if path.suffix.lower() == NIR else load(path)


def given(text: str, seed: int | None, command: str) -> Model:
    """The model of a command that takes a file with weights, or a description whose weights are drawn from `seed`.

    Raises:
        InputError: as `build` and `saved`; a seed beside weights that are in the file.
    """
    if not text.lower().endswith((CHECKPOINT, NIR)):
        return build(text, seed=seed or 0)
    if seed is not None:
        raise InputError(command, "seed", seed, rule="has no effect on a file that holds weights", fix="leave it out")
    return saved(Path(text))
