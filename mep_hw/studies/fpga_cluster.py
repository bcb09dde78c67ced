"""What links cost a cluster of FPGAs: cycles, steps and how far states end from the fixed point, against latency.

In simulated time (`mep_hw.fpga.cluster.simulated`), whose cycles are a model: a word of weights a cycle, a word of a
frame a cycle. The subject has random weights, hidden couplings and read-out scaled to one spectral norm so that a
certificate holds; its inputs are samples of the digits set. `steps` of the synchronous mode are as many as the slowest
sample needs to stand still, found before. Not measured: a board, and weights that were trained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import torch

from mep_hw.fpga import oracle, proof
from mep_hw.fpga.cluster import simulated
from mep_hw.fpga.cluster.certificate import Certificate, certify
from mep_hw.fpga.cluster.partition import cycles_per_step, on_nodes
from mep_hw.fpga.cluster.timing import Timing
from mep_hw.fpga.spec import Format, Layer, Spec, Sums, Values, Whole
from mep_hw.studies.environment import environment

UNITS = (64, 48, 48, 48, 10)
NORM = 0.45  # of every coupling but the first
LATENCIES = (1, 10, 30, 100, 300, 1000, 3000)
NODES = (2, 3, 4)
SAMPLES, SEED = 2, 0
WAYS: dict[str, Callable[[int], Timing]] = {
    "synchronous": lambda latency: Timing(latency=latency, seed=SEED),
    "asynchronous": lambda latency: Timing(latency=latency, seed=SEED),
    "asynchronous, jitter": lambda latency: Timing(latency=latency, jitter=latency, seed=SEED),
    "asynchronous, 20 % lost": lambda latency: Timing(latency=latency, drop=0.2, seed=SEED),
}


def cluster_links(tell: Callable[[str], None]) -> dict[str, Any]:
    """Table with `settings`, `certificate` and `rows`; `tell` hears of each row.

    A row's `cycles_*` and `steps_*` are means over samples; `distance` of the free phase's end from the fixed point,
    the largest of a unit in units of the states, and `of_bound`, the largest in parts of the certificate's bound;
    `cosine` of the difference of both nudged phases with that of the synchronous mode, the lowest of a layer.
    """
    spec, values, x, y = subject()
    certificate = certify(spec, values)
    wanted = oracle.run(spec, values, x, y)
    rows: list[dict[str, Any]] = []
    for nodes in NODES:
        for name, timing in WAYS.items():
            for latency in LATENCIES:
                rows.append(_row(on_nodes(spec, nodes), values, x, y, name, timing(latency), certificate, wanted))
                tell(f"{nodes} nodes, {name}, {latency} cycles: {rows[-1]['cycles_free']:.0f} cycles")
    return {
        "settings": {
            "units": UNITS, "norm": NORM, "samples": SAMPLES, "seed": SEED, "lanes": spec.lanes,
            "step_shift": spec.step_shift, "free_steps": spec.free_steps, "nudged_steps": spec.nudged_steps,
            "beta": spec.beta / 2**spec.beta_fraction, "state": _shown(spec.layers[1].state),
            "weights": _shown(spec.weights[1]),
            "partitions": {nodes: on_nodes(spec, nodes).nodes for nodes in NODES},
            "cycles_per_step": {n: [cycles_per_step(on_nodes(spec, n), i) for i in range(n)] for n in NODES},
            "timing": asdict(Timing()),
        },
        "certificate": {
            "norm": certificate.norm, "factor": certificate.factor, "radius": certificate.radius,
            "bounds": [float(bound.max()) for bound in certificate.bounds],
        },
        "rows": rows, "environment": environment(),
    }  # fmt: skip


def _shown(form: Format) -> dict[str, int]:
    return {"bits": form.bits, "fraction": form.fraction}


def subject() -> tuple[Spec, Values, Whole, Whole]:
    """Specification on one node, values, and samples with their targets."""
    generator = torch.Generator().manual_seed(SEED)
    state, weight = Format(bits=16, fraction=14), Format(bits=14, fraction=12)
    one, depth = 1 << state.fraction, len(UNITS) - 1
    layers = [Layer(units=n, state=state, low=0, high=one, bias_bits=16) for n in UNITS]
    layers[-1] = layers[-1].model_copy(update={"low": state.least, "high": state.most})
    weights: list[Whole] = []
    for below, above in zip(UNITS, UNITS[1:], strict=False):
        drawn = torch.randn(above, below, generator=generator, dtype=torch.float64)
        norm = NORM if weights else 2 * NORM  # the first one only feeds the input in
        whole = np.rint((drawn * norm / torch.linalg.matrix_norm(drawn, 2)).numpy() * 2**weight.fraction)
        weights.append(whole.astype(np.int64))
    biases = tuple(np.full(n, one // 4, dtype=np.int64) for n in UNITS[1:])
    values = Values(tuple(weights), biases)
    spec = Spec(
        schema=1, name="-".join(map(str, UNITS)), layers=tuple(layers), weights=(weight,) * depth,
        sums=(Sums(up=1, down=0, total=1),) * depth, step_shift=1, free_steps=1000, nudged_steps=1000, beta=32,
        beta_fraction=7, lanes=8, nodes=(tuple(range(1, depth + 1)),),
    )  # fmt: skip
    spec = spec.model_copy(update={"sums": proof.sums(spec, values)})
    from sklearn.datasets import load_digits  # only here: other commands do without it

    images, labels = cast(Any, load_digits(return_X_y=True))
    x = np.rint(images[:SAMPLES] / 16 * one).astype(np.int64)
    y = np.eye(UNITS[-1], dtype=np.int64)[labels[:SAMPLES]] * one
    return spec.model_copy(update=_steps(spec, values, x, y)), values, x, y


def _steps(spec: Spec, values: Values, x: Whole, y: Whole) -> dict[str, int]:
    """As many as the slowest sample needs to stand still in each kind of phase, and one more."""
    beta, found = np.full(len(x), spec.beta), list[int]()
    state = oracle.at_rest(spec, len(x))
    for strength in (None, beta, -beta):
        begin, count = state, 0
        while True:
            after = oracle.settle(spec, values, x, begin, 1, strength, y)
            count += 1
            if all((a == b).all() for a, b in zip(begin, after, strict=True)):
                break
            begin = after
        found.append(count)
        state = begin if strength is None else state
    return {"free_steps": found[0], "nudged_steps": max(found[1:])}


def _row(
    spec: Spec, values: Values, x: Whole, y: Whole, name: str, timing: Timing, held: Certificate, wanted: oracle.Job
) -> dict[str, Any]:
    mode = "synchronous" if name == "synchronous" else "asynchronous"
    job, _, trace = simulated.run(spec, values, x, y, mode=mode, timing=timing)
    left = [np.abs(states - exact) for states, exact in zip(job.free, _fixed(spec, values, x), strict=True)]
    sizes = left if held.norm == "units" else [np.linalg.norm(part, axis=1)[:, None] for part in left]
    shares = [(size / bound).max() for size, bound in zip(sizes, held.bounds, strict=True)]
    free = [phases[0] for phases in trace.phases]
    return {
        "nodes": len(spec.nodes), "links": name, "latency": timing.latency,
        "cycles_free": float(np.mean([phase.cycles for phase in free])),
        "cycles_nudged": float(np.mean([phase.cycles for phases in trace.phases for phase in phases[1:]])),
        "steps_least": float(np.mean([min(phase.steps) for phase in free])),
        "steps_most": float(np.mean([max(phase.steps) for phase in free])),
        "at_rest": all(phase.still for phases in trace.phases for phase in phases),
        "distance": float(max(part.max() for part in left)), "of_bound": float(max(shares)),
        "cosine": _cosine(job, wanted), "frames": trace.sent, "lost": trace.lost, "left_out": trace.left_out,
    }  # fmt: skip


def _cosine(job: oracle.Job, wanted: oracle.Job) -> float:
    found: list[float] = []
    for a, b, c, d in zip(job.plus, job.minus, wanted.plus, wanted.minus, strict=True):
        left, right = (a - b).astype(np.float64), (c - d).astype(np.float64)
        found.append(float((left * right).sum() / (np.linalg.norm(left) * np.linalg.norm(right))))
    return min(found)


def _fixed(spec: Spec, values: Values, x: Whole) -> list[np.ndarray[Any, np.dtype[np.float64]]]:
    """The fixed point of the free phase without rounding, in units of the states; all layers have the same format."""
    weights = [w * 2.0**-form.fraction for w, form in zip(values.weights, spec.weights, strict=True)]
    state: list[np.ndarray[Any, np.dtype[np.float64]]] = [np.zeros((len(x), n)) for n in UNITS[1:]]
    for _ in range(500):
        chain, drives = [x.astype(np.float64), *state], [b.astype(np.float64) for b in values.biases]
        for n in range(len(state)):
            drives[n] = drives[n] + chain[n] @ weights[n].T
            if n + 1 < len(state):
                drives[n] = drives[n] + state[n + 1] @ weights[n + 1]
        state = [np.clip(d, layer.low, layer.high) for d, layer in zip(drives, spec.layers[1:], strict=True)]
    return state
