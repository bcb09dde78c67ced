"""Models to and from files of the Neuromorphic Intermediate Representation (NIR), and graphs of it run in numpy."""

from mep_hw.export.calibrate import to_spiking_nir as to_spiking_nir
from mep_hw.export.files import write_nir as write_nir
from mep_hw.export.load import from_nir as from_nir
from mep_hw.export.rate import to_nir as to_nir
from mep_hw.export.torch_map import node_map as node_map
