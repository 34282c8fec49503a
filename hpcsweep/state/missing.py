"""What a submit would send: neither complete nor failed, and nowhere in the cluster's hands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.records import Status
from hpcsweep.sources import ParameterSource
from hpcsweep.state.manifest_diff import in_newest_order
from hpcsweep.state.queued import Queued, queued_otherwise
from hpcsweep.state.sent import View
from hpcsweep.store import SweepIndex
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import Plan
from hpcsweep.target import digest_without_import


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """The indices of a manifest, by what a submit does with them."""

    # To be submitted.
    indices: IndexSet
    # Not complete, but in array tasks that the cluster holds, or may hold.
    held: IndexSet = IndexSet()
    complete: IndexSet = IndexSet()
    failed: IndexSet = IndexSet()
    # Complete, but computed by code with another digest than today's; none where that is not known.
    stale: IndexSet = IndexSet()
    # Of the submission to come.
    generation: int = 0
    # Array tasks that wait, and that a submit of the manifest would send otherwise.
    queued: Queued | None = None
    # Part of `held`: in tasks that were cancelled and are not yet known to be over.
    cancelled: IndexSet = IndexSet()
    # Seconds of the epoch before which it cannot be certain that they are.
    certain_from: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """The manifest whose cases are wanted, which may be newer than the store's order."""

    sweep: SweepDirectory
    manifest: FrozenManifest
    # With replicates.
    source: ParameterSource

    def here(self, fingerprint: str, indices: IndexSet) -> IndexSet:
        """Indices of one of the sweep's manifests, as indices of this one."""
        return in_newest_order(self.sweep, fingerprint, indices, self.manifest, self.source)


def indices_in(wanted: Wanted, chunks: Iterable[tuple[Plan, int]]) -> IndexSet:
    """The indices of these chunks, as indices of the wanted manifest."""
    by_manifest: dict[str, list[tuple[int, int]]] = {}
    for plan, chunk in chunks:
        by_manifest.setdefault(plan.manifest, []).extend(plan.chunk(chunk).ranges)
    found = IndexSet()
    for fingerprint, ranges in by_manifest.items():
        found |= wanted.here(fingerprint, IndexSet(ranges))
    return found


def outdated(wanted: Wanted, store: SweepIndex) -> IndexSet:
    """Indices that were submitted to be computed again, and are known by an older result only."""
    found, order = IndexSet(), wanted.sweep.newest_manifest()
    for number in wanted.sweep.submissions():
        plan, _ = wanted.sweep.plan(number)
        if plan.generation > 0:
            older = store.indices(below_generation=plan.generation)
            asked = wanted.here(plan.manifest, plan.indices)
            found |= asked & wanted.here(order, older)
    return found


def highest_generation(sweep: SweepDirectory, store: SweepIndex) -> int:
    """Of any attempt that is known, and of any submission, whether it was ever handed in."""
    plans = (sweep.plan(number)[0] for number in sweep.submissions())
    return max([store.max_generation(), *(plan.generation for plan in plans)])


def code_here(wanted: Wanted) -> str | None:
    """The digest of the user's code as it is here and now, told without importing it.

    Where that cannot be told, as in an archive, the last submission's. None for another target.
    """
    sweep = wanted.sweep
    plan, document = sweep.plan(sweep.submissions()[-1])
    if sweep.version(plan.manifest).manifest.target != wanted.manifest.target:
        return None
    found = digest_without_import(wanted.manifest, document.get("code_files"))
    return found or document.get("code_digest")


def from_other_code(wanted: Wanted, store: SweepIndex, code_digest: str | None) -> IndexSet:
    """The indices that are complete, and were computed by code with another digest.

    Of what a cache had nothing was run, and no digest is known.
    """
    if code_digest is None:
        return IndexSet()
    complete = [Status.COMPLETE.value]
    found = store.indices(complete)
    for digest in (code_digest, None):
        found -= store.indices(complete, code_digest=digest)
    return wanted.here(wanted.sweep.newest_manifest(), found) - outdated(wanted, store)


def what_is_missing(
    wanted: Wanted, store: SweepIndex, view: View, rerun: str | None, code_digest: str | None
) -> Missing:
    """Sort the indices of the wanted manifest by what is known of their cases."""
    order = wanted.sweep.newest_manifest()
    old = outdated(wanted, store)
    complete = wanted.here(order, store.indices([Status.COMPLETE.value])) - old
    failed = wanted.here(order, store.indices([Status.FAILED.value])) - old
    stale = from_other_code(wanted, store, code_digest)
    held = indices_in(wanted, view.open_chunks)
    again = {"stale": stale, "failed": failed, "all": complete | failed, None: IndexSet()}[rerun]
    every = IndexSet.all(wanted.source.n_cases)
    rest = every - complete - failed
    return Missing(
        indices=(rest | again) - held,
        held=held & (rest | again),
        complete=complete,
        failed=failed,
        stale=stale,
        generation=highest_generation(wanted.sweep, store) + bool(again - held),
        queued=queued_otherwise(wanted.sweep, wanted.manifest, store, view),
        cancelled=indices_in(wanted, view.cancelled_chunks) & (rest | again),
        certain_from=view.certain_from,
    )
