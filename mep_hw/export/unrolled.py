"""A coupling as a chain of matrices over flat layers, so that its transpose can be written down, too.

NIR has neither a transposed convolution nor the transpose of a pool, nor a node that undoes Flatten. As matrices all of
it is plain Linear nodes. A convolution of n inputs and m outputs takes n m numbers, nearly all of them 0: files stay
small, because they are compressed, but consumers hold the matrices whole. Hence `LIMIT`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from mep_hw.coupling import Conv, Coupling, Identity, Pool, Shape
from mep_hw.errors import ModelError

LIMIT = 2**26  # entries of one matrix; 256 MiB in float32

Step = tuple[str, Tensor]  # name of a node, and its matrix (outputs, inputs) or factors (units,)


def steps(coupling: Coupling, weight: Tensor) -> list[Step]:
    """Phi of one coupling as named matrices to apply in turn; a link of fixed strength between layers is a vector.

    Raises:
        ModelError: max pooling, which is not linear; a matrix of more than LIMIT entries.
    """
    require_linear(coupling)
    chain: list[Step] = []
    shape = coupling.source_shape
    for n, pool in enumerate(coupling.before):
        chain.append((f"pool_{coupling.name}_before_{n}", _of_pool(coupling, pool, shape, weight.dtype)))
        shape = pool.shape(shape)
    chain.append((f"weights_{coupling.name}", _of_operator(coupling, weight)))
    shape = coupling.operator.shape(shape)
    for n, pool in enumerate(coupling.after):
        chain.append((f"pool_{coupling.name}_after_{n}", _of_pool(coupling, pool, shape, weight.dtype)))
        shape = pool.shape(shape)
    return chain


def require_linear(coupling: Coupling) -> None:
    """Raises ModelError for max pooling."""
    if coupling.routes_by_argmax:
        rule, fix = "max pooling has no node in NIR", "train the model with average pooling"
        raise ModelError("export", f"coupling {coupling.name}", rule=rule, fix=fix)


def weight_of(coupling: Coupling, matrix: Tensor) -> Tensor:
    """The weights that `steps` made `matrix` of: each from the first place where it stands."""
    operator = coupling.operator
    if isinstance(operator, Identity):
        return matrix.flatten()[0].clone()
    if not isinstance(operator, Conv):
        return matrix.clone()
    count = math.prod(coupling.weight_shape)
    numbers = torch.arange(1, count + 1, dtype=torch.float64).reshape(coupling.weight_shape)
    places = _of_operator(coupling, numbers).to(torch.int64).flatten()
    weight = matrix.new_zeros(count + 1)
    weight[places] = matrix.flatten()
    return weight[1:].reshape(coupling.weight_shape)


def _of_operator(coupling: Coupling, weight: Tensor) -> Tensor:
    operator = coupling.operator
    if isinstance(operator, Identity):
        factors = weight.expand(math.prod(coupling.source_shape)).clone()
        return factors.diag() if coupling.source == 0 else factors  # the input may get more columns than the layer has
    if not isinstance(operator, Conv):
        return weight
    shape = coupling.operand_shape
    return _matrix(
        coupling, lambda eye: operator.forward(eye, weight, None), shape, operator.shape(shape), weight.dtype
    )


def _of_pool(coupling: Coupling, pool: Pool, shape: Shape, dtype: torch.dtype) -> Tensor:
    return _matrix(coupling, pool.forward, shape, pool.shape(shape), dtype)


def _matrix(
    coupling: Coupling, linear: Callable[[Tensor], Tensor], shape: Shape, result: Shape, dtype: torch.dtype
) -> Tensor:
    size = math.prod(shape)
    entries = size * math.prod(result)
    if entries > LIMIT:
        rule = f"has more than {LIMIT} entries as a matrix"
        fix = "give form='forward' (--form forward), which leaves transposes to the reader"
        raise ModelError("export", f"coupling {coupling.name}", entries, rule=rule, fix=fix)
    return linear(torch.eye(size, dtype=dtype).reshape(size, *shape)).reshape(size, -1).T.contiguous()
