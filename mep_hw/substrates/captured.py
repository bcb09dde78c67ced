"""A function of tensors as a captured CUDA graph: all of its launches become one replay.

What it reads besides its arguments, such as weights, has to stay in place. The results of a call are overwritten by the
next one. Off CUDA there is nothing to capture and the function is called as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

import torch
from torch import Tensor

Function = Callable[[list[Tensor]], list[Tensor]]
WARM_UPS = 3  # calls before the capture, in which libraries choose their kernels and claim their memory
KEPT = 16  # graphs, each of which holds the memory of its tensors


class Captured:
    """`function` with arguments of the shapes of `example`."""

    def __init__(self, function: Function, example: list[Tensor]) -> None:
        self.function = function  # and with it the tensors that it works on: a replay writes to where they were
        self.arguments = [value.clone() for value in example]
        self.graph = torch.cuda.CUDAGraph()
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UPS):
                function(self.arguments)
        torch.cuda.current_stream().wait_stream(aside)
        with torch.cuda.graph(self.graph):
            self.results = function(self.arguments)

    def __call__(self, values: list[Tensor]) -> list[Tensor]:
        for mine, value in zip(self.arguments, values, strict=True):
            mine.copy_(value)
        self.graph.replay()
        return self.results


class Graphs:
    """The captured functions of one machine; the one that was not used for longest goes first."""

    def __init__(self) -> None:
        self.held: dict[Hashable, Captured] = {}

    def call(self, key: Hashable, function: Function, values: list[Tensor]) -> list[Tensor]:
        """`function` of `values`; `key` stands for everything else that it depends on."""
        if not values[0].is_cuda:
            return function(values)
        whole = (key, *((value.shape, value.dtype) for value in values))
        captured = self.held.pop(whole, None) or Captured(function, values)
        self.held[whole] = captured
        if len(self.held) > KEPT:
            del self.held[next(iter(self.held))]
        return captured(values)
