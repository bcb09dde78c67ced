"""One torch thread for all tests: their tensors are small, and threads that wait for a busy core cost 30 times more."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
