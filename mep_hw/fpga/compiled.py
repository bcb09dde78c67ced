"""The native executable as a loaded library: compiled once for this computer, kept in the user's cache folder.

The file's name holds a hash of the source, the flags, and what the compiler is and makes of `-march=native`, so that a
folder shared by different computers serves each its own. It appears whole or not at all.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from mep_hw.files import require_writable
from mep_hw.fpga import tools
from mep_hw.fpga.library import folder

FLAGS = ("-O3", "-march=native", "-fwrapv", "-std=c++17", "-shared", "-fPIC")
COMPILE_S = 300.0
_INT, _ARRAY = ctypes.c_int64, ctypes.c_void_p
_SIGNATURES = {
    "mep_product": (_ARRAY, _INT, _INT, _INT, _INT, _ARRAY, _INT, _ARRAY),
    "mep_settle": (_INT, *[_ARRAY] * 7, _INT, _INT, _INT, _ARRAY),
    "mep_learn": (_ARRAY, _INT, _INT, *[_ARRAY] * 4, _INT, _ARRAY, _INT, _INT, _INT, _INT),
}


@cache
def library(macros: tuple[str, ...] = ()) -> ctypes.CDLL:
    """The functions of fpga/native/mep_native.cpp.

    Args:
        macros: to define; tests break the arithmetic with them.

    Raises:
        MachineError: there is no g++, or it fails.
    """
    loaded = ctypes.CDLL(str(compiled(macros)))
    for name, arguments in _SIGNATURES.items():
        function = getattr(loaded, name)
        function.argtypes, function.restype = arguments, None
    return loaded


def compiled(macros: Sequence[str] = ()) -> Path:
    """The library's file, compiled if it is not there yet."""
    compiler = tools.require("g++")
    source = folder("native") / "mep_native.cpp"
    flags = [*FLAGS, *(f"-D{name}" for name in macros)]
    machine = tools.call([compiler, *FLAGS[:2], "-Q", "--help=target"], timeout_s=60)
    parts = [source.read_text(encoding="utf-8"), *flags, tools.version("g++"), machine]
    key = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
    place = cache_folder() / f"native-{key}.so"
    if not place.is_file():
        require_writable(place.parent)
        with tempfile.TemporaryDirectory(dir=place.parent) as working:
            made = Path(working) / place.name
            tools.call([compiler, *flags, "-o", made, source], timeout_s=COMPILE_S)
            os.replace(made, place)
    return place


def cache_folder() -> Path:
    """Where compiled libraries are kept: in `XDG_CACHE_HOME`, else ~/.cache."""
    cache_home = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache_home) if cache_home else Path.home() / ".cache") / "mep_hw" / "fpga"
