"""What is written about a cluster agrees with what its nodes hold and send."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import zlib

import cluster_cases
import pytest
from pydantic import ValidationError

from mep_hw.errors import InputError
from mep_hw.fpga.cluster.manifest import Manifest, manifest
from mep_hw.fpga.cluster.wiring import files
from mep_hw.fpga.node import READ, RUN, WRITE, Node

CASE = cluster_cases.exact(3)
MANIFEST = manifest(CASE.spec, CASE.values, parts=["xcu55c"] * 3, latency_cycles=200)
FILES = files(CASE.spec, MANIFEST)


def test_it_is_read_back_and_takes_no_unknown_key() -> None:
    text = FILES["cluster.json"]
    assert Manifest.model_validate_json(text) == MANIFEST
    with pytest.raises(ValidationError):
        Manifest.model_validate_json(json.dumps(json.loads(text) | {"more": 1}))


def test_checksums_are_those_of_the_words_and_agree_at_cuts() -> None:
    found: dict[str, set[str]] = {}
    for board in MANIFEST.nodes:
        node = Node(CASE.spec, board.index)
        assert board.layers == tuple(node.layers)
        for entry, array in zip(board.held, node.held(CASE.values), strict=True):
            words = b"".join(int(v).to_bytes(4, "little", signed=True) for v in array.ravel())
            assert entry.crc32 == f"{zlib.crc32(words):08x}" and entry.shape == array.shape
            found.setdefault(entry.name, set()).add(entry.crc32)
            assert entry.cut is (entry.name in ("coupling_2", "coupling_3"))
    assert all(len(crcs) == 1 for crcs in found.values()) and len(found) == 8


def test_links_carry_the_layers_next_to_the_cut() -> None:
    for link in MANIFEST.links:
        low, high = (Node(CASE.spec, index) for index in link.nodes)
        assert (link.up.layer, link.down.layer) == (low.last, high.first)
        for stream in (link.up, link.down):
            assert (
                stream.words == 1 + CASE.spec.layers[stream.layer].units and stream.bytes_per_step == 4 * stream.words
            )
        assert link.latency_cycles == 200 and "assumption" in link.latency_is


def test_another_number_of_parts_is_refused() -> None:
    with pytest.raises(InputError, match="parts = 2: must be 3"):
        manifest(CASE.spec, CASE.values, parts=["a", "b"])


def test_every_stream_of_one_device_is_joined_once_and_its_fifo_holds_two_frames() -> None:
    joined = re.findall(r"^sc=(\S+?):(\S+?)(?::(\d+))?$", FILES["one_device/link.cfg"], re.MULTILINE)
    ends = [end for source, sink, _ in joined for end in (source, sink)]
    assert len(ends) == len(set(ends))
    for index in range(3):
        ports = {"in", "out"} | ({"below_in", "below_out"} if index else set())
        ports |= {"above_in", "above_out"} if index < 2 else set()
        assert {end.partition(".")[2] for end in ends if end.startswith(f"node_{index}.")} == ports
    depths = {sink: int(depth) for _, sink, depth in joined if depth}
    for link in MANIFEST.links:
        low, high = link.nodes
        assert depths[f"node_{high}.below_in"] >= 2 * link.up.words
        assert depths[f"node_{low}.above_in"] >= 2 * link.down.words


def test_sketches_say_so_and_are_well_formed() -> None:
    assert set(FILES) == {
        "cluster.json", "one_device/link.cfg", "boards/launch.sh", "boards/host.py",
        *(f"boards/node_{index}.cfg" for index in range(3)),
    }  # fmt: skip
    for name, text in FILES.items():
        assert name == "cluster.json" or "Not run" in text
        assert not name.startswith("boards") or "SKETCH" in text
        assert "$not_run" not in text and all(len(line) <= 120 for line in text.splitlines())
    ast.parse(FILES["boards/host.py"])
    assert f"\nWRITE, READ, RUN = {WRITE}, {READ}, {RUN}\n" in FILES["boards/host.py"]
    subprocess.run(["sh", "-n"], input=FILES["boards/launch.sh"], text=True, check=True)
    held = re.search(r'^    1: {"held": (\d+), "x": 0, "y": 0, "streams": 6}', FILES["boards/host.py"], re.MULTILINE)
    assert held and int(held[1]) == sum(array.size for array in Node(CASE.spec, 1).held(CASE.values))
