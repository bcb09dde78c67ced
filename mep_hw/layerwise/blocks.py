"""A module cut into blocks f_1 .. f_L, each of which maps one tensor to one tensor and owns its parameters.

In an `nn.Sequential` a module with parameters and the ones without that follow it make one block, so that a state sits
after every activation; modules without parameters at the very front join the first block. An `nn.TransformerEncoder`
called without masks is such a sequence too, of its layers and its final norm. Anything else has no order that could be
read off: inside a sequence it is one block, and as the model itself it needs its blocks given. Batches are dimension 0
everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from mep_hw.errors import ModelError

Part = tuple[str, nn.Module]  # its path in the model, and the module


@dataclass(frozen=True, eq=False)
class Block:
    """Modules called one after the other; attention is called as self-attention."""

    parts: tuple[Part, ...]

    @property
    def name(self) -> str:
        first, last = self.parts[0][0], self.parts[-1][0]
        return first if len(self.parts) == 1 else f"{first} to {last}"

    def modules(self) -> Iterator[Part]:
        """Every module in the block, at any depth, with its path."""
        for path, part in self.parts:
            for inner, module in part.named_modules():
                yield (f"{path}.{inner}" if inner else path), module

    def parameters(self) -> list[nn.Parameter]:
        """Each parameter once, frozen ones included."""
        return list({id(p): p for _, part in self.parts for p in part.parameters()}.values())

    def __call__(self, value: Tensor) -> Tensor:
        """f(value) for `value` (rows, *shape), which is left unchanged.

        Raises:
            ModelError: a module returned something else than one tensor with as many rows.
        """
        rows = len(value)
        if any(getattr(module, "inplace", False) for _, module in self.modules()):
            value = value.clone()
        for path, part in self.parts:
            if isinstance(part, nn.MultiheadAttention):
                result: object = part(value, value, value, need_weights=False)[0]
            else:
                result = part(value)
            if not isinstance(result, Tensor) or result.shape[:1] != (rows,):
                shown = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
                raise ModelError(
                    f"module {path} ({type(part).__name__})", "output", shown,
                    rule=f"must be one tensor with {rows} rows, one for each row of its input",
                    fix="wrap it in a module that returns such a tensor",
                )  # fmt: skip
            value = result
        return value


def find(module: nn.Module, blocks: Sequence[nn.Module] | None = None) -> list[Block]:
    """The blocks of `module`, from input to output; `blocks` gives them where it is no sequence.

    Raises:
        ModelError: there is nothing to cut, or no block has parameters.
    """
    sequence = _inside(module)
    if blocks is not None:
        paths = {id(part): path for path, part in module.named_modules()}
        parts = [(paths.get(id(part), f"blocks[{n}]"), part) for n, part in enumerate(blocks)]
        found = [Block((part,)) for part in parts]
    elif sequence is not None:
        found = _cut(list(_flat(sequence, "")))
    else:
        raise ModelError(
            "layerwise", "model", type(module).__name__,
            rule="is no nn.Sequential (or plain nn.TransformerEncoder), so its blocks are not known",
            fix="give blocks=[...], the modules it calls one after the other",
        )  # fmt: skip
    if not any(block.parameters() for block in found):
        raise ModelError("layerwise", "model", type(module).__name__, rule="has no parameters", fix="add a layer")
    return found


def _cut(parts: Sequence[Part]) -> list[Block]:
    groups: list[list[Part]] = [[]]
    weighted = False  # whether the open group has its module with parameters
    for path, part in parts:
        has_weights = next(part.parameters(), None) is not None
        if has_weights and weighted:
            groups.append([])
        weighted = weighted or has_weights
        groups[-1].append((path, part))
    return [Block(tuple(group)) for group in groups if group]


def _flat(sequence: Sequence[Part], prefix: str) -> Iterator[Part]:
    for name, part in sequence:
        inner = _inside(part)
        if inner is None:
            yield f"{prefix}{name}", part
        else:
            yield from _flat(inner, f"{prefix}{name}.")


def _inside(module: nn.Module) -> list[Part] | None:
    """What `module` calls one after the other, doing nothing else; None where it may do anything.

    A subclass with a forward of its own may compute anything. So may layers of an encoder that are no
    TransformerEncoderLayer, which need not take one tensor. Layers that share weights have to stay in one block.
    """
    forward = type(module).forward
    if isinstance(module, nn.Sequential) and forward is nn.Sequential.forward:
        return [(str(n), part) for n, part in enumerate(module)]  # named_children() leaves out a second use
    if isinstance(module, nn.TransformerEncoder) and forward is nn.TransformerEncoder.forward:
        layers = [*module.layers]
        weights = [id(p) for layer in layers for p in layer.parameters()]
        if len(set(weights)) < len(weights) or not all(isinstance(k, nn.TransformerEncoderLayer) for k in layers):
            return None
        parts = [(f"layers.{n}", layer) for n, layer in enumerate(layers)]
        return parts if module.norm is None else [*parts, ("norm", module.norm)]
    return None
