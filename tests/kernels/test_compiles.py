"""The kernel compiles for the GPUs that it is meant for, without one at hand, and keeps its tiles in registers.

In a process of its own: there Triton compiles, and does not interpret. What this cannot show is that it runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

CHILD = """
import json, re, subprocess, sys, tempfile
from pathlib import Path
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from mep_hw.kernels.chain import LEAST, MOST
from mep_hw.kernels.phase import phase_kernel as kernel
from mep_hw.kernels.run import OPERANDS
from mep_hw.substrates.gpu import ROWS

def source(operands, units, nudged):
    number, precision = OPERANDS[operands]
    fixed = dict(NUDGED=nudged, STARTED=nudged, SILENT=False, OPERAND=number, PRECISION=precision)
    fixed |= dict(ROWS=ROWS, UNITS=units)
    kinds = {name: "*fp32" for name in kernel.arg_names}
    kinds |= dict.fromkeys(("rows", "batch", "start_rows", "columns", "depth", "cap"), "i32")
    kinds |= dict.fromkeys(("sweeps", "table"), "*i32") | dict.fromkeys(fixed, "constexpr")
    kinds["weights"] = "*bf16" if operands == "bf16" else "*fp32"
    place = kernel.arg_names.index
    whole = [name for name, kind in kinds.items() if kind.startswith("*") or name == "columns"]
    return ASTSource(
        fn=kernel, signature=kinds, constexprs={(place(name),): value for name, value in fixed.items()},
        attrs={(place(name),): [["tt.divisibility", 16]] for name in whole},
    )

found = []
for capability, operands, units, nudged in (
    (80, "tf32", MOST, True), (80, "bf16", MOST, False), (80, "fp32", LEAST, True),
    (90, "tf32", MOST, True), (90, "bf16", MOST, True), (90, "tf32", LEAST, False),
):
    made = triton.compile(source(operands, units, nudged), target=GPUTarget("cuda", capability, 32),
                          options={"num_warps": 4})
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "kernel.cubin"
        binary.write_bytes(made.asm["cubin"])
        tool = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
        usage = subprocess.run([tool, "-res-usage", binary], capture_output=True, text=True, check=True)
    stack = re.search(r"STACK:(\\d+)", usage.stdout + usage.stderr)
    found.append({
        "capability": capability, "operands": operands, "units": units, "stack": int(stack[1]),
        "tensor_cores": "mma.sync" in made.asm["ptx"], "shared": made.metadata.shared,
    })
print(json.dumps(found))
"""
SPILLED = 64  # bytes of a thread that may be in local memory: a few registers, and no tile
SHARED = 99 * 1024  # bytes that a program may have on compute capability 8.6, the least of all from 8.0


@pytest.fixture(scope="module")
def compiled() -> list[dict[str, object]]:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CHILD], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_it_compiles_for_every_kind_of_operands(compiled: list[dict[str, object]]) -> None:
    assert {kernel["operands"] for kernel in compiled} == {"fp32", "tf32", "bf16"}
    for kernel in compiled:
        assert kernel["tensor_cores"] == (kernel["operands"] != "fp32"), kernel


def test_it_fits(compiled: list[dict[str, object]]) -> None:
    for kernel in compiled:
        assert int(str(kernel["shared"])) <= SHARED, kernel
        assert int(str(kernel["stack"])) <= SPILLED, kernel
