"""A network of brian2 that is prepared for its first run only.

Before every run brian2 generates the code of all objects anew, as names in the caller's scope may mean something else
by then, which takes tens of milliseconds. Here nothing of a network changes between runs but values: the namespace is
fixed, synapses are all made before the first run, and no code reads the one clock whose step is changed. Each run also
collects garbage, to warn of objects that were left out of the network; with torch in the process that takes longer.

Not valid for networks that gain objects or synapses between runs.
"""

from __future__ import annotations

import gc
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from brian2 import Network, second


class Prepared(Network):
    """brian2's Network with short runs."""

    def __init__(self, *objects: object) -> None:
        super().__init__(*objects)
        self._is_prepared = False

    def before_run(self, run_namespace: Mapping[str, object]) -> None:
        """Called by `run`."""
        if not self._is_prepared:
            super().before_run(run_namespace)
            self._is_prepared = True
        self._stopped = Network._globally_stopped = False  # what brian2 itself does here before any run

    def go(self, seconds: float) -> None:
        """Run for so much time of the simulation, with names resolved in the groups' own namespaces."""
        with _nothing_collected():
            self.run(seconds * second, namespace={})


@contextmanager
def _nothing_collected() -> Generator[None]:
    """What exists now is left out of collections meanwhile; as it was afterwards."""
    if gc.get_freeze_count():  # somebody else keeps objects out, and thawing would bring theirs back
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
