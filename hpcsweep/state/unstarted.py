"""Indices that no attempt began: queued, in a task that is over, or never submitted."""

from __future__ import annotations

from dataclasses import dataclass

from hpcsweep.indexset import IndexSet
from hpcsweep.records import Reason
from hpcsweep.state.missing import Wanted, indices_in
from hpcsweep.state.sent import View
from hpcsweep.store import SweepIndex
from hpcsweep.sweepdir.directory import SweepDirectory


@dataclass(frozen=True, kw_only=True, slots=True)
class Unstarted:
    """Indices that no attempt began, by what is known of them."""

    # In array tasks that wait, or run and have not come to them.
    queued: IndexSet
    # As `queued`, but nobody could be asked since they were submitted.
    unknown: IndexSet
    # In array tasks that are over, by reason.
    interrupted: dict[Reason, IndexSet]
    # In no array task: a submit sends them.
    unsubmitted: IndexSet

    @property
    def some(self) -> IndexSet:
        """All of them."""
        found = self.queued | self.unknown | self.unsubmitted
        for indices in self.interrupted.values():
            found |= indices
        return found


def newest(sweep: SweepDirectory) -> Wanted:
    """The manifest of the last submission, with its cases."""
    found = sweep.newest()
    return Wanted(sweep=sweep, manifest=found.manifest, source=found.source)


def not_begun(wanted: Wanted, store: SweepIndex) -> IndexSet:
    """The indices that no attempt began."""
    return IndexSet.all(wanted.source.n_cases) - store.indices()


def unstarted(wanted: Wanted, store: SweepIndex, view: View, rest: IndexSet) -> Unstarted:
    """Sort indices that no attempt began, or none of the generation that is wanted."""
    nothing = IndexSet()
    if not rest:
        return Unstarted(queued=rest, unknown=rest, interrupted={}, unsubmitted=rest)
    unknown = rest & indices_in(wanted, view.unknown_chunks)
    rest -= unknown
    queued = rest & indices_in(wanted, view.open_chunks)
    rest -= queued
    interrupted: dict[Reason, IndexSet] = {}
    over: dict[tuple[int, Reason], list[int]] = {}
    for task in store.tasks():
        if task["reason"]:
            key = -int(task["submission"]), Reason(task["reason"])
            over.setdefault(key, []).append(task["chunk"])
    # The last submission that had an index says what became of it.
    for (number, why), chunks in sorted(over.items()):
        plan, _ = wanted.sweep.plan(-number)
        ranges = [pair for chunk in chunks for pair in plan.chunk(chunk).ranges]
        indices = rest & wanted.here(plan.manifest, IndexSet(ranges))
        if indices:
            interrupted[why] = interrupted.get(why, nothing) | indices
            rest -= indices
    return Unstarted(
        queued=queued,
        unknown=unknown,
        interrupted=interrupted,
        unsubmitted=rest,
    )
