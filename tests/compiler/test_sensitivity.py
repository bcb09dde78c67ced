"""Halved and doubled numbers of a card move a figure as its formula says; what cannot be varied is refused."""

from __future__ import annotations

import math

import pytest

from mep_hw.cards import BackendCard, load_backend, load_device
from mep_hw.compiler.sensitivity import sensitivity
from mep_hw.errors import CardError


def squared(card: BackendCard) -> float:
    """beta^2 / lr + tolerance: halves and doubles of it are known."""
    return card.training.beta**2 / card.training.lr + 3 * card.settle.tolerance


def test_the_table_of_a_known_formula_with_the_largest_move_first() -> None:
    card = load_backend("crossbar")
    beta, lr, tolerance = card.training.beta, card.training.lr, card.settle.tolerance
    rows = sensitivity(squared, card, ["settle.tolerance", "training.lr", "training.beta"])
    assert [row.path for row in rows] == ["training.beta", "training.lr", "settle.tolerance"]
    base = squared(card)
    expected = [
        (beta, beta**2 / 4 / lr + 3 * tolerance, 4 * beta**2 / lr + 3 * tolerance),
        (lr, 2 * beta**2 / lr + 3 * tolerance, beta**2 / lr / 2 + 3 * tolerance),
        (tolerance, beta**2 / lr + 1.5 * tolerance, beta**2 / lr + 6 * tolerance),
    ]
    for row, (value, half, double) in zip(rows, expected, strict=True):
        assert row.value == value
        assert (row.halved, row.doubled) == (pytest.approx(half / base), pytest.approx(double / base))
        assert row.size == pytest.approx(max(half / base, base / half, double / base, base / double))


def test_any_card_and_the_place_it_was_read_from() -> None:
    card = load_device("fefet")
    seen: list[object] = []

    def charge(card: object) -> float:
        seen.append(getattr(card, "path"))  # noqa: B009  # of any card
        return 2.0 * getattr(card, "electrical").pulse_width.value  # noqa: B009

    (row,) = sensitivity(charge, card, ["electrical.pulse_width.value"])
    assert (row.value, row.halved, row.doubled, row.size) == (7.5e-8, 0.5, 2.0, 2.0)
    assert seen == [card.path] * 3


def test_a_figure_that_vanishes_moves_without_bound() -> None:
    card = load_backend("crossbar")
    (row,) = sensitivity(lambda c: c.training.beta - 0.15 or 1e-30, card, ["training.beta"])
    assert row.halved < 1e-20 and row.size > 1e20 or math.isinf(row.size)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("training.betta", "training.betta: there is no key betta; did you mean 'beta'? there are rule, lr"),
        ("training.beta.value", "training.beta.value: there is no key value; end the path before it"),
        ("training.epochs", "training.epochs = 20: must be a number with a point"),
        ("settle.euler_step", "settle.euler_step = None: must be a number with a point"),
        ("training.momentum", "training.momentum = 1.8: must be < 1"),
    ],
)
def test_what_cannot_be_varied_is_refused(path: str, message: str) -> None:
    data = load_backend("crossbar").model_dump()
    data["settle"]["euler_step"] = None
    with pytest.raises(CardError) as caught:
        sensitivity(squared, BackendCard.model_validate(data), [path])
    assert message in str(caught.value)


@pytest.mark.parametrize(("figure", "words"), [(None, "is not known"), (0.0, "is 0")])
def test_a_figure_without_a_size_is_refused(figure: float | None, words: str) -> None:
    with pytest.raises(CardError, match=f"the figure to vary {words}"):
        sensitivity(lambda card: figure, load_backend("cpu"), [])
