"""The same with a process for each node: exact in step, within bounds without a clock, and nothing left behind."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import cluster_cases
import numpy as np
import pytest

from mep_hw.errors import CapabilityError, InputError, MachineError
from mep_hw.fpga import oracle
from mep_hw.fpga.cluster import checksum
from mep_hw.fpga.cluster.certificate import certify
from mep_hw.fpga.cluster.cosim.link import Timing
from mep_hw.fpga.cluster.cosim.run import Cluster, executing
from mep_hw.fpga.cluster.member import Arithmetic


def gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_in_step_equals_the_oracle_with_delays_and_stalls() -> None:
    case = cluster_cases.exact(4)
    job, values = oracle.execute(case.spec, case.values, case.x, case.y, True)
    timing = Timing(latency_s=0.0005, jitter_s=0.002, stall=0.1, stall_s=0.01)
    execute = executing("synchronous", timing, arithmetic=Arithmetic())
    found, after = execute(case.spec, case.values, case.x, case.y, True)
    assert cluster_cases.same(found, job) and cluster_cases.same_values(after, values)


def test_without_a_clock_within_the_bounds() -> None:
    """And copies at cuts stay alike after each update, though frames are lost."""
    case = cluster_cases.contractive(3, learning=True)
    bounds = certify(case.spec, case.values).bounds
    with Cluster(case.spec, case.values, "asynchronous", Timing(drop=0.2, jitter_s=0.001)) as cluster:
        found = cluster.run(case.x, case.y)
        assert cluster.unsettled == 0
        assert cluster_cases.same_values(checksum.gathered(case.spec, cluster.held()), case.values)
        for _ in range(2):
            cluster.run(case.x, case.y, learning=True)
            after = checksum.gathered(case.spec, cluster.held())  # raises where copies differ
            assert not cluster_cases.same_values(after, case.values)
    for sign, states in ((0, found.free), (1, found.plus), (-1, found.minus)):
        for s, wanted, bound in zip(states, cluster_cases.fixed_point(case, sign), bounds, strict=True):
            assert (np.abs(s - wanted) <= bound).all()
    assert len(set(cluster.pids)) == 3 and all(map(gone, cluster.pids))


SLOW = Timing(timeout_s=1.0, stall=1.0, stall_s=0.02)


@pytest.mark.parametrize(
    ("timing", "signalled", "message"),
    [
        (Timing(timeout_s=0.5, drop=0.02), None, r"node 1: no frame 7 of phase free from node 0 for 0.5 s"),
        (SLOW, signal.SIGKILL, r"node 1: its process has ended"),
        (SLOW, signal.SIGSTOP, r"node [02]: no frame \d of phase free from node 1 for 1 s"),
    ],
    ids=["lost frame", "killed", "silent"],
)
def test_what_goes_wrong_ends_in_one_line_and_leaves_no_process(
    timing: Timing, signalled: signal.Signals | None, message: str
) -> None:
    case = cluster_cases.exact(3, rows=4, steps=(40, 40))
    with pytest.raises(MachineError, match=message), Cluster(case.spec, case.values, timing=timing) as cluster:
        if signalled is not None:
            threading.Timer(0.2, os.kill, (cluster.pids[1], signalled)).start()
        cluster.run(case.x, case.y)
    assert len(cluster.pids) == 3 and all(map(gone, cluster.pids))


def test_a_silent_node_without_a_clock_ends_in_one_line() -> None:
    case = cluster_cases.contractive(2)
    timing = Timing(timeout_s=0.5, stall=1.0, stall_s=0.02)
    cluster = Cluster(case.spec, case.values, "asynchronous", timing)
    with pytest.raises(MachineError, match="node 0: gave no sign for 2.5 s"), cluster:
        os.kill(cluster.pids[0], signal.SIGSTOP)
        cluster.run(case.x, case.y)
    assert all(map(gone, cluster.pids))


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: Timing(drop=1.5), InputError),
        (lambda: Timing(timeout_s=0.0), InputError),
        (lambda: Timing(jitter_s=-1.0), InputError),
        (lambda: Timing(limit=0), InputError),
        (lambda: _uncertified(), CapabilityError),
    ],
)
def test_bad_input_starts_nothing(make: Callable[[], object], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        make()


def _uncertified() -> Cluster:
    case = cluster_cases.contractive(2, scale=1.0)
    return Cluster(case.spec, case.values, "asynchronous")
