"""Run the checks on one backend: those of its card's bars, without those that the card calls unsupported.

A machine's own complaint (an `InputError`) fails the check it occurs in and the suite goes on; any other exception is a
fault in the substrate's code and ends the suite with its traceback.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mep_hw import machine
from mep_hw.cards.explain import did_you_mean
from mep_hw.cards.schema import BackendCard
from mep_hw.conformance.checks import CHECKS, Check
from mep_hw.conformance.problems import KINDS, REQUIRED
from mep_hw.conformance.report import Finding, Outcome, Report, Status
from mep_hw.conformance.subject import Subject
from mep_hw.errors import CardError, InputError


def run(
    backend: str | Path | BackendCard,
    checks: Sequence[str] | None = None,
    *,
    unsupported: bool = False,
    on_check: Callable[[str], None] | None = None,
) -> Report:
    """The results of `checks` (None: all of them) on `backend`, with the backend's own device.

    Args:
        backend: a card's name or path, or a card.
        checks: names in `CHECKS`.
        unsupported: run the checks that the card calls unsupported as well; one that passes then counts as failed.
        on_check: told the name of each check before it runs.

    Raises:
        InputError: no such backend or check; a substrate that cannot be had; a card that excuses what it cannot.
    """
    subject = Subject(*machine.cards(backend))
    excused = subject.bars.unsupported
    for name in excused:
        if name not in CHECKS:
            field = f"conformance.unsupported.{name}"
            raise CardError(subject.card.origin, field, rule="is not a check", fix=_known(name))
    for kind in subject.bars.unsupported_models:
        if kind not in KINDS or kind in REQUIRED:
            field, can = f"conformance.unsupported_models.{kind}", ", ".join(k for k in KINDS if k not in REQUIRED)
            rule, fix = "is not a kind of model that can be excused", f"those are {can}"
            raise CardError(subject.card.origin, field, rule=rule, fix=fix)
    for name in checks or ():
        if name not in CHECKS:
            raise InputError("conformance", "check", name, rule="is not a check", fix=_known(name))
    outcomes: list[Outcome] = []
    for check in (check for name, check in CHECKS.items() if checks is None or name in checks):
        reason = excused.get(check.name, "")
        if reason and not unsupported:
            outcomes.append(Outcome(check.name, "unsupported", reason=reason))
            continue
        if on_check is not None:
            on_check(check.name)
        outcomes.append(_run(check, subject, reason))
    if checks is None:
        excuses = subject.bars.unsupported_models.items()
        outcomes += [Outcome(f"models of kind {kind}", "unsupported", reason=reason) for kind, reason in excuses]
    return Report(subject.card.name, tuple(outcomes))


def _run(check: Check, subject: Subject, reason: str) -> Outcome:
    started, findings, error = time.perf_counter(), list[Finding](), ""
    try:
        findings += check.measure(subject)
    except InputError as complaint:
        error = str(complaint)
    finally:
        subject.close()
    if not (findings or error):
        error = "measured nothing"
    good = not error and all(finding.kept for finding in findings)
    status: Status = ("failed" if good else "unsupported") if reason else ("passed" if good else "failed")
    return Outcome(check.name, status, tuple(findings), error, reason, time.perf_counter() - started)


def _known(name: str) -> str:
    return f"{did_you_mean(name, list(CHECKS))}checks are {', '.join(CHECKS)}"
