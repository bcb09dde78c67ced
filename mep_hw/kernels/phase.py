# Triton compiles this file's functions from their source, in which numbers are constexpr and tensors can be indexed.
# pyright: basic, reportAssignmentType=false, reportGeneralTypeIssues=false, reportOperatorIssue=false
# pyright: reportCallIssue=false, reportArgumentType=false
"""One phase of a chain of dense layers as one persistent kernel: no launch between sweeps.

Each program owns a block of ROWS rows and runs all of their sweeps. It keeps drives, states and last changes in its
rows of three (rows, columns) buffers, small enough for the cache, and streams the coupling weights. Rows, layers and
weights are padded to whole tiles of UNITS: padding has weights of zero, so whatever its units do, nobody hears it. A
visit adds only what the neighbours' changes contribute,

    D_l += dS_{l-1} W_l^T + dS_{l+1} W_{l+1},   S_l = rho(D_l),   dS_l = S_l - S_l before,

which is the Gauss-Seidel sweep of `mep_hw.settle` written in differences. Operands are rounded (tf32, bf16), sums and
states are float32: rounding is then relative to a change, so that sweeps converge to any tolerance, and a nudge that
moves a state by a thousandth is not lost in the rounding of the state itself. What the rounding of the first,
full-sized change leaves is a fixed error of the drives: the state is an exact equilibrium of slightly other biases.

Rows whose state moved by no more than their limit stay as they are while their block goes on, so results do not depend
on which rows share a block. Not valid for more than one coupling between layers, or a softmax over more than one tile.
"""

from __future__ import annotations

import triton
import triton.language as tl

BOX, SIGMOID, TANH, LINEAR, SOFTMAX = range(5)  # kinds of layers; the last two are read-outs
FIELDS = 5  # of a layer in the table: column, width, first weight, stride of weights, kind
BOUNDS = 4  # of a layer: low, high, gain, offset

_FIELDS = tl.constexpr(FIELDS)
_BOUNDS = tl.constexpr(BOUNDS)
_BOX = tl.constexpr(BOX)
_TANH = tl.constexpr(TANH)
_LINEAR = tl.constexpr(LINEAR)
_SOFTMAX = tl.constexpr(SOFTMAX)


# Numbers of a batch and of its sweeps are not compiled for: a ragged batch would take seconds.
@triton.jit(do_not_specialize=["rows", "batch", "start_rows", "depth", "cap"])
def phase_kernel(
    drives, states, changes,  # out: (rows in whole blocks, columns)
    sweeps, residuals,  # out: (rows,)
    weights, biases, static,  # packed, (columns,), (batch, width of layer 1)
    target, beta, limit,  # (batch, outputs), (rows,), (rows,)
    start_drives, start_states,  # (start_rows or more, columns)
    table, bounds,  # (depth, FIELDS), (depth, BOUNDS)
    rows, batch, start_rows, columns, depth, cap,
    NUDGED: tl.constexpr, STARTED: tl.constexpr, SILENT: tl.constexpr, OPERAND: tl.constexpr, PRECISION: tl.constexpr,
    ROWS: tl.constexpr, UNITS: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = row < rows
    lane = tl.arange(0, UNITS)
    place = row.to(tl.int64)[:, None] * columns + lane[None, :]  # of the first tile in a row
    sample = (row % batch).to(tl.int64)[:, None]
    strength = tl.zeros((ROWS, 1), tl.float32)
    if NUDGED:
        strength = tl.load(beta + row, mask=inside, other=0.0)[:, None]
    enough = tl.load(limit + row, mask=inside, other=0.0)

    for layer in range(depth):  # what the sweeps start from
        column = tl.multiple_of(tl.load(table + layer * _FIELDS), 16)
        width = tl.load(table + layer * _FIELDS + 1)
        for first in range(0, width, UNITS):
            here = place + (column + first)
            if STARTED:
                source = (row % start_rows).to(tl.int64)[:, None] * columns + (column + first) + lane[None, :]
                drive, state = tl.load(start_drives + source), tl.load(start_states + source)
            else:
                state = tl.zeros((ROWS, UNITS), tl.float32)
                drive = state + tl.load(biases + (column + first) + lane)[None, :]
                if layer == 0:
                    real = (first + lane < width)[None, :]
                    drive = tl.load(static + sample * width + (first + lane)[None, :], mask=real, other=0.0)
            tl.store(drives + here, drive)
            tl.store(states + here, state)
            tl.store(changes + here, tl.zeros((ROWS, UNITS), tl.float32))
    tl.debug_barrier()

    FIRST_BELOW: tl.constexpr = 1 if NUDGED else -1  # the sweep from which a layer asks the one below it
    sending = depth - 2 if SILENT and not NUDGED else depth - 1  # layers below this one hear from the one above
    live = inside
    count = tl.zeros((ROWS,), tl.int32)
    moved = tl.zeros((ROWS,), tl.float32)
    sweep = 0 if STARTED else -1  # sweep -1 is the feed-forward pass: nothing comes from above yet
    going = 1
    while going > 0:
        largest = tl.zeros((ROWS,), tl.float32)
        moving = live[:, None]
        for visit in range(depth):
            layer = depth - 1 - visit if NUDGED else visit
            column = tl.multiple_of(tl.load(table + layer * _FIELDS), 16)
            width = tl.load(table + layer * _FIELDS + 1)
            kind = tl.load(table + layer * _FIELDS + 4)
            for first in range(0, width, UNITS):
                here = place + (column + first)
                drive = tl.load(drives + here)
                for ABOVE in tl.static_range(2):  # what the layer below sends, then what the one above does
                    # Nothing has moved below when a nudge first comes down, nor above while a free phase first goes up.
                    heard = (layer < sending) & (sweep >= 0) if ABOVE else (layer > 0) & (sweep >= FIRST_BELOW)
                    if heard:
                        other = table + (layer + 1 if ABOVE else layer - 1) * _FIELDS
                        coupling = table + (layer + 1 if ABOVE else layer) * _FIELDS
                        stride = tl.multiple_of(tl.load(coupling + 3), 16).to(tl.int64)
                        left = changes + place + tl.multiple_of(tl.load(other), 16)
                        right = weights + tl.multiple_of(tl.load(coupling + 2), 16)
                        if ABOVE:
                            right += lane[:, None] * stride + (first + lane)[None, :]
                        else:
                            right += (first + lane)[None, :] * stride + lane[:, None]
                        for k in range(0, tl.load(other + 1), UNITS):
                            change = tl.load(left + k, mask=moving, other=0.0)  # rows at rest hear nothing
                            weight = tl.load(right + (k * stride if ABOVE else k))
                            drive = tl.dot(change.to(OPERAND), weight, drive, input_precision=PRECISION)
                old = tl.load(states + here)
                real = (first + lane < width)[None, :]
                if kind < _LINEAR:  # rho, see mep_hw.activation
                    if kind == _BOX:
                        low, high = tl.load(bounds + layer * _BOUNDS), tl.load(bounds + layer * _BOUNDS + 1)
                        gain, offset = tl.load(bounds + layer * _BOUNDS + 2), tl.load(bounds + layer * _BOUNDS + 3)
                        new = tl.maximum(gain * drive + offset, low, propagate_nan=tl.PropagateNan.ALL)
                        new = tl.minimum(new, high, propagate_nan=tl.PropagateNan.ALL)
                    else:
                        steep = tl.where(kind == _TANH, 2.0, 1.0)
                        new = steep / (1.0 + tl.exp(-steep * drive)) - (steep - 1.0)
                else:  # the read-out, see mep_hw.loss
                    wanted = tl.zeros((ROWS, UNITS), tl.float32)
                    if NUDGED:
                        wanted = tl.load(target + sample * width + (first + lane)[None, :], mask=real, other=0.0)
                    if kind == _SOFTMAX:
                        shifted = tl.where(real, drive, float("-inf"))
                        odds = tl.exp(shifted - tl.max(shifted, 1)[:, None])
                        new = strength * (wanted - odds / tl.sum(odds, 1)[:, None])
                    else:
                        new = (drive + strength * wanted) / (1.0 + strength)
                change = new - old
                # A change that is not a number counts as infinite: comparisons would overlook it.
                size = tl.where(change == change, tl.abs(change), float("inf"))
                size = tl.where(real, size, 0.0)
                largest = tl.maximum(largest, tl.max(size, 1))
                tl.debug_barrier()  # a thread may store where another one has loaded from
                tl.store(drives + here, drive)
                tl.store(states + here, new)
                tl.store(changes + here, change)
            tl.debug_barrier()  # the next layer reads what all threads have written
        sweep += 1
        if sweep > 0:
            count = tl.where(live, sweep, count)
            moved = tl.where(live, largest, moved)
            live = live & (largest > enough)
            going = tl.where(sweep < cap, tl.max(live.to(tl.int32), 0), 0)
    tl.store(sweeps + row, count, mask=inside)
    tl.store(residuals + row, moved, mask=inside)
