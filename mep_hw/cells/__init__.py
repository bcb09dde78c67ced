"""Memory cells: arrays of them answer pulses, drift and wear as their device card says."""

from mep_hw.cells.cells import Cells as Cells
