"""The polar factor of a matrix: the nearest matrix with orthonormal rows (or columns), U V^T of U S V^T.

`svd` is exact. Newton-Schulz needs products only: after division by the Frobenius norm it sends every singular value
through odd polynomials p(s) = a s + b s^3 + c s^5, one a step, and leaves the vectors alone. Each `Coefficients` set
says for which singular values (as shares of the Frobenius norm) it was made and where it then ends; smaller ones stay
small. No set but the last is meant to reach 1: a quintic that does not converge still equalises, which is what Muon is
about. On a CPU the exact SVD costs as much as five steps in float32. On a GPU products are much cheaper, in bfloat16
most of all, and the SVD makes the host wait, for it asks whether it has converged. Matrices of one shape can be given
as a stack; each step is then one batched product for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mep_hw.errors import DivergenceError
from mep_hw.ranges import require_one_of

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Coefficients:
    """One polynomial (a, b, c) a step.

    lowest: smallest singular value, as a share of the Frobenius norm, that ends inside [low, high].
    margin: the matrix is divided by margin * Frobenius norm, so that rounding cannot push a singular value above 1.
    """

    steps: tuple[Triple, ...]
    lowest: float
    low: float
    high: float
    margin: float = 1.0
    source: str = ""


def _damped(steps: tuple[Triple, ...], factor: float) -> tuple[Triple, ...]:
    """The polynomials of s / factor: the safety factor of arXiv 2505.16932, section 4, on all but the last step."""
    safe = tuple((a / factor, b / factor**3, c / factor**5) for a, b, c in steps[:-1])
    return (*safe, steps[-1])


COEFFICIENTS: dict[str, Coefficients] = {
    "quintic": Coefficients(
        ((3.4445, -4.7750, 2.0315),) * 5, 1e-2, 0.68, 1.14, source="Jordan et al. 2024, as in torch.optim.Muon"
    ),
    "quintic-tuned": Coefficients(
        (
            (4.0848, -6.8946, 2.9270),
            (3.9505, -6.3029, 2.6377),
            (3.7418, -5.5913, 2.3037),
            (2.8769, -3.1427, 1.2046),
            (2.8366, -3.0525, 1.2012),
        ),
        1e-2, 0.97, 1.04, source="Jiacheng 2024, one polynomial fitted per step",
    ),
    "polar-express": Coefficients(
        (
            (8.156554524902461, -22.48329292557795, 15.878769915207462),
            (4.042929935166739, -2.808917465908714, 0.5000178451051316),
            (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
            (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
            (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
        ),
        1e-3, 0.84, 1.15, 1.02, source="Amsel et al. 2025, arXiv 2505.16932, five steps, safety 2 %",
    ),
    "polar-express-8": Coefficients(
        _damped(
            (
                (8.28721201814563, -23.595886519098837, 17.300387312530933),
                (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
                (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
                (3.3184196573706015, -2.488488024314874, 0.51004894012372),
                (2.300652019954817, -1.6689039845747493, 0.4188073119525673),
                (1.891301407787398, -1.2679958271945868, 0.37680408948524835),
                (1.8750014808534479, -1.2500016453999487, 0.3750001645474248),
                (1.875, -1.25, 0.375),
            ),
            1.01,
        ),
        1e-3, 1 - 1e-6, 1 + 1e-6, source="Amsel et al. 2025, arXiv 2505.16932, eight steps, safety 1 %",
    ),
}  # fmt: skip

METHODS = ("auto", "svd", *COEFFICIENTS)


def orthogonalise(matrix: Tensor, method: str = "auto", dtype: torch.dtype | None = None) -> Tensor:
    """The polar factor of `matrix` (m, n), or of each of a stack (k, m, n), in its number format.

    Directions that a matrix lacks stay zero.

    Args:
        method: "svd", the name of a coefficient set, or "auto": the SVD on a CPU, else "polar-express".
        dtype: number format of Newton-Schulz; None: float32 on a CPU (float64 for float64), bfloat16 elsewhere.

    Raises:
        InputError: unknown method.
        DivergenceError: the matrix holds NaN or infinity (found by the SVD; Newton-Schulz returns NaN).
    """
    require_one_of("orthogonalise", "method", method, METHODS, "use auto")
    at_home = matrix.device.type == "cpu"
    if method == "auto":
        method = "svd" if at_home else "polar-express"
    if method == "svd":
        return _svd(matrix)
    if dtype is None:
        dtype = torch.promote_types(matrix.dtype, torch.float32) if at_home else torch.bfloat16
    return newton_schulz(matrix, COEFFICIENTS[method], dtype).to(matrix.dtype)


def newton_schulz(matrix: Tensor, coefficients: Coefficients, dtype: torch.dtype) -> Tensor:
    """Odd polynomials of the normalised matrix (m, n), or of each in a stack (k, m, n); all in `dtype`."""
    product = torch.addmm if matrix.dim() == 2 else torch.baddbmm
    value = _unit_scale(matrix).to(dtype)
    tall = value.shape[-2] > value.shape[-1]
    value = value.mT if tall else value
    value = value / (value.norm(dim=(-2, -1), keepdim=True) * coefficients.margin).clamp_min(torch.finfo(dtype).tiny)
    for a, b, c in coefficients.steps:
        gram = value @ value.mT
        value = product(value, product(gram, gram, gram, beta=b, alpha=c), value, beta=a)
    return value.mT if tall else value


def _unit_scale(matrix: Tensor) -> Tensor:
    """Each matrix times a power of two that brings its largest entry to about 1: exact, and no norm can underflow."""
    largest = matrix.abs().amax((-2, -1), keepdim=True)
    exponent = torch.frexp(largest)[1].clamp(-120, 120)  # zero gives 0; beyond 2^120 float32 would overflow
    return torch.ldexp(matrix, -exponent)


def decompose(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """U, S and V^T of the thin singular value decomposition.

    Raises:
        DivergenceError: the matrix holds NaN or infinity.
    """
    try:
        return torch.linalg.svd(matrix, full_matrices=False)
    except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]  # documented there
        rule, fix = "holds NaN or infinity", "lower lr or beta"
        raise DivergenceError("rule", "matrix", tuple(matrix.shape), rule=rule, fix=fix) from None


def _svd(matrix: Tensor) -> Tensor:
    wide = torch.promote_types(matrix.dtype, torch.float32)
    left, values, right = decompose(matrix.to(wide))
    # Directions that are only rounding would be blown up to unit size.
    real = values > values[..., :1] * (max(matrix.shape[-2:]) * torch.finfo(wide).eps)
    return ((left * real.unsqueeze(-2)) @ right).to(matrix.dtype)
