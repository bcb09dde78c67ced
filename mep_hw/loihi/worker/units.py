"""One population as a process of Lava: takes the sum of its connections, moves, and sends.

What it starts from, what nudges it and where it ends are shared arrays, one row for each sample. The models for both
formats stand beside the process, where Lava's compiler looks for them.
"""

import numpy as np
from arithmetic import Fixed, Floating
from clock import place
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class Units(AbstractProcess):
    """given: the structure of the population; parts: its shared arrays, and those of the phase (`start`, `beta`,
    `target`, `state`, `earlier`); the ports have the shape (units,), or (rows, units) when batched."""

    def __init__(self, *, clock, given, parts, batched):
        super().__init__(clock=clock, given=given, parts=parts, batched=batched)
        shape = parts["start"].shape if batched else parts["start"].shape[1:]
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)


class UnitsModel(PyLoihiProcessModel):
    arithmetic = Fixed

    def __init__(self, proc_params):
        super().__init__(proc_params)
        self.parts = proc_params["parts"]
        self.units = self.arithmetic(proc_params["given"], self.parts)
        self.value = None

    def run_spk(self):
        total = self.a_in.recv()
        sample, update, last = place(self.proc_params["clock"], self.time_step)
        rows = slice(None) if self.proc_params["batched"] else sample
        if update == 0:  # what was received belongs to the sample before
            self.value = self.parts["start"][rows].copy()
        else:
            earlier = self.value
            self.value = self.units.update(earlier, total, self.parts["beta"][rows], self.parts["target"][rows])
            if last:
                self.parts["state"][rows], self.parts["earlier"][rows] = self.value, earlier
        self.s_out.send(self.units.sent(self.value))


@implements(proc=Units, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class FixedUnits(UnitsModel):
    a_in = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out = LavaPyType(PyOutPort.VEC_DENSE, np.int32)


@implements(proc=Units, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class FloatingUnits(UnitsModel):
    arithmetic = Floating
    a_in = LavaPyType(PyInPort.VEC_DENSE, float)
    s_out = LavaPyType(PyOutPort.VEC_DENSE, float)
