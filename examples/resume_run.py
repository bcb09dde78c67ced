"""Stop a run in the middle, go on from its checkpoint, and get the same weights as without the stop."""

import tempfile
from pathlib import Path

import torch

import mep_hw

torch.set_num_threads(1)  # other numbers of threads round sums differently
EPOCHS, STOP = 4, 3


def train(path: Path, on_step=None) -> mep_hw.Run:
    model = mep_hw.mlp(64, 16, 10, cost="cross_entropy")
    return mep_hw.train(model, epochs=EPOCHS, batch_size=128, checkpoint=path, resume=True, on_step=on_step)


def stop(info) -> None:
    if info.epoch == STOP and info.step == 2:
        raise KeyboardInterrupt


with tempfile.TemporaryDirectory() as folder:
    whole = train(Path(folder) / "whole.safetensors")
    path = Path(folder) / "stopped.safetensors"
    try:
        train(path, stop)
    except KeyboardInterrupt:
        print(f"stopped in epoch {STOP}; {path.name} holds the last whole epoch")
    resumed = train(path)
    print(f"test accuracy whole {whole.test_accuracy:.4f}, resumed {resumed.test_accuracy:.4f}")
    pairs = zip(whole.model.weights, resumed.model.weights, strict=True)
    print(f"largest difference of a weight {max(float((a - b).abs().max()) for a, b in pairs):.1e}")
