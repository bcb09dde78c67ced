"""Jump tables of pulses: what was drawn from a known distribution is drawn from the table again."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from cell_arrays import counts, device
from numpy.typing import NDArray
from pulse_files import SIEMENS, write_pulses
from scipy import stats

from mep_hw.cards import load_device, root
from mep_hw.cells import Cells
from mep_hw.fit import table_card
from mep_hw.fit.cards import card_text

COUNT = 20000


def written(folder: Path, source: Path, **options: str) -> Path:
    """The card file and the tables of a source, in a folder."""
    tabled = table_card(source, "mine", **options)
    folder.mkdir()
    for name, content in tabled.files.items():
        (folder / name).write_bytes(content)
    (folder / "card.yaml").write_bytes(card_text(tabled.card))
    return folder / "card.yaml"


def jumps(path: Path, siemens: float, up: bool) -> NDArray[np.float64]:
    """One pulse at a conductance, in siemens, whatever the bounds."""
    card = load_device(path)
    low, high = card.electrical.g_min.value, card.electrical.g_max.value
    assert low is not None and high is not None
    made = Cells(card, (COUNT,), torch.Generator().manual_seed(int(1e9 * siemens)), torch.float64)
    made.traits.low.fill_(-100)
    made.traits.high.fill_(100)
    made.set(torch.full((COUNT,), -1 + 2 * (siemens - low) / (high - low), dtype=torch.float64))
    before = made.stored
    made.pulse(counts((COUNT,), int(up)), counts((COUNT,), int(not up)))
    return ((made.stored - before) * (high - low) / 2).numpy()


def test_pulses_of_known_cells_give_their_distribution_back(tmp_path: Path) -> None:
    # Soft bounds with constant noise: the change at a weight is normal, with a mean that is a line in the weight.
    card = device("reram-sb", spread=None, dw_min=0.05, noise__cycle=1.0, noise__write=0.0, w_min=-1.0, w_max=1.0)
    source = write_pulses(tmp_path / "pulses.csv", card, 60, 60, 4, SIEMENS)
    path = written(tmp_path / "made", source)
    per_weight = (SIEMENS[1] - SIEMENS[0]) / 2
    pulses = sum(int(kind == "up") for kind in ("up", "down")) * 60 * 60 * 4
    for weight in (-0.6, -0.3, 0.0, 0.3, 0.6):
        siemens = SIEMENS[0] + per_weight * (weight + 1)
        for up in (True, False):
            sample = jumps(path, siemens, up)
            mean = (0.05 * (1 - weight) if up else -0.05 * (1 + weight)) * per_weight
            found = stats.kstest(sample, stats.norm(mean, 0.05 * per_weight).cdf)
            # About a thirtieth of the raw pulses stand behind a row; the rest is interpolation over a row's width.
            assert found.statistic < 1.95 / math.sqrt(pulses / 30) + 0.02, (weight, up)
            assert abs(sample.mean() - mean) < 0.05 * per_weight * 0.25


@pytest.mark.parametrize(("name", "voltage"), [("oxide-1v5", "1.5V"), ("oxide-1v8", "1.8V")])
def test_a_folder_of_tables_becomes_a_card_that_reproduces_them(name: str, voltage: str, tmp_path: Path) -> None:
    folder = root("devices") / name
    path = written(tmp_path / "made", folder, up=f"{voltage}_set", down=f"{voltage}_reset")
    made, bundled = load_device(path), load_device(name)
    for field in ("w_min", "w_max", "dw_min"):  # the bundled card was made like this
        assert getattr(made, field).value == pytest.approx(getattr(bundled, field).value, rel=1e-5)
    assert (made.electrical.g_min.value, made.electrical.g_max.value) == (5e-6, 30e-6)
    values = []
    for up, kind in ((True, "set"), (False, "reset")):
        parts = ("axis_level_G", "axis_level_dG", "cdf")
        g, d, cdf = (np.loadtxt(folder / f"{voltage}_{kind}_{part}.txt") for part in parts)
        for siemens in np.linspace(6e-6, 29e-6, 10):
            sample = jumps(path, float(siemens), up)
            row = np.array([np.interp(siemens, g, column) for column in cdf.T])
            inner = sample[(sample > d[0]) & (sample < d[-1])]
            share = (row - row[0]) / (row[-1] - row[0])
            values.append(float(stats.kstest(inner, lambda x: np.interp(x, d, share)).pvalue))  # noqa: B023
    assert min(values) > 0.05 / 20


def test_rows_are_as_many_as_the_pulses_carry(tmp_path: Path) -> None:
    card = device("gokmen-vlasov", spread=None, dw_min=0.05)
    for cycles, rows in ((4, range(3, 12)), (60, range(40, 41))):
        source = write_pulses(tmp_path / f"{cycles}.csv", card, 1, 35, cycles, SIEMENS)
        tables = table_card(source, "mine").tables
        for table in tables.values():
            assert len(table.conductances) in rows
            assert (table.cumulative[:, 0] == 0).all() and (table.cumulative[:, -1] == 1).all()


def test_the_mean_at_the_middle_is_that_of_the_cells(tmp_path: Path) -> None:
    card = device("gokmen-vlasov", spread=None, dw_min=0.02, noise__cycle=0.3)
    tabled = table_card(write_pulses(tmp_path / "pulses.csv", card, 4, 105, 8, SIEMENS), "mine")
    per_weight = (SIEMENS[1] - SIEMENS[0]) / 2
    for row, sign in zip(tabled.report["tables"], (1, -1), strict=True):
        assert row["mean_change"] == pytest.approx(sign * 0.02 * per_weight, rel=0.1)
        assert row["sd_change"] == pytest.approx(0.3 * 0.02 * per_weight, rel=0.2)
    assert tabled.card.dw_min.value == pytest.approx(0.02, rel=0.1)
