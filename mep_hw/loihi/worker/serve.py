"""The worker's main loop: answers messages until its standard input ends, and then ends with all that Lava started.

Messages: "network" (structure and numbers), "phase" (one batch, answered with what it reached), "learn" (see
learning.py). Errors are answered as text; the client then ends the worker, as Lava cannot be trusted after one.
"""

import ctypes
import os
import queue
import signal
import threading
import traceback

import frames
from about import about

DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux's prctl


class Server:
    """Keeps the processes of the last network for as long as they serve."""

    def __init__(self):
        self.structure = self.arrays = self.graph = None
        self.fresh = False  # the running processes have these numbers

    def answer(self, header, arrays):
        """(header, arrays) of the answer to one message."""
        if header["what"] == "network":
            self.fresh = False
            self.structure, self.arrays = header["structure"], arrays
            return {}, {}
        if header["what"] == "learn":
            from learning import learn

            return {}, learn(arrays, fixed=header["fixed"], steps=header["steps"], seed=header["seed"])
        self._prepare(len(arrays["inputs"]))
        return {}, self.graph.run(arrays, header["steps"])

    def _prepare(self, rows):
        from graph import Graph

        graph = self.graph
        fits = graph is not None and graph.structure == self.structure and graph.rows >= rows
        if fits and (self.fresh or graph.batched):
            if not self.fresh:
                graph.load(self.arrays)
        else:
            if graph is not None:
                graph.stop()
            self.graph = Graph(self.structure, self.arrays, rows)
        self.fresh = True


def main():
    """Serve standard input; what libraries print goes to standard error, where it cannot get between messages."""
    incoming, outgoing = os.dup(0), os.dup(1)
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.register_at_fork(after_in_child=lambda: _leave(incoming, outgoing))
    messages = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(incoming, messages), daemon=True).start()
    import lava.magma.core.run_configs  # noqa: F401  what is imported now need not be imported in the first phase

    frames.write(outgoing, about(), {})
    server = Server()
    while True:
        header, arrays = messages.get()
        try:
            answer = server.answer(header, arrays)
        except Exception as error:  # whatever Lava raises is the client's to know
            traceback.print_exception(error, limit=2)
            answer = {"error": f"{type(error).__name__}: {error}"}, {}
        frames.write(outgoing, *answer)


def _receive(incoming, messages):
    """Read ahead, so that the end of the input is seen while Lava runs."""
    message = frames.read(incoming)
    while message is not None:
        messages.put(message)
        message = frames.read(incoming)
    # The group is this worker's own. Python's keeper of shared memory ignores SIGTERM, and so outlives the others to
    # remove what they shared.
    os.killpg(os.getpgrp(), signal.SIGTERM)


def _leave(*handles):
    """In every process that Lava forks: hold no pipe open, and die with the worker however it dies (on Linux)."""
    for handle in handles:
        os.close(handle)
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(DIE_WITH_PARENT, signal.SIGKILL)
