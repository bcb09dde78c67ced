"""Errors for people: which object, which field, what value, which rule, and a way out.

Everything a user can cause derives from `InputError`; the command line prints it as one line and exits with 2.
Anything else that escapes is a fault of ours (exit code 1).
"""

from __future__ import annotations


class InputError(ValueError):
    """Bad input. The message reads `object: field = value: rule; way out`.

    Args:
        where: the object at fault, such as a file, "data" or "train".
        field: the field or argument inside it; empty when the object as a whole is wrong.
        value: what was given; not printed when left out.
        rule: what had to hold.
        fix: one way out.
    """

    _ABSENT = object()

    def __init__(self, where: str, field: str = "", value: object = _ABSENT, *, rule: str, fix: str) -> None:
        self.where, self.field, self.rule, self.fix = where, field, rule, fix
        self.value = None if value is self._ABSENT else value
        shown = "" if value is self._ABSENT else f" = {_short(value)}"
        subject = f"{where}: {field}{shown}" if field else f"{where}{shown}"
        super().__init__(f"{subject}: {rule}; {fix}")


class CardError(InputError):
    """A device or backend card is missing, malformed or inconsistent."""


class ModelError(InputError):
    """A model description, module or tensor shape that cannot become an equilibrium model."""


class DataError(InputError):
    """Data that cannot be used: shapes, labels, NaN, truncated or altered files."""


class CheckpointError(InputError):
    """A checkpoint that cannot be read, or that belongs to another model or run."""


class CapabilityError(InputError):
    """A backend was asked for what its card says it cannot do."""


class ScheduleError(InputError):
    """An update that a machine cannot execute, with the limit that stands in the way."""


class DivergenceError(InputError):
    """Training left the finite or useful range; says what to lower and where the last good state is."""


class JobError(InputError):
    """The processes of one training job cannot work together, or one of them has ended."""


class MachineError(InputError):
    """An outside program that a backend drives is missing, is another version, or failed while it worked."""


class Notice(UserWarning):
    """Nothing is refused, but something is not as one might think; the command line prints it as one line."""


def _short(value: object, limit: int = 80) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."
