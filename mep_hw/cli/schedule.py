"""`mep-hw schedule`: make a schedule of an update, explain the choice, execute it, show what is in it.

Updates and weights are npz files (`mep_hw.schedule.updates`), schedules too (`mep_hw.schedule.files`). Without weights
before, all are 0. A schedule is executed on a machine that holds this one coupling and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import typer

import mep_hw
from mep_hw.cli import flags, output, task
from mep_hw.cli.explained import explained
from mep_hw.compiler import compile as compiled
from mep_hw.compiler import predict
from mep_hw.errors import ScheduleError
from mep_hw.explain import explain
from mep_hw.explain.firing import firing
from mep_hw.explain.picture import draw
from mep_hw.explain.summary import summary
from mep_hw.files import write_atomic
from mep_hw.machine import build, cards
from mep_hw.outersum import dense
from mep_hw.schedule.files import load, save
from mep_hw.schedule.updates import load_weights, save_weights

schedule = typer.Typer(
    epilog="Examples:\n\nmep-hw schedule explain UPDATE.npz --device ecram"
    "\n\nmep-hw schedule compile UPDATE.npz --device ecram --form outer --out S.npz"
    "\n\nmep-hw schedule run S.npz --weights UPDATE.npz --json\n\nmep-hw schedule show S.npz --plot S.png",
    no_args_is_help=True,
)

ScheduleFile = Annotated[Path, typer.Argument(help="A file that compile has written.")]


@schedule.callback()
def root() -> None:
    """Make, explain, execute and show the schedules that realise updates on a machine."""


@schedule.command("compile")
def compile_(
    update: task.UpdateFile,
    out: Annotated[Path, typer.Option(help="File for the schedule.", show_default=False)],
    backend: flags.Backend = "crossbar",
    device: flags.Device = None,
    minimise: task.Minimise = None,
    form: Annotated[
        Literal["outer", "row", "cell"] | None,
        typer.Option(help="Take this form; default: what the objective prefers.", show_default=False),
    ] = None,
    time_max: task.TimeMax = None,
    energy_max: task.EnergyMax = None,
    wear_max: task.WearMax = None,
    seed: flags.Seed = 0,
    as_json: flags.Json = False,
) -> None:
    """Make the schedule that realises an update on a machine, and predict what it will cost."""
    given = task.read(update, backend, device, minimise, form)
    made = compiled(
        given.update, given.residual, given.backend, given.device, torch.Generator().manual_seed(seed),
        budget=task.budget(time_max, energy_max, wear_max), held=given.held,
    )  # fmt: skip
    cost = predict(made, given.backend, given.device, given.held)
    names = {"backend": given.backend.name, "device": task.name(given.device)}
    scale = task.scale(given.backend, given.device)
    save(made, out, backend=given.backend.name, device=task.name(given.device), scale=scale)
    _print(names | {"seed": seed, "out": str(out)} | summary(made) | {"cost": cost.as_dict()}, as_json)


@schedule.command("explain")
def explain_(
    update: task.UpdateFile,
    backend: flags.Backend = "crossbar",
    device: flags.Device = None,
    minimise: task.Minimise = None,
    time_max: task.TimeMax = None,
    energy_max: task.EnergyMax = None,
    wear_max: task.WearMax = None,
    as_json: flags.Json = False,
) -> None:
    """Compare the forms that an update can take on a machine, and say which is chosen and why."""
    given = task.read(update, backend, device, minimise, None)
    budget = task.budget(time_max, energy_max, wear_max)
    found = explain(given.update, given.residual, given.backend, given.device, given.held, budget)
    if as_json:
        output.print_json({"backend": given.backend.name, "device": task.name(given.device)} | found.as_dict())
        return
    explained(found)


@schedule.command()
def run(
    file: ScheduleFile,
    weights: Annotated[
        Path | None, typer.Option(help="npz with held, the weights before; default: all 0.", show_default=False)
    ] = None,
    backend: Annotated[str | None, typer.Option(help="Card, where not bundled.", show_default=False)] = None,
    device: Annotated[str | None, typer.Option(help="Card, where not bundled.", show_default=False)] = None,
    seed: flags.Seed = 0,
    out: Annotated[Path | None, typer.Option(help="npz for the weights after.", show_default=False)] = None,
    as_json: flags.Json = False,
) -> None:
    """Execute a schedule on a machine with one coupling; tell what it cost, and how far the change is off."""
    saved = load(file)
    card, cells = cards(backend or saved.backend, device or saved.device)
    for field, mine, wanted in (("backend", card.name, saved.backend), ("device", task.name(cells), saved.device)):
        if mine != wanted:
            rule = f"is not {wanted}, for which the schedule was made"
            raise ScheduleError(str(file), field, mine, rule=rule, fix="compile the update for this machine")
    intended = dense(saved.schedule.intended)
    held = torch.zeros_like(intended.flatten(1)) if weights is None else load_weights(weights)
    model = mep_hw.mlp(held.shape[1], held.shape[0])
    model.weights[0].copy_(held)
    machine = build(model, card, cells, seed)
    machine.check_shape(0, saved.schedule)
    scale = task.scale(machine.card_of(0), cells)
    if saved.scale is not None and scale is not None and abs(scale / saved.scale - 1) > 1e-6:
        rule = f"is not {saved.scale:.4g}, for which pulses were counted"
        raise ScheduleError(str(file), "scale", f"{scale:.4g}", rule=rule, fix="give --weights as they were at compile")
    before = machine.read(0)
    predicted = predict(saved.schedule, machine.card_of(0), cells, before)
    cost = machine.apply(0, saved.schedule)
    after = machine.read(0)
    size = float(intended.double().norm())
    error = float((after - before - intended.view_as(before)).double().norm()) / size if size else None
    if out is not None:
        save_weights(out, after)
    result: dict[str, Any] = {"backend": card.name, "device": task.name(cells), "seed": seed, "error": error}
    if as_json:
        output.print_json(result | {"predicted": predicted.as_dict(), "cost": cost.as_dict()})
        return
    output.pairs(result.items())
    executed = cost.as_dict()
    output.rows(("cost", "predicted", "executed"), [[n, v, executed[n]] for n, v in predicted.as_dict().items()])


@schedule.command()
def show(
    file: ScheduleFile,
    plot: Annotated[Path | None, typer.Option(help="Draw its pulses into this PNG.", show_default=False)] = None,
    as_json: flags.Json = False,
) -> None:
    """Print what is in a schedule; no card is needed."""
    saved = load(file)
    if plot is not None:
        found = firing(saved.schedule)
        if found is None:
            rule, fix = "needs pulses that are known beforehand", "plot a schedule of form outer or row"
            raise ScheduleError(str(file), "plot", str(plot), rule=rule, fix=fix)
        write_atomic(plot, draw(found, f"{file.name}: {saved.backend}, {saved.device}"))
    head = {"backend": saved.backend, "device": saved.device, "scale": saved.scale, "version": saved.version}
    _print(head | summary(saved.schedule), as_json)


def _print(content: Mapping[str, Any], as_json: bool) -> None:
    """An object, with its cycles as one line each."""
    if as_json:
        output.print_json(content)
        return
    output.pairs((name, value) for name, value in content.items() if name != "cycles")
    for number, cycle in enumerate(content["cycles"]):
        output.line(f"cycles {number}: {output.text(cycle)}")
