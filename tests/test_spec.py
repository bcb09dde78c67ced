"""Written models survive a round trip through YAML and JSON; every kind of mistake is named with its field."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mep_hw import spec
from mep_hw.errors import ModelError

FULL: dict[str, Any] = {
    "input": [1, 12, 12],
    "cost": "cross_entropy",
    "layers": [
        {"conv": {"channels": 3, "kernel": 3, "padding": 1}, "after": [{"pool": "avg", "size": 2}]},
        {"conv": {"channels": 3, "kernel": 2}, "before": [{"pool": "max", "size": 2, "stride": 1, "padding": 1}]},
        {"conv": {"channels": 3, "kernel": 3, "padding": 1}, "activation": {"low": -1.0, "gain": 0.5}, "bias": False},
        {"dense": 6, "activation": "tanh"},
        {"dense": 4},
    ],
    "skips": [{"source": 1, "target": 4, "dense": True}, {"source": 1, "target": 3, "identity": 0.5}],
}


@pytest.mark.parametrize("suffix", [".yaml", ".json"])
def test_round_trip_through_a_file(tmp_path: Path, suffix: str) -> None:
    first = spec.parse(FULL)
    path = tmp_path / f"model{suffix}"
    path.write_text(json.dumps(first.as_dict()) if suffix == ".json" else yaml.safe_dump(first.as_dict()))
    assert spec.read(path) == first
    assert first.layers[0].after[0].stride is None  # a default stays a default
    assert first.layers[2].activation == spec.BoxSpec(low=-1.0, high=1.0, gain=0.5) and not first.layers[2].bias


def test_as_dict_says_what_was_written_and_no_more() -> None:
    assert spec.parse(FULL).as_dict() == FULL


def test_the_example_in_the_docstring_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    text = str(spec.__doc__)
    path.write_text("\n".join(line for line in text.splitlines() if line.startswith("    ")))
    assert spec.read(path).layers[0].conv == spec.ConvSpec(channels=32, kernel=5)


def changed(**fields: object) -> dict[str, object]:
    return {"input": [4], "layers": [{"dense": 3}, {"dense": 2}], **fields}


def hidden(**layer: object) -> dict[str, object]:
    return changed(layers=[{"dense": 3} | layer, {"dense": 2}])


def skip(**fields: object) -> dict[str, object]:
    return changed(skips=[{"source": 0, "target": 2} | fields])


POOL = {"pool": "avg", "size": 2}

WRONG: list[tuple[object, str]] = [
    (hidden(dense=0), "layers.0.dense = 0: .*greater than or equal to 1"),
    (hidden(dense=True), "layers.0.dense = True: .*valid integer"),
    (hidden(dense="many"), "layers.0.dense = many"),
    (hidden(dense="128"), "layers.0.dense = 128: .*valid integer"),
    (hidden(dense=128.0), "layers.0.dense = 128.0: .*valid integer"),
    (hidden(bias="no"), "layers.0.bias = no: .*valid boolean"),
    (hidden(activation={"offset": math.nan}), "layers.0.activation.offset = nan: .*finite number"),
    (skip(identity=math.inf), "skips.0.identity = inf: .*finite number"),
    (changed(input=["4"]), "input.0 = 4: .*valid integer"),
    (hidden(colour="red"), "layers.0.colour = red: Extra inputs"),
    (hidden(conv={"channels": 1, "kernel": 3}), "layers.0 = .*exactly one of dense and conv"),
    (hidden(dense=None), "layers.0 = .*exactly one of dense and conv"),
    (hidden(dense=None, conv={"channels": 1}), "layers.0.conv.kernel = .*required"),
    (hidden(dense=None, conv={"channels": 1, "kernel": 3, "padding": -1}), "layers.0.conv.padding = -1"),
    (hidden(activation="relu"), "layers.0.activation = relu: .*clipped_relu"),
    (hidden(activation={"top": 2}), "layers.0.activation.top = 2: Extra inputs"),
    (hidden(activation={"gain": 0}), "layers.0.activation.gain = 0"),
    (hidden(before=[POOL | {"pool": "sum"}]), "layers.0.before.0.pool = sum"),
    (hidden(after=[POOL | {"size": 0}]), "layers.0.after.0.size = 0"),
    (hidden(after=[POOL | {"padding": 2}]), "layers.0.after.0 = .*at most half of size"),
    (changed(units=3), "units = 3: Extra inputs"),
    (changed(cost="hinge"), "cost = hinge"),
    (changed(input=[]), "input = .*at least 1 item"),
    (changed(input=[0]), "input sizes must be >= 1"),
    (changed(input=4), "input = 4"),
    (changed(layers=[]), "layers = .*at least 1 item"),
    (changed(layers=[{"dense": 3}, {"dense": 2, "activation": "tanh"}]), "read-out and takes no activation"),
    (changed(input=[1, 8, 8], layers=[{"conv": {"channels": 1, "kernel": 3}}]), "read-out.* must be dense"),
    (skip(), "skips.0 = .*exactly one of dense: true, conv and identity"),
    (skip(dense=True, identity=0.5), "skips.0 = .*exactly one of"),
    (skip(target=1, dense=True), "skips.0.target = 1"),
    (skip(source=1, dense=True), "skips.0 = .*at least source . 2"),
    (skip(target=3, dense=True), "skip target 3 is beyond the last layer, 2"),
    (changed(skips=[{"source": 0, "target": 2, "dense": True}] * 2), "skips: 0 to 2 occurs twice"),
    (changed(input=None), "input = None"),
    ({"layers": [{"dense": 2}]}, "input = .*required"),
    (None, "description = None"),
    (["784-512-10"], "description = "),
]


@pytest.mark.parametrize(("description", "message"), WRONG)
def test_a_wrong_description_is_named(description: object, message: str) -> None:
    with pytest.raises(ModelError, match=f"my file: {message}|my file: description = .*{message}"):
        spec.parse(description, "my file")


def test_the_unchanged_description_is_right() -> None:
    assert spec.parse(skip(dense=True)).layers[0].dense == 3


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("a.yaml", b"input: [4", "is not well-formed"),
        ("a.json", b"{", "is not well-formed"),
        ("a.yaml", b"input: [4]\nlayers: [{dense: 2}]\ninput: [5]", "key 'input' is given twice"),
        ("a.json", b'{"input": [4], "layers": [{"dense": 2, "dense": 3}]}', "key 'dense' is given twice"),
        ("a.yaml", b"\xff\xfe\xff", "cannot be read"),
        ("a.yaml", b"", "description = None"),
        ("a.yaml", b"784-512-10", "description = 784-512-10"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, file: str, content: bytes, message: str) -> None:
    path = tmp_path / file
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"{file}.*{message}"):
        spec.read(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="gone.yaml: cannot be read"):
        spec.read(tmp_path / "gone.yaml")


def test_numbers_of_numpy_are_taken() -> None:
    sizes = np.array([4, 3])
    first = spec.parse({"input": sizes[:1].tolist(), "layers": [{"dense": sizes[1]}, {"dense": 2}]})
    assert spec.parse({"input": [sizes[0]], "layers": [{"dense": 3}, {"dense": 2}]}) == first
    with pytest.raises(ModelError, match="layers.0.dense = 3.0"):
        spec.parse({"input": [4], "layers": [{"dense": np.float32(3)}, {"dense": 2}]})


def test_sizes() -> None:
    assert spec.sizes("784-512-10") == (784, 512, 10)
    for text in ("784", "784-", "784-0-10", "784--10", "784-a-10", "784-1.5-10", ""):
        with pytest.raises(ModelError, match="layer sizes"):
            spec.sizes(text)
