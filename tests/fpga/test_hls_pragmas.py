"""The checker of pragmas: what is right passes, and each thing that is wrong is found on its line."""

from __future__ import annotations

from pathlib import Path

import fpga_cases
import pytest

from mep_hw.fpga.hls import pragmas
from mep_hw.fpga.hls.project import project
from mep_hw.fpga.library import folder
from mep_hw.fpga.node import Node

GOOD = """\
// #pragma HLS NOTHING in a comment
namespace a {
struct holder {
    static const int N = 4;
    int inside;
    void work() {
#pragma HLS INLINE
    }
};
template <class T, int N>
int top(hls::stream<T> &in, const typename T::word_t given[N][T::LANES], ap_uint<8> flags) {
#pragma HLS INTERFACE mode=axis port=in register_mode=both
#pragma HLS INTERFACE mode=s_axilite port=flags bundle=control
#pragma HLS INTERFACE mode=s_axilite port=return bundle=control
    static ap_fixed<18, 2> weight[N][4] = {{1, 2, 3, 4}, {
#include "contents.inc"
    }};
#pragma HLS ARRAY_RESHAPE variable=weight type=complete dim=2
#pragma HLS BIND_STORAGE variable = weight type=ram_2p impl=bram
    static const typename T::word_t one = 0, row[3] = {0, 1, 2};
#pragma HLS RESET variable=one
#pragma HLS ARRAY_PARTITION variable=row type=cyclic factor=3 dim=1
    T later(given[0][1]);
rows:
    for (int i = 0; i < N; i++) {
        if (i < 3 && flags > 2) {
            continue;
        }
        while (!in.empty()) {
#pragma HLS PIPELINE II=T::II
#pragma HLS DEPENDENCE variable=weight type=inter direction=RAW \\
    distance=N dependent=true
#pragma HLS DEPENDENCE variable=i type=inter dependent=false
#pragma HLS DEPENDENCE variable=later type=inter dependent=false
#pragma once_more
        }
    lanes:
        for (int lane = 0; lane < 4; lane++) {
#pragma HLS UNROLL factor=2
            weight[i][lane] = given[i][lane];
        }
    }
    return 0;
}
} // namespace a
"""

WRONG = {  # what replaces a line of GOOD, and what the finding says
    "misspelled directive": ("#pragma HLS INLINE", "#pragma HLS INLIEN", "unknown directive 'INLIEN'"),
    "unknown option": ("type=ram_2p impl=bram", "type=ram_2p imple=bram", "no option 'imple'"),
    "misspelled option": ("variable=weight type=complete dim=2", "varable=weight type=complete dim=2", "no option"),
    "misspelled value": ("type=complete dim=2", "type=cmplete dim=2", "must be one of complete, block, cyclic"),
    "positional value": ("type=complete dim=2", "complete dim=2", "no option 'complete'"),
    "missing variable": ("variable=weight type=complete dim=2", "type=complete dim=2", "needs variable="),
    "missing dim": ("type=complete dim=2", "type=complete", "needs dim="),
    "missing port": ("mode=axis port=in register_mode=both", "mode=axis", "needs port="),
    "missing dependent": (" dependent=false\n#pragma HLS DEPENDENCE variable=later", "\n#pragma HLS DEPENDENCE "
                          "variable=later", "needs dependent="),
    "dim too large": ("type=complete dim=2", "type=complete dim=3", "dim=3, but 'weight' has 2"),
    "dim is no number": ("type=complete dim=2", "type=complete dim=-1", "must be a number or a constant"),
    "factor of complete": ("type=complete dim=2", "type=complete dim=2 factor=4", "takes no factor="),
    "no factor of cyclic": ("type=cyclic factor=3 dim=1", "type=cyclic dim=1", "needs factor="),
    "unknown variable": ("variable=weight type=complete", "variable=wieght type=complete", "no variable 'wieght'"),
    "not an array": ("variable=row type=cyclic", "variable=one type=cyclic", "'one' is no array"),
    "declared later": ("variable=weight type=complete", "variable=row type=complete", "no variable 'row' is visible"),
    "of an ended scope": ("    return 0;", "#pragma HLS DEPENDENCE variable=lane type=inter dependent=false\n",
                          "no variable 'lane'"),
    "of another function": ("    return 0;", "#pragma HLS RESET variable=inside", "no variable 'inside'"),
    "not static": ("#pragma HLS DEPENDENCE variable=i type=inter dependent=false", "#pragma HLS RESET variable=i",
                   "'i' is not static"),
    "no parameter": ("mode=axis port=in", "mode=axis port=out", "'out' is no parameter"),
    "a local as port": ("rows:", "#pragma HLS INTERFACE mode=s_axilite port=row", "'row' is no parameter"),
    "unroll outside of a loop": ("    return 0;", "#pragma HLS UNROLL", "UNROLL stands in a function"),
    "pipeline in a branch": ("            continue;", "#pragma HLS PIPELINE II=1", "PIPELINE stands in a block"),
    "interface in a loop": ("#pragma HLS UNROLL factor=2", "#pragma HLS INTERFACE mode=axis port=in",
                            "INTERFACE stands in a loop"),
    "outside of functions": ("namespace a {", "#pragma HLS INLINE\nnamespace a {", "INLINE stands in a file"),
    "in a type": ("    int inside;", "#pragma HLS INLINE", "INLINE stands in a type"),
    "rate of zero": ("II=T::II", "II=0", "II=0: must be 1 or more"),
    "rate without value": ("II=T::II", "II", "must be a number or a constant"),
    "flag with a value": ("#pragma HLS INLINE", "#pragma HLS INLINE off=1", "must be 'off' without a value"),
    "distance of false": ("RAW \\\n    distance=N dependent=true", "RAW distance=N \\\n dependent=false",
                          "is for dependent=true"),
    "twice": ("type=complete dim=2", "type=complete dim=2 dim=2", "dim is given twice"),
    "empty": ("#pragma HLS INLINE", "#pragma HLS", "unknown directive ''"),
}  # fmt: skip


def test_what_is_right_passes() -> None:
    assert pragmas.check(GOOD, "good.h") == []
    assert pragmas.count(GOOD) == GOOD.count("#pragma HLS") - 1


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_found_on_its_line(name: str) -> None:
    right, wrong, says = WRONG[name]
    assert right in GOOD
    findings = pragmas.check(GOOD.replace(right, wrong, 1), "bad.h")
    assert any(says in found.text for found in findings)
    line = GOOD[: GOOD.index(right)].count("\n") + 1
    assert all(line <= found.line <= line + wrong.count("\n") for found in findings)
    assert str(findings[0]).startswith(f"bad.h:{findings[0].line}: ")


def test_the_library_passes() -> None:
    files = [path for path in folder("hls").rglob("*") if path.suffix in (".h", ".cpp")]
    assert sum(pragmas.count(path.read_text()) for path in files) > 30
    assert [found for path in files for found in pragmas.check(path.read_text(), path.name)] == []


@pytest.mark.parametrize("nodes", [((1, 2, 3),), ((1,), (2,), (3,))])
def test_generated_projects_pass(nodes: tuple[tuple[int, ...], ...]) -> None:
    case = fpga_cases.make(4, 8, 4, 5, nodes=nodes, learning=True)
    for index in range(len(nodes)):
        files = project(Node(case.spec, index), case.values)
        top = str(files[f"src/mep_node_{index}.cpp"])
        assert pragmas.count(top) == top.count("#pragma HLS") > 30
        for path, text in files.items():
            if Path(path).suffix in (".h", ".cpp"):
                assert pragmas.check(str(text), path) == []


def test_a_break_in_the_library_is_found() -> None:
    """Each pragma of the library, its directive misspelled or its variable renamed."""
    for path in (folder("hls") / "include").glob("*.h"):
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if "#pragma HLS" in line:
                for bad in {line.replace("HLS ", "HLS X"), line.replace("variable=", "variable=x")} - {line}:
                    found = pragmas.check("\n".join([*lines[:number], bad, *lines[number + 1 :]]), path.name)
                    assert [each.line for each in found] == [number + 1]
