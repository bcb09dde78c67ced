"""The error map of wires: complete, honest about the valid range, and equal to what Kirchhoff's law says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from command import call
from nodal import solve_nodal

from mep_hw.array.wires import VALID_LOAD, first_order
from mep_hw.studies.wires import APPROXIMATIONS, KINDS, PRODUCTS, cells


def test_the_map_is_complete_and_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    printed = call(capsys, "study", "wires", "--out", tmp_path, "--sizes", "8,20", "--json").json
    assert json.loads((tmp_path / "wires.json").read_text()) == printed
    assert (tmp_path / "wires.png").read_bytes().startswith(b"\x89PNG")
    rows = {(row["cells"], row["size"], row["ohm_siemens"]): row for row in printed["rows"]}
    assert set(rows) == {(kind, size, product) for kind in KINDS for size in (8, 20) for product in PRODUCTS}
    assert all(0 <= row[name] for row in rows.values() for name in (*APPROXIMATIONS, "load", "lost", "exact_s"))
    for kind in ("uniform", "signed"):
        held = cells(kind, 20)
        true = torch.stack([-solve_nodal(array, 1e-4, 1e-4, torch.eye(20), None).bit for array in held])
        off = first_order(held, 1e-4, 1e-4) - true
        if kind == "signed":
            true, off = true[0] - true[1], off[0] - off[1]
        else:
            true, off = true[0], off[0]
        assert rows[kind, 20, 1e-4]["first_order"] == pytest.approx(float(off.norm() / true.norm()), rel=1e-4)


def test_the_published_map_bears_out_the_valid_range() -> None:
    published = json.loads((Path(__file__).parents[2] / "docs" / "results" / "wires" / "wires.json").read_text())
    assert published["settings"]["valid_load"] == VALID_LOAD
    assert {32, 256} <= set(published["settings"]["sizes"])
    for name, valid in VALID_LOAD.items():
        for kind in ("alike", "uniform"):
            inside = [r[name] for r in published["rows"] if r["cells"] == kind and r["load"] <= valid]
            assert len(inside) > 10 and max(inside) == published["worst_inside"][f"{name}, {kind}"] < 0.01


@pytest.mark.parametrize("sizes", ["32,x", "1", "600", ""])
def test_impossible_sizes(sizes: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = call(capsys, "study", "wires", "--out", tmp_path / "new", "--sizes", sizes)
    assert shown.code == 2 and "study: sizes = " in shown.err and shown.err.count("\n") == 1
    assert not (tmp_path / "new").exists()
