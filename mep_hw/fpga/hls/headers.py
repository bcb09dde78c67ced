"""Where `ap_int.h` and `ap_fixed.h` are: named by hand, in an installed Vitis, or in the wheel of hls4ml.

Of hls4ml only those Apache-licensed headers are used, where its wheel put them: it is not imported, and nothing of it
is copied. Its `hls_stream.h` is under another licence and not used. Streams here are our stand-ins, which threads may
share, even where Vitis is installed; the bench of a project takes the vendor's then.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from mep_hw.errors import MachineError
from mep_hw.fpga.library import folder
from mep_hw.fpga.tools import Missing

VARIABLE = "MEP_HW_AP_TYPES"
VITIS = ("XILINX_HLS", "XILINX_VITIS")  # as its settings64.sh sets them


@dataclass(frozen=True)
class Headers:
    """A folder of headers, and who named it."""

    folder: Path
    source: str


def headers() -> Headers:
    """The first folder in the order above.

    Raises:
        Missing: there is none.
        MachineError: MEP_HW_AP_TYPES names a folder without them.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not _has_types(Path(named)):
            fix = f"name the folder that has it, or unset {VARIABLE}"
            raise MachineError("fpga", VARIABLE, named, rule="has no ap_fixed.h", fix=fix)
        return Headers(Path(named), VARIABLE)
    for place in _places():
        if _has_types(place.folder):
            return place
    raise Missing(
        "fpga", "ap_fixed.h", rule="is in no installed Vitis (XILINX_HLS) and in no hls4ml",
        fix=f"pip install 'mep-hw[fpga]', or set {VARIABLE} to the folder that has it",
    )  # fmt: skip


def flags(found: Headers) -> list[str]:
    """Of the compiler; the headers are not ours, so their warnings are not shown."""
    return ["-isystem", str(folder("hls") / "standins"), "-isystem", str(found.folder)]


def _places() -> Iterator[Headers]:
    for variable in VITIS:
        if os.environ.get(variable):
            yield Headers(Path(os.environ[variable]) / "include", variable)
    wheel = find_spec("hls4ml")
    for package in (wheel.submodule_search_locations or ()) if wheel is not None else ():
        yield Headers(Path(package) / "templates" / "vivado" / "ap_types", "hls4ml")


def _has_types(place: Path) -> bool:
    return (place / "ap_fixed.h").is_file() and (place / "ap_int.h").is_file()
