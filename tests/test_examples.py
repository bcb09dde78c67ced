"""Every script in examples/ runs, and the number it prints at the end keeps a bar that a broken product would miss."""

from __future__ import annotations

import re
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

EXAMPLES = Path(__file__).parents[1] / "examples"
NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?")


def trained_beats_frozen(trained: float, frozen: float) -> bool:
    return trained >= 0.80 and trained >= frozen + 0.10


def both_modes_learn(backprop: float, ep: float, frozen: float) -> bool:
    return backprop >= 0.95 and ep >= 0.95 and ep >= frozen + 0.10


def orders(centered: float, richardson: float, cosine: float) -> bool:
    return abs(centered - 2) < 0.2 and abs(richardson - 4) < 0.3 and cosine > 1 - 1e-6


def learned(before: float, after: float) -> bool:
    return before < 0.3 and after > 0.7


def conforms(passed: float, asked: float, accuracy: float) -> bool:
    return passed == asked == 6 and accuracy > 0.65


def same(whole: float, resumed: float, difference: float) -> bool:
    return whole == resumed > 0.4 and difference == 0.0


def falls(fall: float, rise: float) -> bool:
    return fall > 1e-3 and rise < 1e-12


def rules_differ(muon: float, full: float, dion: float, low: float) -> bool:
    return muon > 0.94 and full == 24 and dion > 0.80 and low == 6


def trains_on_cells(trained: float, frozen: float, cycles: float, slots: float, pulses: float) -> bool:
    return trained >= 0.88 and trained >= frozen + 0.10 and cycles > 10_000 and pulses > slots > 10_000


def fitted(true: float, found: float, error: float) -> bool:
    return abs(found - true) < 4 * error < true / 3


def one_error_hurts(base: float, _spread: float, spread: float, _offset: float, offset: float) -> bool:
    return base > 0.88 and spread > base - 0.04 and offset < 0.6


def several_agree(two: float, one: float, difference: float) -> bool:
    return two == one > 0.85 and difference < 1e-6


def kernel_agrees(free: float, moved: float, difference: float, fused: float, graph: float, library: float) -> bool:
    near = free < 1e-5 and moved > 0.05 and difference < 1e-4 * moved
    return near and (fused, graph, library) == (1, 4, 1)


def exported(kept: float, all_of: float, difference: float, rate: float, spiking: float, model: float) -> bool:
    return kept == all_of == 2 and difference < 1e-3 and 0 < rate < 0.03 and model > 0.85 and spiking >= model - 0.03


def executed_as_expected(expected: float, executed: float) -> bool:
    return 0.2 < expected < 0.4 and abs(executed / expected - 1) < 0.25


def witnessed(free: float, nudged: float) -> bool:
    return max(free, nudged) < 1e-12


def fits_until_it_does_not(_model: float, _hidden: float, _out: float, synapses: float, cores: float) -> bool:
    return synapses == 784 * 256 + 2 * 2560 and cores == 4


def learned_on_chip(accuracy: float, updates: float, equal: float, compared: float) -> bool:
    return accuracy > 0.8 and updates == 2 * 1437 and equal == compared == 3 * 40 * 34


# Per script: the last lines to look at, by how they begin, and what their numbers must fulfil together.
BARS: dict[str, tuple[list[str], Callable[..., bool]]] = {
    "loihi_map.py": (["784-256-10: "], fits_until_it_does_not),
    "fpga_chip.py": (["learned on the chip: ", "states equal "], learned_on_chip),
    "crossbar.py": (["on cells: ", "cost: "], trains_on_cells),
    "schedule.py": (["error of row: "], executed_as_expected),
    "train_digits.py": (["trained "], trained_beats_frozen),
    "gradient_check.py": (["order of centered ", "order of richardson ", "smallest cosine "], orders),
    "from_torch.py": (["test accuracy before "], learned),
    "own_substrate.py": (["checks passed "], conforms),
    "export_nir.py": (["couplings bit ", "largest difference of a read-out ", "spiking: "], exported),
    "resume_run.py": (["test accuracy whole ", "largest difference of a weight "], same),
    "torch_optimizer.py": (["test accuracy with backprop ", "test accuracy with ep "], both_modes_learn),
    "nonidealities.py": (["no error: ", "step-spread ", "phase-offset "], one_error_hurts),
    "fit_device.py": (["dw_min true "], fitted),
    "brian2_equations.py": (["largest difference of a free ", "largest difference of a nudged "], witnessed),
    "gpu_paths.py": (["largest difference of a free ", "nudges move it by ", "paths: "], kernel_agrees),
    "two_processes.py": (["test accuracy in two ", "largest difference of a weight "], several_agree),
    "rules.py": (["muon ", "dion "], rules_differ),
    "watch_settling.py": (["energy fell by ", "largest rise "], falls),
}

PICTURES = {"watch_settling.py": "settling.png", "fit_device.py": "staircase.png"}  # these take --out


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_example(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert name in BARS, "a new example needs a bar for the number it prints"
    source = EXAMPLES / name
    assert len(source.read_text().splitlines()) <= 60
    monkeypatch.chdir(tmp_path)
    arguments = ["--out", str(tmp_path / "made")] if name in PICTURES else []
    monkeypatch.setattr(sys, "argv", [str(source), *arguments])
    threads = torch.get_num_threads()
    try:
        runpy.run_path(str(source), run_name="__main__")
    finally:
        torch.set_num_threads(threads)
    printed = capsys.readouterr().out.splitlines()
    starts, holds = BARS[name]
    numbers: list[float] = []
    for start in starts:
        (line,) = [line for line in printed if line.startswith(start)]
        numbers += [float(found) for found in NUMBER.findall(line)]
    assert holds(*numbers), f"{name} printed {numbers}"
    if arguments:
        assert (tmp_path / "made" / PICTURES[name]).stat().st_size > 1000
