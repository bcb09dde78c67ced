"""Which parameters are matrices, which stay digital, and which a spectral bound is for.

A matrix is a weight with two or more dimensions (convolution kernels count as (out, in * k * k)). Vectors, embeddings
and element-wise scales are digital. The bound is for matrices between hidden layers: neither the first nor the last
weight on the way from input to output. Without a model that way is the order in which parameters were given, and an
embedding cannot be told from a matrix.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from mep_hw.errors import InputError, Notice
from mep_hw.model import Model
from mep_hw.optimizers.options import WHERE

TABLES = (nn.Embedding, nn.EmbeddingBag)
ELEMENTWISE = (nn.LayerNorm, nn.RMSNorm)


@dataclass(frozen=True)
class Roles:
    """The parameters that get a matrix rule, and those under the spectral bound."""

    matrices: frozenset[Tensor]
    bounded: frozenset[Tensor]


def assign(held: Sequence[Tensor], model: nn.Module | Model | None, order: Sequence[Tensor], bound: bool) -> Roles:
    """Roles of the parameters `held`; `order` has all of the model's, from input to output.

    Raises:
        InputError: a bound was asked for, and none of the parameters held can have one.
    """
    tables, digital = _special(model)
    weights = [p for p in order if p.dim() >= 2 and p not in digital]
    matrices = frozenset(p for p in held if p.dim() >= 2 and p not in digital | tables)
    if not bound:
        return Roles(matrices, frozenset())
    if isinstance(model, Model):
        chosen = [model.weights[c] for c in model.bounded]
        hidden = any(0 < model.couplings[c].source and model.couplings[c].target < model.depth for c in model.trainable)
    else:
        chosen, hidden = weights[1:-1] or weights[-1:], len(weights) > 2
    found = frozenset(chosen) & matrices
    if not found:
        raise InputError(
            WHERE, "use_spectral_constraint", True,
            rule="none of the parameters given is a matrix between hidden layers",
            fix="leave it out, or give the hidden matrices too",
        )  # fmt: skip
    if not hidden:
        note = "use_spectral_constraint: no matrix lies between hidden layers, so the read-out's is bounded"
        warnings.warn(note, Notice, stacklevel=4)  # names the line that builds the optimizer
    return Roles(matrices, found)


def _special(model: nn.Module | Model | None) -> tuple[set[Tensor], set[Tensor]]:
    """Embedding tables, and weights that scale element by element."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    tables: set[Tensor] = {p for m in modules if isinstance(m, TABLES) for p in m.parameters(recurse=False)}
    scales: set[Tensor] = {p for m in modules if isinstance(m, ELEMENTWISE) for p in m.parameters(recurse=False)}
    return tables, scales
