"""Train equilibrium networks with local learning on the hardware they are meant for.

import mep_hw
model = mep_hw.mlp(64, 128, 10)
run = mep_hw.train(model)
print(run.test_accuracy, run.cost)
"""

from mep_hw.errors import InputError as InputError
from mep_hw.evaluate import Evaluation as Evaluation
from mep_hw.evaluate import evaluate as evaluate
from mep_hw.from_torch import from_torch as from_torch
from mep_hw.gradcheck import gradient_check as gradient_check
from mep_hw.model import Model as Model
from mep_hw.model import convnet as convnet
from mep_hw.model import load as load
from mep_hw.model import mlp as mlp
from mep_hw.outersum import OuterSum as OuterSum
from mep_hw.schedule import Cost as Cost
from mep_hw.substrates.base import Substrate as Substrate
from mep_hw.train import train as train
from mep_hw.training.run import Run as Run

__version__ = "0.1.0"
