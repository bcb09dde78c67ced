"""The options of `train`, once: as flags with their help, as keys of a `--config` file, and with their types.

A flag that is given wins over the file, and the file over the defaults. What a card or the training code checks anyway
is not checked here a second time; only the seed and the number of threads are, which are used before those see them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, cast, get_args

import typer
import yaml
from pydantic import BeforeValidator, Field, ValidationError
from pydantic.fields import FieldInfo

from mep_hw import estimator, rules
from mep_hw.cards.blocks import Block
from mep_hw.cards.explain import card_error
from mep_hw.cli import flags
from mep_hw.errors import InputError
from mep_hw.strict import parse_yaml

_CARD = "default: the backend card's"
_TEXT = {"lr": str | None}  # flags that are read as text, because they may hold several numbers
_SIZES = "for a model given as sizes"


def _option(default: Any, description: str, **bounds: int) -> Any:
    return Field(default, description=description, **cast("dict[str, Any]", bounds))


def _rates(value: object) -> object:
    """One number, or one per layer; a flag gives text, a file a number or a list."""
    if isinstance(value, str):
        value = [_number(part) for part in value.split(",")]
        return value[0] if len(value) == 1 else tuple(value)
    return tuple(cast("list[object]", value)) if isinstance(value, list) else value


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text  # for the type check to refuse, with the option's name


class TrainOptions(Block):
    """What `mep-hw train` can be told. A field is a flag with dashes and a key of the file with underscores."""

    backend: str = _option("cpu", "machine: a name from mep-hw backends, or the path of a card (default cpu)")
    device: str | None = _option(None, "memory cell: a name from mep-hw devices, or a path; default: the backend's")
    data: str = _option("digits", "digits (8x8, bundled) or mnist (28x28, from MEP_HW_DATA or downloaded)")
    model: str | None = _option(
        None, "layer sizes such as 784-512-10, or a YAML or NIR file; default 64-128-10, for mnist 784-512-10"
    )
    cost: str | None = _option(None, f"squared_error or cross_entropy, {_SIZES} (default squared_error)")
    activation: str | None = _option(
        None, f"hard_sigmoid, clipped_relu, sigmoid or tanh, {_SIZES} (default hard_sigmoid)"
    )
    rule: str | None = _option(None, f"what turns a contrast into an update: {', '.join(rules.NAMES)}; {_CARD}")
    lr: Annotated[float | tuple[float, ...] | None, BeforeValidator(_rates)] = _option(
        None, f"learning rate, > 0, weight units per unit of the rule's output; or one per layer: 0.3,0.1,0.3; {_CARD}"
    )
    epochs: int | None = _option(None, f"passes over the training samples, >= 1; {_CARD}")
    batch_size: int | None = _option(None, f"samples per update, >= 1; {_CARD}")
    beta: float | None = _option(None, f"nudging strength, > 0, no unit; {_CARD}")
    momentum: float | None = _option(None, f"share of the rule's memory that is kept, 0 <= share < 1; {_CARD}")
    weight_decay: float | None = _option(None, f"decay of a weight per step, a multiple of lr, >= 0; {_CARD}")
    rank: int | None = _option(
        None, "directions of an update by rule dion, >= 1; default: a quarter of the smaller side of each coupling"
    )
    error_feedback: bool | None = _option(
        None, "keep what rule dion leaves out of an update for later ones (default), or forget it"
    )
    clip: float | None = _option(None, "longest contrast of a coupling, > 0 (Frobenius norm); default: no clipping")
    bias_lr: float | None = _option(
        None, "learning rate of the biases, > 0; default: lr, or 0.003 for rules whose biases Adam trains"
    )
    lr_schedule: str | None = _option(None, f"constant or cosine (down to 0 over the run); {_CARD}")
    warmup: float = _option(0.0, "epochs over which the learning rate rises from 0, >= 0 (default 0)")
    spectral_bound: float | None = _option(
        None, "largest spectral norm of the couplings between hidden layers, > 0; default: no bound"
    )
    spectral_method: str = _option("hammer", "how: hammer, normalise or soft_cap (default hammer)")
    minimise: str | None = _option(
        None,
        "time, energy or wear: by what the form of writing is chosen, where weights are in arrays; default: the card's",
    )
    centre: bool = _option(False, "subtract the mean training sample from all inputs")
    label_smoothing: float = _option(0.0, "share of each target spread over all classes, 0 <= share < 1 (default 0)")
    free_sweeps: int | None = _option(None, "so many sweeps in every free phase; default: to the card's tolerance")
    nudged_sweeps: int | None = _option(None, "the same for the nudged phases")
    estimator: str = _option("centered", f"{', '.join(estimator.NAMES)} (default centered)")
    validation: float = _option(
        0.0, "share of the training samples to choose the best epoch on, 0 <= share < 1; default 0: the last epoch"
    )
    seed: int = _option(0, "0 to 2**32 - 1, of initial weights, shuffling and the machine (default 0)", ge=0, lt=2**32)
    threads: int = _option(
        1, "CPU threads of torch, at least 1 (default 1; more pay for layers of 500 units and up)", ge=1
    )
    control: bool = _option(False, "train a second time with the hidden weights frozen, for comparison")
    out: str | None = _option(
        None, "folder for checkpoint.safetensors (every epoch), run.json, history.csv and curve.png"
    )
    resume: bool = _option(False, "go on from the checkpoint in --out; start anew where there is none yet")


Config = typer.Option(None, help="YAML file with the same names, _ for -; flags given here win", show_default=False)


def with_flags(command: Callable[[TrainOptions, bool], None]) -> Callable[..., None]:
    """`command` as typer sees it: a flag for each field of `TrainOptions`, and --config and --json beside them."""

    def run(*, config: Path | None, as_json: bool, **given: object) -> None:
        command(merged(config, {name: value for name, value in given.items() if value is not None}), as_json)

    named = inspect.Parameter.KEYWORD_ONLY
    parameters = [
        inspect.Parameter(name, named, default=_flag(name, info), annotation=_TEXT.get(name, info.annotation))
        for name, info in TrainOptions.model_fields.items()
    ]
    parameters.append(inspect.Parameter("config", named, default=Config, annotation=Path | None))
    parameters.append(inspect.Parameter("as_json", named, default=False, annotation=flags.Json))
    run.__doc__, run.__name__ = command.__doc__, command.__name__
    run.__signature__ = inspect.Signature(parameters)  # pyright: ignore[reportFunctionMemberAccess]  # what inspect reads
    return run


def _flag(name: str, info: FieldInfo) -> Any:
    dashed = name.replace("_", "-")
    spelling = f"--{dashed}/--no-{dashed}" if bool in (info.annotation, *get_args(info.annotation)) else f"--{dashed}"
    return typer.Option(None, spelling, help=info.description, show_default=False)


def merged(config: Path | None, given: Mapping[str, object]) -> TrainOptions:
    """Defaults, then the file, then flags. A model file that the file names is looked up beside it.

    Raises:
        InputError: the file cannot be read, or a key, type or bound is wrong.
    """
    content: dict[str, object] = {}
    if config is not None:
        content = _checked(str(config), _read(config)).model_dump(exclude_unset=True)
        model = content.get("model")
        if isinstance(model, str) and (config.parent / model).is_file():
            content["model"] = str(config.parent / model)
    return _checked("train", content | dict(given))


def _checked(where: str, values: object) -> TrainOptions:
    try:
        return TrainOptions.model_validate(values)
    except ValidationError as error:
        raise card_error(where, TrainOptions, error) from None


def _read(path: Path) -> object:
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(path), rule=f"cannot be read ({error})", fix="give a YAML file") from None
    except yaml.YAMLError as error:
        raise InputError(str(path), rule=f"is not well-formed YAML ({error})", fix="correct the file") from None
    if not isinstance(content, dict):
        raise InputError(str(path), rule="must be a block of keys and values", fix="write for example 'epochs: 30'")
    return cast("object", content)
