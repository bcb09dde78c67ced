"""Train an nn.Sequential without backward(): the forward call is the free phase, step(target=...) settles the rest.

The same loop runs with backprop, and again with the hidden layer frozen, which shows what the hidden layer learned.
"""

import torch
from torch import nn

from mep_hw.data import digits
from mep_hw.optimizers import SMEPOptimizer

torch.set_num_threads(1)
EPOCHS = 6
data = digits()


def trained(mode: str, *, frozen: bool = False) -> float:
    """Test accuracy of 64-24-10."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 10))
    parameters = model[2].parameters() if frozen else model.parameters()
    if mode == "ep":
        optimizer = SMEPOptimizer(parameters, model=model, lr=0.03, mode="ep", beta=0.01, settle_steps=20)
    else:
        optimizer = SMEPOptimizer(parameters, lr=0.03, mode="backprop")
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(data.x)).split(32):
            optimizer.zero_grad()
            output = model(data.x[rows])
            if mode == "ep":
                optimizer.step(target=data.y[rows])
            else:
                nn.functional.cross_entropy(output, data.y[rows]).backward()
                optimizer.step()
        scheduler.step()
    with torch.inference_mode():  # such calls are no free phase
        return float((model(data.test_x).argmax(1) == data.test_y).float().mean())


print(f"test accuracy with backprop {trained('backprop'):.3f}")
print(f"test accuracy with ep {trained('ep'):.3f}, with its hidden layer frozen {trained('ep', frozen=True):.3f}")
