"""Watch the energy fall while a model settles, freely and nudged, and draw it: `watch_settling.py --out FOLDER`.

The free phase sweeps forward from a feed-forward pass; the nudged one starts at the free state, sweeps from the
read-out back, and lowers E + beta C. The number at the end is the largest rise of either between two sweeps.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from matplotlib.figure import Figure

import mep_hw
from mep_hw import machine
from mep_hw.data import digits, one_hot
from mep_hw.state import Nudge

parser = argparse.ArgumentParser(description="Draw the energy of a model while it settles.")
parser.add_argument("--out", type=Path, help="folder for settling.png; default: a new temporary one")
out = parser.parse_args().out or Path(tempfile.mkdtemp())
torch.set_num_threads(1)

model = mep_hw.mlp(64, 32, 32, 10, dtype=torch.float64)
card, device = machine.cards("cpu")
settings = card.settle.model_dump() | {"tolerance": 1e-10, "nudged_tolerance": 1e-8, "anderson": 0}
card = card.model_validate(card.model_dump() | {"settle": settings, "compute": {"dtype": "float64"}})
substrate = machine.build(model, card, device, seed=0)
substrate.record_energy = True

data = digits()
x, y = data.x[:20].double(), one_hot(data.y[:20], data.classes, torch.float64)
free = substrate.settle(x)
nudged = substrate.settle(x, Nudge(torch.full((20,), 0.5, dtype=torch.float64), y), free)

axes = Figure(figsize=(8, 3.2), layout="constrained").subplots(1, 2)
for panel, phase, name in zip(axes, (free, nudged), ("free: E", "nudged: E + beta C"), strict=True):
    above = (phase.energy - phase.energy[-1]).clamp_min(1e-16)  # above the settled value, per sweep and sample
    panel.semilogy(range(1, len(above) + 1), above, color="#1f5fa8", alpha=0.4)
    panel.set(title=name, xlabel="sweep", ylabel="above the settled value")
out.mkdir(parents=True, exist_ok=True)
axes[0].figure.savefig(out / "settling.png", dpi=120)

rise = max(float(phase.energy.diff(dim=0).max()) for phase in (free, nudged))
print(f"sweeps: free {int(free.sweeps.max())}, nudged {int(nudged.sweeps.max())}; written to {out / 'settling.png'}")
print(f"energy fell by {float((free.energy[0] - free.energy[-1]).mean()):.3e} on average after the first sweep")
print(f"largest rise {rise:.1e}")
