"""Data for training: two named sets, a user's own arrays or loaders, and the check that stands before every run.

    data = check(as_data(source), input_shape=(64,), outputs=10)

Everything is held in memory on the CPU; a set that does not fit there is outside what this package does.
"""

from __future__ import annotations

from mep_hw.data.check import check
from mep_hw.data.convert import one_hot
from mep_hw.data.idx import read_idx
from mep_hw.data.mnist import mnist
from mep_hw.data.sets import Data, digits
from mep_hw.data.source import Source, as_data, load

__all__ = ["Data", "Source", "as_data", "check", "digits", "load", "mnist", "one_hot", "read_idx"]
