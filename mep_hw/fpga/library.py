"""Where the C++ and SystemVerilog files of `fpga/` are: beside this file when installed, else in the checkout."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def folder(kind: str) -> Path:
    """The folder `fpga/<kind>`: native, hls or rtl."""
    installed = _HERE / "library" / kind
    return installed if installed.is_dir() else _HERE.parents[1] / "fpga" / kind
