"""Does a machine's contrast equal minus the exact gradient of the loss? The answer, layer by layer.

Two questions can be asked. In principle (`as_trained=False`): float64, all phases settled to 1e-12, a small beta; what
is left is the error of the estimator and of the code. As trained (`as_trained=True`): the machine's own card with its
number format, beta and stopping rule, so that every shortcut it takes shows. The exact side is `mep_hw.adjoint`.

Boxes and max pooling make the loss piecewise smooth. Of box units, a share of order beta crosses a bound between the
phases, which spoils the contrast of its own sample by much; a batch averages that, and every sample counts. A max pool
that changes its winner moves more at once; a model that has one is checked, in principle, over the samples that stay
on one smooth piece in all phases, and `share` says how many those are. As trained, every sample of every model counts.

Not valid where the loss has several equilibria and the two sides settle into different ones; `as_trained` with
couplings far above norm 1 can do that, and then shows a low cosine without any fault in the machine.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from mep_hw import estimator as estimators
from mep_hw import machine
from mep_hw.adjoint import exact_gradient
from mep_hw.cards import BackendCard, load_backend
from mep_hw.cards.changed import changed
from mep_hw.contrast import Contrast
from mep_hw.coupling import Conv
from mep_hw.data import Source, as_data, check, one_hot
from mep_hw.errors import CapabilityError, DivergenceError, InputError
from mep_hw.model import Model
from mep_hw.outersum import dense
from mep_hw.state import Settled, State
from mep_hw.substrates.cpu import Cpu
from mep_hw.witness import Witness

SAMPLES = 512  # random samples; at 128, one unit that crosses a bound was seen to cost 5e-5 of the cosine
CONV_SAMPLES = 128  # the same with convolutions, whose weights average over positions too
BETA = 1e-4  # errors of order beta stay below 1e-4, rounding (1e-16 / beta) far below that
RESIDUAL = 1e-12  # of a settled state: largest change of an entry in one sweep, in state units
SWEEPS = 50_000
ZERO = 1e-13  # a gradient this much smaller than that of the largest layer is zero to within rounding


@dataclass(frozen=True)
class LayerCheck:
    """Cosine of contrast and minus exact gradient, and |contrast| / |gradient|; None where the gradient is zero."""

    name: str
    cosine: float | None
    norm_ratio: float | None


@dataclass(frozen=True)
class GradientReport:
    """The comparison for one model and machine; `layers` holds "weights NAME" and "biases NUMBER".

    samples: how many samples were compared.
    share: the same as a fraction of those given; below 1 only with max pooling, in principle.
    """

    backend: str
    model: str
    estimator: str
    beta: float
    layers: tuple[LayerCheck, ...]
    samples: int
    share: float

    @property
    def min_cosine(self) -> float | None:
        """Worst cosine; None when every gradient is zero."""
        return min((k.cosine for k in self.layers if k.cosine is not None), default=None)

    @property
    def max_norm_error(self) -> float | None:
        """Largest |norm ratio - 1|; None when every gradient is zero."""
        return max((abs(k.norm_ratio - 1) for k in self.layers if k.norm_ratio is not None), default=None)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        whole = asdict(self) | {"min_cosine": self.min_cosine, "max_norm_error": self.max_norm_error}
        return whole | {"layers": [asdict(layer) for layer in self.layers]}


def gradient_check(
    model: Model,
    data: Source | None = None,
    *,
    backend: str | BackendCard = "cpu",
    device: str | None = None,
    estimator: str = "centered",
    beta: float | None = None,
    points: int = 4,
    samples: int | None = None,
    seed: int = 0,
    as_trained: bool = False,
) -> GradientReport:
    """Compare a machine's contrast for one batch with the exact gradient.

    Args:
        model: left unchanged.
        data: its training part is the batch; None: uniform inputs in [0, 1] and random labels.
        backend: a name, a card file or a card.
        device: a memory-cell card in place of the backend's own.
        beta: nudging strength; None: BETA, or the card's own when `as_trained`.
        points: N of the holomorphic estimator.
        samples: size of the batch, drawn from `data` without replacement; None: all of `data`, or enough
            random ones (SAMPLES, CONV_SAMPLES).
        seed: of the batch and of the machine.
        as_trained: the machine as its card has it, instead of float64 settled to RESIDUAL.

    Raises:
        CapabilityError: a machine of whole numbers, in principle.
        InputError: bad data, card, estimator or number; or, with max pooling, no sample that stays on one piece.
        DivergenceError: the machine did not settle to RESIDUAL.
        AdjointError: the exact side did not settle.
    """
    own, device_card = machine.cards(backend, device)
    beta = beta if beta is not None else own.training.beta if as_trained else BETA
    method = estimators.make(estimator, beta, points)
    if (own.loihi is not None or own.fpga is not None) and not as_trained:
        rule, fix = f"states of whole numbers do not settle to {RESIDUAL:g}", "check the machine as trained"
        raise CapabilityError(f"backend {own.name}", "as_trained", False, rule=rule, fix=fix)
    card = own if as_trained else precise(own, beta)
    x, y = _batch(model, data, samples, seed)
    given = len(x)
    while True:
        with machine.build(_with(model, model.weights, model.biases), card, device_card, seed) as built:
            witness = Witness(built)
            inputs, target = witness.tensor(x), witness.tensor(y)
            contrast = _summed(method.contrasts(witness, inputs, target))
            weights = [witness.read(c).double().cpu() for c in range(len(model.couplings))]
            biases = [None if b is None else b.double().cpu() for b in witness.biases]
        if not (as_trained or witness.residual <= RESIDUAL):
            raise DivergenceError(
                f"backend {card.name}", "residual of a settled state", f"{witness.residual:.3g}",
                rule=f"must fall to {RESIDUAL:g} for the check in principle",
                fix="use smaller couplings, or check the machine as trained",
            )  # fmt: skip
        same = witness.same.cpu()
        if as_trained or bool(same.all()):
            break
        # The machine settles the rest again rather than leave columns out of a contrast it has already summed.
        x, y = x[same], y[same]
        if not len(x):
            raise InputError(
                "gradcheck", "beta", beta, rule="moves every sample across a bound or a max-pool winner",
                fix="use a smaller beta, or average pooling",
            )  # fmt: skip
    state = _settled(model, weights, biases, x) if as_trained else [value.cpu() for value in contrast.free.state]
    exact = exact_gradient(model, state, x, y, weights=weights, biases=biases)
    pairs = [
        (f"weights {coupling.name}", update, gradient)
        for coupling, update, gradient in zip(model.couplings, contrast.weights, exact.weights, strict=True)
        if update is not None and gradient is not None
    ] + [
        (f"biases {layer}", change, gradient)
        for layer, (change, gradient) in enumerate(zip(contrast.biases, exact.biases, strict=True), start=1)
        if change is not None and gradient is not None
    ]
    zero = ZERO * max(float(gradient.norm()) for *_, gradient in pairs)
    rows = tuple(_compare(name, change.double().cpu(), -gradient, zero) for name, change, gradient in pairs)
    return GradientReport(own.name, model.name, method.name, beta, rows, len(x), len(x) / given)


def precise(card: BackendCard, beta: float) -> BackendCard:
    """The card in float64, with every phase settled to RESIDUAL."""
    values: dict[str, object] = {
        "settle.free_sweeps": SWEEPS, "settle.tolerance": RESIDUAL,
        "settle.nudged_sweeps": SWEEPS, "settle.nudged_tolerance": RESIDUAL / beta,
        "compute.dtype": "float64",
    }  # fmt: skip
    return changed(card, values)


@dataclass(frozen=True)
class _Estimate:
    """A whole contrast as plain tensors: a continual one has too many columns to be kept as outer products."""

    weights: list[Tensor | None]
    biases: list[Tensor | None]
    free: Settled


def _summed(parts: Iterator[Contrast]) -> _Estimate:
    first = next(parts)
    weights = [None if update is None else dense(update) for update in first.weights]
    biases = list(first.biases)
    for part in parts:
        weights = [None if a is None or b is None else a + dense(b) for a, b in zip(weights, part.weights, strict=True)]
        biases = [None if a is None or b is None else a + b for a, b in zip(biases, part.biases, strict=True)]
    return _Estimate(weights, biases, first.free)


def _settled(model: Model, weights: Sequence[Tensor], biases: Sequence[Tensor | None], x: Tensor) -> State:
    """The free state of these weights in float64, whatever machine they came from."""
    return Cpu(_with(model, weights, biases), precise(load_backend("cpu"), BETA), None, 0).settle(x).state


def _with(model: Model, weights: Sequence[Tensor], biases: Sequence[Tensor | None]) -> Model:
    """A model of the same structure with float64 copies of these values."""
    twin = copy.copy(model)
    twin.weights = [w.detach().to("cpu", torch.float64, copy=True) for w in weights]
    twin.biases = [None if b is None else b.detach().to("cpu", torch.float64, copy=True) for b in biases]
    return twin


def _batch(model: Model, source: Source, samples: int | None, seed: int) -> tuple[Tensor, Tensor]:
    """Inputs (batch, *input_shape), less the model's offset, and targets (batch, outputs), both float64."""
    if samples is not None and samples < 1:
        raise InputError("gradcheck", "samples", samples, rule="must be at least 1", fix="leave it out")
    generator = torch.Generator().manual_seed(seed)
    if source is None:
        convolves = any(isinstance(k.operator, Conv) for k in model.couplings)
        count = samples or (CONV_SAMPLES if convolves else SAMPLES)
        x = torch.rand(count, *model.input_shape, generator=generator, dtype=torch.float64)
        labels = torch.randint(model.outputs, (count,), generator=generator)
        return model.centred(x), one_hot(labels, model.outputs, torch.float64)
    data = check(as_data(source), input_shape=model.input_shape, outputs=model.outputs)
    chosen = torch.arange(len(data.x))
    if samples is not None:
        if samples > len(data.x):
            rule = f"must be at most the {len(data.x)} training samples of the data"
            raise InputError("gradcheck", "samples", samples, rule=rule, fix="ask for fewer")
        chosen = torch.randperm(len(data.x), generator=generator)[:samples]
    y = one_hot(data.y, model.outputs) if data.labelled else data.y
    return model.centred(data.x[chosen].double()), y[chosen].double()


def _compare(name: str, contrast: Tensor, descent: Tensor, zero: float) -> LayerCheck:
    size, expected = float(contrast.norm()), float(descent.norm())
    if expected <= zero:
        return LayerCheck(name, None, None)
    cosine = float((contrast * descent).sum()) / (size * expected) if size > 0 else 0.0
    return LayerCheck(name, min(cosine, 1.0), size / expected)
