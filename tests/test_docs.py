"""The pages do not lie: their Python runs, their commands parse, their links exist, and no field is left out.

A block whose first line is a comment with a file name is also written to that file, so that later blocks and commands
of the page can use it. Blocks of one page share their names, in order. `train` is cut to one epoch.
"""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from command import call
from pydantic import BaseModel

import mep_hw
import mep_hw.machine  # pages use it by its full name
from mep_hw import spec
from mep_hw.cards import (
    BackendCard,
    Compute,
    Conformance,
    DeviceCard,
    GpuOptions,
    SettleOptions,
    TrainingDefaults,
    array,
    circuit,
    load_backend,
    physics,
    registers,
    response,
    transfer,
)
from mep_hw.cards.blocks import Block
from mep_hw.cards.fpga import FpgaOptions
from mep_hw.cli.options import TrainOptions
from mep_hw.conformance import CHECKS
from mep_hw.estimator import NAMES as ESTIMATORS
from mep_hw.loihi.limits import Chip, Energies, Limit, SynapseMemory
from mep_hw.rules import NAMES as RULES
from mep_hw.settings import resolve
from mep_hw.spec import BoxSpec, ConvSpec, LayerSpec, ModelSpec, PoolSpec, SkipSpec
from mep_hw.substrates.base import Substrate

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# ([\w-]+\.(?:py|yaml))\n")
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
INLINE = re.compile(r"`((?:mep-hw|python -m mep_hw)(?: [^`]*)?)`")
RUNNERS = ("mep-hw", "python -m mep_hw")
TORCHRUN = re.compile(r"^torchrun .*-m mep_hw")


@dataclass(frozen=True)
class Page:
    path: Path
    text: str

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    def blocks(self, *kinds: str) -> list[str]:
        return [body for kind, body in BLOCK.findall(self.text) if kind in kinds]

    def write_named(self, folder: Path) -> None:
        for body in self.blocks("python", "yaml"):
            if found := NAMED.match(body):
                (folder / found[1]).write_text(body)


ALL = [Page(path, path.read_text()) for path in PAGES]
RUNNABLE = [page for page in ALL if page.blocks("python")]


def commands() -> Iterator[tuple[Page, str]]:
    """Every command line of ours, in blocks and inline; `COMMAND`, `NAME` and the like are not commands to run."""
    for page in ALL:
        lines = [line for body in page.blocks("sh") for line in body.splitlines()]
        for line in (*lines, *INLINE.findall(BLOCK.sub("", page.text))):
            line = TORCHRUN.sub("mep-hw", line)
            if line.startswith(RUNNERS) and not re.search(r"\b[A-Z]{4,}\b", line):
                yield page, line.partition("  #")[0].strip()


LINES = list(dict.fromkeys((page.name, line) for page, line in commands()))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """`mep_hw.train` runs a single epoch, in larger batches."""
    real = mep_hw.train

    def train(*args: Any, **options: Any) -> mep_hw.Run:
        limits = {"epochs": 1, "batch_size": 128}
        return real(*args, **(options | limits | {"progress": False}))

    monkeypatch.setattr(mep_hw, "train", train)


@pytest.mark.parametrize("page", RUNNABLE, ids=lambda page: page.name)
@pytest.mark.usefixtures("short")
def test_python_blocks_run(page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page.write_named(tmp_path)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    for number, body in enumerate(page.blocks("python"), start=1):
        exec(compile(body, f"{page.name}, Python block {number}", "exec"), names)


class Reached(Exception):
    """The command line was understood and training would start."""


@pytest.mark.parametrize(("name", "line"), LINES, ids=[f"{name}: {line}" for name, line in LINES])
def test_commands_parse(
    name: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    next(page for page in ALL if page.name == name).write_named(tmp_path)
    (tmp_path / "my_chip.yaml").write_text((ROOT / "backends" / "cpu" / "card.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    runner = next(words for words in RUNNERS if line == words or line.startswith(words + " "))
    words = shlex.split(line[len(runner) :])
    if any((ROOT / word).is_file() for word in words):  # such commands are given from the checkout's root
        monkeypatch.chdir(ROOT)
    if words[:1] == ["train"] and "--help" not in words:
        trained(words, monkeypatch)
        return
    if words and "--help" not in words:
        words.append("--help")  # options are parsed, and unknown ones refused, before help is shown
    assert call(capsys, *words).code == 0
    for option, value in zip(words, words[1:], strict=False):
        if option == "--check":
            assert value in CHECKS
        if option == "--backend" and value.endswith((".yaml", ".yml")):
            load_backend(value)


def trained(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The train command with these words gets as far as training, with options and values that it can use."""
    signature = inspect.signature(mep_hw.train)

    def reached(*args: Any, **options: Any) -> None:
        signature.bind(*args, **options)
        own = {"device", "data", "checkpoint", "resume", "group", "control", "backend"}
        card = load_backend(options["backend"])
        settings = resolve(card, **{name: value for name, value in options.items() if name not in own})
        assert settings.rule in RULES and settings.estimator in ESTIMATORS
        raise Reached

    monkeypatch.setattr(mep_hw, "train", reached)
    with pytest.raises(Reached):
        mep_hw.cli.main(words)


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_links_exist(page: Page) -> None:
    targets = [link for link in LINK.findall(page.text) if "://" not in link]
    missing = [target for target in targets if not (page.path.parent / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", ALL, ids=lambda page: page.name)
def test_lines_are_at_most_120_characters(page: Page) -> None:
    text = [line for line in page.text.splitlines() if not line.startswith("|")]  # rows of tables cannot be broken
    assert not [line for line in text if len(line) > 120]


def test_every_page_is_in_the_map() -> None:
    index = (ROOT / "docs" / "index.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "index.md" or f"]({page.name})" in index
    for script in (ROOT / "examples").glob("*.py"):
        assert f"](../examples/{script.name})" in index


def blocks_of(module: ModuleType) -> list[type[Block]]:
    """The blocks that a module of cards defines itself."""
    found = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, Block)]
    return [block for block in found if block.__module__ == module.__name__]


CARDS = (BackendCard, DeviceCard, Compute, GpuOptions, TrainingDefaults, Conformance)
EXTRA = [block for module in (array, circuit, registers, transfer) for block in blocks_of(module)]
FIELDS: list[tuple[str, type[BaseModel]]] = [
    *(("cards.md", block) for block in (*CARDS, *EXTRA)),
    ("cards.md", FpgaOptions),
    *(("models.md", block) for block in (ModelSpec, LayerSpec, ConvSpec, PoolSpec, BoxSpec, SkipSpec)),
    ("settling.md", SettleOptions),
    *(("loihi-mapping.md", block) for block in (Chip, Limit, SynapseMemory, Energies)),
    *(("devices.md", block) for module in (response, physics) for block in blocks_of(module)),
]


@pytest.mark.parametrize(("page", "block"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
def test_every_field_is_explained(page: str, block: type[BaseModel]) -> None:
    text = (ROOT / "docs" / page).read_text()
    names = [info.alias or name for name, info in block.model_fields.items()]
    assert not [name for name in names if f"`{name}`" not in text]


def test_every_option_of_train_is_explained() -> None:
    cli, training = ((ROOT / "docs" / name).read_text() for name in ("cli.md", "training.md"))
    listed = cli.partition("\nModel: ")[2].partition("\n\n")[0]  # of `train`, its options by what they are about
    options = {f"--{name.replace('_', '-')}" for name in TrainOptions.model_fields}
    assert set(re.findall(r"`(--[\w-]+)`", listed)) == options
    for name in inspect.signature(mep_hw.train).parameters:
        assert name == "model" or f"`{name}`" in training, name


def test_every_check_estimator_and_rule_is_explained() -> None:
    for page, names in (("cards.md", CHECKS), ("estimators.md", ESTIMATORS), ("training.md", RULES)):
        text = (ROOT / "docs" / page).read_text()
        assert not [name for name in names if f"`{name}`" not in text]


def test_what_a_substrate_owes_is_explained_whole() -> None:
    owed = (ROOT / "docs" / "cards.md").read_text().partition("What each method owes")[2]
    public = {name: value for name, value in vars(Substrate).items() if not name.startswith("_")}
    written = {name: f"{name}(" if callable(value) else f"`{name} = " for name, value in public.items()}
    assert not [name for name, form in written.items() if form not in owed]


def test_the_substrate_of_the_page_is_the_example() -> None:
    page = next(page for page in ALL if page.name == "docs/cards.md")
    code = next(body for body in page.blocks("python") if "class Registered" in body)
    example = (ROOT / "examples" / "own_substrate.py").read_text()
    assert code.partition("class Registered")[2].strip() in example
    card = next(body for body in page.blocks("yaml") if "own_substrate:Registered" in body)
    assert card.partition("\n")[2] == (ROOT / "examples" / "own_substrate.yaml").read_text()


def test_written_models_are_valid() -> None:
    page = next(page for page in ALL if page.name == "docs/models.md")
    for body in page.blocks("yaml"):
        mep_hw.Model(spec.parse(yaml.safe_load(body)))


def test_settings_of_results_leave_nothing_to_a_card() -> None:
    # Cards' training defaults may change; a published result must not.
    for path in (ROOT / "docs" / "results").rglob("*.yaml"):
        content = yaml.safe_load(path.read_text())
        if "layers" not in content and "schema" not in content:  # a model or a card, not settings
            assert not set(TrainingDefaults.model_fields) - set(content), path.name
