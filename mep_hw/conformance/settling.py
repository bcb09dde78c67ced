"""Checks of the settled state: is it a minimum of the energy, does the nudge pull, do samples leave each other alone?

The energy is that of `mep_hw.model`, differentiated by autograd, with the weights that the machine says it holds. So a
dropped feedback path, a wrong nudge or a stale weight shows in every state, whatever way the machine settles.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from mep_hw.activation import Box
from mep_hw.conformance.report import Finding, above, at_most
from mep_hw.conformance.subject import Running, Subject, held, held_biases, plain, start
from mep_hw.energy import energy
from mep_hw.model import Model
from mep_hw.state import Nudge, Settled, State
from mep_hw.substrates.base import Substrate

SHAKE = 0.1  # perturbation of a settled state, in state units
CROWD = 40  # samples of the large batch


def fixed_point(subject: Subject) -> Iterator[Finding]:
    """Free and nudged states minimise F, one unit at a time, and settling again does not move them.

    The machine is looked at twice, the second time with other weights, which a stale copy of the first would miss.
    """
    bar = subject.bars.fixed_point
    for p in subject.problems():
        run = start(subject, p)
        for when in ("", ", rewritten"):
            free = run.machine.settle(run.inputs)
            yield at_most(f"{p.name}{when}: distance of the free state from its minimum", _step(run, free, None), bar)
            nudge = run.nudge(1.0, -1.0)
            nudged = run.machine.settle(run.inputs, nudge, free)
            yield at_most(f"{p.name}{when}: the same for the nudged states", _step(run, nudged, nudge), bar)
            again = run.machine.settle(run.inputs, None, free.bare())
            yield at_most(f"{p.name}{when}: change when the free state settles again", _distance(free, again), bar)
            for c in run.machine.model.trainable:
                run.machine.write(c, run.machine.read(c) * 0.8)


def energy_falls(subject: Subject) -> Iterator[Finding]:
    """E after settling is no higher than E of a shaken state it started from, nor than E after its first sweep."""
    allowed = subject.bars.energy_rise
    for p in subject.problems():
        run = start(subject, p)
        run.machine.record_energy = True
        free = run.machine.settle(run.inputs)
        generator = torch.Generator().manual_seed(2)
        shaken = [_shaken(value, n, p.model, generator) for n, value in enumerate(free.state)]
        settled = run.machine.settle(run.inputs, None, free.bare(shaken))
        before, after = (_energy(run.machine, state, run.inputs) for state in (shaken, settled.state))
        yield at_most(f"{p.name}: largest rise of E from a shaken state", float((after - before).max()), allowed)
        for what, trace in (("from a shaken state", settled.energy), ("from the machine's own start", free.energy)):
            if trace is not None:
                slack = allowed + 1e-6 * float(trace.abs().max())
                rise = float((trace[-1] - trace[0]).max())
                yield at_most(f"{p.name}: largest rise of the recorded E {what}", rise, slack)


def nudge_direction(subject: Subject) -> Iterator[Finding]:
    """+beta lowers the mean loss, -beta raises it."""
    for p in subject.problems():
        run = start(subject, p)
        free = run.machine.settle(run.inputs)
        nudged = run.machine.settle(run.inputs, run.nudge(1.0, -1.0), free)
        loss, count = run.machine.model.loss, len(run.inputs)
        level = float(loss.of(free.output, run.target).double().mean())
        lower, higher = (float(loss.of(o, run.target).double().mean()) for o in nudged.output.split(count))
        yield above(f"{p.name}: fall of the mean loss under +beta", level - lower, 0.0)
        yield above(f"{p.name}: rise of the mean loss under -beta", higher - level, 0.0)


def batch_invariance(subject: Subject) -> Iterator[Finding]:
    """A sample settles to the same free and nudged states alone, in a small batch and in a large one."""
    for p in subject.problems(CROWD):
        run = start(subject, p)
        whole = _both_phases(run, slice(0, CROWD))
        for size, first in ((1, 0), (1, CROWD - 1), (5, 10)):
            rows = slice(first, first + size)
            part = _both_phases(run, rows)
            worst = max(float((a[rows] - b).abs().max()) for a, b in zip(whole, part, strict=True))
            what = f"{p.name}: samples {first} to {first + size - 1} by themselves, distance from a batch of {CROWD}"
            yield at_most(what, worst, subject.bars.batch_invariance)


def _both_phases(run: Running, rows: slice) -> list[Tensor]:
    """Every layer and the output, free and nudged both ways, samples first."""
    part = Running(run.machine, run.inputs[rows], run.target[rows])
    free = part.machine.settle(part.inputs)
    nudged = part.machine.settle(part.inputs, part.nudge(1.0, -1.0), free)
    count = len(part.inputs)
    signs = [torch.stack(value.split(count), 1) for value in (*nudged.state, nudged.output)]
    return plain([*free.state, free.output, *signs])


def _distance(a: Settled, b: Settled) -> float:
    pairs = zip((*a.state, a.output), (*b.state, b.output), strict=True)
    return max(float((x - y).abs().max()) for x, y in pairs)


def _energy(built: Substrate, state: State, inputs: Tensor) -> Tensor:
    return energy(built.model, held(built), held_biases(built), plain(state), inputs.double().cpu())


def _shaken(value: Tensor, layer: int, model: Model, generator: torch.Generator) -> Tensor:
    """The state with noise, kept inside the range of its activation."""
    noise = SHAKE * torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value)
    activation = model.layers[layer].activation
    if activation is None:
        return value + noise
    if isinstance(activation, Box):
        return (value + noise).clamp(activation.low, activation.high)
    return activation.rho(activation.inverse(value) + noise)


def _step(run: Running, settled: Settled, nudge: Nudge | None) -> float:
    """Largest distance of a unit from where it would minimise F with all others held, in state units."""
    model, built = run.machine.model, run.machine
    copies = 1 if nudge is None else len(nudge.beta) // len(run.inputs)
    x = run.inputs.double().cpu().repeat(copies, *[1] * (run.inputs.dim() - 1))
    state = [value.requires_grad_() for value in plain(settled.state)]
    inside = state if model.loss.in_energy else state[:-1]
    weights, biases = held(built), held_biases(built)
    total = energy(model, weights, biases, state, x)
    output = state[-1] if model.loss.in_energy else _logits(model, weights, biases, state, x)
    beta = torch.zeros(len(x), dtype=torch.float64)
    if nudge is not None:
        beta = nudge.beta.double().cpu()
        total = total + beta * model.loss.of(output, nudge.target.double().cpu().repeat(copies, 1))
    slopes = torch.autograd.grad(total.sum(), inside)
    worst = float((settled.output.double().cpu() - output).detach().abs().max())
    for layer, value, slope in zip(model.layers, inside, slopes, strict=False):
        here = value.detach()
        if layer.activation is None:
            move = -slope / (1 + beta[:, None])
        else:  # G'(s) - dF/ds is the unit's drive, and rho of that its minimum
            move = layer.activation.rho(layer.activation.inverse(here) - slope) - here
        worst = max(worst, float(move.abs().max()))
    return worst


def _logits(model: Model, weights: list[Tensor], biases: list[Tensor | None], state: State, x: Tensor) -> Tensor:
    values, bias = [x, *state], biases[-1]
    drive = x.new_zeros(len(x), model.outputs)
    for c in model.incoming[model.depth]:
        drive = drive + model.couplings[c].forward(values[model.couplings[c].source], weights[c])
    return drive if bias is None else drive + bias
