"""What this interpreter is and has, without loading Lava; run by itself it prints that as one line of JSON.

Whether a Loihi can be reached is what Lava itself says (`lava.utils.loihi.is_installed`). It must never be inferred
from a run configuration: with that for hardware, and no hardware, a process with a CPU model silently runs on the CPU.
"""

import importlib.metadata
import importlib.util
import json
import platform


def about():
    """Versions as text (None: not installed), and whether Lava's extension for Loihi is there."""
    lava = _version("lava-nc")
    found = {"python": platform.python_version(), "lava": lava, "numpy": _version("numpy"), "hardware": False}
    if lava is not None:
        from lava.utils import loihi

        found["hardware"] = loihi.is_installed()
    return found


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    print(json.dumps(about()))
