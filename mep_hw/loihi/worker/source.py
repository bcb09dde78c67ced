"""The input population: sends each sample's input in every step of the clock."""

import numpy as np
from clock import place
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class Source(AbstractProcess):
    """inputs: shared (rows, units); ports have the shape (units,), or that of `inputs` when batched."""

    def __init__(self, *, clock, inputs, batched):
        super().__init__(clock=clock, inputs=inputs, batched=batched)
        self.s_out = OutPort(shape=inputs.shape if batched else inputs.shape[1:])


class SourceModel(PyLoihiProcessModel):
    def run_spk(self):
        sample = place(self.proc_params["clock"], self.time_step)[0]
        inputs = self.proc_params["inputs"]
        self.s_out.send(inputs if self.proc_params["batched"] else inputs[sample])


@implements(proc=Source, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class FixedSource(SourceModel):
    s_out = LavaPyType(PyOutPort.VEC_DENSE, np.int32)


@implements(proc=Source, protocol=LoihiProtocol)
@requires(CPU)
@tag("floating_pt")
class FloatingSource(SourceModel):
    s_out = LavaPyType(PyOutPort.VEC_DENSE, float)
