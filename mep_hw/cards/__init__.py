"""Cards: machines (`backends/`) and memory-cell technologies (`devices/`) as checked data."""

from mep_hw.cards.array import ArrayOptions, Converter, Periphery, PhaseMismatch, ReadNoise, Wires
from mep_hw.cards.blocks import Known, Quantity
from mep_hw.cards.load import backend_names, device_names, load_backend, load_device, root
from mep_hw.cards.resolve import import_substrate
from mep_hw.cards.schema import (
    BackendCard,
    Compute,
    Conformance,
    DeviceCard,
    GpuOptions,
    SettleOptions,
    TrainingDefaults,
    WriteMode,
)

__all__ = [
    "ArrayOptions",
    "BackendCard",
    "Compute",
    "Conformance",
    "Converter",
    "DeviceCard",
    "GpuOptions",
    "Known",
    "Periphery",
    "PhaseMismatch",
    "Quantity",
    "ReadNoise",
    "SettleOptions",
    "TrainingDefaults",
    "Wires",
    "WriteMode",
    "backend_names",
    "device_names",
    "import_substrate",
    "load_backend",
    "load_device",
    "root",
]
