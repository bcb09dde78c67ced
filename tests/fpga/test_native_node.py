"""Nodes that exchange their states after every step are the model on one node, bit for bit."""

from __future__ import annotations

import fpga_cases
import fpga_programs
import numpy as np
import pytest
from fpga_cases import Case

from mep_hw.fpga import native_node, oracle
from mep_hw.fpga.lfsr import seeded
from mep_hw.fpga.node import Node
from mep_hw.fpga.spec import Whole

NODES = (((1,), (2,), (3,), (4,)), ((1, 2), (3, 4)), ((1,), (2, 3), (4,)), ((1, 2, 3, 4),))


@pytest.fixture(autouse=True)
def _compiler() -> None:
    fpga_programs.need("g++")


def case(nodes: tuple[tuple[int, ...], ...], extreme: bool) -> Case:
    return fpga_cases.make(8, 12, 4, 8, 3, seed=1, rows=5, learning=True, extreme=extreme, nodes=nodes)


def phase(given: Case, start: oracle.States, steps: int, beta: Whole | None) -> oracle.States:
    nodes = [Node(given.spec, n) for n in range(len(given.spec.nodes))]
    held = [node.held(given.values) for node in nodes]
    drives = [native_node.static(n, h, given.x) if n.takes_input else None for n, h in zip(nodes, held, strict=True)]
    state = list(start)
    for _ in range(steps):
        found: list[Whole] = []
        for node, values, drive in zip(nodes, held, drives, strict=True):
            below = None if node.takes_input else state[node.first - 2]
            above = None if node.has_readout else state[node.last]
            own = state[node.first - 1 : node.last]
            found += native_node.step(node, values, drive, own, below, above, beta, given.y)
        state = found
    return tuple(state)


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("nodes", NODES)
def test_phases(nodes: tuple[tuple[int, ...], ...], extreme: bool) -> None:
    given = case(nodes, extreme)
    start = fpga_cases.starts(given, 2)
    beta = np.array([given.spec.beta, -given.spec.beta, 3, 0, -1])
    for strength in (None, beta):
        found = phase(given, start, 6, strength)
        target = None if strength is None else given.y
        expected = oracle.settle(given.spec, given.values, given.x, start, 6, strength, target)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("nodes", NODES)
def test_updates_keep_both_ends_of_a_cut_alike(nodes: tuple[tuple[int, ...], ...]) -> None:
    given = case(nodes, False)
    spec = given.spec
    plus, minus = fpga_cases.starts(given, 3, extreme=True), fpga_cases.starts(given, 4)
    expected, drawn = oracle.learn(spec, given.values, seeded(spec), given.x, plus, minus)
    for index in range(len(nodes)):
        node = Node(spec, index)
        seen = range(node.first - 1, min(node.last + 1, spec.depth) + 1)
        ends = [[(given.x, *states)[layer] for layer in seen] for states in (plus, minus)]
        held, registers = native_node.learn(node, node.held(given.values), native_node.registers(node), *ends)
        for a, b in zip(held, node.held(expected), strict=True):
            np.testing.assert_array_equal(a, b)
        left = [*(drawn[c - 1] for c in node.couplings), *(drawn[spec.depth + n - 1] for n in node.layers)]
        for a, b in zip(registers, left, strict=True):
            np.testing.assert_array_equal(a, b)
