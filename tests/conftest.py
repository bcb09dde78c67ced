"""One torch thread for all tests: their tensors are small, and threads that wait for a busy core cost 30 times more.
Without a GPU, kernels run in Triton's interpreter, which has to be said before any is imported."""

from __future__ import annotations

import os

import torch

torch.set_num_threads(1)
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"
