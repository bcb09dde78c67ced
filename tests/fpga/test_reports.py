"""Parsers of the vendor's reports, on files that were written by hand in the shape its guides describe, by no tool."""

from __future__ import annotations

from pathlib import Path

import pytest

from mep_hw.errors import InputError
from mep_hw.fpga import reports

CSYNTH = """\
<profile>
<ReportVersion><Version>2023.1</Version></ReportVersion>
<UserAssignments>
  <unit>ns</unit><ProductFamily>zynquplus</ProductFamily><Part>xczu7ev-ffvc1156-2-e</Part>
  <TopModelName>mep_node_0</TopModelName>
  <TargetClockPeriod>5.00</TargetClockPeriod><ClockUncertainty>1.35</ClockUncertainty>
</UserAssignments>
<PerformanceEstimates>
  <PipelineType>no</PipelineType>
  <SummaryOfTimingAnalysis><unit>ns</unit><EstimatedClockPeriod>3.642</EstimatedClockPeriod></SummaryOfTimingAnalysis>
  <SummaryOfOverallLatency>
    <unit>clock cycles</unit><Best-caseLatency>12</Best-caseLatency><Average-caseLatency>undef</Average-caseLatency>
    <Worst-caseLatency>{worst}</Worst-caseLatency><Interval-min>13</Interval-min><Interval-max>{worst}</Interval-max>
  </SummaryOfOverallLatency>
</PerformanceEstimates>
<AreaEstimates>
  <Resources><BRAM_18K>8</BRAM_18K><FF>3300</FF><LUT>5900</LUT><{dsp}>16</{dsp}>{uram}</Resources>
  <AvailableResources>
    <BRAM_18K>624</BRAM_18K><FF>460800</FF><LUT>230400</LUT><DSP>1728</DSP><URAM>96</URAM>
  </AvailableResources>
</AreaEstimates>
</profile>
"""
COSIM = """\
Report time       : by hand
Solution          : solution.

Result:
+----------+----------+-----------------------------------------------+---------------------+
|          |          |  Latency(Clock Cycles)  | Interval(Clock Cycles) | Total Execution Time |
+   RTL    +  Status  +-----+-----+-----+-----+-----+-----+---------------------+
|          |          |  min|  avg|  max|  min|  avg|  max|    (Clock Cycles)   |
+----------+----------+-----+-----+-----+-----+-----+-----+---------------------+
|      VHDL|        NA|   NA|   NA|   NA|   NA|   NA|   NA|                   NA|
|   Verilog|      Pass|   35| 1200| 2810|   36| 1201| 2811|                 9000|
+----------+----------+-----+-----+-----+-----+-----+-----+---------------------+
"""
UTILIZATION = """\
| Tool Version : Vivado v.2023.1 (lin64)
| Device       : xczu7ev-ffvc1156-2-e
| Design State : Routed

1. CLB Logic
+----------------------------+------+-------+------------+-----------+-------+
|          Site Type         | Used | Fixed | Prohibited | Available | Util% |
+----------------------------+------+-------+------------+-----------+-------+
| CLB LUTs*                  | 1525 |     0 |          0 |    230400 |  0.66 |
|   LUT as Logic             | 1496 |     0 |          0 |    230400 |  0.65 |
| CLB Registers              | 1363 |     0 |          0 |    460800 |  0.30 |
+----------------------------+------+-------+------------+-----------+-------+

3. BLOCKRAM
| Block RAM Tile |  2.5 |     0 |          0 |       312 |  0.80 |
|   RAMB36/FIFO* |    1 |     0 |          0 |       312 |  0.32 |
|   RAMB18       |    3 |     0 |          0 |       624 |  0.48 |
| URAM           |    0 |     0 |          0 |        96 |  0.00 |

4. ARITHMETIC
| DSPs           |    8 |     0 |          0 |      1728 |  0.46 |
"""
TIMING = """\
| Tool Version      : Vivado v.2023.1 (lin64)
| Device            : xczu7ev-ffvc1156

| Design Timing Summary
| ---------------------

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)      THS(ns)  THS Failing Endpoints
    -------      -------  ---------------------  -------------------      -------      -------  ---------------------
     {wns}        0.000                      0                 4210        0.012        0.000                      0
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_all_reports_of_a_project(tmp_path: Path) -> None:
    synthesis = CSYNTH.format(worst=2810, dsp="DSP", uram="<URAM>0</URAM>")
    write(tmp_path, "vitis/solution/syn/report/mep_node_0_csynth.xml", synthesis)
    write(tmp_path, "vitis/solution/sim/report/mep_node_0_cosim.rpt", COSIM)
    write(tmp_path, "impl/node_utilization_placed.rpt", UTILIZATION)
    write(tmp_path, "impl/node_timing_summary_routed.rpt", TIMING.format(wns=0.135))
    found = reports.collect(tmp_path)
    part = "xczu7ev-ffvc1156-2-e"
    used = reports.Resources(lut=5900, ff=3300, dsp=16, bram_18k=8, uram=0)
    available = reports.Resources(lut=230400, ff=460800, dsp=1728, bram_18k=624, uram=96)
    assert found.synthesis == reports.Synthesis(
        "Vitis HLS 2023.1", part, "mep_node_0", 5.0, 3.642, 12, 2810, 13, 2810, used, available
    )
    assert found.cosimulation == reports.Cosimulation("Verilog", "Pass", 35, 2810, 36, 2811)
    assert found.utilization == reports.Utilization(
        "Vivado v.2023.1 (lin64)", part, "Routed", reports.Resources(1525, 1363, 8, 5, 0)
    )
    assert found.timing == reports.Timing("Vivado v.2023.1 (lin64)", "xczu7ev-ffvc1156", 0.135, 0.0, 0.012)
    assert found.timing.met
    rows = found.rows()
    assert isinstance(rows["synthesis"], dict) and rows["synthesis"]["used"]["lut"] == 5900


def test_what_was_not_run_says_so(tmp_path: Path) -> None:
    assert set(reports.collect(tmp_path).rows().values()) == {"not run"}
    write(tmp_path, "a_csynth.xml", CSYNTH.format(worst="undef", dsp="DSP48E", uram=""))
    found = reports.collect(tmp_path)
    assert found.synthesis is not None and found.timing is None
    assert found.synthesis.worst_latency is None and found.synthesis.best_latency == 12
    assert found.synthesis.used == reports.Resources(5900, 3300, 16, 8, None)


def test_a_missed_clock_is_not_met(tmp_path: Path) -> None:
    assert not reports.timing(write(tmp_path, "t.rpt", TIMING.format(wns=-0.2))).met


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a_csynth.xml", "<profile>", "is no XML"),
        ("a_csynth.xml", "<profile></profile>", "has no UserAssignments"),
        ("a_cosim.rpt", COSIM.replace("Verilog", "SystemC"), "has no row of a simulated RTL"),
        ("a_utilization.rpt", "| Tool Version : Vivado", "has no row of LUTs"),
        ("a_timing_summary.rpt", TIMING.format(wns="NA"), "no constrained clock"),
    ],
)
def test_a_broken_report_is_named(tmp_path: Path, name: str, text: str, says: str) -> None:
    write(tmp_path, name, text)
    with pytest.raises(InputError, match=rf"{name}.*{says}.*run the tool again"):
        reports.collect(tmp_path)
