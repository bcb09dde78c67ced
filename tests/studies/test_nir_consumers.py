"""The comparison of NIR readers: verdicts on stand-ins that are right, wrong, failing or silent; no network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from mep_hw.errors import InputError
from mep_hw.studies import nir_consumers
from mep_hw.studies.nir_consumers import CONSUMERS, cells, compare

# A reader in place of nir_reader.py: norse gives what the LI settles at, snntorch something else, rockpool raises.
STAND_IN = """
import json, sys
import nir, numpy
name, file, inputs, outputs = sys.argv[1:5]
print(json.dumps({name: "9.9"}))
graph = nir.read(file)
if name == "rockpool":
    raise ValueError("no such node")
affine = graph.nodes["affine"] if "affine" in graph.nodes else None
found = numpy.load(inputs) @ affine.weight.T + affine.bias if affine else numpy.zeros((20, 10))
numpy.save(outputs, found + (name == "snntorch"))
"""


def test_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = tmp_path / "reader.py"
    reader.write_text(STAND_IN)
    monkeypatch.setattr(nir_consumers, "READER", reader)
    monkeypatch.setattr(nir_consumers, "_python", lambda place: Path(sys.executable))
    monkeypatch.setattr(nir_consumers, "_install", lambda place, name, held: "no index" if name == "sinabs" else None)
    table = compare(tmp_path, CONSUMERS, None, lambda _: None)
    assert json.loads((tmp_path / "consumers.json").read_text()) == table
    found = {(row["consumer"], row["file"]): row for row in table["rows"]}
    assert len(found) == len(CONSUMERS) * 5
    li = {name: found[name, "LI"] for name in CONSUMERS}
    verdicts = {name: row["verdict"] for name, row in li.items()}
    assert verdicts == {
        "norse": "correct", "snntorch": "wrong numbers", "rockpool": "refuses", "sinabs": "not run"
    }  # fmt: skip
    assert li["snntorch"]["rms_error"] == pytest.approx(1, abs=1e-3) and li["norse"]["rms_error"] < 1e-3
    assert li["rockpool"]["said"] == "ValueError: no such node" and li["sinabs"]["said"] == "no index"
    assert found["norse", "rate"]["verdict"] == "wrong numbers"  # it runs, and gives zeros
    assert ("norse 9.9", "LI", "correct") in [line[:3] for line in cells(table)]
    assert np.all([len(line) == 5 for line in cells(table)])


def test_an_unknown_consumer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="consumers = nengo: must be of norse, snntorch, rockpool, sinabs"):
        compare(tmp_path, ["norse", "nengo"], None, lambda _: None)
