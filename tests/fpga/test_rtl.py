"""SystemVerilog against the oracle, bit for bit, by Verilator: one node and clusters, with random pauses everywhere."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import fpga_cases
import numpy as np
import pytest
from fpga_cases import Case
from fpga_programs import need

from mep_hw.errors import MachineError
from mep_hw.fpga import oracle, proof, tools
from mep_hw.fpga.node import (
    EMIT_FREE,
    EMIT_MINUS,
    EMIT_PLUS,
    EMIT_READOUT,
    LEARN,
    NUDGE,
    Node,
)
from mep_hw.fpga.rtl import config, cycles
from mep_hw.fpga.rtl.lockstep import (
    ALL,
    READ,
    RUN,
    SILENT,
    UNEXPECTED,
    WRITE,
    Done,
    Links,
    Order,
    host_words,
    measured,
    simulate,
)
from mep_hw.fpga.rtl.memories import memories
from mep_hw.fpga.rtl.project import project
from mep_hw.fpga.rtl.verilate import build, sources
from mep_hw.fpga.spec import Format, Whole


@pytest.fixture(scope="module", autouse=True)
def programs() -> None:
    need("verilator", "g++")


LIMIT = 3_000_000  # cycles; far more than any test needs
STALLS = Links(stalls=70, seed=11, limit=LIMIT)
LONE: dict[str, dict[str, Any]] = {
    "two hidden, 4 lanes": dict(units=(8, 8, 8, 3), lanes=4, learning=True, seed=0),
    "one hidden, 2 lanes": dict(units=(8, 4, 3), lanes=2, learning=True, seed=1),
    "one hidden, 8 lanes": dict(units=(16, 16, 10), lanes=8, learning=True, seed=2),
}
CHAIN: dict[str, Any] = dict(units=(4, 4, 4, 4, 3), lanes=2, learning=True, seed=3, steps=(6, 5))
NODES = {2: ((1, 2), (3, 4)), 3: ((1,), (2, 3), (4,)), 4: ((1,), (2,), (3,), (4,))}


def make(settings: dict[str, Any], **more: Any) -> Case:
    settings = settings | more
    case = fpga_cases.make(*settings.pop("units"), **settings)
    if case.spec.lanes < 8:
        return case
    assert case.spec.learning is not None  # updates so large that weights and biases reach the ends of their formats
    large = case.spec.learning.model_copy(update={"weight_shift": (8, 8), "bias_shift": (0, 1)})
    return replace(case, spec=case.spec.model_copy(update={"learning": large}))


def agrees(case: Case, learning: bool, links: Links) -> list[list[Done]]:
    """Compare every state and value; returns what the nodes say of each sample."""
    job, after, done = measured(case.spec, case.values, case.x, case.y, learning, links=links)
    expected, held = oracle.execute(case.spec, case.values, case.x, case.y, learning)
    for phase in ("free", "plus", "minus"):
        for found, right in zip(getattr(job, phase), getattr(expected, phase), strict=True):
            np.testing.assert_array_equal(found, right)
    for found, right in zip(after.weights + after.biases, held.weights + held.biases, strict=True):
        np.testing.assert_array_equal(found, right)
    return done


@pytest.mark.parametrize("learning", [False, True])
@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("name", LONE)
def test_a_node_equals_the_oracle_whatever_pauses(name: str, extreme: bool, learning: bool) -> None:
    """12 runs of 60 samples: 57,240 states."""
    agrees(make(LONE[name], rows=60, extreme=extreme), learning, STALLS)


def test_a_nudge_with_many_bits_behind_the_point_keeps_its_sign() -> None:
    """One layer, whose total is wider than the pull: what is shifted into the pull's upper bits counts."""
    case = fpga_cases.make(4, 3, lanes=2, seed=5, rows=20, extreme=True)
    spec = case.spec.model_copy(update={"beta": 1 << 14, "beta_fraction": 16})
    agrees(replace(case, spec=spec.model_copy(update={"sums": proof.sums(spec, None)})), False, Links(limit=LIMIT))


def test_learning_moves_weights_and_clamps_them() -> None:
    """In the cases above; of the oracle, which the circuit equals."""
    for name in LONE:
        case = make(LONE[name], rows=60)
        held = oracle.execute(case.spec, case.values, case.x, case.y, True)[1]
        assert all((a != b).any() for a, b in zip(held.weights, case.values.weights, strict=True))
        ends = [
            bool(np.isin(w, (form.least, form.most)).any())
            for w, form in zip(held.weights, case.spec.weights, strict=True)
        ]
        assert all(ends) == (case.spec.lanes == 8)


@pytest.mark.parametrize("name", LONE)
def test_cycles_are_those_of_the_formula(name: str) -> None:
    case = make(LONE[name])
    node = Node(case.spec, 0)
    form, held = config.shape(node), node.held(case.values)
    words = np.concatenate([part.reshape(-1) for part in held])
    given = host_words(node, case.x[0], case.y[0])
    flags = [0, EMIT_READOUT, EMIT_FREE | EMIT_READOUT, NUDGE, ALL, ALL | LEARN, NUDGE | LEARN | EMIT_MINUS]
    jobs = [[Order(WRITE, words=words)]]
    jobs += [[Order(RUN, flag, given if flag & NUDGE else case.x[0])] for flag in flags]
    done = [job[0] for job in simulate(build(case.spec), 1, [*jobs, [Order(READ)]])]
    assert done[0].cycles == cycles.write(form) and done[-1].cycles == cycles.read(form)
    for flag, one in zip(flags, done[1:-1], strict=True):
        formula = cycles.run(node, flag)
        assert (one.cycles, one.static, one.settle, one.busy) == (
            formula.total, formula.static, formula.settle, formula.busy,
        )  # fmt: skip
    top, free = done[2].words, done[3].words
    assert len(top) == form.units[form.own] and (free[-len(top) :] == top).all()


def test_sixteen_lanes_are_busy_in_most_cycles_of_784_256_10() -> None:
    """By the formula, which the test above compares with the circuit."""
    node = Node(fpga_cases.make(784, 256, 10, lanes=16, rows=1, steps=(40, 20)).spec, 0)
    found = cycles.run(node, ALL)
    assert found.share() >= 0.85 and found.share(cycles.static_words(config.shape(node))) >= 0.85
    assert cycles.step_words(config.shape(node)) == 160 and config.shape(node).gap == 0


def test_a_broken_rounding_is_found() -> None:
    """States are rounded downward instead of to the nearest."""

    def floors(files: dict[str, str]) -> dict[str, str]:
        text = files["mep_config.svh"]
        broken = re.sub(r"(HALF = )\{[^}]*\}", r"\1'0", text)
        assert broken != text
        return files | {"mep_config.svh": broken}

    case = make(LONE["one hidden, 2 lanes"])
    job, _, _ = measured(case.spec, case.values, case.x, case.y, program=build(case.spec, floors))
    right = oracle.run(case.spec, case.values, case.x, case.y)
    assert any((a != b).any() for a, b in zip(job.free, right.free, strict=True))


def test_bad_orders_are_refused_and_the_node_goes_on() -> None:
    case = make(LONE["one hidden, 2 lanes"])
    node = Node(case.spec, 0)
    words = np.concatenate([part.reshape(-1) for part in node.held(case.values)])
    refused = [Order(RUN, LEARN), Order(0), Order(RUN, EMIT_PLUS)]
    orders = [Order(WRITE, words=words), *refused, Order(RUN, EMIT_FREE, case.x[0])]
    done = [job[0] for job in simulate(build(case.spec), 1, [[order] for order in orders])]
    assert [one.status for one in done] == [2, 6, 6, 6, 2]
    right = np.concatenate([s[0] for s in oracle.run(case.spec, case.values, case.x, case.y).free])
    np.testing.assert_array_equal(done[-1].words, right)


@pytest.mark.parametrize("count", NODES)
def test_a_cluster_equals_the_oracle_at_any_latency(count: int) -> None:
    case = make(CHAIN, nodes=NODES[count])
    whole = make(CHAIN)
    assert case.spec.model_copy(update={"nodes": whole.spec.nodes}) == whole.spec
    for latency in (1, 37, 1000):
        done = agrees(case, True, Links(latency=latency, limit=LIMIT))
        for index, one in enumerate(done[0]):
            formula = cycles.run(Node(case.spec, index), ALL | LEARN)
            assert (one.static, one.settle, one.busy) == (formula.static, formula.settle, formula.busy)
    agrees(case, True, Links(latency=20, jitter=15, stalls=90, seed=5, limit=LIMIT))
    agrees(
        make(CHAIN, nodes=NODES[count], extreme=True, rows=20), True, Links(latency=3, stalls=40, seed=6, limit=LIMIT)
    )


def test_lost_frames_end_in_an_error_that_names_them() -> None:
    case = make(CHAIN, nodes=NODES[3])
    nodes = [Node(case.spec, index) for index in range(3)]
    jobs = [
        [Order(WRITE, words=np.concatenate([part.reshape(-1) for part in node.held(case.values)])) for node in nodes],
        [Order(RUN, ALL, host_words(node, case.x[0], case.y[0])) for node in nodes],
    ]
    program, dead = build(case.spec), Links(latency=5, drop=(1, 3, 1000), timeout=3000, limit=LIMIT)
    done = simulate(program, 3, jobs, dead)[-1]
    assert done[2].failure == (SILENT, "below", "free", 3)
    assert all(one.failure is not None and one.failure[0] == SILENT for one in done)
    done = simulate(program, 3, jobs, replace(dead, drop=(1, 3, 1)))[-1]
    assert done[2].failure == (UNEXPECTED, "below", "free", 3)  # frame 4 came instead
    with pytest.raises(MachineError, match="no end in 20000 cycles"):
        simulate(program, 3, jobs, replace(dead, timeout=0, limit=20000))


def test_nodes_of_narrow_states_without_the_read_out_have_no_lint() -> None:
    """Builds fail on any warning: this one is as an export chooses formats."""
    state, weight = Format(bits=8, fraction=6), Format(bits=8, fraction=6)
    spec = fpga_cases.make(4, 2, 3, lanes=2, nodes=((1,), (2,))).spec
    layers = tuple(
        layer.model_copy(update={"state": state, "low": 0, "high": 64, "bias_bits": 8}) for layer in spec.layers
    )
    build(spec.model_copy(update={"layers": layers, "weights": (weight, weight)}))


@pytest.mark.parametrize("lanes", [1, 3, 5])
def test_library_has_no_lint(lanes: int, tmp_path: Path) -> None:
    """Builds fail on any warning too; here are the shapes that no other test builds."""
    units = [(lanes * 2, lanes, 3), (lanes * 4, 2), (lanes, lanes, lanes, lanes, 1)][lanes % 3]
    case = fpga_cases.make(*units, lanes=lanes, learning=lanes == 3)
    node = Node(case.spec, 0)
    for name, text in (sources() | memories(node, case.values) | {"mep_config.svh": config.header(node)}).items():
        (tmp_path / name).write_text(text)
    tools.call(
        ["verilator", "--lint-only", "-Wall", "-I.", "--top-module", "mep_node", "mep_node.sv"],
        timeout_s=60, folder=tmp_path,
    )  # fmt: skip


def test_memory_files_hold_the_words_in_order() -> None:
    case = make(LONE["one hidden, 2 lanes"])
    node = Node(case.spec, 0)
    bits = max(form.bits for form in case.spec.weights)
    lines = memories(node, case.values)["weights.mem"].split()
    first = [int(lines[0], 16) >> bits * lane & ((1 << bits) - 1) for lane in range(2)]
    right: Whole = case.values.weights[0][0, :2] & ((1 << bits) - 1)
    assert first == right.tolist() and len(lines) == config.shape(node).weight_words


def test_the_project_of_a_node_tests_itself(tmp_path: Path) -> None:
    case = make(LONE["one hidden, 2 lanes"])
    files = project(Node(case.spec, 0), case.values)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert "the node equals the oracle" in tools.call(["make", "-C", tmp_path / "tb"], timeout_s=300)
    weights = (tmp_path / "rtl" / "weights.mem").read_text().split("\n")
    broken = [f"{int(weights[0], 16) ^ 1:0{len(weights[0])}x}", *weights[1:]]
    (tmp_path / "rtl" / "weights.mem").write_text("\n".join(broken))
    with pytest.raises(MachineError, match="make"):
        tools.call(["make", "-C", tmp_path / "tb"], timeout_s=300)
