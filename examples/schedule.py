"""One update of rank 4 for memory cells: the forms it can take, the choice, a file, and what a machine makes of it."""

from pathlib import Path

import torch

import mep_hw
from mep_hw.cards import load_backend, load_device
from mep_hw.compiler import compile
from mep_hw.explain import explain
from mep_hw.machine import build
from mep_hw.schedule.files import load, save

torch.set_num_threads(1)
generator = torch.Generator().manual_seed(0)
left, right = torch.randn(32, 4, generator=generator), torch.randn(64, 4, generator=generator)
update = mep_hw.OuterSum(0.01 * left, right)

model, device = mep_hw.mlp(64, 32), load_device("gokmen-vlasov")
machine = build(model, load_backend("crossbar"), device, seed=0)
card, held = machine.card_of(0), machine.read(0)  # the card with its sizes fitted to these weights

found = explain(update, None, card, device, held)
for form in found.forms:
    assert form.cost is not None  # this device can be written in every form
    print(f"{form.form}: {form.cost.cycles:.0f} cycles, {form.pulses_mean:.1f} pulses per cell, error {form.error:.2f}")
print(found.why)

schedule = compile(update, None, card, device, generator)
save(schedule, "update.npz", backend=card.name, device=device.name)
again = load("update.npz").schedule
Path("update.npz").unlink()
cost = machine.apply(0, again)
intended = schedule.intended if isinstance(schedule.intended, torch.Tensor) else schedule.intended.dense()
error = (machine.read(0) - held - intended).norm() / update.norm()
(chosen,) = [form for form in found.forms if form.form == found.chosen]
print(f"error of {found.chosen}: expected {chosen.error:.3f}, executed {error:.3f}")
