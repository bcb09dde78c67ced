"""Two errors of a crossbar, each by itself: one that training absorbs, and a small one that it does not."""

import mep_hw
from mep_hw.studies.error_cards import cards_with
from mep_hw.studies.error_sources import SOURCES
from mep_hw.studies.named import find

machines = {"no error": cards_with({})}
for source, strength in zip(find("sources", ["step-spread", "phase-offset"], SOURCES), (0.6, 0.05), strict=True):
    machines[f"{source.name} {strength:g} ({source.meaning})"] = source.cards(strength)
for name, (backend, device) in machines.items():
    run = mep_hw.train(mep_hw.mlp(64, 24, 10), backend=backend, device=device, epochs=6, progress=False)
    print(f"{name}: {run.test_accuracy:.3f}")
