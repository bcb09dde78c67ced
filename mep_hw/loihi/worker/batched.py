"""A connection for all rows of a batch at once: ours, for training in simulation; Loihi has no such thing.

It sends what it summed in the step before, as Lava's Dense does. Its weights are a shared array, read when a phase
begins, so that new ones need no new processes. Sums of the input do not change within a phase and are taken
once. In fixed point the product is taken in double precision, which is exact: sums that fit 32 bits are far below 2^53.
"""

import numpy as np
from clock import place
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class Batched(AbstractProcess):
    """weights: shared (target units, source units); constant: what comes in is the same throughout a phase."""

    def __init__(self, *, clock, weights, exponent, rows, constant):
        super().__init__(clock=clock, weights=weights, exponent=exponent, constant=constant)
        self.s_in = InPort(shape=(rows, weights.shape[1]))
        self.a_out = OutPort(shape=(rows, weights.shape[0]))


class BatchedModel(PyLoihiProcessModel):
    kind = np.int32

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.weights = self.sums = None

    def run_spk(self):
        update = place(self.proc_params["clock"], self.time_step)[1]
        self.a_out.send(np.zeros(self.a_out.shape, self.kind) if self.sums is None else self.sums)
        sent = self.s_in.recv()
        if update == 0:
            self.weights = self.proc_params["weights"].T.astype(float)
        if update == 0 or not self.proc_params["constant"]:
            self.sums = self.summed(sent)

    def summed(self, sent):
        return (sent @ self.weights).astype(np.int32) << self.proc_params["exponent"]


@implements(proc=Batched, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class FixedBatched(BatchedModel):
    s_in = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    a_out = LavaPyType(PyOutPort.VEC_DENSE, np.int32)


@implements(proc=Batched, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class FloatingBatched(BatchedModel):
    kind = float
    s_in = LavaPyType(PyInPort.VEC_DENSE, float)
    a_out = LavaPyType(PyOutPort.VEC_DENSE, float)

    def summed(self, sent):
        return sent @ self.weights
