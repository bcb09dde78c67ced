"""The rules as `torch.optim` optimizers: Muon and Dion updates from backprop, or from equilibrium propagation.

SMEPOptimizer(model.parameters(), model=model, lr=0.01)      then    model(x); optimizer.step(target=y)
"""

from mep_hw.optimizers.sdmep import SDMEPOptimizer as SDMEPOptimizer
from mep_hw.optimizers.smep import SMEPOptimizer as SMEPOptimizer
