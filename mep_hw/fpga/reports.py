"""Reports of the vendor's tools: what C synthesis, co-simulation and Vivado wrote, as numbers; "not run" without them.

    synthesis      <top>_csynth.xml                      of Vitis HLS: estimates of its scheduler
    cosimulation   <top>_cosim.rpt                       of Vitis HLS: cycles of the generated RTL, simulated
    utilization    *utilization*.rpt                     of Vivado: what synthesis or routing has used
    timing         *timing_summary*.rpt                  of Vivado: slack at the target clock

Written for the shape that UG1399 and UG906 describe for 2020.2 and newer. No tool has run here, so no report of one has
been read yet. A number that a report does not give is None, and so is a latency that the tool leaves open ("?").
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from mep_hw.errors import InputError

NOT_RUN = "not run"
T = TypeVar("T")


@dataclass(frozen=True)
class Resources:
    """Counts; memories in blocks of 18 Kbit, of which a tile of 36 Kbit has two."""

    lut: int | None
    ff: int | None
    dsp: int | None
    bram_18k: int | None
    uram: int | None


@dataclass(frozen=True)
class Synthesis:
    """C synthesis. Times in ns, latencies and intervals in cycles of one call of the top function."""

    tool: str
    part: str
    top: str
    target_ns: float | None
    estimated_ns: float | None
    best_latency: int | None
    worst_latency: int | None
    least_interval: int | None
    most_interval: int | None
    used: Resources
    available: Resources


@dataclass(frozen=True)
class Cosimulation:
    """One row of the report: the language of the RTL, and cycles a call."""

    rtl: str
    status: str
    least_latency: int | None
    most_latency: int | None
    least_interval: int | None
    most_interval: int | None


@dataclass(frozen=True)
class Utilization:
    tool: str
    part: str
    state: str
    used: Resources


@dataclass(frozen=True)
class Timing:
    """Slacks in ns, negative where the clock is missed: of set-up (worst, and all misses together) and of hold."""

    tool: str
    part: str
    setup_worst: float
    setup_total: float
    hold_worst: float

    @property
    def met(self) -> bool:
        return self.setup_worst >= 0 and self.hold_worst >= 0


@dataclass(frozen=True)
class Reports:
    """All that was found; None: not run."""

    synthesis: Synthesis | None
    cosimulation: Cosimulation | None
    utilization: Utilization | None
    timing: Timing | None

    def rows(self) -> dict[str, object]:
        """For a file: each report's fields, or "not run"."""
        return {name: NOT_RUN if value is None else asdict(value) for name, value in vars(self).items()}


def collect(folder: Path) -> Reports:
    """Reports anywhere below a project's folder, the latest where there are several.

    Raises:
        InputError: one of them is not as described above; names the file.
    """
    return Reports(
        _read(folder, "*_csynth.xml", synthesis),
        _read(folder, "*_cosim.rpt", cosimulation),
        _read(folder, "*utilization*.rpt", utilization),
        _read(folder, "*timing_summary*.rpt", timing),
    )


def synthesis(path: Path) -> Synthesis:
    """A `<top>_csynth.xml`."""
    try:
        root = ET.fromstring(_text(path))
    except ET.ParseError as error:
        raise _broken(path, f"is no XML ({error})") from None

    def text(where: str) -> str:
        return (root.findtext(where) or "").strip()

    given, latency = "UserAssignments", "PerformanceEstimates/SummaryOfOverallLatency"
    if root.find(given) is None or root.find("AreaEstimates/Resources") is None:
        raise _broken(path, "has no UserAssignments and AreaEstimates")

    def resources(where: str) -> Resources:
        def one(*names: str) -> int | None:
            return next(
                (n for n in (_whole(text(f"AreaEstimates/{where}/{name}")) for name in names) if n is not None), None
            )

        return Resources(one("LUT"), one("FF"), one("DSP", "DSP48E"), one("BRAM_18K"), one("URAM"))

    return Synthesis(
        tool=f"Vitis HLS {text('ReportVersion/Version')}".strip(),
        part=text(f"{given}/Part"),
        top=text(f"{given}/TopModelName"),
        target_ns=_real(text(f"{given}/TargetClockPeriod")),
        estimated_ns=_real(text("PerformanceEstimates/SummaryOfTimingAnalysis/EstimatedClockPeriod")),
        best_latency=_whole(text(f"{latency}/Best-caseLatency")),
        worst_latency=_whole(text(f"{latency}/Worst-caseLatency")),
        least_interval=_whole(text(f"{latency}/Interval-min")),
        most_interval=_whole(text(f"{latency}/Interval-max")),
        used=resources("Resources"),
        available=resources("AvailableResources"),
    )


def cosimulation(path: Path) -> Cosimulation:
    """A `<top>_cosim.rpt`: RTL | status | latency min, avg, max | interval min, avg, max | ..."""
    for cells in _table(_text(path)):
        if cells[0] in ("Verilog", "VHDL") and len(cells) >= 8 and cells[1] != "NA":
            number = [_whole(cell) for cell in cells[2:8]]
            return Cosimulation(cells[0], cells[1], number[0], number[2], number[3], number[5])
    raise _broken(path, "has no row of a simulated RTL")


def utilization(path: Path) -> Utilization:
    """A `report_utilization`. A name that stands in several tables counts in the first of them."""
    text, used = _text(path), dict[str, float]()
    for cells in _table(text):
        value = _real(cells[1]) if len(cells) > 1 else None
        if value is not None:
            used.setdefault(cells[0].rstrip("*"), value)

    def one(*names: str) -> int | None:
        return next((round(used[name]) for name in names if name in used), None)

    lut = one("CLB LUTs", "Slice LUTs")
    if lut is None:
        raise _broken(path, "has no row of LUTs")
    tiles = used.get("Block RAM Tile")
    found = Resources(
        lut,
        one("CLB Registers", "Slice Registers"),
        one("DSPs"),
        None if tiles is None else round(2 * tiles),
        one("URAM"),
    )
    return Utilization(_field(text, "Tool Version"), _field(text, "Device"), _field(text, "Design State"), found)


def timing(path: Path) -> Timing:
    """A `report_timing_summary`: the row of its design timing summary."""
    text = _text(path)
    found = re.search(r"WNS\(ns\)[^\n]*\n[ -]+\n([^\n]+)", text)
    numbers = [_real(word) for word in found.group(1).split()] if found else []
    if len(numbers) < 6 or any(numbers[i] is None for i in (0, 1, 4)):
        raise _broken(path, "has no design timing summary, or no constrained clock")
    worst, total, hold = (numbers[i] or 0.0 for i in (0, 1, 4))
    return Timing(_field(text, "Tool Version"), _field(text, "Device"), worst, total, hold)


def _read(folder: Path, pattern: str, parse: Callable[[Path], T]) -> T | None:
    found = sorted(folder.rglob(pattern), key=lambda path: (path.stat().st_mtime, str(path)))
    return parse(found[-1]) if found else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise _broken(path, f"cannot be read ({error})") from None


def _table(text: str) -> list[list[str]]:
    """Cells of all lines with bars."""
    rows = [line.strip().strip("|").split("|") for line in text.splitlines() if line.strip().startswith("|")]
    return [[cell.strip() for cell in row] for row in rows]


def _field(text: str, name: str) -> str:
    """Of the head of a report of Vivado, `| Name : value`."""
    found = re.search(rf"^\|\s*{name}\s*:\s*(.*?)\s*$", text, re.MULTILINE)
    return found.group(1) if found else ""


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?\d+", text) else None


def _real(text: str) -> float | None:
    return float(text) if re.fullmatch(r"-?\d+(?:\.\d+)?", text) else None


def _broken(path: Path, rule: str) -> InputError:
    return InputError(str(path), rule=rule, fix="run the tool again, or remove the file")
