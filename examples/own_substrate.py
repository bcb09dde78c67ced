"""A machine of your own in one class and one card (own_substrate.yaml): train on it and check it.

This one derives from `Digital`, which keeps weights in registers and offers products with them, and has the shared loop
in `mep_hw.settle` do the settling. A machine that settles by itself returns a `Settled` of its own instead.
"""

from pathlib import Path

import mep_hw
from mep_hw.settle import settle
from mep_hw.substrates.digital import Digital

CARD = Path(__file__).with_name("own_substrate.yaml")


class Registered(Digital):
    def settle(self, inputs, nudge=None, start=None):
        return settle(self.model, self, self.backend.settle, inputs, nudge, start)


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
