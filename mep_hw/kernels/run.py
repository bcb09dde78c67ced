"""Starts the phase kernel: buffers, number formats and tiles, from tensors to tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import triton.language as tl
from torch import Tensor

from mep_hw.kernels.chain import Chain
from mep_hw.kernels.phase import phase_kernel
from mep_hw.state import Nudge

OPERANDS: dict[str, tuple[Any, str]] = {  # name in cards -> number format of a product's operands, and its precision
    "fp32": (tl.float32, "ieee"),
    "tf32": (tl.float32, "tf32"),
    "bf16": (tl.bfloat16, "ieee"),
}


@dataclass(frozen=True)
class Packed:
    """A settled phase: states and drives (rows, columns), sweeps and last change (rows,) of each row."""

    states: Tensor
    drives: Tensor
    sweeps: Tensor
    residual: Tensor


def run_phase(
    chain: Chain,
    operands: str,
    *,
    limit: Tensor,
    cap: int,
    static: Tensor | None = None,
    start: tuple[Tensor, Tensor] | None = None,
    nudge: Nudge | None = None,
    silent: bool = False,
) -> Packed:
    """Settle one phase.

    Args:
        limit: (rows,) largest change in one sweep at which a row stops; below 0 it never does.
        cap: most sweeps, at least 1.
        static: (batch, width of layer 1) of a free phase that starts with a feed-forward pass.
        start: drives and states (n, columns) that belong together, n rows or a number of which rows is a multiple.
        nudge: of a nudged phase, which needs a start; its rows are copies of the batch. None: the free phase.
        silent: the read-out sends nothing back in the free phase, as with cross entropy.
    """
    rows, form = len(limit), OPERANDS[operands]
    blocks = -(-rows // chain.tiles.rows)
    drives = limit.new_empty(blocks * chain.tiles.rows, chain.columns)
    states, changes = torch.empty_like(drives), torch.empty_like(drives)
    sweeps, residual = torch.empty(rows, dtype=torch.int32, device=limit.device), torch.empty_like(limit)
    fixed = limit if static is None else static.contiguous()
    before = (limit, limit) if start is None else start
    pull = Nudge(limit, limit) if nudge is None else nudge
    phase_kernel[(blocks,)](
        drives, states, changes, sweeps, residual, chain.operands, chain.biases, fixed,
        pull.target.contiguous(), pull.beta, limit, *before, chain.table, chain.bounds,
        rows, rows if nudge is None else len(nudge.target), len(before[0]), chain.columns, chain.depth, cap,
        NUDGED=nudge is not None, STARTED=start is not None, SILENT=silent, OPERAND=form[0], PRECISION=form[1],
        ROWS=chain.tiles.rows, UNITS=chain.tiles.units, num_warps=chain.tiles.warps,  # pyright: ignore[reportCallIssue]  # an option of every launch
    )  # fmt: skip
    return Packed(states[:rows], drives[:rows], sweeps, residual)
