"""Settle a model by the kernel of the gpu backend and by the cpu backend, and ask which path other models take.

Without a GPU the same kernel runs in Triton's interpreter: `TRITON_INTERPRET` has to be set before the kernel is
imported, which is when the first such machine is built. Page: docs/gpu.md.
"""

import os
from collections import Counter

import torch

import mep_hw
from mep_hw import machine
from mep_hw.cards import load_backend
from mep_hw.cards.changed import changed
from mep_hw.data import digits, one_hot
from mep_hw.state import Nudge

torch.set_num_threads(1)
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
    print("No GPU here: the kernel runs in Triton's interpreter, slowly.")

tight = {"settle.tolerance": 1e-6, "settle.nudged_tolerance": 1e-5, "settle.nudged_sweeps": 100, "settle.anderson": 0}
cpu = changed(load_backend("cpu"), tight)
gpu = changed(load_backend("gpu"), tight | {"gpu.operands": "fp32"})  # then only the order of sums differs
data = digits()


def settled(model, card):
    """The free state, and by what nudges of 0.1 and -0.1 move it: layers side by side, on the CPU."""
    with machine.build(model, card, None, seed=0) as built:
        x, y = built.tensor(data.x[:20]), built.tensor(one_hot(data.y[:20], data.classes))
        beta = built.tensor(torch.tensor([0.1, -0.1]).repeat_interleave(20))
        free = built.settle(x)
        nudged = built.settle(x, Nudge(beta, y), free)
        state, moved = torch.cat(free.state, dim=1).cpu(), torch.cat(nudged.state, dim=1).cpu()
        return state, moved - state.repeat(2, 1)


model = mep_hw.mlp(64, 32, 24, 10)
(state, moved), (same_state, same_moved) = settled(model, gpu), settled(model, cpu)
print(f"largest difference of a free state {(state - same_state).abs().max():.1e}")
print(f"nudges move it by {moved.abs().max():.1e}, with a difference of {(moved - same_moved).abs().max():.1e}")

cases = {
    "chain": (model, 20),
    "chain, large batch": (model, 2000),
    "wide chain": (mep_hw.mlp(64, 2048, 10), 20),
    "skip": (mep_hw.mlp(64, 32, 24, 10, skips=[(0, 2)]), 20),
    "convolutional": (mep_hw.convnet((1, 8, 8), (4,), kernel=3), 20),
    "max pooling": (mep_hw.convnet((1, 12, 12), (4, 4), kernel=3, pool="max"), 20),
}
paths = {name: machine.build(asked, gpu, None, seed=0).path(samples) for name, (asked, samples) in cases.items()}
for name, path in paths.items():
    print(f"{name:20} {path}")
print("paths:", ", ".join(f"{count} {kind}" for kind, count in Counter(path.name for path in paths.values()).items()))
