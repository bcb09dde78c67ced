"""Five rules on the same digits: accuracy, and the rank of what a machine would have to write."""

import torch

import mep_hw
from mep_hw import rules
from mep_hw.outersum import OuterSum, dense

contrast = OuterSum(torch.randn(24, 64), torch.randn(64, 64), 1 / 32)  # 32 samples, two phases
for name in ("sgd", "adam", "muon", "dion", "natural"):
    run = mep_hw.train(mep_hw.mlp(64, 24, 10), rule=name, epochs=4, progress=False)
    rank = "-"
    if name != "natural":  # which also wants the states behind the contrast
        rule = rules.make(name, momentum=0.9)
        update, _ = rule.step(contrast, rule.init((24, 64), torch.Generator(), torch.float32), lr=0.1)
        rank = str(int(torch.linalg.matrix_rank(dense(update))))
    print(f"{name:8} test accuracy {run.test_accuracy:.3f}   rank of one update {rank}")
