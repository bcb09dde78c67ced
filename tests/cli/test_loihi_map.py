"""`mep-hw loihi map`: a table, an object, and one line where a model does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import call

from mep_hw.loihi import limits

LOIHI1 = Path(limits.__file__).parent / "chips" / "loihi1.yaml"


def test_tables_tell_every_limit_with_its_source(capsys: pytest.CaptureFixture[str]) -> None:
    shown = call(capsys, "loihi", "map", "64-24-10")
    assert shown.code == 0
    lines = {line.split()[0]: line for line in shown.out.splitlines() if line.split()}
    assert "fits" in lines["neurons_per_core"] and "emergentmind.com" in lines["neurons_per_core"]
    assert "unknown" in lines["axons_in_per_core"] and "fits" not in lines["axons_in_per_core"]
    assert "at least 3" in lines["cores"]


def test_the_object(capsys: pytest.CaptureFixture[str]) -> None:
    found = call(capsys, "loihi", "map", "64-24-10", "--chip", "loihi1", "--payload-bits", 1, "--json").json
    assert (found["neurons"], found["synapses"], found["cores"]) == (98, 64 * 24 + 2 * 240, 3)
    assert found["unknown"] == [] and found["cores_at_least"] is False
    assert [layer["name"] for layer in found["layers"]] == ["input", "layer 1", "layer 2"]


def test_a_model_that_does_not_fit(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(LOIHI1.read_text().replace("value: 1048576", "value: 1000"))
    refused = call(capsys, "loihi", "map", "64-24-10", "--chip", own, "--payload-bits", 1)
    assert refused.code == 2 and refused.out == "" and refused.err.count("\n") == 1
    assert "layer 1, synapse_bits_per_core = " in refused.err and "is above 1000 (nengo-loihi, block.py" in refused.err
    plain = call(capsys, "loihi", "map", "64-24-10", "--chip", "loihi1")
    assert plain.code == 2 and "every event, message_bits = 14: is above 1 bit" in plain.err


def test_a_wrong_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(LOIHI1.read_text().replace("value: 1024\n", "value: few\n"))
    refused = call(capsys, "loihi", "map", "64-24-10", "--chip", own)
    assert refused.code == 2 and "neurons_per_core.value = few: must be a number" in refused.err
