"""Every bad input ends in one clear line and exit code 2 (an `InputError` in Python), and leaves no file behind."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command import call

import mep_hw
from mep_hw.cards import backend_names, root
from mep_hw.errors import InputError

CPU = (root("backends") / "cpu" / "card.yaml").read_text(encoding="utf-8")


@pytest.fixture
def place(everything: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with everything that the cases name."""
    shutil.copytree(everything, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("everything")
    files = {
        "broken.yaml": CPU.replace("settle:", "settle: ["), "negative.yaml": CPU.replace("lr: 0.003", "lr: -0.1"),
        "unknown.yaml": CPU.replace("free_sweeps", "free_sweps"), "list.yaml": "- 1\n- 2\n",
        "no_class.yaml": CPU.replace("cpu:Cpu", "cpu:Gpu"),
        "no_module.yaml": CPU.replace("mep_hw.substrates.cpu:", "nowhere.at_all:"),
        "real.yaml": CPU.replace("complex_states: true", "complex_states: false"),
        "net.yaml": "input: [64]\nlayers: [{dense: 8}, {dense: 10}]\n",
        "odd_net.yaml": "input: [64]\nlayers: [{dens: 8}]\n",
        "config.yaml": "epochs: 1\nlearning_rate: 0.1\n", "typo.yaml": "epocs: 1\n", "words.yaml": "epochs: many\n",
        "twice.yaml": "epochs: 1\nepochs: 2\n", "file": "in the way", "cut.safetensors": "\x10",
        "other/readme": "", "mnist_cut/mnist/readme": "", "mnist_altered/mnist/readme": "",
    }  # fmt: skip
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    packed = gzip.compress(bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 7]))
    images = "mnist/train-images-idx3-ubyte.gz"
    (folder / "mnist_cut" / images).write_bytes(packed[:-9])
    (folder / "mnist_altered" / images).write_bytes(packed)
    checkpoint = folder / "other" / "checkpoint.safetensors"
    mep_hw.train(mep_hw.mlp(64, 4, 10), epochs=1, batch_size=1437, checkpoint=checkpoint)
    mep_hw.mlp(64, 4, 10).save(folder / "model.safetensors")
    return folder


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


KNOWN = ", ".join(backend_names())

# What is asked for, and what the line must say. Where no --out is given, the test adds one that does not exist yet.
TRAIN = [
    ("--backend cpux", f"backend = cpux: is not a known backend; did you mean 'cpu'? known backends are {KNOWN}"),
    ("--backend nowhere.yaml", "nowhere.yaml: cannot be read: No such file"),
    ("--backend broken.yaml", "broken.yaml: line"),
    ("--backend negative.yaml", "negative.yaml: training.lr = -0.1: must be > 0; it means: learning rate"),
    ("--backend unknown.yaml", "unknown.yaml: settle.free_sweps = 50: is not a known key; did you mean 'free_sweeps'?"),
    ("--backend list.yaml", "list.yaml: must be a block of keys and values"),
    ("--backend no_class.yaml", "substrate = mep_hw.substrates.cpu:Gpu: module mep_hw.substrates.cpu has no class Gpu"),
    ("--backend no_module.yaml", "substrate = nowhere.at_all:Cpu: module nowhere.at_all is neither on sys.path nor"),
    ("--device idel", "device = idel: is not a known device; did you mean 'ideal'?"),
    ("--data cifar", "data: name = cifar: is not a known set; known sets: digits, mnist"),
    ("--model 63-8-10", "data: x values per sample = 64: the model takes 63"),
    ("--model 64-8-9", "data: classes = 10: the model has 9 outputs"),
    ("--model 64-0-10", "model = 64-0-10: must be layer sizes of at least 1"),
    ("--model 64", "model = 64: must be layer sizes"),
    ("--model mlp", "model = mlp: must be layer sizes"),
    ("--model nowhere.json", "nowhere.json: cannot be read"),
    ("--model odd_net.yaml", "odd_net.yaml: layers.0.dens = 8: Extra inputs are not permitted"),
    ("--model other/", "other: cannot be read"),
    ("--model net.yaml --cost cross_entropy", "model: cost = cross_entropy: is part of a model given as a file"),
    ("--model net.yaml --activation tanh", "model: activation = tanh: is part of a model given as a file; set it in"),
    ("--model 64-10 --activation tanh", "model: activation = tanh: has no effect on 64-10, which has no hidden layer"),
    ("--cost hinge", "model: cost = hinge: Input should be 'squared_error' or 'cross_entropy'"),
    ("--activation relu", "model: layers.0.activation = relu: Input should be 'hard_sigmoid'"),
    ("--rule muoon", "train: rule = muoon: is not one of sgd, adam"),
    ("--estimator centred", "estimator = centred: is not one of centered, one_sided"),
    ("--estimator holomorphic", "the holomorphic estimator needs smooth activations"),
    ("--estimator holomorphic --activation tanh --backend real.yaml", "backend cpu: complex_states = False"),
    ("--estimator continual", "train: estimator = continual: applies several updates per batch and needs"),
    ("--lr 0", "train: lr = 0.0: must be greater than 0; 0.003 is a good start"),
    ("--lr -0.5", "train: lr = -0.5: must be greater than 0"),
    ("--lr nan", "train: lr = nan: must be a finite number"),
    ("--lr 1e9", "train: loss = "),
    ("--device reram-es", "backend cpu: device = reram-es: would have no effect: this backend holds weights in exact"),
    ("--beta 0", "train: beta = 0.0: must be greater than 0; 0.001 is a good start"),
    ("--beta inf", "train: beta = inf: must be a finite number"),
    ("--epochs 0", "train: epochs = 0: must be greater than or equal to 1; give at least one"),
    ("--batch-size 0", "train: batch_size = 0: must be greater than or equal to 1; give at least 1"),
    ("--momentum 1", "train: momentum = 1.0: must be less than 1"),
    ("--weight-decay -1", "train: weight_decay = -1.0: must be greater than or equal to 0"),
    ("--lr-schedule linear", "train: lr_schedule = linear: must be 'constant' or 'cosine'"),
    ("--warmup -1", "train: warmup = -1.0: must be greater than or equal to 0"),
    ("--spectral-bound 0", "train: spectral_bound = 0.0: must be greater than 0"),
    ("--label-smoothing 1", "train: label_smoothing = 1.0: must be less than 1"),
    ("--free-sweeps 0", "train: free_sweeps = 0: must be greater than or equal to 1"),
    ("--nudged-sweeps 0", "train: nudged_sweeps = 0: must be greater than or equal to 1"),
    ("--validation 1", "train: validation = 1.0: must be less than 1"),
    ("--validation 0.0001", "data: validation = 0.0001: leaves nothing on one side of 1437 samples"),
    ("--seed -1", "train: seed = -1: must be >= 0"),
    ("--seed 4294967296", "train: seed = 4294967296: must be < "),
    ("--threads 0", "train: threads = 0: must be >= 1"),
    ("--config config.yaml", "config.yaml: learning_rate = 0.1: is not a known key; known keys are backend, device"),
    ("--config typo.yaml", "typo.yaml: epocs = 1: is not a known key; did you mean 'epochs'?"),
    ("--config words.yaml", "words.yaml: epochs = many: must be a whole number; it means: passes over the training"),
    ("--config twice.yaml", "twice.yaml: is not well-formed YAML (key 'epochs' is given twice"),
    ("--config list.yaml", "list.yaml: must be a block of keys and values"),
    ("--config nowhere.yaml", "nowhere.yaml: cannot be read"),
    ("--out file", "file: cannot be written to (File exists)"),
    ("--out file/below", "file/below: cannot be written to (Not a directory)"),
    ("--out /proc/mep_hw_run", "/proc/mep_hw_run: cannot be written to"),
    ("--out other", "checkpoint.safetensors: already exists and would be overwritten; resume it, or choose another"),
    ("--out other --resume --model 64-5-10 --epochs 1 --batch-size 1437", "differs from the model to train"),
    ("--out other --resume --model 64-4-10 --epochs 2 --batch-size 1437", ": epochs = 1: the run to resume was asked"),
]  # fmt: skip


@pytest.mark.parametrize(("flags", "message"), TRAIN, ids=[flags for flags, _ in TRAIN])
def test_train_refuses(flags: str, message: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = [] if "--out" in flags else ["--out", "runs/new"]
    refused("train", *flags.split(), *out, "--json", message=message, place=place, capsys=capsys)


OTHERS = [
    ("train --resume", "train: resume = True: needs the folder of the run to go on; give --out DIR"),
    ("evaluate --checkpoint nowhere", "nowhere: does not exist or is not a file"),
    ("evaluate --checkpoint cut.safetensors", "cut.safetensors: is not a whole safetensors file"),
    ("evaluate --checkpoint model.safetensors --data cifar", "data: name = cifar: is not a known set"),
    ("evaluate --checkpoint model.safetensors --after 1day", "backend cpu: after = 86400 s: weights in registers"),
    ("evaluate --checkpoint model.safetensors --after -1day", "evaluate: after = -1day: must be a number, 0 or above"),
    ("evaluate --checkpoint model.safetensors --after 1", "evaluate: after = 1: must be a number, 0 or above, and one"),
    ("evaluate --checkpoint model.safetensors --compensate", "evaluate: compensate = True: has no effect without a"),
    ("evaluate --checkpoint model.safetensors --backend crossbar --after 1h", "device ecram: retention.law = unknown"),
    ("train --backend crossbar --device nosuch --model 64-4-10", "device = nosuch: is not a known device"),
    ("evaluate --checkpoint model.safetensors --backend cpux", "backend = cpux: is not a known backend"),
    ("gradcheck --samples 0", "gradcheck: samples = 0: must be at least 1"),
    ("gradcheck --beta 0", "estimator: beta = 0.0: must be above 0"),
    ("gradcheck --estimator none", "estimator = none: is not one of centered"),
    ("gradcheck --data digits --model 6-5-4", "data: x values per sample = 64: the model takes 6"),
    ("gradcheck --data digits --samples 9999", "gradcheck: samples = 9999: must be at most the 1437 training samples"),
    ("gradcheck --model 6-4-3 --checkpoint model.safetensors", "gradcheck: model = 6-4-3: cannot be given beside"),
    ("conformance --backend unknown.yaml", "settle.free_sweps = 50: is not a known key"),
    ("backends show cpux", "backend = cpux: is not a known backend"),
    ("devices show unknown.yaml", "unknown.yaml: "),
    ("bench speed --model 16-x-4", "model = 16-x-4: must be layer sizes"),
    ("bench speed --model 16-4-4 --batch 0", "Invalid value for '--batch'"),
]


@pytest.mark.parametrize(("line", "message"), OTHERS, ids=[line for line, _ in OTHERS])
def test_other_commands_refuse(line: str, message: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(*line.split(), message=message, place=place, capsys=capsys)


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("mnist_cut", "train-images-idx3-ubyte.gz: length in bytes = 21: is not a complete gzip file"),
        ("mnist_altered", "train-images-idx3-ubyte.gz: md5 of the decompressed bytes = "),
        ("nowhere", "mnist: MEP_HW_DATA = nowhere: must be an existing folder"),
    ],
)
def test_broken_data_files(
    folder: str, message: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEP_HW_DATA", folder)
    refused("train", "--data", "mnist", "--out", "runs/new", message=message, place=place, capsys=capsys)
    line = ("evaluate", "--data", "mnist", "--checkpoint", "model.safetensors")
    refused(*line, message=message, place=place, capsys=capsys)


def refused(*args: str, message: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(place)
    shown = call(capsys, *args)
    assert (shown.code, shown.out) == (2, "")
    assert shown.err.startswith("mep-hw: error: ") and shown.err.count("\n") == 1
    assert message in shown.err
    assert tree(place) == before
    assert not Path("/proc/mep_hw_run").exists()


def samples(count: int = 12, features: int = 6, classes: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, features, generator=generator), torch.arange(count) % classes


def with_entry(part: int, at: tuple[int, ...], value: float) -> tuple[torch.Tensor, torch.Tensor]:
    x, y = samples()
    (x, y)[part][at] = value  # pyright: ignore[reportArgumentType]
    return x, y


PYTHON: list[tuple[str, Callable[[], Any], str]] = [
    ("label_too_large", lambda: with_entry(1, (4,), 3), "data: y[4] = 3: labels must be from 0 to 2"),
    ("label_negative", lambda: with_entry(1, (4,), -1), "data: y[4] = -1: labels must be from 0 to 2"),
    ("label_not_whole", lambda: (samples()[0], samples()[1] + 0.5), "data: y[0] = 0.5: labels must be whole numbers"),
    ("nan", lambda: with_entry(0, (5, 2), float("nan")), "data: x[5, 2] = nan: must be finite in float32"),
    ("infinite", lambda: with_entry(0, (5, 2), float("inf")), "data: x[5, 2] = inf: must be finite in float32"),
    ("nan_in_test", lambda: (samples(), with_entry(0, (1, 1), float("nan"))), "data: test_x[1, 1] = nan"),
    ("empty", lambda: samples(0), "data: x shape = (0, 6): there is nothing to train on"),
    ("lengths_differ", lambda: (samples()[0], samples()[1][:5]), "data: y length = 5: x has 12 samples"),
    ("too_many_features", lambda: samples(features=7), "data: x values per sample = 7: the model takes 6"),
    ("not_data", lambda: {"x": 1}, "data: source = dict: is not a kind of data that can be used; give None"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "message"), [case[1:] for case in PYTHON], ids=[case[0] for case in PYTHON])
@pytest.mark.parametrize("call_", ["train", "evaluate"])
def test_python_refuses_data(call_: str, data: Callable[[], Any], message: str, tmp_path: Path) -> None:
    model = mep_hw.mlp(6, 4, 3)
    before = [value.clone() for value in model.tensors().values()]
    with pytest.raises(InputError) as caught:
        if call_ == "train":
            mep_hw.train(model, data(), epochs=1, checkpoint=tmp_path / "run" / "checkpoint")
        else:
            mep_hw.evaluate(model, data())
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    assert all(torch.equal(a, b) for a, b in zip(before, model.tensors().values(), strict=True))


@pytest.mark.parametrize(
    ("sizes", "message"),
    [((6, 0, 3), "mlp: layers.0.dense = 0: "), ((0, 3), "mlp: "), ((6,), "mlp: sizes = (6,): needs an input and")],
)
def test_python_refuses_sizes(sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(InputError) as caught:
        mep_hw.mlp(*sizes)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_batch_larger_than_the_data_is_one_batch(capsys: pytest.CaptureFixture[str]) -> None:
    large = call(capsys, "train", "--model", "64-4-10", "--epochs", 2, "--batch-size", 5000, "--json").json
    exact = call(capsys, "train", "--model", "64-4-10", "--epochs", 2, "--batch-size", 1437, "--json").json
    assert large | {"seconds": 0} == exact | {"seconds": 0}


def test_nothing_is_removed_that_was_there_before(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "mine").mkdir()
    refused("train", "--rule", "none", "--out", "mine", message="rule = none", place=place, capsys=capsys)
    refused("train", "--rule", "none", "--out", "mine/below/it", message="rule = none", place=place, capsys=capsys)
