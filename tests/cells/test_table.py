"""Jump tables: samples follow the measured distribution, and files that are no table are refused.

The measured tables are those of the XBTorch oxide cells, which come with the cards oxide-1v5 and oxide-1v8. The same
checks run on a small table made here, whose distribution is known in closed form.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from cell_arrays import counts, device
from numpy.typing import NDArray
from scipy import stats

from mep_hw.cards import DeviceCard, load_device, root
from mep_hw.cells import Cells
from mep_hw.errors import DataError

COUNT = 40000
MEASURED = [("oxide-1v5", "1.5V"), ("oxide-1v8", "1.8V")]


def oxide(folder: Path, up: str = "1.5V_set", down: str = "1.5V_reset") -> DeviceCard:
    """A card for tables: conductances 5 to 30 uS become weights -1 to 1."""
    siemens = {"unit": "S", "source": "the axis of the tables"}
    return device(
        "fefet",
        response={"family": "table", "folder": str(folder), "up": up, "down": down},
        electrical__g_min={"value": 5e-6, **siemens},
        electrical__g_max={"value": 30e-6, **siemens},
    )


def write(folder: Path, name: str, g: NDArray[np.float64], d: NDArray[np.float64], cdf: NDArray[np.float64]) -> None:
    for part, values in (("axis_level_G", g), ("axis_level_dG", d), ("cdf", cdf)):
        np.savetxt(folder / f"{name}_{part}.txt", values)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Two tables on 11 conductances: changes uniform between 0 and a width that grows with G, up or down."""
    g, d = np.linspace(5e-6, 30e-6, 11), np.linspace(-2e-6, 2e-6, 81)
    width = np.linspace(0.5e-6, 1.5e-6, 11)[:, None]
    write(tmp_path, "1.5V_set", g, d, np.clip(d / width, 0, 1))
    write(tmp_path, "1.5V_reset", g, d, np.clip(1 + d / width, 0, 1))
    return tmp_path


def wide(card: DeviceCard, weight: float, seed: int) -> Cells:
    """Cells at one weight, whose bounds keep no part of a jump back; the card's range alone sets the scale."""
    made = Cells(card, (COUNT,), torch.Generator().manual_seed(seed), torch.float64)
    made.traits.low.fill_(-100)
    made.traits.high.fill_(100)
    made.set(torch.full((COUNT,), weight, dtype=torch.float64))
    return made


def distances(card: DeviceCard, folder: Path, voltage: str) -> list[float]:
    """Kolmogorov-Smirnov p values of one pulse at ten conductances, set and reset, against the file itself."""
    values = []
    for up, kind in ((True, "set"), (False, "reset")):
        parts = ("axis_level_G", "axis_level_dG", "cdf")
        g, d, cdf = (np.loadtxt(folder / f"{voltage}_{kind}_{part}.txt") for part in parts)
        for number, conductance in enumerate(np.linspace(7.1e-6, 27.9e-6, 10)):
            made = wide(card, -1 + 2 * (conductance - 5e-6) / 25e-6, number + 100 * up)
            before = made.stored
            made.pulse(counts((COUNT,), int(up)), counts((COUNT,), int(not up)))
            jumps = ((made.stored - before) * 12.5e-6).numpy()
            row = np.array([np.interp(conductance, g, column) for column in cdf.T])
            # What the file leaves out at both ends of its axis lies at the ends; only jumps between can be compared.
            inner = jumps[(jumps > d[0]) & (jumps < d[-1])]
            share = (row - row[0]) / (row[-1] - row[0])
            values.append(float(stats.kstest(inner, lambda x: np.interp(x, d, share)).pvalue))  # noqa: B023
            assert len(inner) / COUNT == pytest.approx(row[-1] - row[0], abs=4 * 0.5 / COUNT**0.5)
    return values


def test_a_known_table_is_reproduced(small: Path) -> None:
    assert min(distances(oxide(small), small, "1.5V")) > 0.05 / 20  # 20 tests at 5 % together


@pytest.mark.parametrize(("name", "voltage"), MEASURED)
def test_the_measured_tables_are_reproduced(name: str, voltage: str) -> None:
    card = load_device(name)
    assert card.agrees_with == "measured hardware"
    assert min(distances(card, root("devices") / name, voltage)) > 0.05 / 20


@pytest.mark.parametrize(("name", "voltage"), MEASURED)
def test_the_measured_cells_have_the_moments_of_their_tables(name: str, voltage: str) -> None:
    held = json.loads((root("devices") / name / "golden.json").read_text(encoding="utf-8"))["statistics"]
    for up in (True, False):
        for conductance in (10.0, 17.5, 25.0):
            made = wide(load_device(name), -1 + 2 * (conductance - 5) / 25, 7)
            before = made.stored
            made.pulse(counts((COUNT,), int(up)), counts((COUNT,), int(not up)))
            change = (made.stored - before) * 12.5
            for kind, value in (("mean", change.mean()), ("sd", change.std())):
                statistic = held[f"{'up' if up else 'down'}_{kind}_at_{conductance:g}"]
                assert abs(float(value) - statistic["value"]) <= statistic["tolerance"], (up, conductance, kind)


def test_the_measured_tables_come_with_their_licence() -> None:
    for name, _ in MEASURED:
        text = (root("devices") / name / "LICENSE").read_text(encoding="utf-8")
        assert "ADAM Lab GW" in text and "Redistributions of source code must retain" in text
        assert "BSD-3-Clause" in load_device(name).reference


def test_pulses_stay_within_the_range_and_move_the_right_way(small: Path) -> None:
    made = Cells(oxide(small), (50, 4), torch.Generator().manual_seed(0))
    made.set(torch.zeros(50, 4))
    made.pulse(counts((50, 4), 40), counts((50, 4), 0))
    assert float(made.stored.min()) > 0.5 and float(made.stored.max()) <= 1
    made.pulse(counts((50, 4), 0), counts((50, 4), 400))
    assert float(made.stored.max()) < -0.5 and float(made.stored.min()) >= -1


def test_a_folder_may_be_named_inside_the_data_folder(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEP_HW_DATA", str(small.parent))
    made = Cells(oxide(Path(small.name)), (3,), torch.Generator().manual_seed(0))
    made.pulse(counts((3,), 1), counts((3,), 0))
    assert float(made.stored.min()) > 0
    monkeypatch.delenv("MEP_HW_DATA")
    with pytest.raises(DataError, match="response: folder = .*: lies in the folder MEP_HW_DATA names; set MEP_HW_DATA"):
        Cells(oxide(Path(small.name)), (3,), torch.Generator().manual_seed(0))
    with pytest.raises(DataError, match="response: folder = .*absent: is not a folder; correct"):
        Cells(oxide(small / "absent"), (3,), torch.Generator().manual_seed(0))


def test_a_folder_may_lie_beside_the_card(small: Path) -> None:
    (small / "inner").mkdir()
    for path in small.glob("*.txt"):
        path.rename(small / "inner" / path.name)
    made_in_python = oxide(small)
    for folder in (".", "./inner"):
        data = made_in_python.model_dump(mode="json")
        data["response"]["folder"] = folder
        place = small / ("inner/card.yaml" if folder == "." else "card.yaml")
        place.write_text(yaml.safe_dump(data))
        made = Cells(load_device(place), (3,), torch.Generator().manual_seed(0))
        made.pulse(counts((3,), 1), counts((3,), 0))
        assert float(made.stored.min()) > 0
        with pytest.raises(DataError, match="folder = .*: lies beside the card, and this card was made in P"):
            Cells(DeviceCard.model_validate(data), (3,), torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("part", "spoil", "message"),
    [
        ("cdf", lambda v: v[:-1], r"shape = \(10, 81\): must be 11 x 81, as its axes say; give one row"),
        ("cdf", lambda v: 1 - v, "rows must ascend from 0 to 1; give cumulative"),
        ("cdf", lambda v: 2 * v, "rows must ascend from 0 to 1; give cumulative"),
        ("cdf", lambda v: 0.9 * v, "rows must begin below 0.05 and end above 0.95; widen"),
        ("cdf", lambda v: v * np.nan, "must hold finite numbers only; remove"),
        ("axis_level_G", lambda v: v[::-1], "axis_level_G: must ascend in equal steps; resample"),
        ("axis_level_G", lambda v: v**2, "axis_level_G: must ascend in equal steps; resample"),
        ("axis_level_dG", lambda v: v[::-1], "axis_level_dG: must ascend; sort"),
        ("axis_level_dG", lambda v: v[:1], r"axes = .*: must be lists of at least 2 numbers; give"),
    ],
)
def test_files_that_are_no_table_are_refused(small: Path, part: str, spoil: object, message: str) -> None:
    path = small / f"1.5V_set_{part}.txt"
    assert callable(spoil)
    np.savetxt(path, spoil(np.loadtxt(path)))
    with pytest.raises(DataError, match=message) as caught:
        Cells(oxide(small), (3,), torch.Generator().manual_seed(0))
    assert "\n" not in str(caught.value)


def test_missing_and_unreadable_files_are_named(small: Path) -> None:
    path = small / "1.5V_reset_cdf.txt"
    path.write_text("0 a 1\n")
    with pytest.raises(DataError, match="1.5V_reset_cdf.txt: is not a table of numbers"):
        Cells(oxide(small), (3,), torch.Generator().manual_seed(0))
    path.unlink()
    with pytest.raises(DataError, match="1.5V_reset_cdf.txt: cannot be read"):
        Cells(oxide(small), (3,), torch.Generator().manual_seed(0))
