"""Lava's simulation of Loihi, driven from outside: a worker in a Python 3.10 of its own, and this client of it.

Lava (lava-nc 0.10.0) wants Python 3.10 and starts a process for each part of a network; a part that dies leaves it
waiting without end. So it lives in a worker that can be ended from here, with all it started, after any failure.

Without `batched`, connections are Lava's own unmodified Dense, and samples run one after the other: what Loihi does.
With it they are ours and take all rows at once, in the same arithmetic; that is for training in simulation.
"""

from __future__ import annotations

import weakref
from pathlib import Path
from types import TracebackType
from typing import Any

from mep_hw.loihi import wire
from mep_hw.loihi.bounds import require_runnable
from mep_hw.loihi.child import Child
from mep_hw.loihi.network import Network, Phase, Reached

WORKER = Path(__file__).parent / "worker"
# Isolated, without files in the package's folder, and without a warning that shared memory was cleaned up for us.
_OPTIONS = "-I", "-B", "-W", "ignore::UserWarning:multiprocessing.resource_tracker"
_START = "import sys; sys.path.insert(0, sys.argv[1]); import serve; serve.main()"


class Lava:
    """A worker that is started by the first call and again after a failure.

    Args:
        python: an interpreter with lava-nc, see `mep_hw.loihi.environment`.
        timeout_s: longest time for one call; the first one and one with a new network also start processes (seconds).
    """

    def __init__(self, python: Path, *, batched: bool, timeout_s: float) -> None:
        self.python, self.batched, self.timeout_s = python, batched, timeout_s
        self._child: Child | None = None
        self._greeting: dict[str, Any] = {}
        self._known = b""  # digest of the network that the worker has
        self._ender: weakref.finalize[[], Lava] | None = None

    def settle(self, network: Network, phase: Phase) -> Reached:
        """Run one phase; processes are kept while the network's structure (unbatched: and its numbers) stays.

        Raises:
            ModelError, CapabilityError: the network is refused before it runs, see `mep_hw.loihi.bounds`.
            MachineError: the worker died, was too slow, or Lava failed. Nothing is left of it; the next call starts a
                new one.
        """
        require_runnable(network, phase)
        shape = wire.structure(network, inputs=phase.inputs.shape[1], batched=self.batched)
        arrays = wire.numbers(network)
        digest = wire.digest(shape, arrays)
        if digest != self._known:
            self.ask({"what": "network", "structure": shape}, arrays)
            self._known = digest
        found = self.ask({"what": "phase", "steps": phase.steps}, wire.phase_arrays(network, phase))
        return wire.reached(found, len(network.populations))

    def ask(self, header: dict[str, Any], arrays: dict[str, Any]) -> dict[str, Any]:
        """Send the worker one message and wait for the arrays of its answer.

        Raises:
            MachineError: as in `settle`.
        """
        try:
            child = self._running()
            child.send(header, arrays, self.timeout_s)
            return child.receive(self.timeout_s)[1]
        except BaseException:  # also an interrupt: the worker may be in the middle of anything
            self.close()
            raise

    def about(self) -> dict[str, Any]:
        """Versions in the worker: python, lava, numpy; and whether `hardware` can be reached."""
        self._running()
        return dict(self._greeting)

    @property
    def pid(self) -> int | None:
        """The worker's process, which leads a session of its own; None while there is none."""
        return None if self._child is None else self._child.pid

    def close(self) -> None:
        """End the worker and all that Lava started."""
        if self._ender is not None:
            self._ender()
        self._child, self._known, self._ender = None, b"", None

    def __enter__(self) -> Lava:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _running(self) -> Child:
        if self._child is None:
            child = Child([str(self.python), *_OPTIONS, "-c", _START, str(WORKER)], f"Lava ({self.python})")
            self._ender = weakref.finalize(self, child.end)
            self._greeting = child.receive(self.timeout_s)[0]
            self._child = child
        return self._child
