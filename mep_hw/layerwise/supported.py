"""Which modules a block may hold: those that compute the same function of one tensor in every phase.

Random modules would differ between phases and the difference, divided by beta, would drown the contrast. Only modules
can be looked at: randomness inside a forward method is found when the blocks are compared with the model's own output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

from torch import nn
from torch.nn.modules.dropout import _DropoutNd as Dropout  # pyright: ignore[reportPrivateUsage]
from torch.nn.parameter import is_lazy

from mep_hw.errors import ModelError
from mep_hw.layerwise.blocks import Block

SUPPORTED = (
    "supported are modules from one tensor to one: Linear, convolutions, normalisation, activations, pooling, a first "
    "Embedding, TransformerEncoder, its layers, MultiheadAttention as self-attention, your own"
)
SEVERAL = (nn.RNNBase, nn.RNNCellBase, nn.Bilinear, nn.Transformer, nn.TransformerDecoder, nn.TransformerDecoderLayer)


def check_structure(blocks: Sequence[Block]) -> None:
    """What does not change with the mode of the model.

    Raises:
        ModelError: names the module.
    """
    owners: dict[int, Block] = {}
    for number, block in enumerate(blocks):
        for path, part in block.parts:
            if isinstance(part, SEVERAL):
                _refuse(path, part, "takes or returns more than one tensor")
            if isinstance(part, nn.Embedding) and (number, path) != (0, blocks[0].parts[0][0]):
                _refuse(path, part, "needs integers, which only the first module gets")
            if type(part).__module__.startswith("torch.nn."):
                _require_batch_first(path, part)
        for path, module in block.modules():
            if any(is_lazy(p) for p in module.parameters(recurse=False)):
                _refuse(path, module, "is lazy and has no shape yet", "call the model once before")
            if isinstance(module, nn.Embedding) and (module.max_norm is not None or module.sparse):
                _refuse(path, module, "changes its weights or has sparse gradients", "leave max_norm and sparse alone")
        for p in block.parameters():
            if owners.setdefault(id(p), block) is not block:
                raise ModelError(
                    f"module {block.name}", "parameter", tuple(p.shape),
                    rule=f"is shared with module {owners[id(p)].name}",
                    fix="give each block weights of its own, or put both uses into one module",
                )  # fmt: skip


def check_mode(blocks: Sequence[Block]) -> None:
    """Random modules that are switched on.

    Raises:
        ModelError: names the module.
    """
    for block in blocks:
        for path, module in block.modules():
            if module.training and (_rate(module) > 0 or isinstance(module, nn.RReLU)):
                _refuse(path, module, "is random between phases", "set its rate to 0, or put the model into eval mode")


def _rate(module: nn.Module) -> float:
    if isinstance(module, Dropout):
        return module.p
    return module.dropout if isinstance(module, nn.MultiheadAttention | nn.RNNBase) else 0.0


def _require_batch_first(path: str, part: nn.Module) -> None:
    for inner, module in part.named_modules():
        if isinstance(module, nn.MultiheadAttention) and not module.batch_first:
            shown = f"{path}.{inner}" if inner else path
            _refuse(shown, module, "has the batch in dimension 1", "build it with batch_first=True")


def _refuse(path: str, module: nn.Module, rule: str, fix: str = SUPPORTED) -> NoReturn:
    raise ModelError(f"module {path} ({type(module).__name__})", rule=rule, fix=fix)
