"""What the suite found: single measurements with their bars, their sum per check, and the report on one backend.

A check passes when it measured something and every measurement keeps its bar; a NaN keeps none. A check that the card
calls unsupported is left out, or, when it is asked for, expected to fail: that it passes is then reported as a failure,
so that the reason in the card does not outlive the fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal["passed", "failed", "unsupported"]


@dataclass(frozen=True)
class Finding:
    """One measurement: what was measured, the value and the bar as text, and whether the bar was kept."""

    text: str
    kept: bool


def at_most(what: str, value: float, bar: float) -> Finding:
    """value <= bar."""
    return Finding(f"{what} = {value:.4g}, must be at most {bar:g}", value <= bar)


def at_least(what: str, value: float, bar: float) -> Finding:
    """value >= bar."""
    return Finding(f"{what} = {value:.6g}, must be at least {bar:g}", value >= bar)


def above(what: str, value: float, bar: float) -> Finding:
    """value > bar."""
    return Finding(f"{what} = {value:.4g}, must be above {bar:.4g}", value > bar)


def fact(what: str, holds: bool) -> Finding:
    """Something that is true or not, such as a refusal."""
    return Finding(what if holds else f"not so: {what}", holds)


@dataclass(frozen=True)
class Outcome:
    """One check's result.

    findings: everything measured, in order.
    error: the machine's own refusal or complaint that ended the check early; "" when there was none.
    reason: the card's reason for a check that it calls unsupported; "" for all others.
    """

    check: str
    status: Status
    findings: tuple[Finding, ...] = ()
    error: str = ""
    reason: str = ""
    seconds: float = 0.0

    @property
    def complaints(self) -> Iterator[str]:
        """Why the check did not pass, one line each: value and bar."""
        if self.error:
            yield self.error
        if self.status == "failed" and self.reason:
            yield f"now supported: remove it from the card, which says: {self.reason}"
        yield from (finding.text for finding in self.findings if not finding.kept)


@dataclass(frozen=True)
class Report:
    """One backend's results, a check each, in the order of the table of checks."""

    backend: str
    outcomes: tuple[Outcome, ...]

    @property
    def ok(self) -> bool:
        return not self.named("failed")

    def named(self, status: Status) -> list[str]:
        """Names of the checks with this status."""
        return [outcome.check for outcome in self.outcomes if outcome.status == status]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON types: `passed` and `failed` are lists of check names, `unsupported` one of {check, reason}."""
        left_out = [{"check": o.check, "reason": o.reason} for o in self.outcomes if o.status == "unsupported"]
        passed, failed = self.named("passed"), self.named("failed")
        return {"backend": self.backend, "passed": passed, "failed": failed, "unsupported": left_out}
