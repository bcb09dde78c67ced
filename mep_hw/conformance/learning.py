"""Checks of learning: the contrast against the exact gradient, repeatable runs, weights that survive storage, tasks.

All of them run the machine as its card has it: own number format, stopping rule and nudge. The tasks come with a rule
and a learning rate of their own, so that every machine gets the same budget. A bar in the card therefore says what the
machine does in use, and nothing about what it could do when settled without end.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from mep_hw import estimator, rules
from mep_hw.compiler import registers
from mep_hw.conformance.problems import Problem, problem, tasks
from mep_hw.conformance.report import Finding, above, at_least, at_most, fact
from mep_hw.conformance.subject import Running, Subject, held, held_biases, start
from mep_hw.data import Data
from mep_hw.gradcheck import gradient_check
from mep_hw.model import load
from mep_hw.outersum import dense
from mep_hw.train import train

FIRST_ORDER = ("one_sided", "random_sign", "continual")  # their error is of order beta: held to a lower cosine only
SAMPLES = 32
SHORT_LR = 0.01  # small enough for every rule


def gradient(subject: Subject) -> Iterator[Finding]:
    """The contrast is minus the exact gradient, layer by layer, for every model and every estimator."""
    bars = subject.bars
    usual = [(p, "centered") for p in subject.problems(SAMPLES)]
    kind = "deep" if subject.supports("deep") else "mlp"
    others = [(problem(kind, SAMPLES), name) for name in estimator.NAMES if name != "centered"]
    for p, name in (*usual, *others):
        if name == "holomorphic" and not subject.card.complex_states:
            continue
        data = _batch(p, bars.gradient_repeats)
        report = gradient_check(p.model, data, backend=subject.card, estimator=name, as_trained=True)
        for layer in report.layers:
            if layer.cosine is None or layer.norm_ratio is None:
                continue
            what = f"{p.name}, {name}, {layer.name}"
            least = min(bars.first_order_cosine, bars.gradient_cosine) if name in FIRST_ORDER else bars.gradient_cosine
            yield at_least(f"{what}: cosine of contrast and exact gradient", layer.cosine, least)
            if name not in FIRST_ORDER:
                yield at_most(f"{what}: |norm ratio - 1|", abs(layer.norm_ratio - 1), bars.gradient_norm_error)


def seed(subject: Subject) -> Iterator[Finding]:
    """Two short runs with one seed end with the same bits, under every rule."""
    p = problem("mlp", SAMPLES)
    for rule in rules.NAMES:
        ends: list[list[Tensor]] = []
        losses: list[float] = []
        for _ in range(2):
            twin = problem("mlp").model
            run = train(
                twin, _batch(p), backend=subject.card, rule=rule, lr=SHORT_LR, epochs=2, batch_size=16, seed=5,
                progress=False,
            )  # fmt: skip
            ends.append(list(run.model.tensors().values()))
            loss = run.history[-1]["train_loss"]
            assert loss is not None  # every epoch has one
            losses.append(loss)
        same = all(torch.equal(a, b) for a, b in zip(*ends, strict=True)) and losses[0] == losses[1]
        yield fact(f"rule {rule}: the same seed gives the same weights and losses, bit for bit", same)


def round_trip(subject: Subject) -> Iterator[Finding]:
    """Weights come back as written; a saved model settles to the same state; a restored run goes on bit for bit."""
    for p in subject.problems():
        run = start(subject, p)
        for c in p.model.trainable:
            wanted = run.machine.tensor(-0.7 * p.model.weights[c])
            run.machine.write(c, wanted)
            gap = float((run.machine.read(c) - wanted).abs().max())
            yield at_most(f"{p.name}: weights {c}: read minus written", gap, subject.bars.round_trip)
        _learn(subject, run)
        before = run.machine.settle(run.inputs)
        run.machine.store()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.safetensors"
            run.machine.model.save(path)
            again = subject.build(load(path))
        after = again.settle(run.inputs)
        gap = max(float((a - b).abs().max()) for a, b in zip(before.state, after.state, strict=True))
        yield at_most(f"{p.name}: distance of the settled state after save and load", gap, subject.bars.fixed_point)
    first = start(subject, problem("mlp"), seed=1)
    _learn(subject, first)
    kept = {name: value.clone() for name, value in first.machine.snapshot().items()}
    second = start(subject, problem("mlp"), seed=2)
    second.machine.restore(kept)
    _learn(subject, first)
    _learn(subject, second)
    pairs = list(zip(held(first.machine), held(second.machine), strict=True))
    pairs += [
        (a, b)
        for a, b in zip(held_biases(first.machine), held_biases(second.machine), strict=True)
        if a is not None and b is not None
    ]
    yield fact("a restored machine goes on bit for bit", all(torch.equal(a, b) for a, b in pairs))


def learns(subject: Subject) -> Iterator[Finding]:
    """Plain SGD at the card's beta solves each task within a budget of steps, and needs the hidden layer for it."""
    for task in tasks(smooth=subject.supports("deep")):
        run = train(
            task.model, task.data, backend=subject.card, rule="sgd", lr=0.1, momentum=0.9, batch_size=32,
            lr_schedule="cosine", epochs=task.epochs, control=True, progress=False,
        )  # fmt: skip
        assert run.test_accuracy is not None and run.control_accuracy is not None  # a test part, and control=True
        steps = task.epochs * -(-len(task.data.x) // run.settings.batch_size)
        what = f"{task.data.name}: test accuracy after {steps} steps"
        yield at_least(what, run.test_accuracy, subject.bars.learns_accuracy)
        frozen = run.control_accuracy
        least = frozen + min(task.margin, (1 - frozen) / 4)  # there may be little left to gain
        yield above(f"{what}, against {frozen:g} with frozen hidden weights", run.test_accuracy, least)


def _batch(p: Problem, repeats: int = 1) -> Data:
    x, y = (value.float().repeat(repeats, *[1] * (value.dim() - 1)) for value in (p.x, p.y))
    return Data(p.name, x, y, x[:0], y[:0], p.model.outputs)


def _learn(subject: Subject, run: Running) -> None:
    """Two plain steps, with random signs so that the machine's own generator is used."""
    method = estimator.make("random_sign", run.machine.backend.training.beta)
    for _ in range(2):
        contrast = method.total(run.machine, run.inputs, run.target)
        for c, update in enumerate(contrast.weights):
            if update is not None:
                run.machine.apply(c, subject.schedule(run.machine, c, dense(update) * 0.05))
        for layer, update in enumerate(contrast.biases, start=1):
            if update is not None:
                run.machine.apply_bias(layer, registers(update * 0.05))
