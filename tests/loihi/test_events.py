"""Units that send only changes: bit for bit the emulator where all changes are sent, else what plain loops say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import machine
from lava_cases import EXTREME, network, phase
from torch import Tensor

import mep_hw
from mep_hw import spec
from mep_hw.errors import CardError
from mep_hw.loihi import emulator
from mep_hw.loihi.emulator import Arithmetic, Unit
from mep_hw.loihi.events import Lines
from mep_hw.loihi.network import Network, Phase, Population
from mep_hw.model import Model
from mep_hw.state import Nudge, Settled
from mep_hw.substrates.loihi import Loihi

FAR = 2.0**40  # stands for bounds that a population does not have


def emulated(subject: Network, given: Phase, lines: Lines | None) -> list[Tensor]:
    """The phase on the emulator, through `lines` or with all payloads sent in every step."""
    numbers = Arithmetic(subject.step_shift, subject.payload_shift, subject.payload_limit, subject.beta_fraction)
    units = [
        Unit(
            Population(p.bias, p.shift, -FAR if p.low is None else p.low, FAR if p.high is None else p.high, p.curve),
            (p.units,), numbers,
        )
        for p in subject.populations
    ]  # fmt: skip

    def couple(sent: list[Tensor], static: list[Tensor]) -> list[Tensor]:
        drives = [value.clone() for value in static]
        for c in subject.connections:
            if c.source:
                weights = torch.as_tensor(c.weights, dtype=torch.float64) * 2**c.exponent
                drives[c.target - 1] = drives[c.target - 1] + sent[c.source - 1] @ weights.T
        return drives

    static = [torch.zeros(len(given.inputs), p.units, dtype=torch.float64) for p in subject.populations]
    for c in subject.connections:
        if c.source == 0:
            static[c.target - 1] += torch.as_tensor(given.inputs @ c.weights.T * 2**c.exponent, dtype=torch.float64)
    start = [torch.as_tensor(value, dtype=torch.float64) for value in given.start]
    beta = torch.as_tensor(given.beta, dtype=torch.float64)[:, None]
    target = torch.as_tensor(given.target, dtype=torch.float64)
    through = couple if lines is None else lines.over(couple)
    return emulator.run(units, through, static, start, beta, target, given.steps)[0]


def looped(subject: Network, given: Phase, threshold: int, row: int) -> tuple[list[list[int]], list[list[int]]]:
    """States of one sample of boxes and a read-out, and events of every unit: each message by itself, in whole numbers
    that add up in every receiver."""
    state = [[int(v) for v in start[row]] for start in given.start]
    told = [[0] * len(values) for values in state]
    events = [[0] * len(values) for values in state]
    total = [[0] * len(values) for values in state]

    def send(source: int, unit: int, amount: int) -> None:
        for c in subject.connections:
            if c.source == source:
                for receiver in range(len(c.weights)):
                    total[c.target - 1][receiver] += (int(c.weights[receiver, unit]) * amount) << c.exponent

    for unit, value in enumerate(given.inputs[row]):
        send(0, unit, int(value))
    for _ in range(given.steps):
        for n, values in enumerate(state):
            for unit, value in enumerate(values):
                payload = nearest(value, subject.payload_shift)
                payload = min(max(payload, -subject.payload_limit), subject.payload_limit - 1)
                if abs(payload - told[n][unit]) >= threshold:
                    send(n + 1, unit, payload - told[n][unit])
                    told[n][unit], events[n][unit] = payload, events[n][unit] + 1
        for n, population in enumerate(subject.populations):
            for unit, value in enumerate(state[n]):
                leak = int(population.bias[unit]) - value
                if n == len(state) - 1:
                    leak += nearest(
                        int(given.beta[row]) * (int(given.target[row, unit]) - value), subject.beta_fraction
                    )
                value += nearest(total[n][unit] + leak * 2**population.shift, population.shift + subject.step_shift)
                if population.low is not None and population.high is not None:
                    value = min(max(value, int(population.low)), int(population.high))
                state[n][unit] = value
    return state, events


def nearest(value: int, bits: int) -> int:
    return (2 * value + 2**bits) // 2 ** (bits + 1)


@pytest.mark.parametrize("nudged", [False, True])
@pytest.mark.parametrize("name", EXTREME)
def test_all_changes_sent_is_the_emulator_to_the_bit(name: str, nudged: bool) -> None:
    subject = EXTREME[name]
    given = phase(subject, 5, 12, seed=13, nudged=nudged)
    pairs = zip(emulated(subject, given, Lines(1, 5)), emulated(subject, given, None), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("threshold", [1, 3, 20, 200])
def test_states_and_events_of_plain_loops(threshold: int) -> None:
    subject = network([6, 5, 4, 3], 11, kinds="bn", size=30)
    given = phase(subject, 4, 15, seed=5, nudged=True)
    lines = Lines(threshold, 4)
    found = emulated(subject, given, lines)
    loops = [looped(subject, given, threshold, row) for row in range(4)]
    for n, value in enumerate(found):
        assert np.array_equal(value.numpy(), np.array([state[n] for state, _ in loops]))
        counted = torch.stack([step[n] for step in lines.sent]).sum(0)
        assert counted.tolist() == np.array([events[n] for _, events in loops]).sum(0).tolist()


def test_receivers_are_less_than_the_threshold_behind() -> None:
    subject = network([6, 5, 4, 3], 11, kinds="bn", size=30)
    given, lines = phase(subject, 4, 9, seed=6), Lines(50, 4)
    drive = lines.over(lambda sent, static: [s.clone() for s in static])
    for scale in (1, 2, 3):
        values = [torch.as_tensor(start, dtype=torch.float64) * scale for start in given.start]
        drive(values, [torch.zeros_like(v) for v in values])
        assert lines.heard is not None
        assert all(float((v - h).abs().max()) < 50 for v, h in zip(values, lines.heard, strict=True))


MODELS: dict[str, Model] = {
    "mlp": mep_hw.mlp(8, 7, 6, 3, seed=1),
    "tanh": mep_hw.mlp(8, 7, 6, 3, activation="tanh", seed=2),
    "skips": mep_hw.mlp(8, 7, 6, 3, skips=[(0, 2), (1, 3)], seed=3),
    "conv": Model(spec.parse({"input": [1, 8, 8], "layers": [
        {"conv": {"channels": 3, "kernel": 3, "padding": 1}, "after": [{"pool": "avg", "size": 2}]},
        {"conv": {"channels": 4, "kernel": 3, "padding": 1}, "before": [{"pool": "avg", "size": 2}]},
        {"dense": 3}]}), seed=4),
}  # fmt: skip


def settled(model: Model, threshold: int, **changes: object) -> tuple[Loihi, Settled, Settled]:
    """A batch of six in both phases, with both signs."""
    built = machine(model, "loihi", loihi__send_threshold=threshold, **changes)
    assert isinstance(built, Loihi)
    x = torch.rand(6, *model.input_shape, generator=torch.Generator().manual_seed(7))
    y = torch.eye(model.outputs)[torch.arange(6) % model.outputs]
    free = built.settle(x)
    return built, free, built.settle(x, Nudge(torch.tensor([0.125] * 6 + [-0.125] * 6), y), free)


@pytest.mark.parametrize("name", MODELS)
def test_a_machine_that_sends_every_change_is_one_that_sends_everything(name: str) -> None:
    (_, *every), (_, *changes) = settled(MODELS[name], 0), settled(MODELS[name], 1)
    for one, other in zip(every, changes, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.state, other.state, strict=True))


def test_the_error_grows_with_the_threshold_and_events_fall() -> None:
    _, free, nudged = settled(MODELS["mlp"], 0)
    errors, events = [], []
    for threshold in (1, 8, 64, 512):
        built, *found = settled(MODELS["mlp"], threshold)
        pairs = zip(free.state + nudged.state, found[0].state + found[1].state, strict=True)
        errors.append(max(float((a - b).abs().max()) for a, b in pairs))
        events.append(built.remarks()["events_free"])
    assert errors[0] == 0 < errors[1] < errors[2] < errors[3]
    assert events == sorted(events, reverse=True) and events[3] < events[0] / 3


def test_what_receivers_heard_in_the_free_phase_stays_in_the_nudged_one() -> None:
    built, free, _ = settled(MODELS["mlp"], 16, settle__free_sweeps=300)
    assert built.senders is not None
    x = torch.rand(6, 8, generator=torch.Generator().manual_seed(7))
    before = built.senders.nudged.per_sample * built.senders.nudged.rows
    nudge = Nudge(torch.zeros(6), torch.zeros(6, 3))
    again = built.settle(x, nudge, free)
    assert built.senders.nudged.per_sample * built.senders.nudged.rows == before  # at rest nothing is sent
    assert all(torch.equal(a, b) for a, b in zip(again.state, free.state, strict=True))


def test_counts_add_up_and_do_not_depend_on_the_batch() -> None:
    whole, parts = (machine(MODELS["mlp"], "loihi", loihi__send_threshold=4) for _ in range(2))
    assert isinstance(whole, Loihi) and isinstance(parts, Loihi)
    x = torch.rand(9, 8, generator=torch.Generator().manual_seed(8))
    x[:, 0] = 0.0
    whole.settle(x)
    parts.settle(x[:2])
    parts.settle(x[2:])
    assert whole.senders is not None and parts.senders is not None
    one, two = whole.senders.free, parts.senders.free
    assert one.rows == two.rows == 9 and whole.remarks() == parts.remarks() and "events_nudged" not in whole.remarks()
    assert all(torch.equal(a, b) for a, b in zip(one.units, two.units, strict=True))
    assert one.units[0].tolist() == [0] + [9] * 7  # a pixel that is 0 sends nothing
    longest = [*two.steps, *[[0, 0, 0]] * (len(one.steps) - len(two.steps))]
    assert one.steps == longest
    assert [sum(step[n] for step in one.steps) for n in range(3)] == [int(u.sum()) for u in one.units[1:]]


def test_lavas_simulation_sends_in_every_step() -> None:
    with pytest.raises(CardError, match="loihi.send_threshold = 2: is for the emulator"):
        machine(MODELS["mlp"], "loihi", loihi__send_threshold=2, loihi__mode="lava-fixed")
    with pytest.raises(CardError, match="loihi.send_threshold = -1: must be >= 0"):
        machine(MODELS["mlp"], "loihi", loihi__send_threshold=-1)


def test_a_run_tells_its_events() -> None:
    card = machine(mep_hw.mlp(64, 6, 10), "loihi", loihi__send_threshold=16).backend
    run = mep_hw.train(mep_hw.mlp(64, 6, 10), backend=card, epochs=1, progress=False)
    assert 50 < run.as_dict()["events_free"] < 200 and run.history[0]["events_nudged"] > 0
