"""Learning inside of Loihi's engine, as Lava simulates it: one plastic connection, lava-nc's own `LearningDense`.

The contrast is (free product) - (nudged product) of rates, and a rule sees one phase at a time. So the product of the
free phase goes into the synapse's tag, and the end of the nudged phase commits the difference with one rounding:

    dt = c x1 y1 y3 - d t y3         free:   y3 up, t <- product
    dw = k (x1 y1 y2 - e t y2)       nudged: y2 up, w <- w + difference

Applying the free product to the weight itself, with a negative sign, would let the two phases run on different weights
and round twice. The engine's fixed-point products lose so many bits to shifts, each their own number, that the same
text means another rule than in floating point: x1 y1 y loses 10, t y loses 5. Hence a text for each.
"""

import numpy as np
from clock import FIRST, STEPS, new_clock, shared
from lava.magma.core.learning.constants import GradedSpikeCfg
from lava.magma.core.learning.learning_rule import Loihi3FLearningRule
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import LearningDense
from lava.utils.weightutils import SignMode
from learner import GATE, ONE, PAYLOAD, RATE, WEIGHT, Learner
from source import Source

STILL = 65535  # a time constant of a trace that hardly decays; 0 would clear it
TEXTS = {
    True: {"dt": "2^-2*u0*x1*y1*y3 - 2^-1*u0*t*y3", "dw": "2^-7*u0*x1*y1*y2 - 2^-6*u0*t*y2"},
    False: {"dt": "u0*x1*y1*y3 - u0*t*y3", "dw": "2^-3*u0*x1*y1*y2 - 2^-3*u0*t*y2"},
}
# What one sample adds to a weight, per unit of its contrast times beta.
RATES = {True: 2**-7 * GATE * RATE * RATE / 2**10 / WEIGHT, False: 2**-3}
BETA_FRACTION = 8


def learn(arrays, *, fixed, steps, seed):
    """Present samples one after the other; returns the weights at the end and the rate of learning.

    arrays: "weights" (targets, sources), "bias" (targets,), "inputs" (rows, sources) in (0, 1], "target"
    (rows, targets), "beta" (rows,), all in double precision; each row is one free and one nudged phase.
    """
    weight, one, strength = (WEIGHT, ONE, 2**BETA_FRACTION) if fixed else (1, 1, 1)
    kind = np.int64 if fixed else np.float64
    number = np.rint if fixed else np.asarray
    clock, rows = new_clock(), 2 * len(arrays["inputs"])
    clock[[FIRST, STEPS]] = 1, steps
    inputs = shared((rows, arrays["inputs"].shape[1]), np.int32 if fixed else float)
    payload = arrays["inputs"] * (PAYLOAD if fixed else 2)
    inputs[...] = np.repeat(np.clip(number(payload), 1, PAYLOAD) if fixed else payload, 2, axis=0)
    beta = np.repeat(arrays["beta"] * strength, 2)[:, None]
    beta[::2] = 0
    parts = {"bias": arrays["bias"] * one, "beta": beta, "target": np.repeat(arrays["target"] * one, 2, axis=0)}
    parts = {name: number(part).astype(kind) for name, part in parts.items()}
    given = {"kind": "readout", "shift": 2, "step_shift": 1, "beta_fraction": BETA_FRACTION, "dt": 0.5}

    rule = Loihi3FLearningRule(**TEXTS[fixed], x1_tau=STILL, t_epoch=steps + 1, rng_seed=seed)
    weights = (2 * np.rint(arrays["weights"] * weight / 2)).astype(int) if fixed else arrays["weights"]
    dense = LearningDense(
        weights=weights, learning_rule=rule, num_message_bits=24, sign_mode=SignMode.MIXED,
        graded_spike_cfg=GradedSpikeCfg.OVERWRITE,
    )  # fmt: skip
    source = Source(clock=clock, inputs=inputs, batched=False)
    learner = Learner(clock=clock, given=given, parts=parts)
    source.s_out.connect(dense.s_in)
    dense.a_out.connect(learner.a_in)
    learner.bap.connect(dense.s_in_bap)
    for name in ("y1", "y2", "y3"):
        getattr(learner, name).connect(getattr(dense, f"s_in_{name}"))
    try:
        source.run(RunSteps(rows * (steps + 1)), Loihi2SimCfg(select_tag="fixed_pt" if fixed else "floating_pt"))
        after = dense.weights.get()
    finally:
        source.stop()
    return {"before": weights / weight, "after": after / weight, "rate": np.array(RATES[fixed])}
