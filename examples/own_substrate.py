"""A machine of your own in one class and one card (own_substrate.yaml): train on it and check it.

This one keeps weights in registers and offers products with them; the shared loop in `mep_hw.settle` does the
settling. A machine that settles by itself leaves `couple` and `couple_back` out and returns a `Settled` of its own.
"""

from pathlib import Path

import mep_hw
from mep_hw.compiler import predict
from mep_hw.errors import CapabilityError
from mep_hw.outersum import add_into_
from mep_hw.schedule import Registers
from mep_hw.settle import settle

CARD = Path(__file__).with_name("own_substrate.yaml")


class Registered(mep_hw.Substrate):
    def __init__(self, model, backend, device, seed):
        super().__init__(model, backend, device, seed)
        self.held = [self.tensor(weights) for weights in model.weights]

    def couple(self, c, source, add):  # what coupling c sends forward, plus `add`
        return self.model.couplings[c].forward(source, self.held[c], add)

    def couple_back(self, c, target, source, add):  # what it sends back, by the same weights
        return self.model.couplings[c].backward(target, self.held[c], source, add)

    def settle(self, inputs, nudge=None, start=None):
        return settle(self.model, self, self.backend.settle, inputs, nudge, start)

    def apply(self, coupling, schedule):
        if not all(isinstance(cycle, Registers) for cycle in schedule.cycles):  # before anything is executed
            where = f"backend {self.backend.name}"
            raise CapabilityError(where, "cycle", rule="only register writes are known", fix="compile for this card")
        for cycle in schedule.cycles:
            add_into_(self.held[coupling], cycle.change)
        return predict(schedule, self.backend, self.device)

    def read(self, coupling):
        return self.held[coupling].clone()

    def write(self, coupling, weights):
        self.held[coupling] = self.tensor(weights)
        return mep_hw.Cost(cycles=1)


if __name__ == "__main__":
    import torch

    from mep_hw import conformance

    torch.set_num_threads(1)
    checks = ["refuse", "fixed_point", "nudge_direction", "apply", "biases", "cost"]  # leave out to run them all
    report = conformance.run(CARD, checks)
    for outcome in report.outcomes:
        print(outcome.check, outcome.status, *outcome.complaints, sep="\n  ")
    run = mep_hw.train(mep_hw.mlp(64, 24, 10), backend=CARD, epochs=3, batch_size=64, lr=0.01)
    print(f"checks passed {len(report.named('passed'))} of {len(checks)}, test accuracy {run.test_accuracy:.3f}")
