"""What one step of a rule costs on this machine, next to the others, on the same contrasts.

All rules are stepped in turn (`studies.timing`); ratios are medians over rounds. Contrasts come as outer products of
one batch, as training gives them. Nothing here says which rule learns better.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from mep_hw.outersum import OuterSum
from mep_hw.rules import Adam, Dion, Muon, Natural, Rule, Sgd
from mep_hw.state import LocalStates
from mep_hw.studies.timing import in_turn


def rule_costs(size: int, batch: int, rank: int, rounds: int) -> list[dict[str, Any]]:
    """Rows {rule ms ratio ratio_quartiles}: median time of a step, and over that of Muon by exact SVD, same round.

    Args:
        size: the coupling is size x size.
        batch: samples behind a contrast, which has 2 * batch columns.
        rank: of Dion.
    """
    generator = torch.Generator().manual_seed(0)
    subjects: dict[str, Rule] = {
        "muon, svd": Muon(method="svd"),
        "muon, quintic bfloat16": Muon(method="quintic", dtype=torch.bfloat16),
        "muon, quintic float32": Muon(method="quintic", dtype=torch.float32),
        f"dion {rank}": Dion(rank=rank),
        "natural": Natural(every=1),  # by itself one step in ten inverts, which a median would not see
        "adam": Adam(),
        "sgd, momentum": Sgd(momentum=0.9),
        "sgd": Sgd(),
    }
    before, after = (torch.randn(2 * batch, size, generator=generator) for _ in range(2))
    contrast = OuterSum(after.T, before.T, 1 / batch)
    states = LocalStates(before[:batch], after[:batch])
    memories = {name: rule.init((size, size), generator, torch.float32) for name, rule in subjects.items()}

    def step(name: str) -> None:
        _, memories[name] = subjects[name].step(contrast, memories[name], lr=0.01, states=states)

    rows = in_turn({name: partial(step, name) for name in subjects}, "muon, svd", rounds)
    return [{"rule": row.pop("name"), **row} for row in rows]
