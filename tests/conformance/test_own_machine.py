"""One card and one substrate file, and nothing edited elsewhere: the suite runs and passes."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from mep_hw.cards import load_backend
from mep_hw.conformance import CHECKS, run


def test_a_machine_of_ones_own_passes_the_whole_suite(tmp_path: Path) -> None:
    shutil.copy(Path(__file__).parent / "damped_chip.py", tmp_path)
    data = load_backend("reference").model_dump(mode="json")
    data |= {"name": "damped", "substrate": "damped_chip:Damped", "complex_states": False}
    data["settle"] |= {"tolerance": 1e-5, "nudged_tolerance": 1e-4, "euler_step": None}
    data["conformance"] |= {"fixed_point": 1e-3, "gradient_norm_error": 0.05}
    path = tmp_path / "damped.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    report = run(path)
    assert report.as_dict() == {"backend": "damped", "passed": list(CHECKS), "failed": [], "unsupported": []}, [
        line for outcome in report.outcomes for line in outcome.complaints
    ]
