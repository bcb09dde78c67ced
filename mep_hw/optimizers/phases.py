"""What an optimizer measures: contrasts of the model it listens to in mode ep, gradients in mode backprop."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from mep_hw.errors import InputError
from mep_hw.model import Model
from mep_hw.optimizers.options import WHERE, Nudging
from mep_hw.optimizers.source import Source, listen
from mep_hw.outersum import Update


class Phases:
    """The model of an optimizer, if it has one yet; `nudging` None is mode backprop, where nothing is settled."""

    def __init__(self, nudging: Nudging | None, blocks: Sequence[nn.Module] | None) -> None:
        self.nudging, self.blocks = nudging, blocks
        self.model: nn.Module | Model | None = None
        self.source: Source | None = None
        self.fixed = False  # the model came with the optimizer, not with a step

    def attach(self, model: nn.Module | Model, held: Sequence[Tensor], *, fixed: bool = True) -> None:
        """Listen to `model` from now on.

        Raises:
            InputError: a parameter held by the optimizer is not the model's.
            ModelError: a module that has no layerwise energy.
        """
        if self.nudging is None and isinstance(model, Model):
            raise _wrong("model", model, "has no gradients for mode backprop", "use mode ep")
        _require_own(held, model, [*model.parameters()], "does not belong to the model", "give parameters of it only")
        if self.nudging is not None:
            source = listen(model, self.blocks)
            try:
                _require_own(held, model, source.order(), "is in no block", "add its module to blocks")
            except InputError:
                source.close()
                raise
            self.close()
            self.source = source
        self.model, self.fixed = model, fixed

    def require_own(self, held: Sequence[Tensor]) -> None:
        """Raises InputError for a parameter that the model, if there is one, does not have in its blocks."""
        if self.model is not None:
            _require_own(held, self.model, self.order(), "is in no block of the model", "give parameters of it only")

    def contrasts(
        self, x: Tensor | None, target: Tensor | None, model: nn.Module | Model | None, held: Sequence[Tensor]
    ) -> dict[Tensor, Update]:
        """Per parameter what approaches minus the gradient, of `x` or else of the last forward call.

        Raises:
            InputError: something is missing, or belongs to another model.
        """
        if target is None:
            raise _wrong("target", None, "is needed in mode ep", "call step(target=y)")
        if not isinstance(target, Tensor):  # pyright: ignore[reportUnnecessaryIsInstance]  # users may give anything
            raise _wrong("target", type(target).__name__, "must be a tensor", "use torch.as_tensor(target)")
        if not len(target):
            raise _wrong("target", "empty", "must hold at least one sample", "skip empty batches")
        if model is not None and model is not self.model:
            if self.fixed:
                raise _wrong("model", type(model).__name__, "is not the optimizer's own", "leave it out of step")
            if x is None:
                raise _wrong("x", None, "is needed with a new model", "call step(x=x, target=y, model=model)")
            self.attach(model, held, fixed=False)
        if self.source is None or self.model is None or self.nudging is None:
            raise _wrong(
                "model", None, "is not known", "build the optimizer with model=model, or call step(x=x, target=y, "
                "model=model)",
            )  # fmt: skip
        if x is not None:
            self.model(x)
        return self.source.contrasts(target, self.nudging, held)

    def order(self) -> list[Tensor]:
        """The model's parameters from input to output; none without a model."""
        if self.source is not None:
            return self.source.order()
        return [] if self.model is None else list(self.model.parameters())

    def close(self) -> None:
        """Let go of the model."""
        if self.source is not None:
            self.source.close()
        self.model = self.source = None

    def forget(self) -> None:
        """The parameters have changed: the last forward call is of no use any more."""
        if self.source is not None:
            self.source.forget()


def gradients(held: Sequence[Tensor]) -> dict[Tensor, Update]:
    """Minus the gradient of every parameter that has one.

    Raises:
        InputError: a sparse gradient.
    """
    if any(p.grad is not None and p.grad.is_sparse for p in held):
        raise _wrong("gradient", "sparse", "must be dense", "build the embedding with sparse=False")
    return {p: -p.grad for p in held if p.grad is not None}


def refuse(mode: str, **arguments: object) -> None:
    """Raises InputError for an argument of `step` that its mode has no use for."""
    for argument, value in arguments.items():
        if value is not None:
            fix = "call step() after loss.backward()" if mode == "backprop" else "call model(x), then step(target=y)"
            raise _wrong(f"step argument {argument}", type(value).__name__, f"has no effect in mode {mode}", fix)


def name(p: Tensor, model: nn.Module | Model | None, held: Sequence[Tensor]) -> str:
    """The model's name for `p`, or its number in the optimizer."""
    if isinstance(model, nn.Module):
        named = dict(model.named_parameters())
    else:
        named = {} if model is None else model.tensors()
    number = next(n for n, q in enumerate(held) if q is p)
    return next((key for key, value in named.items() if value is p), f"number {number}")


def _require_own(held: Sequence[Tensor], model: nn.Module | Model, own: Sequence[Tensor], rule: str, fix: str) -> None:
    known = {id(p) for p in own}
    for p in held:
        if id(p) not in known:
            raise _wrong("parameter", f"{name(p, model, held)} of shape {tuple(p.shape)}", rule, fix)


def _wrong(field: str, value: object, rule: str, fix: str) -> InputError:
    return InputError(WHERE, field, value, rule=rule, fix=fix)
