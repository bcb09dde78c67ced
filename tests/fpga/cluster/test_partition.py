"""Cuts against trying all of them."""

from __future__ import annotations

from itertools import combinations

import fpga_cases
import pytest

from mep_hw.errors import InputError
from mep_hw.fpga.cluster.partition import cycles_per_step, load, on_nodes, partition

SHAPES = ((8, 4, 8, 4, 3), (64, 24, 10), (16, 4, 4, 32, 4, 5), (4, 4, 4, 4, 4, 4, 4, 4))


@pytest.mark.parametrize("units", SHAPES, ids=str)
def test_the_fullest_node_is_as_light_as_can_be(units: tuple[int, ...]) -> None:
    spec = fpga_cases.make(*units).spec
    choices = 0
    for nodes in range(1, spec.depth + 1):
        found = partition(spec, nodes)
        spec.model_validate(spec.model_dump(by_alias=True) | {"nodes": found})  # layers in order, none left out
        assert len(found) == nodes
        every = [
            max(load(spec, range(a + 1, b + 1)) for a, b in zip((0, *cut), (*cut, spec.depth), strict=True))
            for cut in combinations(range(1, spec.depth), nodes - 1)
        ]
        assert max(load(spec, range(part[0], part[-1] + 1)) for part in found) == min(every)
        choices += len(set(every)) > 1
    assert choices or spec.depth < 3


def test_a_cut_coupling_counts_for_both_ends() -> None:
    spec = fpga_cases.make(8, 4, 8, 4, 3).spec
    parts = partition(spec, 2)
    assert sum(load(spec, range(part[0], part[-1] + 1)) for part in parts) > 1


@pytest.mark.parametrize("nodes", [0, 5])
def test_more_nodes_than_layers_are_refused(nodes: int) -> None:
    spec = fpga_cases.make(8, 4, 8, 4, 3).spec
    with pytest.raises(InputError, match=rf"nodes = {nodes}: must be from 1 to 4.*take"):
        partition(spec, nodes)


def test_a_step_takes_a_cycle_for_each_word_of_weights() -> None:
    spec = on_nodes(fpga_cases.make(8, 4, 8, 4, 3, lanes=4).spec, 4)
    # 8 rows of a word between layers 1 and 2, 4 of two words between 2 and 3, 3 of a word between 3 and 4
    assert [cycles_per_step(spec, index) - 12 for index in range(4)] == [8, 8 + 8, 8 + 3, 3]
