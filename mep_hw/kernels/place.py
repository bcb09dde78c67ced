"""Where kernels run: a GPU that can, or Triton's interpreter on the CPU."""

from __future__ import annotations

import torch
from triton import knobs

from mep_hw.cards.schema import BackendCard
from mep_hw.errors import CapabilityError

LEAST = (8, 0)  # compute capability from which bf16 and tf32 products exist


def interpreted() -> bool:
    """Whether TRITON_INTERPRET=1 was set when the kernels were imported."""
    return bool(knobs.runtime.interpret)


def place(backend: BackendCard) -> str:
    """The torch device of the card's kernels: its own, or "cpu" in the interpreter.

    Raises:
        CapabilityError: there is no such GPU here, or an older one.
    """
    if interpreted():
        return "cpu"
    name = backend.compute.torch_device
    fix = "use --backend cpu, or set TRITON_INTERPRET=1 to try the kernels slowly on the CPU"
    if torch.device(name).type != "cuda" or not torch.cuda.is_available() or torch.version.cuda is None:
        rule = "needs an NVIDIA GPU and a build of torch for CUDA, and there is none here"
        raise CapabilityError(f"backend {backend.name}", "compute.torch_device", name, rule=rule, fix=fix)
    if (torch.device(name).index or 0) >= torch.cuda.device_count():
        rule = f"there are only {torch.cuda.device_count()} GPUs here"
        raise CapabilityError(
            f"backend {backend.name}", "compute.torch_device", name, rule=rule, fix="name one of them"
        )
    found = torch.cuda.get_device_capability(name)
    if found < LEAST:
        rule = f"needs compute capability {LEAST[0]}.{LEAST[1]}, and this GPU has {found[0]}.{found[1]}"
        raise CapabilityError(f"backend {backend.name}", "compute.torch_device", name, rule=rule, fix=fix)
    return name
