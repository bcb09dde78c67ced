"""SystemVerilog nodes without a common clock: they rest within the certificate's bounds, whatever the links do."""

from __future__ import annotations

from dataclasses import replace

import cluster_cases
import fpga_cases
import numpy as np
import pytest
from fpga_cases import Case
from fpga_programs import need

from mep_hw.errors import CapabilityError
from mep_hw.fpga import lfsr, oracle
from mep_hw.fpga.cluster.certificate import certify
from mep_hw.fpga.cluster.protocol import CLOSING
from mep_hw.fpga.node import ASYNC, EMIT_FREE, NUDGE, Node
from mep_hw.fpga.rtl import cycles
from mep_hw.fpga.rtl.lockstep import (
    RUN,
    SILENT,
    WRITE,
    Done,
    Links,
    Order,
    host_words,
    measured,
    simulate,
)
from mep_hw.fpga.rtl.verilate import build


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    need("verilator", "g++")


LIMIT = 5_000_000
MOST = 20_000  # steps; a phase that reaches them never rests


def rests(case: Case, links: Links, learning: bool = False) -> None:
    """Compare with the fixed point and with the synchronous run; one more step of the whole model changes nothing."""
    bounds = certify(case.spec, case.values).bounds
    right = oracle.run(case.spec, case.values, case.x, case.y)
    links = replace(links, limit=LIMIT, steps=MOST)
    found, after, done = measured(case.spec, case.values, case.x, case.y, learning, links=links, asynchronous=True)
    beta = np.full(len(case.x), case.spec.beta)
    for sign, name, strength in ((0, "free", None), (1, "plus", beta), (-1, "minus", -beta)):
        ends = getattr(found, name)
        parts = zip(ends, getattr(right, name), cluster_cases.fixed_point(case, sign), bounds, strict=True)
        for states, in_step, wanted, bound in parts:
            assert (np.abs(states - wanted) <= bound).all()
            assert (np.abs(states - in_step) <= 2 * bound).all()
        more = oracle.settle(case.spec, case.values, case.x, ends, 1, strength, case.y)
        assert all((a == b).all() for a, b in zip(ends, more, strict=True))
    for index, one in enumerate(done[0]):
        per_step = cycles.run(Node(case.spec, index), 0).settle // case.spec.free_steps
        assert 0 < one.settle < 2000 * per_step  # ended by the stop, not by the limit
    if learning:
        held = oracle.learn(case.spec, case.values, lfsr.seeded(case.spec), case.x, found.plus, found.minus)[0]
        assert cluster_cases.same_values(after, held) and not cluster_cases.same_values(after, case.values)


@pytest.mark.parametrize("nodes", [2, 3])
@pytest.mark.parametrize(
    "links",
    [Links(), Links(latency=300, jitter=100, seed=3), Links(latency=20, jitter=30, stalls=90, seed=4)],
    ids=["quick", "late", "stalls"],
)
def test_comes_to_rest_within_the_bounds(nodes: int, links: Links) -> None:
    rests(cluster_cases.contractive(nodes, rows=2), links)


@pytest.mark.parametrize("frame", [0, 1, 9])
def test_a_lost_frame_is_replaced_by_the_next(frame: int) -> None:
    rests(cluster_cases.contractive(2), Links(latency=300, jitter=100, seed=5, drop=(0, frame, 1)))


def test_both_ends_of_a_cut_learn_from_the_closing_frames() -> None:
    rests(cluster_cases.contractive(2, learning=True), Links(latency=40, jitter=20, seed=6, drop=(0, 5, 1)), True)


def job(case: Case, flags: int, links: Links) -> list[Done]:
    nodes = [Node(case.spec, index) for index in range(len(case.spec.nodes))]
    write = [Order(WRITE, words=np.concatenate([p.reshape(-1) for p in node.held(case.values)])) for node in nodes]
    run = [Order(RUN, flags, host_words(node, case.x[0], case.y[0])) for node in nodes]
    return simulate(build(case.spec), len(nodes), [write, run], links)[-1]


def test_without_a_stop_a_phase_ends_at_its_last_step() -> None:
    """And only a lost closing frame is an error."""
    case = cluster_cases.contractive(2)
    links = Links(latency=30, steps=40, limit=LIMIT, timeout=3000)
    done = job(case, NUDGE | EMIT_FREE | ASYNC, links)
    assert [one.failure for one in done] == [None, None] and all(len(one.words) for one in done)
    lost = job(case, NUDGE | EMIT_FREE | ASYNC, replace(links, drop=(0, 41, 1)))  # behind the frames 0 to 40
    assert lost[1].failure == (SILENT, "below", "free", CLOSING)


def test_a_node_without_links_refuses() -> None:
    case = fpga_cases.make(8, 4, 3, lanes=2, learning=True, seed=1)
    done = simulate(build(case.spec), 1, [[Order(RUN, ASYNC)]], Links(limit=LIMIT))
    assert done[0][0].status == 6


def test_without_certificate_nothing_runs() -> None:
    case = cluster_cases.contractive(2, scale=1.0)
    with pytest.raises(CapabilityError, match="no certificate"):
        measured(case.spec, case.values, case.x, case.y, asynchronous=True)
