"""The conformance suite: the same questions to every machine, with bars from its card.

    report = mep_hw.conformance.run("my_chip.yaml")
    mep-hw conformance --backend my_chip.yaml

A check uses only what every `Substrate` promises, so a new machine inherits the suite by having a card. A machine that
passes settles to the model's energy and learns small problems; nothing is said about its speed or about large models.
"""

from mep_hw.conformance.checks import CHECKS as CHECKS
from mep_hw.conformance.report import Finding as Finding
from mep_hw.conformance.report import Outcome as Outcome
from mep_hw.conformance.report import Report as Report
from mep_hw.conformance.suite import run as run
