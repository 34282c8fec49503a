"""Status: what is known of every index of a sweep, and how old that knowledge is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hpcsweep.cluster.base import Cluster
from hpcsweep.cluster.slurm.reasons import meaning, passes
from hpcsweep.import_guard import refuse_while_importing
from hpcsweep.records import Status
from hpcsweep.settings import Settings
from hpcsweep.state.missing import Wanted, code_here, from_other_code, outdated
from hpcsweep.state.scheduler import observe
from hpcsweep.state.sent import View
from hpcsweep.state.unstarted import newest, not_begun, unstarted
from hpcsweep.store import SweepIndex
from hpcsweep.store.ingest import fresh_store
from hpcsweep.sweepdir.directory import SweepDirectory

# Seconds between two looks of `wait`: ten times as long as a look takes, but at least the first
# and at most the second; on a cluster of the user's own, at most the third.
LOOK_S = (0.3, 30.0, 1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A sweep's state in numbers. Counts are of indices."""

    name: str
    path: str
    manifest: str
    n_cases: int
    counts: dict[Status, int]
    # Of failed and interrupted ones.
    reasons: dict[str, int]
    # Part of `pending` that a submit would send.
    unsubmitted: int
    # Array tasks that are not known to be over, by Slurm's state or what `View.tasks` says.
    tasks: dict[str, int]
    # Of those that wait: their count by the queue's reason.
    waiting: dict[str, int]
    # Seconds since the cluster last answered; None when it never did or need not be asked.
    asked_s_ago: float | None
    # Why it did not answer the last time.
    problem: str | None
    # Count of journal lines that were passed over, damaged or not of this sweep, by journal.
    torn: dict[str, int]
    submissions: int
    # Part of `complete` that was computed by other code than is here now, or, where that cannot be
    # told, than was submitted last.
    other_code: int = 0

    @property
    def is_complete(self) -> bool:
        """Whether every case is complete."""
        return self.counts.get(Status.COMPLETE, 0) == self.n_cases

    @property
    def stuck(self) -> list[str]:
        """A sentence for each of the queue's reasons that do not pass by themselves."""
        return [
            f"{number} waiting ({reason}): {meaning(reason) or 'so says the queue'}"
            for reason, number in sorted(self.waiting.items())
            if not passes(reason)
        ]

    @property
    def is_settled(self) -> bool:
        """Whether nothing more will happen by itself."""
        return not self.tasks

    def to_json(self) -> dict[str, Any]:
        """The document of `status --json`."""
        return {
            "name": self.name,
            "path": self.path,
            "manifest": self.manifest,
            "cases": self.n_cases,
            "counts": {status.value: self.counts.get(status, 0) for status in Status},
            "reasons": self.reasons,
            "unsubmitted": self.unsubmitted,
            "tasks": self.tasks,
            "waiting": {
                reason: {
                    "tasks": number,
                    "starts_by_itself": passes(reason),
                    "meaning": meaning(reason) or None,
                }
                for reason, number in self.waiting.items()
            },
            "cluster": {"asked_s_ago": self.asked_s_ago, "problem": self.problem},
            "torn_lines": sum(self.torn.values()),
            "torn_journals": sorted(self.torn),
            "submissions": self.submissions,
            "other_code": self.other_code,
            "complete": self.is_complete,
        }


def status(sweep: SweepDirectory, cluster: Cluster | None, settings: Settings) -> Summary:
    """Bring the store up to date, ask the cluster if that is due, and count.

    *Writes* the store, verdicts, `cluster.json`. *Safe to repeat.* Only new bytes are read.
    *Raises* SweepError, StoreError; a cluster that does not answer is part of the answer.
    """
    wanted = newest(sweep)
    with fresh_store(sweep) as store:
        view = observe(sweep, store, cluster, settings)
        return summarise(wanted, store, view)


def summarise(wanted: Wanted, store: SweepIndex, view: View) -> Summary:
    """Count what store and view say."""
    counts: Counter[Status] = Counter()
    reasons: Counter[str] = Counter()
    for (known, reason), number in store.counts().items():
        counts[Status(known)] += number
        if reason:
            reasons[reason] += number
    old = outdated(wanted, store)
    for known_status in Status if old else ():
        counts[known_status] -= (store.indices([known_status.value]) & old).count
    rest = unstarted(wanted, store, view, not_begun(wanted, store) | old)
    counts[Status.PENDING] += rest.queued.count + rest.unsubmitted.count
    counts[Status.UNKNOWN] += rest.unknown.count
    for why, indices in rest.interrupted.items():
        counts[why.status] += indices.count
        reasons[why.value] += indices.count
    return Summary(
        name=wanted.manifest.name,
        path=str(wanted.sweep.path),
        manifest=wanted.manifest.fingerprint,
        n_cases=wanted.source.n_cases,
        counts=dict(counts),
        reasons=dict(reasons),
        unsubmitted=rest.unsubmitted.count,
        tasks=dict(Counter(view.tasks())),
        waiting=dict(Counter(view.waiting.values())),
        asked_s_ago=time.time() - view.asked if view.asked else None,
        problem=view.problem,
        torn=store.torn(),
        submissions=len(wanted.sweep.submissions()),
        other_code=from_other_code(wanted, store, code_here(wanted)).count,
    )


def wait(
    sweep: SweepDirectory,
    cluster: Cluster | None,
    settings: Settings,
    show: Callable[[Summary], None] = lambda _: None,
) -> Summary:
    """Look again and again until nothing more will happen by itself; `show` gets every look."""
    refuse_while_importing("wait")
    shortest, longest, longest_own = LOOK_S
    if cluster is not None and cluster.is_own:
        longest = longest_own
    while True:
        begun = time.monotonic()
        summary = status(sweep, cluster, settings)
        show(summary)
        if summary.is_settled:
            return summary
        time.sleep(min(longest, max(shortest, 10 * (time.monotonic() - begun))))
