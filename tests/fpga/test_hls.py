"""The HLS C++ against the oracle: one node, a chain of nodes, odd formats, its own test bench, a rounding broken."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fpga_cases
import numpy as np
import pytest
from fpga_cases import Case
from fpga_programs import HEADERS, need

from mep_hw.errors import MachineError, ModelError
from mep_hw.fpga import oracle, proof, tools
from mep_hw.fpga.hls import headers
from mep_hw.fpga.hls.project import project
from mep_hw.fpga.hls.simulate import Simulation, execute
from mep_hw.fpga.node import Node
from mep_hw.fpga.oracle import Job
from mep_hw.fpga.spec import Learning, Values

CHAIN = ((1,), (2,), (3,))


@pytest.fixture(scope="module", autouse=True)
def machine() -> None:
    need("g++", HEADERS)


def cases(*units: int, **settings: object) -> list[Case]:
    """Ordinary and extreme values and samples of one specification."""
    both = [fpga_cases.make(*units, seed=1, learning=True, extreme=e, **settings) for e in (False, True)]  # pyright: ignore
    assert both[0].spec == both[1].spec
    return both


def odd(case: Case) -> Case:
    """Shifts of 0 and 32 in the update; whole steps; a whole beta."""
    assert case.spec.learning is not None
    kept = case.spec.learning.weight_shift[0]
    more = {
        "learning": Learning(weight_shift=(kept, 32), bias_shift=(2, 0), seed=5),
        "step_shift": 0, "beta": 1, "beta_fraction": 0,
    }  # fmt: skip
    spec = case.spec.model_copy(update=more)
    return Case(spec.model_copy(update={"sums": proof.sums(spec, None)}), case.values, case.x, case.y)


def differing(found: tuple[Job, Values], right: tuple[Job, Values]) -> tuple[int, int]:
    """Numbers compared, and those that differ."""
    pairs = list[tuple[oracle.Whole, oracle.Whole]]()
    for phase in ("free", "plus", "minus"):
        pairs += zip(getattr(found[0], phase), getattr(right[0], phase), strict=True)
    pairs += zip(found[1].weights, right[1].weights, strict=True)
    pairs += zip(found[1].biases, right[1].biases, strict=True)
    assert all(a.shape == b.shape for a, b in pairs)
    return sum(a.size for a, _ in pairs), sum(int((a != b).sum()) for a, b in pairs)


def compare(simulation: Simulation, given: list[Case]) -> int:
    """Run all cases without and with learning, and count what agrees."""
    total = 0
    for case in given:
        for learning in (False, True):
            found = simulation.execute(case.values, case.x, case.y, learning)
            compared, wrong = differing(found, oracle.execute(case.spec, case.values, case.x, case.y, learning))
            assert wrong == 0
            total += compared
    return total


def test_one_node_is_the_oracle(tmp_path: Path) -> None:
    """Three lanes, and a read-out that does not fill its words."""
    given = [odd(case) for case in cases(6, 9, 4, lanes=3, rows=140)]
    simulation = Simulation(given[0].spec, given[0].values, tmp_path)
    assert compare(simulation, given) >= 10_000
    moved = simulation.execute(given[0].values, given[0].x, given[0].y, True)[1]
    assert any((a != b).any() for a, b in zip(moved.weights, given[0].values.weights, strict=True))
    nothing = simulation.execute(given[0].values, given[0].x[:0], given[0].y[:0])
    assert differing(nothing, oracle.execute(given[0].spec, given[0].values, given[0].x[:0], given[0].y[:0]))[1] == 0


def test_two_nodes_are_the_oracle(tmp_path: Path) -> None:
    """Two threads that exchange frames; both holders of the cut coupling learn the same (else `execute` raises)."""
    given = cases(8, 8, 4, 5, rows=100, nodes=((1, 2), (3,)))
    assert compare(Simulation(given[0].spec, given[0].values, tmp_path), given) >= 10_000


def test_a_broken_rounding_is_noticed(tmp_path: Path) -> None:
    case = fpga_cases.make(4, 3, seed=1, lanes=2, learning=True, rows=40)
    broken = Simulation(case.spec, case.values, tmp_path, define=["MEP_BREAK_ROUNDING"])
    right = oracle.execute(case.spec, case.values, case.x, case.y)
    assert differing(broken.execute(case.values, case.x, case.y), right)[1] > 0


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project of a node in the middle, whose bench has been run once; its memories begin as synthesis sees them."""
    case = fpga_cases.make(4, 4, 4, 2, nodes=CHAIN, learning=True, seed=1)
    place = tmp_path_factory.mktemp("node")
    for path, content in project(Node(case.spec, 1), case.values).items():
        file = place / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(content))
    command = [tools.require("make"), f"PYTHON={sys.executable}", "CXX=g++ -DMEP_INITIALISERS"]
    tools.call(command, folder=place, timeout_s=300)
    return place


def bench(place: Path) -> subprocess.CompletedProcess[str]:
    command = [place / "bench", place / "tb" / "jobs.txt", place / "tb" / "answers.txt"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


def test_the_projects_bench_agrees_with_the_oracle(built: Path) -> None:
    done = bench(built)
    assert done.returncode == 0 and done.stdout.endswith(" 0 differ\n"), done.stdout + done.stderr
    assert int(done.stdout.split()[2]) > 500  # words compared


@pytest.mark.parametrize("stream", ["out", "below", "above"])
def test_the_projects_bench_finds_one_wrong_word(built: Path, stream: str, tmp_path: Path) -> None:
    """In each stream, and where TLAST is missing."""
    (tmp_path / "tb").mkdir()
    (tmp_path / "bench").symlink_to(built / "bench")
    (tmp_path / "tb" / "jobs.txt").symlink_to(built / "tb" / "jobs.txt")
    lines = (built / "tb" / "answers.txt").read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(stream) and not line.endswith(" 0"))
    for wrong in (lines[at].removesuffix("."), lines[at].removesuffix(".") + "1."):
        (tmp_path / "tb" / "answers.txt").write_text("\n".join([*lines[:at], wrong, *lines[at + 1 :], ""]))
        done = bench(tmp_path)
        assert done.returncode == 1 and done.stdout.endswith(" 1 differ\n")


def test_the_projects_bench_reports_wrong_frames_and_refuses_wrong_jobs(built: Path, tmp_path: Path) -> None:
    """A frame of another number: status 4 from above; LEARN without NUDGE, an unknown operation: status 1."""
    (tmp_path / "tb").mkdir()
    (tmp_path / "bench").symlink_to(built / "bench")
    answer = "answer {}\nout 0\nbelow 0\nabove 0\n"
    refused = "job {} {} 2 2 1\nin 0\nbelow 0\nabove 0\n"
    (tmp_path / "tb" / "jobs.txt").write_text(refused.format(3, 2) + refused.format(0, 0) + refused.format(3, 16))
    (tmp_path / "tb" / "answers.txt").write_text(answer.format(1) * 3)
    assert bench(tmp_path).returncode == 0
    below, above = "below 5 0 1 1 1 1.", "above 3 {} 1 1."
    sent = "below 5 0 0 0 0 0.\nabove 5 0 0 0 0 0.\n"
    for word, end, status in ((0, above, 0), (1, above, 4), (1 << 16, above, 4), (0, above[:-1], 4)):
        (tmp_path / "tb" / "jobs.txt").write_text(f"job 3 0 0 1 1\nin 0\n{below}\n{end.format(word)}\n")
        (tmp_path / "tb" / "answers.txt").write_text(f"answer {status}\nout 0\n{sent}")
        done = bench(tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr


def test_a_project_is_whole() -> None:
    case = fpga_cases.make(4, 4, 4, 2, nodes=CHAIN, learning=True, seed=1)
    files = project(Node(case.spec, 1), case.values)
    assert {"README.md", "spec.json", "Makefile", "run_hls.tcl", "hls_config.cfg", "src/config.h"} <= set(files)
    assert {"tb/bench.cpp", "tb/jobs.txt", "tb/answers.txt", "src/contents_weight_2.inc"} <= set(files)
    assert files == project(Node(case.spec, 1), case.values)
    text = str(files["README.md"])
    assert "| `below_in` | in | frames of node 0: 4 states of layer 1 |" in text and "not run" in text
    assert "$" not in text and not any(len(line) > 120 for line in text.splitlines() if not line.startswith("|"))
    assert not any(str(Path.home()) in str(content) for content in files.values())
    with pytest.raises(ModelError, match="weights of layer 2"):
        project(Node(case.spec, 0), Values(case.values.weights[1:] * 2, case.values.biases))


def test_headers_are_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (headers.VARIABLE, *headers.VITIS):
        monkeypatch.delenv(variable, raising=False)
    vitis = tmp_path / "vitis" / "include"
    vitis.mkdir(parents=True)
    for place in (vitis, tmp_path):
        (place / "ap_fixed.h").touch()
        (place / "ap_int.h").touch()
    monkeypatch.setenv("XILINX_HLS", str(vitis.parent))
    assert headers.headers() == headers.Headers(vitis, "XILINX_HLS")
    assert headers.flags(headers.headers())[-2:] == ["-isystem", str(vitis)]
    monkeypatch.setenv(headers.VARIABLE, str(tmp_path))
    assert headers.headers() == headers.Headers(tmp_path, headers.VARIABLE)
    monkeypatch.setenv(headers.VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(MachineError, match=r"MEP_HW_AP_TYPES.*has no ap_fixed.h"):
        headers.headers()


def test_missing_headers_name_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (headers.VARIABLE, *headers.VITIS):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(headers, "find_spec", lambda _: None)
    with pytest.raises(MachineError, match=r"pip install 'mep-hw\[fpga\]'.*MEP_HW_AP_TYPES"):
        headers.headers()
    case = fpga_cases.make(4, 4, 2)
    with pytest.raises(MachineError, match=r"mep-hw\[fpga\]"):
        execute(case.spec, case.values, case.x, np.zeros((3, 2), np.int64))
