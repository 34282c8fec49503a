"""What the system refuses a task: one sentence, and what it makes of a case (invariant 12)."""

from __future__ import annotations

import errno
from typing import Any

from hpcsweep.errors import HpcsweepError
from hpcsweep.files import FULL
from hpcsweep.records import Reason


def number_of(error: OSError | HpcsweepError) -> int | None:
    """The number of the system's error behind this one."""
    found = getattr(error, "errno", None)
    return found if isinstance(found, int) else None


def described(error: OSError | HpcsweepError) -> dict[str, Any]:
    """Reason and error of a case, as an `Outcome` has them.

    A full disk or quota interrupts it; it burns no attempt.
    """
    number = number_of(error)
    reason = Reason.ERROR
    if number in FULL:
        reason = Reason.QUOTA
    elif number == errno.ENOMEM:
        reason = Reason.OUT_OF_MEMORY
    return {"reason": reason, "error": {"type": type(error).__name__, "message": sentence(error)}}


def sentence(error: OSError | HpcsweepError) -> str:
    """What was refused, and where, in one line."""
    if not isinstance(error, OSError) or isinstance(error, HpcsweepError):
        return str(error).partition("\n")[0]
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or type(error).__name__}"
