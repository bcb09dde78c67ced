"""Every machine that the package builds is closed again, also after an error."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from helpers import card

import mep_hw
from mep_hw import conformance
from mep_hw.errors import InputError
from mep_hw.optimizers import SMEPOptimizer
from mep_hw.substrates.cpu import Cpu

DATA = (torch.rand(12, 4, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 3)


class Counted(Cpu):
    """Notes what was built and what was closed."""

    built: list[Cpu] = []  # noqa: RUF012  # one list for the whole class is the point
    closed: list[Cpu] = []  # noqa: RUF012

    def __init__(self, *given: object) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        Counted.built.append(self)

    def close(self) -> None:
        Counted.closed.append(self)


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    Counted.built.clear()
    Counted.closed.clear()
    monkeypatch.setattr("mep_hw.machine.import_substrate", lambda card: Counted)
    yield
    assert Counted.built, "no machine was built"
    assert [id(machine) for machine in Counted.closed] == [id(machine) for machine in Counted.built]


def test_training_and_its_control() -> None:
    mep_hw.train(mep_hw.mlp(4, 3, 3), DATA, epochs=1, control=True, progress=False)
    assert len(Counted.built) == 2


def test_training_that_diverges_or_is_refused() -> None:
    with pytest.raises(InputError, match="diverged|not finite"):
        mep_hw.train(mep_hw.mlp(4, 3, 3), DATA, rule="sgd", lr=1e9, epochs=3, progress=False)
    with pytest.raises(InputError, match="one for each of 2 layers"):
        mep_hw.train(mep_hw.mlp(4, 3, 3), DATA, lr=(0.1, 0.1, 0.1), progress=False)
    assert len(Counted.built) == 2


def test_evaluation() -> None:
    mep_hw.evaluate(mep_hw.mlp(4, 3, 3), DATA)
    with pytest.raises(InputError, match="registers do not change with time"):
        mep_hw.evaluate(mep_hw.mlp(4, 3, 3), DATA, after=1.0)
    assert len(Counted.built) == 2


def test_gradient_check() -> None:
    mep_hw.gradient_check(mep_hw.mlp(4, 3, 3), samples=4)
    assert len(Counted.built) == 1


def test_forward_call_and_optimizer() -> None:
    model = mep_hw.mlp(4, 3, 3)
    optimizer = SMEPOptimizer(model.parameters(), model=model)
    model(DATA[0])
    optimizer.step(target=DATA[1])
    assert len(Counted.built) == 2


def test_conformance() -> None:
    assert conformance.run(card("cpu"), ["apply"]).outcomes[0].status == "passed"
    Counted.closed.reverse()  # a check may have several open
