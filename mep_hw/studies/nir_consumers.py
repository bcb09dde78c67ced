"""Which projects read our NIR files, and what they compute with them: each in an environment of its own.

The same files are given to all: a model of box units in the free phase, in the rate and in the spiking profile, and a
bare LI, LIF and CubaLIF behind an Affine, which hold nothing that a reader could not know from NIR itself. What comes
out is held against the settled read-out, for the bare nodes against `mep_hw.export.simulate`. A file that loads and
runs is only half of it: the verdict `wrong numbers` is for those.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch

from mep_hw.data import as_data
from mep_hw.errors import InputError
from mep_hw.export import to_nir, to_spiking_nir, write_nir
from mep_hw.export.simulate import simulate
from mep_hw.export.units import Array
from mep_hw.files import write_atomic
from mep_hw.model import mlp
from mep_hw.studies.environment import environment

CONSUMERS = ("norse", "snntorch", "rockpool", "sinabs")
# The step that a consumer takes itself, in s, where it lets nobody choose it; rockpool's is tau / (1 + r) of the bare
# nodes.
OWN_STEP = {"snntorch": 1e-4, "rockpool": 0.01, "sinabs": 1e-3}
COLUMNS = ("consumer", "file", "verdict", "rms error", "said")
READER = Path(__file__).with_name("nir_reader.py")
SAMPLES = 20
SECONDS = 0.6
SPIKES = 5.0  # spikes/s, of some tens: counts of single steps differ
LIMIT = 900  # s, of one environment or one run


@dataclass(frozen=True)
class Subject:
    """One file: its graph, the step to run it with, how near what comes out must be (root mean square), and to what.

    wanted: None where that is what `simulate` gives for the step.
    """

    name: str
    graph: nir.NIRGraph
    dt: float
    bar: float
    wanted: Array | None


def subjects(x: torch.Tensor) -> list[Subject]:
    """The files; `x` (samples, 64) are digits."""
    model = mlp(64, 16, 10, seed=0)
    settled = model(x).numpy()
    bars = {"LI": 1e-3, "LIF": SPIKES, "CubaLIF": SPIKES}
    bare = [Subject(name, _bare(name), 1e-3, bar, None) for name, bar in bars.items()]
    spiking = Subject("spiking", to_spiking_nir(model, x), 5e-4, 0.05, settled)
    return [*bare, Subject("rate", to_nir(model), 1e-3, 1e-3, settled), spiking]


def _bare(name: str) -> nir.NIRGraph:
    generator = np.random.default_rng(0)
    affine = nir.Affine(generator.uniform(0, 0.2, (10, 64)).astype("float32"), np.full(10, 0.5, dtype="float32"))
    tau, one, none = (np.full(10, value, dtype="float32") for value in (0.02, 1, 0))
    cells = {
        "LI": nir.LI(tau, one, none),
        "LIF": nir.LIF(tau, one, none, one, none),
        "CubaLIF": nir.CubaLIF(tau, tau, one, none, one, none, one),
    }
    return nir.NIRGraph.from_list(affine, cells[name])


def compare(out: Path, names: Sequence[str], constraints: Path | None, tell: Callable[[str], None]) -> dict[str, Any]:
    """Make the environments, run all files in them, and write consumers.json into `out`.

    Args:
        constraints: a pip constraints file, to hold torch at the build of this machine.

    Raises:
        InputError: an unknown consumer, or a folder that cannot be written to.
    """
    if unknown := [name for name in names if name not in CONSUMERS]:
        rule, fix = f"must be of {', '.join(CONSUMERS)}", "leave it out"
        raise InputError("study", "consumers", ", ".join(unknown), rule=rule, fix=fix)
    x = as_data("digits").test_x[:SAMPLES]
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        files = subjects(x)
        for subject in files:
            write_nir(Path(folder) / f"{subject.name}.nir", subject.graph)
        np.save(Path(folder) / "x.npy", x.numpy())
        for name in names:
            tell(f"{name}: making its environment")
            trouble = _install(Path(folder) / name, name, constraints)
            for subject in files:
                rows.append(_row(Path(folder), name, subject) if trouble is None else _not_run(name, subject, trouble))
                tell(f"{name}, {subject.name}: {rows[-1]['verdict']}")
    settings = {"samples": SAMPLES, "seconds": SECONDS, "bars": {subject.name: subject.bar for subject in files}}
    table = {"settings": settings, "rows": rows, "environment": environment()}
    write_atomic(out / "consumers.json", json.dumps(table, indent=1).encode())
    return table


def _python(place: Path) -> Path:
    return place / ("Scripts" if os.name == "nt" else "bin") / "python"


def _install(place: Path, name: str, constraints: Path | None) -> str | None:
    """What went wrong; None: nothing."""
    venv.create(place, with_pip=True)
    held = [] if constraints is None else ["-c", str(constraints)]
    words = [str(_python(place)), "-m", "pip", "install", "-q", *held, name, "nir", "nirtorch", "setuptools<80"]
    return _run(words)[1]


def _run(words: list[str]) -> tuple[str, str | None]:
    """Standard output, and the last line of standard error where the command failed."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return "", f"took more than {LIMIT} s"
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return done.stdout, None if done.returncode == 0 else said[-1] if said else f"exit code {done.returncode}"


def _row(folder: Path, name: str, subject: Subject) -> dict[str, Any]:
    found = folder / "found.npy"
    found.unlink(missing_ok=True)
    dt = OWN_STEP.get(name, subject.dt)
    places = [str(path) for path in (READER, folder / f"{subject.name}.nir", folder / "x.npy", found)]
    words = [str(_python(folder / name)), "-I", places[0], name, *places[1:], str(dt), str(round(SECONDS / dt))]
    printed, trouble = _run(words)
    versions = json.loads(printed.splitlines()[0]) if printed else None
    row: dict[str, Any] = {"consumer": name, "file": subject.name, "versions": versions}
    if trouble is not None:
        return row | {"verdict": "refuses", "rms_error": None, "said": trouble.replace(str(folder), "")[:160]}
    output = np.load(found)
    if subject.bar == SPIKES:
        output = output / dt  # readers give a spike as 1 in its step
    wanted = subject.wanted
    if wanted is None:
        x = np.load(folder / "x.npy")
        wanted = simulate(subject.graph, x, seconds=SECONDS, average=SECONDS / 4, dt=min(dt, subject.dt)).output
    error = float(np.sqrt(np.mean((output - wanted) ** 2))) if output.shape == wanted.shape else None
    right = error is not None and error <= subject.bar
    verdict = "correct" if right else "wrong numbers"
    return row | {"verdict": verdict, "rms_error": error if error is None or np.isfinite(error) else None, "said": None}


def _not_run(name: str, subject: Subject, trouble: str) -> dict[str, Any]:
    row = {"consumer": name, "file": subject.name, "versions": None, "verdict": "not run", "rms_error": None}
    return row | {"said": trouble[:160]}


def cells(table: dict[str, Any]) -> list[tuple[str, ...]]:
    """Lines of the table, by `COLUMNS`."""
    lines: list[tuple[str, ...]] = []
    for row in table["rows"]:
        version = row["versions"][row["consumer"]] if row["versions"] else ""
        error = "" if row["rms_error"] is None else f"{row['rms_error']:.2g}"
        lines.append((f"{row['consumer']} {version}".strip(), row["file"], row["verdict"], error, row["said"] or ""))
    return lines
