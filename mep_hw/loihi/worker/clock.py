"""Which update of which sample a step of Lava's clock is, read by every process model from one small shared array.

A phase takes steps + 1 steps of the clock for each sample (all rows at once when batched): in the first, units send
what `start` sends and update nothing, so that every connection holds a sum that belongs to this sample; Lava's Dense
sends what it summed in the step before. Shared memory is anonymous, made before Lava forks its processes, so that it
has no name and cannot be left behind; setting Lava's own variables would cost tens of microseconds per element.
"""

import mmap

import numpy as np

FIRST, STEPS = 0, 1  # entries of the clock: the step of Lava's clock at which the phase begins, and its updates


def shared(shape, dtype):
    """An array of zeros that forked processes see, too."""
    count = int(np.prod(shape))
    dtype = np.dtype(dtype)
    return np.frombuffer(mmap.mmap(-1, max(count, 1) * dtype.itemsize), dtype, count).reshape(shape)


def new_clock():
    return shared((2,), np.int64)


def place(clock, time_step):
    """(sample, update, last): update 0 is the priming step; `last` tells that the sample's phase ends with it."""
    steps = int(clock[STEPS])
    sample, update = divmod(time_step - int(clock[FIRST]), steps + 1)
    return sample, update, update == steps
