"""Read-out units that teach the connection below them: they send Loihi's traces y1, y2, y3 beside settling.

Rows come in pairs, a free phase and a nudged one that goes on from it. y1 is the rate; y3 is up in free phases and y2
in nudged ones, which is how a rule of the connection tells them apart. No spike is sent back (`bap`).
"""

import numpy as np
from arithmetic import Fixed, Floating, rounded
from clock import place
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

RATE = 127  # the largest of a trace's 7 bits
PAYLOAD = 2 * RATE  # Loihi's trace x1 is half of the payload
WEIGHT = 64  # a weight of 1; with the payload, and two bits less, it makes the state format
ONE = PAYLOAD * WEIGHT // 4
GATE = 64  # smaller gates lose all bits in the engine's shifts


class Learner(AbstractProcess):
    """given: "step_shift" and "beta_fraction", or "dt"; parts: "bias", and per row "beta" and "target"."""

    def __init__(self, *, clock, given, parts):
        super().__init__(clock=clock, given=given, parts=parts)
        for name in ("a_in", "bap", "y1", "y2", "y3"):
            setattr(self, name, (InPort if name == "a_in" else OutPort)(shape=parts["bias"].shape))


class LearnerModel(PyLoihiProcessModel):
    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.parts = proc_params["parts"]
        self.units = self.arithmetic(proc_params["given"], self.parts)
        self.value = np.zeros_like(self.parts["bias"])

    def run_spk(self):
        total = self.a_in.recv()
        row, update, _ = place(self.proc_params["clock"], self.time_step)
        nudged = row % 2
        if update > 0:
            self.value = self.units.update(self.value, self.received(total), *self.nudge(row))
        elif not nudged:
            self.value = np.zeros_like(self.value)
        level = np.ones_like(self.value) * self.gate
        self.bap.send(np.zeros(self.value.shape, bool))
        self.y1.send(self.rate(self.value))
        self.y2.send(level * nudged)
        self.y3.send(level * (1 - nudged))

    def nudge(self, row):
        return self.parts["beta"][row], self.parts["target"][row]


@implements(proc=Learner, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class FixedLearner(LearnerModel):
    arithmetic, gate = Fixed, GATE
    a_in = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    bap = LavaPyType(PyOutPort.VEC_DENSE, bool)
    y1 = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    y2 = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    y3 = LavaPyType(PyOutPort.VEC_DENSE, np.int32)

    def received(self, total):
        return total

    def rate(self, value):
        return np.clip(rounded(value, 5), 0, RATE)  # ONE / 2^5 is RATE


@implements(proc=Learner, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class FloatingLearner(LearnerModel):
    arithmetic, gate = Floating, 1.0
    a_in = LavaPyType(PyInPort.VEC_DENSE, float)
    bap = LavaPyType(PyOutPort.VEC_DENSE, bool)
    y1 = LavaPyType(PyOutPort.VEC_DENSE, float)
    y2 = LavaPyType(PyOutPort.VEC_DENSE, float)
    y3 = LavaPyType(PyOutPort.VEC_DENSE, float)

    def received(self, total):
        return total / 2  # twice the input is sent, of which the trace is half

    def rate(self, value):
        return np.clip(value, 0, 1)
