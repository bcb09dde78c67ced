"""Checks of weight changes: is what was intended what happens, within bounds, at the predicted cost, and nothing else?

The intended changes are a tenth of the weights' norm, so that a machine with a smallest step can take them; how well it
takes the much smaller ones of late training shows in what it learns.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from mep_hw.array.scale import weight_range
from mep_hw.compiler import predict, registers
from mep_hw.conformance.problems import problem
from mep_hw.conformance.report import Finding, at_least, at_most, fact
from mep_hw.conformance.subject import Running, Subject, held_biases, rounding, start
from mep_hw.errors import CapabilityError
from mep_hw.outersum import OuterSum, Update, dense
from mep_hw.schedule import Cost, Schedule

SHARE = 0.1  # norm of an intended change, as a share of the weights' norm
REPEATS = 8  # times that an inexact machine realises the same change, for its mean
RANKS = (1, 16)  # columns of an update: one sample, and as many as a small batch has
COUNTS = ("cycles", "slots", "pulses", "line_pulses", "reads")
MEANS = 2.0  # largest ratio of a predicted mean and what was executed: small models average over few cells
KINDS = ("mlp", "conv", "skip")


def apply(subject: Subject) -> Iterator[Finding]:
    """The realised change points where the intended one does and has its size, on average over repeats."""
    for p in subject.problems(kinds=KINDS):
        run = start(subject, p)
        for c, what, update in _changes(run, p.name):
            schedule = subject.schedule(run.machine, c, update)
            initial = run.machine.read(c).clone()
            intended = dense(schedule.intended).double().view_as(initial)
            realised: list[Tensor] = []
            for _ in range(1 if subject.exact else REPEATS):
                run.machine.write(c, initial)
                realised.append(_realised(run, c, schedule))
            norm = intended.norm()
            cosine = min(float((r * intended).sum() / (r.norm() * norm)) for r in realised)
            gain = float((torch.stack(realised).mean(0) * intended).sum() / norm**2)
            yield at_least(f"{what}: cosine of realised and intended change", cosine, subject.bars.apply_cosine)
            yield at_most(f"{what}: |realised share - 1|", abs(gain - 1), subject.bars.apply_gain_error)
            if subject.exact:
                worst = float((realised[0] - intended).abs().max())
                yield at_most(f"{what}: realised minus intended", worst, _slack(run, c))


def residual(subject: Subject) -> Iterator[Finding]:
    """Over several updates, what was realised and what is still owed add up to what was intended."""
    for p in subject.problems(kinds=KINDS):
        run = start(subject, p)
        for c, what, update in _changes(run, p.name):
            initial = run.machine.read(c).to(torch.float64, copy=True)
            total, owed, worst_owed = torch.zeros_like(initial), None, 0.0
            for factor in (1.0, -0.5, 0.25):
                part = update * factor
                schedule = subject.schedule(run.machine, c, part, owed)
                realised = _realised(run, c, schedule)
                total += dense(part).double()
                left = torch.zeros_like(realised)
                if schedule.left is not None:
                    left += dense(schedule.left).view_as(realised)
                owed = (dense(schedule.intended).double().view_as(realised) + left - realised).to(run.machine.dtype)
                worst_owed = max(worst_owed, float(owed.abs().max()))
            assert owed is not None  # the loop ran
            gap = run.machine.read(c).double() - initial + owed.double() - total
            yield at_most(f"{what}: realised + residual - updates", float(gap.abs().max()), 3 * _slack(run, c))
            if subject.exact:
                yield at_most(f"{what}: residual", worst_owed, _step(run, c) + _slack(run, c))


def bounds(subject: Subject) -> Iterator[Finding]:
    """Weights stay within what the device can hold (finite, where it has no range) after updates far larger than it."""
    slack = 1 + subject.bars.range_spread
    run = start(subject, problem("mlp"))
    for c in run.machine.model.trainable:
        low, high = weight_range(run.machine.card_of(c), run.machine.device)
        reach = 3 * max([10.0, *(abs(v) for v in (low, high) if v is not None)])
        for change in (reach, -3 * reach):
            run.machine.apply(c, subject.schedule(run.machine, c, torch.full_like(run.machine.read(c), change)))
            weights = run.machine.read(c)
            round_off = rounding(run.machine, float(weights.abs().max()))
            yield fact(f"weights {c}: finite after an update by {change:g}", bool(weights.isfinite().all()))
            if high is not None:
                largest = float(weights.max())
                yield at_most(f"weights {c}: largest after an update by {change:g}", largest, high * slack + round_off)
            if low is not None:
                least = float(weights.min())
                yield at_least(f"weights {c}: smallest after an update by {change:g}", least, low * slack - round_off)


def cost(subject: Subject) -> Iterator[Finding]:
    """What `apply` and `apply_bias` report is what `predict` said, and what is unknown stays unknown in a sum.

    Predicted means, which are floats, are compared with what is executed over all updates together.
    """
    run = start(subject, problem("mlp"))
    array = subject.card.array
    expected, spent = Cost.none(), Cost.none()
    for c, what, update in _changes(run, "mlp"):
        schedule = subject.schedule(run.machine, c, update)
        predicted = predict(schedule, run.machine.card_of(c), subject.device, run.machine.read(c))
        if array is not None and array.calibrate_every:  # comes on top of schedules, whenever it is due
            predicted = replace(predicted, time_s=None, energy_j=None, reads=None)
        actual = run.machine.apply(c, schedule)
        yield from _compare(what, predicted, actual, subject.exact)
        expected, spent = expected + predicted, spent + actual
    for name in COUNTS:
        mean, got = expected.as_dict()[name], spent.as_dict()[name]
        if isinstance(mean, float):
            close = got is not None and mean / MEANS <= got <= mean * MEANS
            yield fact(f"mlp: {name} executed ({got}) are about {name} predicted ({mean:g})", close)
    for layer, bias in enumerate(run.machine.biases, start=1):
        if bias is not None:
            schedule = registers(torch.full_like(bias, 0.01))
            predicted = predict(schedule, subject.card, subject.device)
            spent = run.machine.apply_bias(layer, schedule)
            yield from _compare(f"biases {layer}", predicted, spent, exact=True)


def biases(subject: Subject) -> Iterator[Finding]:
    """`apply_bias` changes one layer's biases as intended, the settled state follows, and no bias is refused."""
    run = start(subject, problem("skip" if subject.supports("skip") else "mlp"))
    before = held_biases(run.machine)
    free = run.machine.settle(run.inputs)
    layer = run.machine.model.depth
    bias = run.machine.biases[layer - 1]
    assert bias is not None  # the read-out of this problem has one
    change = torch.linspace(-0.3, 0.5, bias.numel()).to(bias).reshape(bias.shape)
    run.machine.apply_bias(layer, registers(change))
    for n, (old, new) in enumerate(zip(before, held_biases(run.machine), strict=True), start=1):
        if old is None or new is None:
            continue
        moved, wanted = new - old, change.double().cpu()
        if n != layer:
            yield fact(f"biases {n}: left alone by a change of layer {layer}", not bool(moved.any()))
        else:
            worst = float((moved - wanted).abs().max())
            yield at_most(f"biases {n}: realised minus intended", worst, rounding(run.machine, 1.0))
    shift = run.machine.settle(run.inputs).output.double() - free.output.double()
    cosine = float((shift.mean(0) * change).sum() / (shift.mean(0).norm() * change.double().norm()))
    yield at_least("cosine of the output's shift and the change of its bias", cosine, 0.9)
    for bare in (n for n, k in enumerate(run.machine.model.layers, start=1) if k.bias_shape is None):
        shape = run.machine.model.layers[bare - 1].shape
        try:
            run.machine.apply_bias(bare, registers(torch.zeros(shape).to(bias)))
        except CapabilityError:
            yield fact(f"a change of the biases that layer {bare} does not have is refused", True)
        else:
            yield fact(f"a change of the biases that layer {bare} does not have is refused", False)


def _changes(run: Running, kind: str) -> Iterator[tuple[int, str, Update]]:
    """Per trained coupling: random changes, dense and as outer products, each SHARE of the weights' norm."""
    generator = torch.Generator().manual_seed(3)
    for c in run.machine.model.trainable:
        weights = run.machine.read(c)
        changes: list[tuple[str, Update]] = [("dense", _normal(weights.shape, weights, generator))]
        if weights.dim() == 2:
            for rank in RANKS:
                left, right = (_normal((n, rank), weights, generator) for n in weights.shape)
                changes.append((f"rank {rank}", OuterSum(left, right)))
        for what, change in changes:
            yield c, f"{kind}, weights {c}, {what}", change * (SHARE * float(weights.norm() / dense(change).norm()))


def _normal(shape: Sequence[int], like: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(like)


def _realised(run: Running, c: int, schedule: Schedule) -> Tensor:
    before = run.machine.read(c).to(torch.float64, copy=True)
    run.machine.apply(c, schedule)
    return run.machine.read(c).double() - before


def _step(run: Running, c: int) -> float:
    """What an exact schedule leaves of a weight on purpose: less than a step of its registers, or nothing."""
    form = run.machine.card_of(c).registers
    return 0.0 if form is None else form.step


def _slack(run: Running, c: int) -> float:
    return rounding(run.machine, max(1.0, float(run.machine.read(c).abs().max())))


def _compare(what: str, predicted: Cost, actual: Cost, exact: bool) -> Iterator[Finding]:
    expected, got, total = predicted.as_dict(), actual.as_dict(), (Cost.none() + actual).as_dict()
    for name in COUNTS:
        if isinstance(expected[name], int):
            same = got[name] == expected[name]
            yield fact(f"{what}: {name} executed ({got[name]}) are {name} predicted ({expected[name]})", same)
    for name in ("time_s", "energy_j"):
        same = (got[name] is None) == (expected[name] is None)
        if not exact:  # what pulses take depends on what the cells hold
            same = expected[name] is None or got[name] is not None
        yield fact(f"{what}: {name} is known after execution where it was before ({expected[name]})", same)
    unknown = [name for name, value in got.items() if value is None]
    yield fact(f"{what}: a sum with unknown figures is unknown", all(total[name] is None for name in unknown))
