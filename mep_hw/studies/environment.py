"""Where a result was made: commit, machine and library versions, for the head of every result file."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch


def environment() -> dict[str, Any]:
    """Commit (None outside a checkout; "+": with uncommitted changes to the package), processor, versions, threads, and
    the GPU where there is one."""
    found: dict[str, Any] = {
        "commit": _commit(),
        "processor": _processor(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        found["gpu"] = f"{torch.cuda.get_device_name()}, capability {major}.{minor}, CUDA {torch.version.cuda}"
        found["triton"] = importlib.metadata.version("triton")
    return found


def _commit() -> str | None:
    folder = Path(__file__).resolve().parents[2]
    commit = _git(folder, "rev-parse", "--short=12", "HEAD")
    if commit is None:
        return None
    changed = _git(folder, "status", "--porcelain", "--", "mep_hw", "backends", "devices")
    return f"{commit}+" if changed else commit


def _git(folder: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:  # no git on this machine
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    """The processor's marketing name where the system tells it, else its architecture."""
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.exists()
        else []
    )
    return f"{names[0]}, {len(names)} cores" if names else platform.machine()
