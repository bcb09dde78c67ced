"""Clusters in simulated time: in step exactly the oracle, without a clock within the certificate's bounds."""

from __future__ import annotations

import cluster_cases
import fpga_cases
import numpy as np
import pytest
from fpga_cases import Case

from mep_hw.errors import CapabilityError, InputError, MachineError
from mep_hw.fpga import oracle
from mep_hw.fpga.cluster import checksum, simulated
from mep_hw.fpga.cluster.certificate import certify
from mep_hw.fpga.cluster.member import Arithmetic
from mep_hw.fpga.cluster.protocol import CLOSING, Tell, exhausted, settled
from mep_hw.fpga.cluster.timing import Timing, Trace
from mep_hw.fpga.spec import Values

LATENCIES = (1, 10, 97, 1000)


@pytest.mark.parametrize("nodes", [1, 2, 3, 4])
@pytest.mark.parametrize("seed", [1, 2])
def test_in_step_equals_the_oracle_at_every_latency(nodes: int, seed: int) -> None:
    case = cluster_cases.exact(nodes, seed=seed)
    job, values = oracle.execute(case.spec, case.values, case.x, case.y, True)
    assert not cluster_cases.same_values(values, case.values)
    for latency in LATENCIES:
        timing = Timing(latency=latency, jitter=latency, stall=0.2, stall_cycles=300, seed=latency)
        found, held, trace = simulated.run(case.spec, case.values, case.x, case.y, True, timing=timing)
        assert cluster_cases.same(found, job)
        assert cluster_cases.same_values(checksum.gathered(case.spec, held), values)  # and copies at cuts are alike
        assert trace.most_waiting <= 2  # what two banks hold
        assert trace.lost == trace.left_out == 0


def test_extreme_values_in_step() -> None:
    given = fpga_cases.make(4, 4, 4, 4, 2, seed=4, extreme=True, learning=True)
    case = Case(given.spec.model_copy(update={"nodes": ((1,), (2, 3), (4,))}), given.values, given.x, given.y)
    wanted = oracle.execute(case.spec, case.values, case.x, case.y, True)
    found = simulated.executing("synchronous")(case.spec, case.values, case.x, case.y, True)
    assert cluster_cases.same(found[0], wanted[0]) and cluster_cases.same_values(found[1], wanted[1])


def test_another_rounding_is_found() -> None:
    """The comparison above fails if a node's arithmetic is off by what its rounding changes."""

    def floored(spec, values, x, start, steps, beta=None, target=None):  # pyright: ignore
        half = [np.int64(1) << (spec.step_shift - 1)] * spec.depth  # halves downward, in units of the state
        lower = Values(values.weights, tuple(b - h for b, h in zip(values.biases, half, strict=True)))
        return oracle.settle(spec, lower, x, start, steps, beta, target)

    case = cluster_cases.exact(2)
    arithmetic = Arithmetic(settle=floored)
    found, _, _ = simulated.run(case.spec, case.values, case.x, case.y, arithmetic=arithmetic)
    assert not cluster_cases.same(found, oracle.run(case.spec, case.values, case.x, case.y))


def test_a_latency_costs_two_steps_of_waiting_and_no_more() -> None:
    case = cluster_cases.exact(2, rows=1)
    cycles = []
    for latency in (1000, 2000):
        _, _, trace = simulated.run(case.spec, case.values, case.x, case.y, timing=Timing(latency=latency))
        cycles.append(trace.phases[0][0].cycles)
    assert cycles[1] - cycles[0] == 1000 * (case.spec.free_steps + 1)  # each frame is waited for, T + 1 of them


@pytest.mark.parametrize("nodes", [2, 3, 4])
@pytest.mark.parametrize(
    "timing",
    [
        Timing(latency=1),
        Timing(latency=100, jitter=300, seed=1),
        Timing(latency=1000, drop=0.3, seed=2),
        Timing(latency=50, stall=0.3, stall_cycles=500, jitter=50, drop=0.1, seed=3),
    ],
    ids=["quick", "jitter", "drops", "stalls"],
)
def test_without_a_clock_within_the_bounds(nodes: int, timing: Timing) -> None:
    case = cluster_cases.contractive(nodes)
    bounds = certify(case.spec, case.values).bounds
    synchronous = oracle.run(case.spec, case.values, case.x, case.y)
    found, _, trace = simulated.run(case.spec, case.values, case.x, case.y, mode="asynchronous", timing=timing)
    assert all(phase.still for phases in trace.phases for phase in phases)
    for sign, name in ((0, "free"), (1, "plus"), (-1, "minus")):
        parts = zip(
            getattr(found, name), getattr(synchronous, name), cluster_cases.fixed_point(case, sign), bounds, strict=True
        )
        for states, in_step, wanted, bound in parts:
            assert (np.abs(states - wanted) <= bound).all()
            assert (np.abs(states - in_step) <= 2 * bound).all()
    if timing.drop:
        assert trace.lost > 0


def test_a_stop_leaves_every_node_at_rest() -> None:
    """One more step of the whole model changes nothing, so nothing newer was under way."""
    case = cluster_cases.contractive(4)
    timing = Timing(latency=200, jitter=200, drop=0.2, seed=5)
    found, _, _ = simulated.run(case.spec, case.values, case.x, case.y, mode="asynchronous", timing=timing)
    beta = np.full(len(case.x), case.spec.beta)
    for states, strength in ((found.free, None), (found.plus, beta), (found.minus, -beta)):
        after = oracle.settle(case.spec, case.values, case.x, states, 1, strength, case.y)
        assert all((a == b).all() for a, b in zip(states, after, strict=True))


def test_copies_of_a_cut_coupling_learn_alike_though_frames_are_lost() -> None:
    case = cluster_cases.contractive(3, rows=3, learning=True)
    timing = Timing(latency=100, jitter=200, drop=0.4, seed=6)
    _, held, trace = simulated.run(case.spec, case.values, case.x, case.y, True, mode="asynchronous", timing=timing)
    assert trace.lost > 0
    values = checksum.gathered(case.spec, held)  # raises where copies differ
    assert not cluster_cases.same_values(values, case.values)
    one_bit = held[1][0].copy()
    one_bit[0, 0] ^= 1
    with pytest.raises(MachineError, match="coupling 2 = .* both copies must have the same CRC-32"):
        checksum.gathered(case.spec, [held[0], [one_bit, *held[1][1:]], held[2]])


def test_the_same_seed_gives_the_same_run() -> None:
    case = cluster_cases.contractive(3)
    runs: list[tuple[oracle.Job, Trace]] = []
    for seed in (7, 7, 8):
        timing = Timing(latency=100, jitter=100, drop=0.2, seed=seed)
        job, _, trace = simulated.run(case.spec, case.values, case.x, case.y, mode="asynchronous", timing=timing)
        runs.append((job, trace))
    assert cluster_cases.same(runs[0][0], runs[1][0]) and runs[0][1] == runs[1][1] != runs[2][1]


def test_steps_that_move_on_end_at_the_limit() -> None:
    case = cluster_cases.contractive(2)
    timing = Timing(latency=10, limit=5)
    _, _, trace = simulated.run(case.spec, case.values, case.x, case.y, mode="asynchronous", timing=timing)
    free = trace.phases[0][0]
    assert not free.still and min(free.steps) == 5 < max(free.steps)  # the small node is not frozen at five


def test_a_lost_frame_stops_the_synchronous_mode() -> None:
    case = cluster_cases.exact(3)
    with pytest.raises(MachineError, match=r"node \d: no frame \d of phase free from node \d, and nothing"):
        simulated.run(case.spec, case.values, case.x, case.y, timing=Timing(drop=0.2))


def test_without_certificate_nothing_runs_unless_forced() -> None:
    case = cluster_cases.contractive(2, scale=1.0)
    with pytest.raises(CapabilityError, match="no certificate"):
        simulated.run(case.spec, case.values, case.x, case.y, mode="asynchronous")
    timing = Timing(limit=20)
    with pytest.warns(UserWarning, match="without certificate"):
        simulated.run(case.spec, case.values, case.x, case.y, mode="asynchronous", timing=timing, force=True)


@pytest.mark.parametrize(
    ("field", "value"), [("latency", -1), ("limit", 0), ("limit", CLOSING), ("drop", 1.0), ("stall", -0.1)]
)
def test_timings_that_cannot_be_are_refused(field: str, value: float) -> None:
    with pytest.raises(InputError, match=f"timing: {field} = "):
        Timing(**{field: value})  # pyright: ignore[reportArgumentType]


def word(number: int, changed: int, **heard: int) -> Tell:
    return Tell(0, number, changed, {1: heard["above"]} if "above" in heard else {-1: heard["below"]})


@pytest.mark.parametrize(
    ("low", "high", "ends"),
    [
        (word(9, 8, above=5), word(7, 5, below=8), True),
        (word(9, 9, above=5), word(7, 5, below=8), False),  # the lower node has just moved
        (word(9, 8, above=4), word(7, 5, below=8), False),  # the upper node's last change has not been heard
        (word(9, 8, above=8), word(7, 5, below=8), False),  # was heard from after its last word: that may be stale
        (word(9, 8, above=5), None, False),
    ],
    ids=["rest", "moved", "unheard", "stale", "silent"],
)
def test_a_phase_ends_only_when_nothing_can_move(low: Tell, high: Tell | None, ends: bool) -> None:
    assert settled([low, high]) is ends


def test_the_limit_is_for_the_slowest_node() -> None:
    words: list[Tell | None] = [word(900, 900, above=1), word(5, 5, below=1)]
    assert exhausted(words, 5) and not exhausted(words, 6) and not exhausted([words[0], None], 1)
