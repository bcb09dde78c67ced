"""Cells and a SPICE netlist to hold solvers against."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor


def cells(rows: int, cols: int, seed: int = 0) -> Tensor:
    """Conductances from 0.25 to 25 uS, float64."""
    generator = torch.Generator().manual_seed(seed)
    return (0.25 + 24.75 * torch.rand(rows, cols, generator=generator, dtype=torch.float64)) * 1e-6


def volts(batch: int, lines: int, seed: int = 1) -> Tensor:
    """Voltages from -0.2 to 0.2 V, (batch, lines), float64."""
    generator = torch.Generator().manual_seed(seed)
    return 0.4 * torch.rand(batch, lines, generator=generator, dtype=torch.float64) - 0.2


def spice_currents(folder: Path, conductance: Tensor, word_ohm: float, bit_ohm: float, word: Tensor) -> Tensor:
    """Currents out of the bit-line terminals by ngspice, (cols,), for one vector of word-line voltages."""
    program = shutil.which("ngspice")
    if program is None and os.environ.get("MEP_HW_CI"):
        pytest.fail("ngspice is not on PATH, but the checks of .ci/run need it: apt-get install ngspice")
    if program is None:
        pytest.skip("needs the program ngspice (apt-get install ngspice); .ci/run installs it and never skips")
    rows, cols = conductance.shape
    deck = ["* crossbar", *(f"Vw{i} w{i} 0 {float(v)!r}" for i, v in enumerate(word))]
    for i in range(rows):
        for j in range(cols):
            before = f"w{i}" if j == 0 else f"a{i}_{j - 1}"
            after = f"s{j}" if i == rows - 1 else f"b{i + 1}_{j}"
            deck.append(f"Rw{i}_{j} {before} a{i}_{j} {word_ohm!r}")
            deck.append(f"Rc{i}_{j} a{i}_{j} b{i}_{j} {1 / float(conductance[i, j])!r}")
            deck.append(f"Rb{i}_{j} b{i}_{j} {after} {bit_ohm!r}")
    deck += [f"Vs{j} s{j} 0 0" for j in range(cols)]  # a source of 0 V measures the current through it
    sensed = " ".join(f"i(vs{j})" for j in range(cols))
    deck += [".control", "set numdgt=12", "set wr_singlescale", "op", f"wrdata out.txt {sensed}", ".endc", ".end"]
    (folder / "deck.cir").write_text("\n".join(deck) + "\n")
    done = subprocess.run([program, "-b", "deck.cir"], cwd=folder, capture_output=True, text=True, timeout=120)
    assert (folder / "out.txt").exists(), done.stdout + done.stderr
    return torch.from_numpy(np.loadtxt(folder / "out.txt").ravel()[1:])
