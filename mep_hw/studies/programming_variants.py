"""What the programming study compares: rules in the forms that their updates are written in, on devices and tasks.

A variant is a rule with one form, forced by one write mode and nothing verified, so that its cost is that of the form.
Variants that leave the form to the compiler are told apart by `chosen`; they are there to be held against the fixed
forms of the same rule, and as the choice depends on the card more than on the cell, on one device only.

Another variant is one more line of VARIANTS, another device one more of DEVICES; nothing else is edited.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from mep_hw.cards import BackendCard, DeviceCard, load_backend, load_device
from mep_hw.cards.changed import changed
from mep_hw.cards.schema import WriteMode
from mep_hw.errors import InputError
from mep_hw.studies.error_cards import Changes

Form = Literal["samples", "rows", "low rank", "all directions", "transfer", "chosen"]
RANKS = (4, 8, 16, 32)
RATES = (0.02, 0.06, 0.18)  # a factor of 3 apart, around the best of a short trial of every rule
STEP = 0.002  # of the ideal cell, as of ecram
ORIGIN = "set by the programming study"


@dataclass(frozen=True)
class Variant:
    """A rule in one form.

    Args:
        modes: write modes that the backend card has.
        array: changes to the `array` block of the backend card, by place.
        fixed: variants with the fixed forms of a rule whose form is chosen here.
        devices: the only devices that it runs on; empty: all.
        pace: what the rates of a device are multiplied by.
    """

    name: str
    rule: str
    form: Form
    modes: tuple[WriteMode, ...]
    rank: int | None = None
    momentum: float | None = None
    array: Changes = field(default_factory=dict[str, object])
    fixed: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    pace: float = 1.0

    def settings(self) -> dict[str, Any]:
        """What `train` gets."""
        return {"rule": self.rule, "rank": self.rank, "momentum": self.momentum}


@dataclass(frozen=True)
class Cell:
    """A device, what its cells need of the array, and the rates that every rule is tuned over on them."""

    name: str
    card: Callable[[], DeviceCard]
    array: Changes = field(default_factory=dict[str, object])
    rates: tuple[float, ...] = RATES


@dataclass(frozen=True)
class Task:
    """A model on a data set, tuned on `tuning_images` over `tuning_epochs`; None takes all training images."""

    name: str
    sizes: tuple[int, ...]
    batch_size: int
    epochs: int
    images: int | None
    tuning_epochs: int
    tuning_images: int | None
    held: float = 0.15  # of the tuning images, which the rates are judged on


def ideal() -> DeviceCard:
    """The specification of a pulsed cell without what it allows: every step is STEP, for ever."""
    card = load_device("gokmen-vlasov")
    step = {"value": STEP, "unit": "weight", "source": ORIGIN}
    changes: Changes = {"name": "ideal-pulsed", "dw_min": step, "spread": None, "noise": None, "reference": ORIGIN}
    return DeviceCard.model_validate(card.model_dump() | changes | {"summary": "Pulsed cell without errors"})


DEVICES = (
    Cell("ideal", ideal),
    *(Cell(name, lambda name=name: load_device(name)) for name in ("ecram", "reram-sb", "reram-es")),
    # Pairs of one sign fill up; pulses are coarse, and with the rates of the others nothing learns.
    Cell("pcm", lambda: load_device("pcm"), {"writing.refresh_every": 50}, tuple(lr / 10 for lr in RATES)),
    Cell("capacitor", lambda: load_device("capacitor")),
)

ON_MNIST = ("ecram", "reram-sb")  # a run takes minutes there: little noise, and much

FEW_SLOTS: Changes = {"writing.minimise": "time"}  # what outer products are good for; decides their factors

CHOICES = {"muon": ("muon-rows", "muon-outer"), "dion-16": ("dion-16-rows", "dion-16")}  # complete fixed forms

VARIANTS = (
    Variant("sgd-samples", "hebbian", "samples", ("outer",)),
    Variant("sgd-rows", "sgd", "rows", ("row",), momentum=0.0),
    Variant("muon-rows", "muon", "rows", ("row",)),
    Variant("muon-8", "muon", "low rank", ("outer",), array=FEW_SLOTS | {"writing.rank_max": 8}),
    *(Variant(f"dion-{rank}", "dion", "low rank", ("outer",), rank, array=FEW_SLOTS) for rank in RANKS),
    Variant("dion-16-rows", "dion", "rows", ("row",), 16),
    # Cells need a symmetry point and both signs. All lines move at once, as a batch is one update here.
    Variant(
        "tiki-taka",
        "hebbian",
        "transfer",
        ("outer",),
        devices=("ecram", "reram-sb", "reram-es", "capacitor"),
        pace=3.0,
        array={"transfer": {"lines": 64, "gain": 0.03, "buffer": 1.0, "pairs": 1000}},
    ),  # fmt: skip
    Variant("muon-outer", "muon", "all directions", ("outer",), array=FEW_SLOTS, devices=("ecram",)),
    *(
        Variant(
            f"{rule}-{goal}",
            rule.partition("-")[0],
            "chosen",
            ("row", "outer", "cell"),
            16 if rule.startswith("dion") else None,
            array={"writing.minimise": goal},
            fixed=fixed,
            devices=("ecram",),
        )  # fmt: skip
        for rule, fixed in CHOICES.items()
        for goal in ("time", "energy", "wear")
    ),
)

TASKS = (
    Task("digits", (64, 24, 10), 32, 5, None, 2, None),
    Task("mnist", (784, 256, 10), 64, 2, 20_000, 1, 5_000),
)


def cards(variant: Variant, cell: Cell, backend: BackendCard) -> tuple[BackendCard, DeviceCard]:
    """The backend with the variant's forms and what the cells need, and the cells."""
    values = {f"array.{place}": value for place, value in (cell.array | variant.array).items()}
    return changed(backend, values | {"write_modes": variant.modes}), cell.card()


def with_arrays(name: str) -> BackendCard:
    """The backend that the study runs on.

    Raises:
        InputError: it has no arrays.
    """
    card = load_backend(name)
    if card.array is None:
        rule = "holds weights in registers, which take no pulses"
        raise InputError("study", "backend", name, rule=rule, fix="use crossbar, or a card with an array block")
    return card
