"""What a node on an FPGA takes and how fast it is, against P, the weights that it reads at once.

The model has initial weights: its states do not matter here, its shape and formats do. For every P one node holds all
layers; `learning` adds the same node with the update on the chip. Each of them is measured in parts, and a part whose
program is not installed, or that fails, is left out and stays None:

    simulated   one sample by Verilator: cycles, and whether states and weights equal the oracle's
    xcup, ecp5  cells as yosys counts them
    ecp5 routed the same, and the clock that nextpnr reaches for one seed, without pins

Cycles are also those of the formula (`mep_hw.fpga.rtl.cycles`). Where no clock was routed there is no time either, but
for the columns of ASSUMED_MHZ, which nothing here has shown to be reached.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from mep_hw.errors import MachineError
from mep_hw.fpga import oracle
from mep_hw.fpga.node import EMIT_READOUT, RUN, WRITE, Node
from mep_hw.fpga.numbers import whole_inputs, whole_targets
from mep_hw.fpga.quantised import Formats, learning_of, quantised
from mep_hw.fpga.rtl.config import header
from mep_hw.fpga.rtl.lockstep import Order, measured, simulate
from mep_hw.fpga.rtl.memories import memories
from mep_hw.fpga.rtl.verilate import build as verilated
from mep_hw.fpga.rtl.verilate import sources
from mep_hw.fpga.spec import Format, Spec, Values, Whole
from mep_hw.fpga.synthesis import routed, synthesise
from mep_hw.model import Model
from mep_hw.studies.fpga_nodes_table import row
from mep_hw.studies.saved_runs import Found, Study

LANES = (1, 2, 4, 8, 16)
STATES, INPUTS, WEIGHTS = Format(bits=16, fraction=12), Format(bits=12, fraction=8), Format(bits=12, fraction=10)
FREE_STEPS, NUDGED_STEPS = 64, 32
RATE = 4  # halvings of 2 beta
TOP = "mep_node"
Part = Literal["simulated", "xcup", "ecp5", "ecp5 routed"]


@dataclass(frozen=True)
class Variant:
    """A node with `lanes` lanes, with the update on the chip or without."""

    lanes: int
    learning: bool

    @property
    def key(self) -> str:
        return f"P = {self.lanes}{', learning' if self.learning else ''}"


class NodeStudy(Study):
    """Runs the parts that `folder/nodes-<name>.json` lacks and writes the file after each.

    Args:
        model: one whose layers all P divide.
        lanes: values of P; `learning`: those of them that are also measured with the update on the chip.
        route: whether the netlists for ECP5 are placed and routed, which takes longest.
        tell: called with a line about every part that is done or cannot be.

    Raises:
        CapabilityError: P that does not divide the layers, or a model that the specification has not.
        InputError: a folder that cannot be written to.
        CheckpointError: the folder holds a study with other settings.
    """

    def __init__(
        self, model: Model, name: str, lanes: Sequence[int], learning: Sequence[int], route: bool, folder: Path,
        tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.model, self.route = model, route
        self.variants = [Variant(p, learns) for p in sorted({*lanes, *learning}) for learns in (False, True)
                         if p in (learning if learns else lanes)]  # fmt: skip
        self.made = {variant: specified(model, variant) for variant in self.variants}
        settings: dict[str, Any] = {
            "model": name, "states": STATES.model_dump(), "inputs": INPUTS.model_dump(),
            "weights": WEIGHTS.model_dump(), "free_steps": FREE_STEPS, "nudged_steps": NUDGED_STEPS,
        }  # fmt: skip
        super().__init__(folder / f"nodes-{name}.json", "study of nodes", settings, tell)

    def run(self) -> dict[str, Any]:
        """The table: settings, environment, rows and runs."""
        parts: list[Part] = ["simulated", "xcup", "ecp5 routed" if self.route else "ecp5"]
        for part in parts:
            for variant in self.variants:
                if part != "ecp5" or f"{variant.key} / ecp5 routed" not in self.runs:
                    self._try(variant, part)
        return self.table()

    def table(self) -> dict[str, Any]:
        found = {variant: self._found(variant) for variant in self.variants}
        made = [row(Node(self.made[v][0], 0), v.learning, parts) for v, parts in found.items()]
        return {"settings": self.settings, "environment": self.environment, "rows": made, "runs": self.runs}

    def _found(self, variant: Variant) -> dict[str, Found]:
        head = f"{variant.key} / "
        return {key.removeprefix(head): run for key, run in self.runs.items() if key.startswith(head)}

    def _try(self, variant: Variant, part: Part) -> None:
        key = f"{variant.key} / {part}"
        try:
            self.once(key, lambda: _measure(*self.made[variant], part), lambda run: f"{key}: {_told(run)}")
        except MachineError as error:
            self.tell(f"{key}: not run: {error}")


def specified(model: Model, variant: Variant) -> tuple[Spec, Values]:
    """Of the node; 17 bits of states or fewer keep a product within one multiplier of every family."""
    formats = Formats(state=STATES, input=INPUTS, bias_bits=STATES.bits, weights=(WEIGHTS,) * model.depth)
    rates = (RATE,) * model.depth
    learning = learning_of(formats, rates, rates, seed=0) if variant.learning else None
    return quantised(
        model, formats, free_steps=FREE_STEPS, nudged_steps=NUDGED_STEPS, beta=0.125, beta_fraction=8,
        lanes=variant.lanes, learning=learning,
    )  # fmt: skip


def _measure(spec: Spec, values: Values, part: Part) -> Found:
    if part == "simulated":
        return simulated(spec, values)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        paths = written(spec, values, work)
        if part == "xcup":
            return asdict(synthesise(paths, TOP, "xcup", work))
        found = synthesise(paths, TOP, "ecp5", work)
        return asdict(routed(found, work) if part == "ecp5 routed" else found)


def written(spec: Spec, values: Values, work: Path) -> list[Path]:
    """The files of the first node in the folder `work`; those to compile, of them."""
    node = Node(spec, 0)
    for name, text in (sources() | {"mep_config.svh": header(node)} | memories(node, values)).items():
        (work / name).write_text(text)
    return sorted(work.glob("*.sv"))


def simulated(spec: Spec, values: Values) -> Found:
    """Cycles of an inference and of a whole job, which sends the states of all phases."""
    x, y = _sample(spec)
    node, learns, program = Node(spec, 0), spec.learning is not None, verilated(spec)
    job, after, done = measured(spec, values, x, y, learns, program=program)
    expected, held = oracle.execute(spec, values, x, y, learns)
    found = [*job.free, *job.plus, *job.minus, *after.weights, *after.biases]
    right = [*expected.free, *expected.plus, *expected.minus, *held.weights, *held.biases]
    words = np.concatenate([part.reshape(-1) for part in node.held(values)])
    orders = [Order(WRITE, words=words), Order(RUN, EMIT_READOUT, x[0])]
    inference = simulate(program, 1, [[order] for order in orders])[-1][0]
    whole = done[0][0]
    return {
        "equal": all(bool((a == b).all()) for a, b in zip(found, right, strict=True)),
        "inference": inference.cycles, "job": whole.cycles, "static": whole.static,
        "settle": whole.settle, "busy": whole.busy,
    }  # fmt: skip


def _sample(spec: Spec) -> tuple[Whole, Whole]:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, spec.layers[0].units, generator=generator)
    return whole_inputs(spec, x), whole_targets(spec, torch.eye(spec.layers[-1].units)[:1])


def _told(run: Found) -> str:
    if "equal" in run:
        return f"{run['inference']} cycles an inference, {'equal to' if run['equal'] else 'NOT'} the oracle"
    clock = "" if run["clock_mhz"] is None else f", {run['clock_mhz']:.1f} MHz"
    return f"{run['lut']} LUT, {run['ff']} FF, {run['dsp']} DSP{clock}"
