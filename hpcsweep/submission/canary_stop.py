"""Stop a sweep whose canary failed: nothing else is sent until a user submits again."""

from __future__ import annotations

import contextlib
import time
from collections import Counter

from hpcsweep.files import json_bytes, make_directory, write_new
from hpcsweep.indexset import IndexSet
from hpcsweep.state import canary
from hpcsweep.state.outlook import Outlook
from hpcsweep.state.stopped import Stopped, stopped
from hpcsweep.store import SweepIndex
from hpcsweep.submission.policy import Policy, classes
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.stop import StopFact, stop_fact, stop_path


def has_failed(outlook: Outlook, policy: Policy) -> bool:
    """Whether the canary is over, none of its cases is complete, and none is sent again. Pure."""
    if canary.has_passed(outlook) or canary.is_running(outlook):
        return False
    again = IndexSet.union(classes(outlook, policy).values())
    return again.isdisjoint(outlook.canary)


def stop_if_failed(
    sweep: SweepDirectory, outlook: Outlook, policy: Policy, sweep_index: SweepIndex
) -> Stopped | None:
    """Stop the sweep if its canary failed. Returns why it is stopped by it; None if it is not.

    *Safe to repeat.* *Writes* the fact.
    """
    if not has_failed(outlook, policy):
        return None
    path = stop_path(sweep.path)
    if stop_fact(sweep.path) is None:
        fact: StopFact = {
            "time": time.time(),
            "failures": outlook.canary.count,
            "kind": reasons_text(outlook),
            "canary": True,
        }
        make_directory(path.parent)
        with contextlib.suppress(FileExistsError):
            write_new(path, json_bytes(fact))
    return stopped(sweep, sweep_index)


def reasons_text(outlook: Outlook) -> str:
    """How the cases of the canary ended: `4 exit_code, 1 timeout`."""
    counts: Counter[str] = Counter()
    for group in outlook.groups:
        reason = group.reason.value if group.reason else group.state.value
        counts[reason] += (group.indices & outlook.canary).count
    return ", ".join(f"{count} {reason}" for reason, count in sorted(counts.items()) if count)
