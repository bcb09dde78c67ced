"""What quantising a trained model costs: accuracy and contrast against the bits of states and of weights.

A model is trained in float32 on `cpu`, beside a control with frozen hidden weights. On training samples that were held
out from training, `mep_hw.fpga.formats` then chooses formats for use and for learning, and every pair of bits of the
grid is measured. The test samples are used for nothing but the accuracies of the float model, its control and the two
chosen forms. All whole numbers are run by the native executable.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import mep_hw
from mep_hw.data import Data, as_data, check
from mep_hw.errors import CapabilityError
from mep_hw.fpga import native, oracle, tools
from mep_hw.fpga.formats import Choice, Goal, Phases, choose, tried_out
from mep_hw.fpga.measured import Reference, reference
from mep_hw.fpga.numbers import whole_inputs
from mep_hw.fpga.quantised import quantised
from mep_hw.fpga.widths import formats_of
from mep_hw.model import Model, load
from mep_hw.studies.saved_runs import Found, Study

TRAINING: dict[str, Any] = {
    "rule": "adam", "lr": 0.001, "batch_size": 64, "epochs": 8, "lr_schedule": "cosine", "validation": 1 / 12,
}  # fmt: skip
GRID_SAMPLES = 2000  # of those held out, that the pairs of the grid are measured on
GOALS = {"use": Goal(), "learning": Goal(cosine=0.98, learns=True)}


class FormatStudy(Study):
    """Runs what is missing in `folder/formats.json` and writes the file after every run.

    Args:
        build: makes the model of a seed; it must fit the data.
        name: the model's, for the record.
        data: the name of a set.
        epochs: of training.
        seed: of the weights, of training and of which samples are held out.
        state_bits, weight_bits: the grid.
        tell: called with a line about every finished run, and about every pair of bits that a choice tries.

    Raises:
        InputError: a model of another shape, or a folder that cannot be written to.
        MachineError: there is no compiler.
        CheckpointError: the folder holds a study with other settings.
        CapabilityError: (of `run`) no pair of the grid is good enough.
    """

    def __init__(
        self, build: Callable[[int], Model], name: str, data: str, epochs: int, seed: int, state_bits: Sequence[int],
        weight_bits: Sequence[int], folder: Path, tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        compiler = tools.version("g++")
        model = build(seed)
        self.data = check(as_data(data), input_shape=model.input_shape, outputs=model.outputs)
        self.build, self.folder = build, folder
        self.state_bits, self.weight_bits = sorted(set(state_bits)), sorted(set(weight_bits))
        settings = {
            "model": name, "data": data, "seed": seed, "training": TRAINING | {"epochs": epochs},
            "phases": asdict(Phases()), "goals": {goal: asdict(GOALS[goal]) for goal in GOALS},
            "state_bits": self.state_bits, "weight_bits": self.weight_bits, "grid_samples": GRID_SAMPLES,
            "compiler": compiler,
        }  # fmt: skip
        super().__init__(folder / "formats.json", "study of formats", settings, tell)

    def run(self) -> dict[str, Any]:
        """The table: settings, environment, model, choices, rows and runs."""
        self.once("model", self._train, lambda run: f"model: {run['accuracy']:.4f}, frozen {run['frozen']:.4f}")
        for name, goal in GOALS.items():
            self.once(name, lambda g=goal: self._chosen(g), lambda run, n=name: f"{n}: {run['test_accuracy']:.4f}")
        for states in self.state_bits:
            for weights in self.weight_bits:
                key = f"{states} / {weights}"
                self.once(key, lambda s=states, w=weights: self._pair(s, w), lambda run, k=key: f"{k}: {_told(run)}")
        return self.table()

    def table(self) -> dict[str, Any]:
        return {
            "settings": self.settings, "environment": self.environment, "model": self.runs.get("model"),
            "choices": {name: self.runs[name] for name in GOALS if name in self.runs},
            "rows": [run for key, run in self.runs.items() if "/" in key], "runs": self.runs,
        }  # fmt: skip

    @property
    def _checkpoint(self) -> Path:
        return self.folder / "model.safetensors"

    @cached_property
    def _model(self) -> Model:
        """The trained one, of the epoch that was best on the samples held out."""
        return load(self._checkpoint)

    @cached_property
    def _held_out(self) -> Data:
        """The samples that training left out, as the training part of a set."""
        _, x, y = self.data.split(TRAINING["validation"], self.settings["seed"])
        return replace(self.data, x=x, y=y)

    @cached_property
    def _known(self) -> Reference:
        held = self._held_out
        return reference(self._model, held.x[:GRID_SAMPLES], held.y[:GRID_SAMPLES], Phases().beta)

    def _train(self) -> Found:
        run = mep_hw.train(
            self.build(self.settings["seed"]), self.data, seed=self.settings["seed"], control=True, progress=False,
            checkpoint=self._checkpoint, resume=True, **self.settings["training"],
        )  # fmt: skip
        return {"accuracy": run.test_accuracy, "frozen": run.control_accuracy, "seconds": round(run.seconds, 1)}

    def _chosen(self, goal: Goal) -> Found:
        started, held = time.monotonic(), self._held_out
        choice = choose(
            self._model, held.x, held.y, goal=goal, state_bits=self.state_bits, weight_bits=self.weight_bits,
            settle=native.settle, tell=self.tell,
        )  # fmt: skip
        accuracy, sums = self._tested(choice)
        return {
            "formats": {
                "state": choice.formats.state.model_dump(), "input": choice.formats.input.model_dump(),
                "bias_bits": choice.formats.bias_bits, "weights": [f.model_dump() for f in choice.formats.weights],
            },
            **choice.as_dict(), "widest_sum": sums, "test_accuracy": accuracy, "seconds": _since(started),
        }  # fmt: skip

    def _tested(self, choice: Choice) -> tuple[float, int]:
        """Accuracy on all test samples, and the bits of the widest sum."""
        spec, values = quantised(
            self._model, choice.formats, free_steps=choice.free_steps, nudged_steps=choice.nudged_steps,
            **asdict(Phases()),
        )  # fmt: skip
        x = whole_inputs(spec, self._model.centred(self.data.test_x))
        free = native.settle(spec, values, x, oracle.at_rest(spec, len(x)), spec.free_steps)
        right = free[-1].argmax(1) == self.data.test_y.numpy()
        return float(right.mean()), max(max(s.up, s.down, s.total) for s in spec.sums)

    def _pair(self, states: int, weights: int) -> Found:
        found: Found = {"state_bits": states, "weight_bits": weights}
        try:
            formats = formats_of(self._model, self._known, states, weights, learning=False)
            spec, _, measured = tried_out(self._model, self._known, formats, Phases(), native.settle)
        except CapabilityError as error:
            return found | {"refused": str(error)}
        return found | {"free_steps": spec.free_steps, **asdict(measured), "refused": None}


def _told(run: Found) -> str:
    return run["refused"] or f"{100 * run['changed']:.2f} % changed, cosine {min(run['cosines']):.4f}"


def _since(started: float) -> float:
    return round(time.monotonic() - started, 1)
