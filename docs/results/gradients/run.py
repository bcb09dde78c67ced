"""Contrast against the exact gradient for every estimator, five seeds each; prints one JSON object.

In principle: float64, settled to 1e-12, beta 1e-4. As trained: float32, the card's settings, after training on digits.
"""

import json
import sys

import torch

import mep_hw
from mep_hw.estimator import NAMES
from mep_hw.studies.environment import environment

SEEDS = range(5)
MODELS = {
    "784-512-10": lambda seed, act: mep_hw.mlp(784, 512, 10, activation=act, seed=seed),
    "784-512-512-10": lambda seed, act: mep_hw.mlp(784, 512, 512, 10, activation=act, seed=seed),
    "64-64-64-64-64-64-64-10": lambda seed, act: mep_hw.mlp(*[64] * 7, 10, activation=act, seed=seed),
    "100-37-53-7": lambda seed, act: mep_hw.mlp(100, 37, 53, 7, activation=act, seed=seed),
    "conv, average pooling": lambda seed, act: mep_hw.convnet(
        (1, 14, 14), (8, 16), kernel=3, padding=1, activation=act, seed=seed
    ),
    "64-64-64-48-10 with skips": lambda seed, act: mep_hw.mlp(
        64, 64, 64, 48, 10, skips=[(0, 2), (1, 3), (2, 4)], activation=act, seed=seed
    ),
}


def in_principle(name: str, activation: str, estimator: str) -> dict[str, object]:
    reports = [
        mep_hw.gradient_check(MODELS[name](seed, activation), estimator=estimator, beta=1e-4, seed=seed)
        for seed in SEEDS
    ]
    row = {"model": name, "activation": activation, "estimator": estimator, "samples": reports[0].samples}
    row["min_cosine"] = min(report.min_cosine for report in reports)
    row["max_norm_error"] = max(report.max_norm_error for report in reports)
    print(row, file=sys.stderr, flush=True)
    return row


def as_trained(sizes: tuple[int, ...], seed: int) -> dict[str, object]:
    run = mep_hw.train(mep_hw.mlp(*sizes, seed=seed), seed=seed, progress=False)
    report = mep_hw.gradient_check(run.model, "digits", samples=256, as_trained=True, seed=seed)
    row = {"model": run.model.name, "seed": seed, "beta": report.beta, "min_cosine": report.min_cosine}
    row["max_norm_error"] = report.max_norm_error
    print(row, file=sys.stderr, flush=True)
    return row


torch.set_num_threads(1)
trained = [as_trained(sizes, seed) for sizes in ((64, 24, 10), (64, 128, 10), (64, 64, 64, 10)) for seed in range(3)]
rows = [in_principle(name, "sigmoid", "holomorphic") for name in list(MODELS)[2:]]
rows += [in_principle(name, "hard_sigmoid", e) for e in NAMES if e != "holomorphic" for name in list(MODELS)[::-1]]
rows += [in_principle(name, "sigmoid", "holomorphic") for name in list(MODELS)[:2]]
print(json.dumps({"environment": environment(), "as_trained_on_digits": trained, "in_principle": rows}, indent=2))
