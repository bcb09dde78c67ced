"""A network as processes of Lava, which stay while phases are run one after the other.

Connections are Lava's own Dense, one sample after the other, or `Batched` for all samples at once. Numbers reach the
processes through arrays shared with them; only Dense keeps its weights to itself, and is built anew for others.
"""

import multiprocessing
import signal
import sys

import numpy as np
from arithmetic import Fixed, Floating
from batched import Batched
from clock import FIRST, STEPS, new_clock, shared
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import Dense
from lava.utils.weightutils import SignMode
from source import Source
from units import Units

SLOTS = 4  # of a channel between processes; a sender is never further ahead than one step


class Died(Exception):
    """A process of Lava has ended while it should have worked; Lava's own run() would wait for it without end."""


class Graph:
    """structure: what the client's `wire.structure` gives; arrays: its numbers; rows: samples of the largest phase."""

    def __init__(self, structure, arrays, rows):
        self.structure, self.rows, self.batched = structure, rows, structure["batched"]
        self.kind = np.int64 if structure["fixed"] else np.float64
        self.clock, self.done = new_clock(), 0
        self.inputs = shared((rows, structure["inputs"]), (Fixed if structure["fixed"] else Floating).port)
        self.given = {name: shared(array.shape, self.kind) for name, array in arrays.items()}
        last = structure["populations"][-1]["units"]
        self.nudge = {"beta": shared((rows, 1), self.kind), "target": shared((rows, last), self.kind)}
        self.phases = [
            {name: shared((rows, population["units"]), self.kind) for name in ("start", "state", "earlier")}
            for population in structure["populations"]
        ]
        self.load(arrays)
        self.root = self._connect()
        tag = "fixed_pt" if structure["fixed"] else "floating_pt"
        self.root.create_runtime(Loihi2SimCfg(select_tag=tag), compile_config={"pypy_channel_size": SLOTS})
        self.processes = len(multiprocessing.active_children())

    def load(self, arrays):
        """Other numbers for the same structure; seen when the next phase begins, by all but Dense."""
        for name, array in arrays.items():
            self.given[name][...] = array

    def run(self, phase, steps):
        """Settle the rows of `phase` ("inputs", "beta", "target", "start1" ...); returns "state1", "earlier1" ..."""
        rows = len(phase["inputs"])
        self.inputs[:rows] = phase["inputs"]
        for name, array in self.nudge.items():
            array[:rows] = phase[name].reshape(rows, -1)
        for number, arrays in enumerate(self.phases, start=1):
            arrays["start"][:rows] = phase[f"start{number}"]
        self.clock[[FIRST, STEPS]] = self.done + 1, steps
        count = (1 if self.batched else rows) * (steps + 1)
        try:
            with _Watched(self.processes):
                self.root.run(RunSteps(count))
        except Died:
            self._tell()
            raise
        self.done += count
        return {
            f"{name}{number}": arrays[name][:rows]
            for number, arrays in enumerate(self.phases, start=1)
            for name in ("state", "earlier")
        }

    def stop(self):
        self.root.stop()

    def _tell(self):
        """Print what the processes of Lava raised; Lava keeps it to itself when one of them has ended."""
        for actor in self.root.runtime._messaging_infrastructure.actors:
            if actor.exception is not None:
                print(actor.exception[1], file=sys.stderr)

    def _connect(self):
        source = Source(clock=self.clock, inputs=self.inputs, batched=self.batched)
        populations = [source]
        for number, population in enumerate(self.structure["populations"], start=1):
            own = {name: self.given[f"{name}{number}"] for name in population["arrays"]}
            parts = {**own, **self.nudge, **self.phases[number - 1]}
            populations.append(Units(clock=self.clock, given=population, parts=parts, batched=self.batched))
        for number, connection in enumerate(self.structure["connections"]):
            process = self._connection(self.given[f"weights{number}"], connection)
            populations[connection["source"]].s_out.connect(process.s_in)
            process.a_out.connect(populations[connection["target"]].a_in)
        return source

    def _connection(self, weights, connection):
        if self.batched:
            constant = connection["source"] == 0
            exponent = connection["exponent"]
            return Batched(clock=self.clock, weights=weights, exponent=exponent, rows=self.rows, constant=constant)
        options = {"num_message_bits": 24, "weight_exp": connection["exponent"], "sign_mode": SignMode.MIXED}
        return Dense(weights=weights.astype(np.int32 if self.structure["fixed"] else float), **options)


class _Watched:
    """While Lava runs, the end of any of its processes is an exception in the thread that waits for them."""

    def __init__(self, processes):
        self.processes = processes

    def __enter__(self):
        self.before = signal.signal(signal.SIGCHLD, _died)
        if len(multiprocessing.active_children()) < self.processes:  # one ended while nothing ran
            _died()

    def __exit__(self, *_):
        signal.signal(signal.SIGCHLD, self.before)


def _died(*_):
    raise Died("a process of Lava has ended")
