"""What noisy products and pulsed updates of arrays cost on this machine, next to a plain float32 product of the same
size.

Products: 7-bit DAC, 9-bit ADC, read noise; without wires, which cost nothing per read (`array.wires`). Weights 0.2 *
normal, states uniform in [-1, 1].

Updates: the whole way of one that is written as outer products, the drawing of its trains and all that the backend then
does. It has as many columns as the batch has states, normal factors, and a size at which each column takes `length`
slots, so that longer trains also hold more pulses. Cells start each time at 0.1 * normal. "Soft bounds" are those of
reram-sb with the steps, bounds, spread and noise of gokmen-vlasov, and so without write noise.

Compiling: the bundled card and ecram choose among rows and outer products for an update of RANK directions, as large as
a step of Dion, by each objective; nothing is executed.

All are timed in turn (`studies.timing`); ratios are to the plain product of the same round.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mep_hw.array.bank import Bank
from mep_hw.array.mapping import Mapping
from mep_hw.array.scale import pulse_step
from mep_hw.array.tiled import Tiled
from mep_hw.cards import BackendCard, DeviceCard, load_backend, load_device
from mep_hw.cards.array import ArrayOptions, Converter, Periphery, ReadNoise
from mep_hw.compiler import compile
from mep_hw.machine import minimising
from mep_hw.model import mlp
from mep_hw.outersum import OuterSum
from mep_hw.studies.timing import in_turn
from mep_hw.substrates.crossbar import Crossbar

PLAIN = "float32 product"
PERIPHERY = Periphery(dac=Converter(bits=7, range=1.0), adc=Converter(bits=9, range=12.0))
LENGTHS = (1, 31)
RANK = 16
_BELOW = 1 - 1e-4  # keeps rounding from adding a slot


def crossbar_costs(size: int, batch: int, tile: int, rounds: int) -> list[dict[str, Any]]:
    """Rows {name ms ratio ratio_quartiles pulses_per_cell}; the last is of one update, and 0 of products.

    Args:
        size: the coupling is size x size.
        batch: states per read, and outer products per update.
        tile: side of the arrays of the last product.
        rounds: timed calls of each kind.
    """
    generator = torch.Generator().manual_seed(0)
    weights = (0.2 * torch.randn(size, size, generator=generator)).clamp(-1, 1)
    states = 2 * torch.rand(batch, size, generator=generator) - 1
    same, own = ReadNoise(absolute=0.01), ReadNoise(relative=0.01)
    one = _coupling(weights, size, same)
    products: dict[str, Callable[[Tensor], Tensor]] = {
        PLAIN: lambda x: x @ weights.T,
        "forward": one.product,
        "transposed": one.product_transposed,
        "forward, noise by conductance": _coupling(weights, size, own).product,
        f"forward, arrays of {tile}": _coupling(weights, tile, same).product,
    }
    calls: dict[str, Callable[[], object]] = {name: partial(product, states) for name, product in products.items()}
    updates = {
        f"update, {name}, length {length}": _Updates(device, size, batch, length)
        for name, device in _devices().items()
        for length in LENGTHS
    }
    calls |= {f"compile rank {RANK}, {goal}": _compiling(goal, size) for goal in ("time", "energy", "wear")}
    rows = in_turn(calls | updates, PLAIN, rounds, {name: update.start for name, update in updates.items()})
    pulses = {name: update.pulses / size**2 for name, update in updates.items()}
    return [row | {"pulses_per_cell": pulses.get(row["name"], 0.0)} for row in rows]


def _compiling(goal: str, size: int) -> Callable[[], object]:
    generator = torch.Generator().manual_seed(4)
    left, right = (torch.linalg.qr(torch.randn(size, min(RANK, size), generator=generator))[0] for _ in range(2))
    card, device = minimising(load_backend("crossbar"), goal), load_device("ecram")
    return partial(compile, OuterSum(left, right, 0.1), None, card, device, generator)


class _Updates:
    """The same update of the same cells, time and again; `start` brings these back before the next."""

    def __init__(self, device: DeviceCard, size: int, batch: int, length: int) -> None:
        card = load_backend("crossbar").model_dump()
        card["array"] |= {
            "rows": size + 1,
            "cols": size + 1,
            "scale": 1.0,
            "scale_by": "weight",
            "writing": {},
        }  # with the reference's lines
        backend = BackendCard.model_validate(card | {"write_modes": ["outer"]})
        assert backend.array is not None
        self.generator = torch.Generator().manual_seed(2)
        self.crossbar = Crossbar(mlp(size, size), backend, device, seed=3)
        left, right = (torch.randn(size, batch, generator=self.generator) for _ in range(2))
        left, right = left / left.abs().amax(0), right / right.abs().amax(0)
        self.update = OuterSum(left, right, scale=_BELOW * length * pulse_step(backend.array, device))
        self.weights = 0.1 * torch.randn(size, size, generator=self.generator)
        self.pulses = 0

    def __call__(self) -> None:
        backend, device = self.crossbar.card_of(0), self.crossbar.device
        schedule = compile(self.update, None, backend, device, self.generator, local=True)
        self.pulses = self.crossbar.apply(0, schedule).pulses or 0

    def start(self) -> None:
        bank = self.crossbar.banks[0]
        assert isinstance(bank, Bank)  # a dense coupling, in one slice
        bank.set(self.weights)


def _devices() -> dict[str, DeviceCard]:
    constant, noisy = load_device("gokmen-vlasov"), load_device("reram-sb")
    soft = constant.model_copy(update={"name": "soft-bounds", "response": noisy.response})
    return {"constant step": constant, "soft bounds": soft, "reram-sb": noisy}


def _coupling(weights: Tensor, side: int, noise: ReadNoise) -> Tiled:
    options = ArrayOptions(rows=side, cols=side, forward=PERIPHERY, transposed=PERIPHERY, read_noise=noise)
    mapping = Mapping(0.25e-6, 25e-6, 1.0, "differential")  # any range does, the arithmetic is the same
    return Tiled(options, mapping, weights, torch.Generator().manual_seed(1))
