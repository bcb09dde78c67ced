"""Why an update is written the way it is: all forms side by side, the choice, and what it rests on.

Made with the machinery that compiles (`mep_hw.compiler.choose`), so it shows what is compared there. Time, energy and
wear are estimates; the numbers that the backend's card assumes for a device are listed, and each is halved and doubled.

Not valid for weights over several slices, whose verified writes are not predicted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from mep_hw.array.electrics import electrics
from mep_hw.array.scale import weight_range
from mep_hw.cards.array import ArrayOptions
from mep_hw.cards.schema import BackendCard, DeviceCard, WriteMode
from mep_hw.compiler.budget import Budget, figures
from mep_hw.compiler.choose import Candidate, choose, comparable, in_order, price
from mep_hw.compiler.compile import add, finite
from mep_hw.compiler.eligible import eligible, objection
from mep_hw.compiler.predict import expected
from mep_hw.errors import ScheduleError
from mep_hw.explain.assess import Assessed, Form, assess, strong_only
from mep_hw.explain.levelling import Exchange, exchanges
from mep_hw.explain.swings import Swing, swings
from mep_hw.outersum import Update, dense

UNITS = {"time": "s", "energy": "J", "wear": "pulses"}


@dataclass(frozen=True)
class Headroom:
    """Weights that the change would put beyond `low` and `high`, the range of cells or registers: how many, and their
    share."""

    low: float | None
    high: float | None
    cells: int
    share: float


@dataclass(frozen=True)
class Explanation:
    """Every form, which one is chosen and why, and what the figures rest on.

    chosen: None: no form keeps to the budget.
    assumed: numbers that no device card knows; unknown: fields that neither card knows.
    headroom: None without the weights before, or without a known range.
    exchanges: lines that could change places to level wear; none of verified writes, whose pulses are not known.
    """

    forms: tuple[Form, ...]
    chosen: WriteMode | None
    why: str
    assumed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    sensitivity: tuple[Swing, ...] = ()
    headroom: Headroom | None = None
    exchanges: tuple[Exchange, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def explain(
    update: Update, residual: Update | None, backend: BackendCard, device: DeviceCard | None,
    held: Tensor | None = None, budget: Budget | None = None,
) -> Explanation:  # fmt: skip
    """What the compiler compares for `update` plus `residual` on `backend`, as that is for one coupling.

    Args:
        held: weights (out, in) before; None: all 0, and nothing is said of headroom.

    Raises:
        ScheduleError: as of `compile`, but for a budget that no form keeps to, which is explained; several slices.
    """
    total = dense(update if residual is None else add(update, residual)).flatten(1)
    finite(total)
    weights = torch.zeros_like(total) if held is None else held.flatten(1).to(total)
    modes, options = eligible(backend, device), backend.array
    headroom = None if held is None else _headroom(weights + total, backend, device)
    if options is None or device is None or modes[0] == "exact":
        return _registers(total, modes[0], backend, device, weights, headroom, budget)
    if options.transfer is not None:
        rule, fix = "leaves nothing to choose: updates are outer products into the fast array", "leave it out"
        raise ScheduleError(f"backend {backend.name}", "array.transfer", "given", rule=rule, fix=fix)
    if options.slices > 1:
        rule, fix = "is more than one, whose writing is not predicted", "set slices to 1"
        raise ScheduleError(f"backend {backend.name}", "array.slices", options.slices, rule=rule, fix=fix)
    found: dict[WriteMode, Assessed] = {}
    for mode in modes:
        found[mode] = assess(mode, total, backend, options, device, weights, budget)
    order: list[WriteMode] = list(in_order(modes, options, lambda mode: found[mode].found))
    fitting: list[WriteMode] = [mode for mode in order if not found[mode].form.over]
    known, best = electrics(options, device), found[fitting[0]] if fitting else None
    return Explanation(
        _forms(found, total, backend, options, device, weights, budget), fitting[0] if fitting else None,
        _why(fitting, order, found, options, device), known.assumed, known.unknown,
        () if not fitting else _swings(fitting[0], modes, found, backend, options, device),
        headroom,
        () if best is None or best.pulses is None else exchanges(best.pulses),
    )  # fmt: skip


def _forms(
    found: Mapping[WriteMode, Assessed], total: Tensor, backend: BackendCard, options: ArrayOptions,
    device: DeviceCard, held: Tensor, budget: Budget | None,
) -> tuple[Form, ...]:  # fmt: skip
    """One row for each mode of the card, and one for outer products of those directions alone that would be written."""
    rows: list[Form] = []
    for mode in backend.write_modes:
        if mode not in found:
            rows.append(Form(mode, objection(mode, backend, device)))
            continue
        rows.append(found[mode].form)
        if mode == "outer" and found[mode].found.made.left is not None:
            rows.append(strong_only(total, found[mode].found, backend, device, held, budget).form)
    return tuple(rows)


def _registers(
    total: Tensor, mode: WriteMode, backend: BackendCard, device: DeviceCard | None, held: Tensor,
    headroom: Headroom | None, budget: Budget | None,
) -> Explanation:  # fmt: skip
    """Of a machine whose weights are numbers: what rounding to its registers leaves, and what that misses."""
    made, size = choose(total, backend, device, torch.Generator().manual_seed(0)), float(total.double().norm())
    left = torch.zeros_like(total) if made.left is None else dense(made.left)
    off = float((total - dense(made.intended) - left).double().norm())
    found = expected(made, backend, device, held)
    over = () if budget is None else tuple(budget.excess(figures(found)))
    error, rest = (value / size if size else None for value in (off, float(left.double().norm())))
    row = Form(mode, cost=found.cost, error=error, left=rest, over=over)
    why = f"{mode} exceeds the budget" if over else f"{mode}: weights are numbers in this machine"
    return Explanation((row,), None if over else mode, why, headroom=headroom)


def _why(
    fitting: list[WriteMode], order: list[WriteMode], found: Mapping[WriteMode, Assessed], options: ArrayOptions,
    device: DeviceCard,
) -> str:  # fmt: skip
    """One sentence."""
    goal = options.writing.minimise
    if not fitting:
        return "no form keeps to the budget"
    chosen = fitting[0]
    if chosen != order[0]:
        return f"{chosen}: {', '.join(order[: order.index(chosen)])} would be preferred, but exceeds the budget"
    if len(order) == 1:
        return f"{chosen}: the only form that {device.name} can be written in here"
    if goal is None:
        return f"{chosen}: the first of write_modes that {device.name} can execute, as writing.minimise is null"
    prices: dict[WriteMode, float] = {}
    for mode in comparable(tuple(order)):
        prices[mode] = price(goal, found[mode].found)
    own = f"{chosen} takes {prices.pop(chosen):.3g} {UNITS[goal]}"
    if not prices:
        return f"{own}: row writes are never dearer than write and verify to the same change"
    second = min(prices, key=lambda mode: prices[mode])
    return f"{own}, and {second} {prices[second]:.3g} {UNITS[goal]}: the card minimises {goal}"


def _swings(
    chosen: WriteMode, modes: tuple[WriteMode, ...], found: Mapping[WriteMode, Assessed], backend: BackendCard,
    options: ArrayOptions, device: DeviceCard,
) -> tuple[Swing, ...]:  # fmt: skip
    """Sensitivity among the modes whose prices count, and the chosen one where a budget has left no other."""
    compared: dict[WriteMode, Candidate] = {}
    for mode in modes:
        if mode == chosen or mode in comparable(modes):
            compared[mode] = found[mode].found
    return swings(compared, chosen, backend, options, device)


def _headroom(wanted: Tensor, backend: BackendCard, device: DeviceCard | None) -> Headroom | None:
    low, high = weight_range(backend, device)
    if low is None and high is None:
        return None
    beyond = torch.zeros_like(wanted, dtype=torch.bool)
    if low is not None:
        beyond |= wanted < low
    if high is not None:
        beyond |= wanted > high
    return Headroom(low, high, int(beyond.sum()), float(beyond.double().mean()))
