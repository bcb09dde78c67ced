"""The form that is chosen is the cheapest by the card's objective; every device compiles, or says why it does not."""

from __future__ import annotations

import pytest
import torch
from cell_arrays import device
from compiler_cards import F64, crossbar, low_rank, steps
from helpers import card
from hypothesis import given, settings
from hypothesis import strategies as st

from mep_hw.cards import BackendCard, DeviceCard, WriteMode, backend_names, device_names, load_backend, load_device
from mep_hw.cards.array import Objective
from mep_hw.compiler import compile, forms, predict
from mep_hw.errors import InputError, ScheduleError
from mep_hw.outersum import OuterSum, dense
from mep_hw.schedule import Cell, Outer, Row, Schedule

GOALS: tuple[Objective, ...] = ("time", "energy", "wear")
NAMES = {Outer: "outer", Row: "row", Cell: "cell"}


def form(schedule: Schedule) -> str:
    return NAMES[type(schedule.cycles[0])]


@settings(max_examples=40, deadline=None)
@given(
    goal=st.sampled_from(GOALS), name=st.sampled_from(["steps", "ecram", "reram-sb", "capacitor"]),
    out=st.integers(8, 40), inputs=st.integers(8, 40), rank=st.integers(1, 8), size=st.floats(0.2, 2.0),
    modes=st.sampled_from([("row", "outer", "cell"), ("outer", "cell"), ("cell", "row")]),
    factored=st.booleans(),
)  # fmt: skip
def test_no_fixed_form_is_cheaper_by_the_objective(
    goal: Objective, name: str, out: int, inputs: int, rank: int, size: float, modes: tuple[WriteMode, ...],
    factored: bool,
) -> None:  # fmt: skip
    backend = crossbar(modes, minimise=goal)
    whole = crossbar(modes, minimise=goal, rounding="stochastic")  # leaves nothing, as forms are compared
    cells = steps() if name == "steps" else load_device(name)
    factors = low_rank(out, inputs, min(rank, out, inputs), size)
    update = factors if factored else factors.dense()
    chosen = form(compile(update, None, backend, cells, torch.Generator().manual_seed(0)))
    costs: dict[str, float] = {}
    for mode in modes:
        if mode != "cell" or "row" not in modes:  # cell leaves up to its tolerance undone, and reads besides
            forced = whole.model_copy(update={"write_modes": (mode,)})
            made = compile(update, None, forced, cells, torch.Generator().manual_seed(0))
            if made.left is not None:  # weak directions
                assert mode == "outer" and forced.array is not None
                made = forms.outer(update, forced.array, cells, torch.Generator().manual_seed(0), least=0.0)
            assert form(made) == mode and made.left is None
            cost = predict(made, forced, cells)
            price = {"time": cost.time_s, "energy": cost.energy_j, "wear": cost.pulses}[goal]
            assert price is not None
            costs[mode] = price
    least = min(costs.values())
    # Rows take the fewest pulses in the mean; those of outer products are drawn here, with a spread of their root.
    assert costs[chosen] <= least * (1 + 1e-6) + (4 * least**0.5 if goal == "wear" else 0.0)


def test_a_low_rank_update_takes_a_cycle_a_direction_and_a_full_one_rows() -> None:
    """512 x 512 on arrays of 128 lines, by time; the reference takes a line."""
    backend, cells = crossbar(minimise="time"), load_device("ecram")
    generator = torch.Generator().manual_seed(0)
    update = low_rank(512, 512, 16, 0.5)
    schedule = compile(OuterSum(update.left.float(), update.right.float(), 0.5), None, backend, cells, generator)
    (cycle,) = schedule.cycles
    assert isinstance(cycle, Outer) and len(cycle.lengths) == 16 and schedule.left is None
    cost = predict(schedule, backend, cells)
    assert cost.cycles == 16 and cost.slots == 4 * len(cycle.words)  # all arrays at once, in four polarity phases
    full = torch.linalg.qr(torch.randn(512, 512, generator=generator))[0] * 0.05
    assert form(compile(full, None, backend, cells, generator)) == "row"


def test_rank_where_verified_writes_take_over_is_that_of_the_formula() -> None:
    """Rank of equal times r = N k t / (P BL t_slot), by hand: N = 64 word lines of one array, k = 1 round of t = two
    slots and a quick read, P = 4 polarity phases, BL = 1 slot a cycle, t_slot = 100 ns."""
    lines, quick = 64, 1e-8
    backend = crossbar(("outer", "cell"), minimise="time", iterations=1, tolerance=1e-4)
    assert backend.array is not None and backend.array.circuit is not None
    circuit = backend.array.circuit.model_copy(update={"read_s": quick, "drive_s": quick, "settle_s": quick})
    array = backend.array.model_copy(update={"rows": 513, "cols": 513, "circuit": circuit})
    backend, cells = backend.model_copy(update={"array": array}), steps(0.01)
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn(n, lines, generator=generator))[0] for n in (512, lines))

    def chosen(rank: int) -> str:
        """All entries below a pulse: a direction takes one slot, a verified line one pulse up and one down."""
        update = OuterSum(left[:, :rank], right[:, :rank], 0.04)
        return form(compile(update, None, backend, cells, generator))

    ranks = [chosen(rank) for rank in range(1, lines + 1)]
    first = ranks.index("cell") + 1
    assert "outer" not in ranks[first:]
    line = quick + 2 * 100e-9 + 2 * quick
    assert first == pytest.approx(lines * line / (4 * 1 * 100e-9), rel=0.1)


@pytest.mark.parametrize("goal", GOALS)
def test_an_objective_that_depends_on_unknown_numbers_is_refused(goal: Objective) -> None:
    backend = crossbar(minimise=goal)
    assert backend.array is not None
    bare = backend.model_copy(update={"array": backend.array.model_copy(update={"circuit": None, "assumed": None})})
    update = low_rank(6, 7, 2, 0.3)
    if goal == "wear":
        assert form(compile(update, None, bare, load_device("ecram"))) == "row"
        return
    with pytest.raises(
        ScheduleError, match=f"device ecram: writing.minimise = {goal}: is not known of .*: .*electrical.pulse"
    ):
        compile(update, None, bare, load_device("ecram"))


DIGITAL = [
    card("cpu", registers={"bits": 8, "step": 2**-7, "rounding": "nearest"}),
    card("cpu", registers={"bits": 16, "step": 2**-12, "rounding": "stochastic"}),
]


@pytest.mark.parametrize("goal", [None, *GOALS])
@pytest.mark.parametrize("name", device_names())
@pytest.mark.parametrize("backend", [*(load_backend(n) for n in backend_names()), *DIGITAL], ids=lambda b: b.name)
def test_every_card_compiles_the_same_update_or_names_the_limit(
    backend: BackendCard, name: str, goal: Objective | None
) -> None:
    if backend.array is not None:
        writing = backend.array.writing.model_copy(update={"minimise": goal})
        backend = backend.model_copy(update={"array": backend.array.model_copy(update={"writing": writing})})
    cells: DeviceCard = load_device(name)
    update = low_rank(12, 9, 3, 0.2)
    try:
        schedule = compile(update, None, backend, cells, torch.Generator().manual_seed(0))
    except ScheduleError as refused:
        assert refused.where and refused.field and refused.rule and goal in ("time", "energy")
        return
    left = torch.zeros(12, 9, dtype=F64) if schedule.left is None else dense(schedule.left)
    assert torch.allclose(dense(schedule.intended) + left, update.dense(), rtol=0, atol=1e-9)
    assert len(schedule.cycles) == 1


@pytest.mark.parametrize(
    ("update", "message"),
    [
        (torch.full((3, 4), float("nan")), "update: weights = nan: must be finite"),
        (OuterSum(torch.full((3, 1), float("inf")), torch.ones(4, 1)), "update: weights = nan: must be finite"),
        (torch.full((3, 4), 1e30), "update: pulses = .*: must take at most 100000 pulses of one cell"),
    ],
    ids=["nan", "infinite factor", "huge"],
)
@pytest.mark.parametrize("goal", [None, *GOALS])
def test_updates_that_cannot_be_pulsed_are_refused(goal: Objective | None, update: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compile(update, None, crossbar(("row", "outer"), minimise=goal), device("ecram"), torch.Generator())
