"""SMEP: Muon for matrices and Adam for the rest, from backprop or from equilibrium propagation, as a torch optimizer.

In mode ep the forward call is the free phase and `step(target=...)` settles the nudged ones; there is no backward().
A torch module settles in the layerwise (predictive-coding) energy, a `mep_hw.Model` in its own Hopfield energy. In mode
backprop the optimizer is a rule on `.grad`, for comparison and for whatever has no such energy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mep_hw.errors import InputError
from mep_hw.model import Model
from mep_hw.optimizers import options
from mep_hw.optimizers.change import Proposal, apply, check_memory, propose, require_finite, wide
from mep_hw.optimizers.phases import Phases, gradients, name, refuse
from mep_hw.optimizers.roles import Roles, assign
from mep_hw.rules import Adam, Bounded, Decayed, ErrorFeedback, Memory, Muon, Rule
from mep_hw.rules.feedback import Rounded


class SMEPOptimizer(torch.optim.Optimizer):
    """Arguments that hold for a group (lr, momentum, nesterov, weight_decay) can be set per parameter group.

    Args:
        params: parameters or groups of them, as for any torch optimizer.
        lr: length of an update, in the spectral norm of a square matrix; Adam's for vectors and embeddings.
        model: whose forward call is the free phase; None in mode ep: `step` is given x, target and model.
        blocks: modules that `model` calls one after the other, where it is no nn.Sequential or nn.TransformerEncoder.
        mode: ep or backprop.
        beta, settle_steps, estimator, tolerance, loss: of mode ep, see `mep_hw.optimizers.options.Nudging`.
        momentum, nesterov: of Muon; momentum is beta1 of Adam too.
        weight_decay: decoupled, of matrices only.
        use_spectral_constraint: bound the spectral norm of the matrices between hidden layers by gamma, in (0, 1].
        use_error_feedback: carry what rounding to the parameters' format loses to the next step.
        seed: of what is random in a rule.

    Raises:
        InputError: a value out of range, or one that has no effect with the others.
        ModelError: a module that has no layerwise energy, by its path.

    A deep copy or a pickle takes parameters and model along: copy.deepcopy((model, optimizer)) gives a pair that trains
    by itself. Step hooks of the user stay with the original, as with every torch optimizer.
    """

    _own: ClassVar[tuple[str, ...]] = ("mode", "seed", "bound", "use_error_feedback", "phases", "_roles", "_known")

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 0.02,
        *,
        model: nn.Module | Model | None = None,
        blocks: Sequence[nn.Module] | None = None,
        mode: str = "ep",
        beta: float | None = None,
        settle_steps: int | None = None,
        estimator: str | None = None,
        tolerance: float | None = None,
        loss: str | None = None,
        momentum: float = 0.95,
        nesterov: bool = True,
        weight_decay: float = 0.0,
        use_spectral_constraint: bool = False,
        gamma: float | None = None,
        use_error_feedback: bool = False,
        seed: int = 0,
    ) -> None:
        self.mode, self.seed = mode, seed
        nudging = options.nudging(
            mode, beta=beta, settle_steps=settle_steps, estimator=estimator, tolerance=tolerance, loss=loss,
            blocks=blocks,
        )  # fmt: skip
        self.bound = options.bound(use_spectral_constraint, gamma)
        self.use_error_feedback = use_error_feedback
        self._roles: Roles | None = None
        self._known: set[Tensor] = set()  # parameters whose memory fits their rule
        self.phases = Phases(nudging, blocks)
        super().__init__(params, {"lr": lr, "momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay})
        if model is not None:
            self.phases.attach(model, self._held())
        if model is not None or mode == "backprop":
            self._assigned()

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; what it leaves out is as for the others.

        Raises:
            InputError: a number out of range, or a parameter that is not the model's.
        """
        options.check_group({**self.defaults, **param_group})
        super().add_param_group(param_group)
        try:
            self.phases.require_own(self._held())
        except InputError:
            self.param_groups.pop()
            raise
        self._roles = None  # worked out again at the next step

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold. Named one by one: a scheduler leaves a `step` bound to the original here."""
        own = {field: getattr(self, field) for field in self._own}
        return super().__getstate__() | own

    @torch.no_grad()
    def step(  # type: ignore[override]
        self,
        closure: Callable[[], Any] | None = None,
        *,
        x: Tensor | None = None,
        target: Tensor | None = None,
        model: nn.Module | Model | None = None,
    ) -> Any:
        """One update.

        Args:
            closure: in mode backprop, recomputes the loss and its gradients and returns the loss.
            x, model: in mode ep without a model of its own, the inputs of the free phase and whose it is.
            target: in mode ep, labels (integer) or values (floating) for the last forward call.

        Returns:
            What the closure returned, else None.

        Raises:
            InputError: an argument that is missing or does not belong to the mode, no forward call before, or a number
                of a group that was set out of range.
            ModelError: a block without a gradient to its input.
            DivergenceError: a contrast, gradient or new value is not finite; nothing was changed.
        """
        result: Any = None
        for group in self.param_groups:
            options.check_numbers(group)
        if self.mode == "backprop":
            refuse(self.mode, x=x, target=target, model=model)
            if closure is not None:
                with torch.enable_grad():
                    result = closure()
            measured = gradients(self._held())
        else:
            refuse(self.mode, closure=closure)
            measured = self.phases.contrasts(x, target, model, self._held())
        roles = self._assigned()
        require_finite("contrast" if self.mode == "ep" else "gradient", measured, self._name)
        proposals: list[Proposal] = []
        for group in self.param_groups:
            for p in (p for p in group["params"] if p in measured):
                rule = self._rule(group, p, roles)
                proposals.append(propose(p, measured[p], self._memory(p, rule), rule, float(group["lr"])))
        require_finite("new values", {proposal.parameter: proposal.values for proposal in proposals}, self._name)
        apply(proposals, self.state)
        self.phases.forget()
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a `state_dict`; memories keep their own number formats."""
        super().load_state_dict(state_dict)
        self._known.clear()
        saved = [key for group in state_dict["param_groups"] for key in group["params"]]
        for key, p in zip(saved, self._held(), strict=True):
            if key in state_dict["state"]:  # torch casts these to the parameter's format, counters included
                memory: Memory = state_dict["state"][key]
                self.state[p] = {name: value.detach().clone().to(p.device) for name, value in memory.items()}

    def close(self) -> None:
        """Stop listening to the model; another forward call is then no free phase any more."""
        self.phases.close()

    def matrix_rule(self, group: dict[str, Any], shape: tuple[int, ...]) -> Rule:
        """The rule for weights of this shape."""
        return Muon(momentum=group["momentum"], nesterov=group["nesterov"])

    def _rule(self, group: dict[str, Any], p: Tensor, roles: Roles) -> Rule:
        if p in roles.matrices:
            rule: Rule = Decayed(self.matrix_rule(group, tuple(p.shape)), group["weight_decay"])
        else:
            rule = Adam(beta1=group["momentum"])
        if self.bound is not None and p in roles.bounded:
            rule = Bounded(rule, self.bound, "soft_cap")  # holds at every step; hammer is for saving cycles
        return ErrorFeedback(rule, Rounded(p.dtype)) if self.use_error_feedback else rule

    def _memory(self, p: Tensor, rule: Rule) -> Memory:
        """What is remembered for `p`; made at its first step, and held against the rule once after a load."""
        if p not in self._known:
            number = next(n for n, held in enumerate(self._held()) if held is p)
            generator = torch.Generator(p.device).manual_seed(self.seed + number)
            fresh = rule.init(tuple(p.shape), generator, wide(p.dtype))
            self.state[p] = check_memory(self.state.get(p) or fresh, fresh, self._name(p))
            self._known.add(p)
        return self.state[p]

    def _held(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _name(self, p: Tensor) -> str:
        return name(p, self.phases.model, self._held())

    def _assigned(self) -> Roles:
        if self._roles is None:
            held = self._held()
            order = self.phases.order() or held
            self._roles = assign(held, self.phases.model, order, self.bound is not None)
        return self._roles
