"""What a submission says beside its result; empty where there is nothing to say."""

from __future__ import annotations

from datetime import datetime
from itertools import islice

from hpcsweep.state.outlook import Outlook, State
from hpcsweep.submission.replacing import Replaceable
from hpcsweep.submission.submit import Submitted, Wish

# Of cases that were computed with other code so many are named.
INDICES_NAMED = 10


def notices(done: Submitted, wish: Wish) -> list[str]:
    """All that a user should know after a submit."""
    found = [
        cancelled_notice(done) if done.plan is None else "",
        "" if wish.replace else replaceable_notice(done.replaceable, wish),
        other_code_notice(done.outlook, wish) if wish.rerun is None else "",
    ]
    return [notice for notice in found if notice]


def cancelled_notice(done: Submitted) -> str:
    """From when on it can be certain that cancelled tasks are over."""
    count, moment = done.cancelled.count, done.outlook.tasks.certain_from
    if not count or moment is None:
        return ""
    when = datetime.fromtimestamp(moment).strftime("%H:%M:%S")  # noqa: DTZ006  # as a clock on the wall says it
    return (
        f"{count} of them are in array tasks that were cancelled: that these "
        f"are over can be certain from {when} on. Submit again then, or --wait for it."
    )


def replaceable_notice(found: Replaceable | None, wish: Wish) -> str:
    """Which array tasks wait with other options, and what becomes of them."""
    if found is None:
        return ""
    if wish.replace:
        return f"{found}; they are cancelled, and their cases sent anew"
    return f"{found}; --replace cancels them and sends their cases anew"


def other_code_notice(outlook: Outlook, wish: Wish) -> str:
    """Whose results are not of the code as it is now, and what becomes of them."""
    stale = outlook.indices(State.STALE)
    if not stale:
        return ""
    some = ", ".join(map(str, islice(stale, INDICES_NAMED)))
    more = " …" if stale.count > INDICES_NAMED else ""
    what = f"{stale.count} complete cases were computed with other code (indices {some}{more})"
    return f"{what}; --rerun stale computes them again" if wish.rerun is None else what
