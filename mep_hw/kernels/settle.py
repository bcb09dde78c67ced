"""Phases of a dense chain by the fused kernel: one product for what the input sends, one launch for all sweeps."""

from __future__ import annotations

from torch import Tensor

from mep_hw.cards.settling import SettleOptions
from mep_hw.kernels.chain import Chain
from mep_hw.kernels.run import Packed, run_phase
from mep_hw.model import Model
from mep_hw.state import Nudge, Settled
from mep_hw.substrates.products import Products
from mep_hw.substrates.replayed import drives_at, limits


def settle_fused(
    model: Model,
    chain: Chain,
    products: Products,
    options: SettleOptions,
    inputs: Tensor,
    nudge: Nudge | None,
    start: Settled | None,
) -> Settled:
    """Settle a batch; a nudged phase needs a `start`, the free phase or a former nudged one."""
    limit, cap, _ = limits(options, inputs, nudge)
    static = products.couple(0, inputs, chain.first_bias) if start is None else None
    found = run_phase(
        chain, products.operands, limit=limit, cap=cap, static=static,
        start=None if start is None else _from(model, chain, products, inputs, nudge, start),
        nudge=nudge, silent=not model.loss.in_energy,
    )  # fmt: skip
    states = chain.split(found.states)
    output = states[-1] if model.loss.in_energy else chain.split(found.drives)[-1]
    return Settled(states, output, found.sweeps, found.residual, resume=found)


def _from(
    model: Model, chain: Chain, products: Products, inputs: Tensor, nudge: Nudge | None, start: Settled
) -> tuple[Tensor, Tensor]:
    if isinstance(start.resume, Packed):
        return start.resume.drives, start.resume.states
    drives, states = drives_at(model, products, inputs, nudge is not None, start)
    return chain.joined(drives), chain.joined(states)
