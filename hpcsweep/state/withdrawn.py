"""The cases that a user cancelled, and that no submission has sent since."""

from __future__ import annotations

from collections.abc import Sequence

from hpcsweep.indexset import IndexSet
from hpcsweep.state.index_order import in_order_of
from hpcsweep.sweepdir.cancelled import facts
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import Plan
from hpcsweep.sweepdir.version import Version


def withdrawn_cases(sweep: SweepDirectory, version: Version, plans: Sequence[Plan]) -> IndexSet:
    """Their indices in the order of `version`; `plans` are those of all submissions."""
    withdrawn = IndexSet()
    for fact in facts(sweep):
        indices = [IndexSet.from_json(fact["indices"])]
        (cancelled,) = in_order_of(version, sweep, fact["manifest"], indices)
        for plan in plans:
            if plan.submission > fact["submission"]:
                # What it left for lack of room was asked for, too.
                planned = [plan.indices if plan.goal is None else plan.goal]
                (again,) = in_order_of(version, sweep, plan.manifest, planned)
                cancelled -= again
        withdrawn |= cancelled
    return withdrawn
