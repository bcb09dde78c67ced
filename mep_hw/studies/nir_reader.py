"""Run a NIR file in one consumer, in that consumer's own environment: imports nothing of mep_hw.

    python -I nir_reader.py norse model.nir inputs.npy outputs.npy 0.001 600

Inputs (batch, n) are constant over all steps; outputs (batch, m) are the mean of what came out in the last quarter of
them. A consumer that raises ends this process with its exception; the versions that were used are printed as JSON.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

Step = Callable[[Any], Any]  # inputs of a step (batch, n) -> outputs (batch, m)


def norse(graph: Any, dt: float, steps: int, x: Any) -> Any:
    """Modules with an explicit state."""
    module, state, found = importlib.import_module("norse.torch").from_nir(graph, dt=dt), None, list[Any]()
    for _ in range(steps):
        output, state = module(x, state)
        found.append(output)
    return found


def snntorch(graph: Any, dt: float, steps: int, x: Any) -> Any:
    """Modules that hand their state on as the last entry of what they return."""
    module, state, found = importlib.import_module("snntorch.import_nir").import_from_nir(graph), None, list[Any]()
    for _ in range(steps):
        output, state = module(x, state)
        found.append(output)
    return found


def rockpool(graph: Any, dt: float, steps: int, x: Any) -> Any:
    """All steps in one call, (batch, steps, n)."""
    module = importlib.import_module("rockpool.nn.modules").from_nir(graph)
    output = module(x[:, None].repeat(1, steps, 1))[0]
    return [output[:, k] for k in range(steps)]


def sinabs(graph: Any, dt: float, steps: int, x: Any) -> Any:
    """All steps in one call, batch and steps in one dimension."""
    module = importlib.import_module("sinabs.nir").from_nir(graph, batch_size=len(x))
    output = module(x[:, None].repeat(1, steps, 1).flatten(0, 1))
    output = (output[0] if isinstance(output, tuple) else output).unflatten(0, (len(x), steps))
    return [output[:, k] for k in range(steps)]


def main(consumer: str, file: str, inputs: str, outputs: str, dt: str, steps: str) -> None:
    versions = {name: importlib.metadata.version(name) for name in (consumer, "nir", "nirtorch", "torch")}
    print(json.dumps(versions), flush=True)  # also where the rest fails
    torch = importlib.import_module("torch")
    run = {"norse": norse, "snntorch": snntorch, "rockpool": rockpool, "sinabs": sinabs}[consumer]
    graph = importlib.import_module("nir").read(file)
    x = torch.from_numpy(np.load(inputs)).float()
    with torch.no_grad():
        found = run(graph, float(dt), int(steps), x)
        mean = torch.stack(found[-(len(found) // 4) :]).mean(0)
    np.save(outputs, mean.numpy())


if __name__ == "__main__":
    main(*sys.argv[1:])
