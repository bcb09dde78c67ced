"""How wrong every cheap form of the effective conductance is, over the size of arrays and the resistance of wires.

Only the product of resistance per segment and largest conductance matters (ohm times siemens), so cells are given in
units of the largest. Three kinds of cells:

    alike     all at the largest conductance, the worst case
    uniform   evenly spread from 1 % of it to the whole
    signed    weights 0.2 * normal, clipped to [-1, 1], as a differential pair between 1 % and the whole

Errors are Frobenius norms relative to the exact solution: of G_eff for the first two, for `signed` of the difference of
the pair, in which what both cells have in common drops out of the denominator. Square arrays with both wires alike.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from mep_hw.array.mapping import Mapping
from mep_hw.array.wires import VALID_LOAD, exact, first_order, lines, wire_load
from mep_hw.studies.environment import environment

PRODUCTS = (1e-7, 3e-7, 1e-6, 3e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3)  # ohm per segment times largest conductance
KINDS = ("alike", "uniform", "signed")
APPROXIMATIONS = ("ideal", "first_order", "lines")
LARGEST = 512  # the elimination keeps size^3 numbers, 1 GB there
LEAST = 0.01  # least conductance, in units of the largest


def wire_errors(sizes: Iterable[int]) -> dict[str, Any]:
    """Table with `settings`, `rows` and `worst_inside`: the largest error of each approximation within its valid range.

    Args:
        sizes: word lines, and as many bit lines, of the arrays.
    """
    rows = [_row(kind, size, product) for size in sizes for kind in KINDS for product in PRODUCTS]
    worst = {
        f"{name}, {kind}": max((r[name] for r in rows if r["cells"] == kind and r["load"] <= valid), default=None)
        for name, valid in VALID_LOAD.items()
        for kind in KINDS
    }
    settings = {
        "sizes": list(dict.fromkeys(row["size"] for row in rows)),
        "ohm_siemens": PRODUCTS,
        "least": LEAST,
        "seed": 0,
        "valid_load": VALID_LOAD,
    }
    return {"settings": settings, "rows": rows, "worst_inside": worst, "environment": environment()}


def cells(kind: str, size: int) -> Tensor:
    """Conductances (arrays, size, size) in units of the largest, float64."""
    generator = torch.Generator().manual_seed(0)
    if kind == "alike":
        return torch.ones(1, size, size, dtype=torch.float64)
    if kind == "uniform":
        return LEAST + (1 - LEAST) * torch.rand(1, size, size, generator=generator, dtype=torch.float64)
    weights = 0.2 * torch.randn(size, size, generator=generator, dtype=torch.float64)
    return Mapping(LEAST, 1.0, 1.0, "differential").to_cells(weights.clamp(-1, 1))


def _row(kind: str, size: int, product: float) -> dict[str, Any]:
    held = cells(kind, size)
    start = time.perf_counter()
    true = exact(held, product, product)
    seconds = (time.perf_counter() - start) / len(held)
    found = {
        "ideal": held,
        "first_order": first_order(held, product, product),
        "lines": lines(held, product, product),
    }
    errors = {name: float(_seen(value - true).norm() / _seen(true).norm()) for name, value in found.items()}
    return {
        "cells": kind, "size": size, "ohm_siemens": product, "load": wire_load(held, product, product),
        "lost": float(1 - true.sum() / held.sum()), **errors, "exact_s": seconds,
    }  # fmt: skip


def _seen(arrays: Tensor) -> Tensor:
    """What is read: the array, or the difference of a pair."""
    return arrays[0] if len(arrays) == 1 else arrays[0] - arrays[1]
