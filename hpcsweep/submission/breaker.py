"""The circuit breaker of a sweep: stop it after too many failures; go on when a user submits.

Tasks count while they run (`worker.breaker`); `advance` counts what they cannot see, and does with
the queue what the manifest says. What a retry may still mend is no failure here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import ClusterError
from hpcsweep.files import json_bytes, make_directory, remove_files, write_new
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import Policies, StopAfter
from hpcsweep.state.index_order import in_order_of
from hpcsweep.state.outlook import NONE, Outlook, State
from hpcsweep.state.stopped import FailureKind, Stopped, failure_kinds, stopped
from hpcsweep.store import SweepIndex
from hpcsweep.submission.policy import Policy, classes
from hpcsweep.submission.replacing import Replaceable, cancel_waiting, waiting_chunks
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import StopRules
from hpcsweep.sweepdir.stop import (
    HeldFact,
    ResumedFact,
    StopFact,
    failure_marks,
    held_fact,
    held_path,
    last_resumed,
    next_resumed_path,
    stop_fact,
    stop_path,
)

Notify = Callable[[str], None]


def stop_rules(policies: Policies, n_cases: int) -> StopRules | None:
    """What tasks must know to stop the sweep."""
    stop = policies.stop_after
    if stop is None:
        return None
    return {
        "failures": stop.threshold(n_cases),
        "equal": stop.equal,
        "spared": sorted(policies.retry.on) if policies.retry else [],
    }


# --- whether to stop: pure ---------------------------------------------------------------------


def counted(
    outlook: Outlook, policy: Policy, forgiven: IndexSet = NONE, after: int = 0
) -> IndexSet:
    """The failed indices that count: no retry mends them.

    `forgiven` failed up to submission `after`, and a user went on since.
    """
    failed = NONE
    for group in outlook.groups:
        if group.state is State.FAILED:
            is_new = (group.submission or 0) > after
            failed |= group.indices if is_new else group.indices - forgiven
    if policy.retry is None:
        return failed
    return failed - IndexSet.union(classes(outlook, policy).values())


def too_many(stop: StopAfter, n_cases: int, kinds: list[FailureKind]) -> FailureKind | None:
    """The failures that stop a sweep, of no kind if all count together; None if they do not."""
    every = FailureKind(kind="", indices=IndexSet.union(kind.indices for kind in kinds))
    worst = (kinds[0] if kinds else None) if stop.equal else every
    if worst is None or worst.indices.count < stop.threshold(n_cases):
        return None
    return worst


# --- stop and go on ----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class CircuitBreaker:
    """The circuit breaker for one command, which holds the sweep's lock."""

    sweep: SweepDirectory
    # What is known, and what `advance` would send of it.
    outlook: Outlook
    policy: Policy
    stop: StopAfter
    cluster: Cluster

    def stop_if_due(self, sweep_index: SweepIndex, notify: Notify) -> Stopped | None:
        """Stop the sweep if too many cases failed; do with its queue what the manifest says.

        Returns why it is stopped, whoever found that out. *Safe to repeat.* *Writes* the fact,
        verdicts.
        """
        path = self.sweep.path
        if stop_fact(path) is None:
            worst = self._worst(sweep_index)
            if worst is None:
                return None
            fact: StopFact = {
                "time": time.time(),
                "failures": worst.indices.count,
                "kind": worst.kind,
            }
            with contextlib.suppress(FileExistsError):  # a task found it out meanwhile
                write_new(stop_path(path), json_bytes(fact))
        try:
            self._settle_queue(sweep_index)
        except ClusterError as error:
            notify(f"Queued tasks stay where they are, and end when they start: {error.what}")
        return stopped(self.sweep, sweep_index)

    def _worst(self, sweep_index: SweepIndex) -> FailureKind | None:
        forgiven, after = NONE, 0
        fact = last_resumed(self.sweep.path)
        version = self.outlook.version
        if fact is not None:
            after, indices = fact["submission"], IndexSet.from_json(fact["failed"])
            (forgiven,) = in_order_of(version, self.sweep, fact["manifest"], [indices])
        failed = counted(self.outlook, self.policy, forgiven, after)
        n_cases = version.source.n_cases
        # With fewer failures of all kinds together, no error is read.
        if failed.count < self.stop.threshold(n_cases):
            return None
        return too_many(self.stop, n_cases, failure_kinds(sweep_index, failed))

    def _settle_queue(self, sweep_index: SweepIndex) -> None:
        """Cancel or hold the array tasks that have not begun. *Raises* ClusterError."""
        waiting = [
            (sent, chunks)
            for sent, chunks in waiting_chunks(self.outlook.tasks)
            if registry.is_same(self.cluster, sent.cluster)
        ]
        if not waiting or held_fact(self.sweep.path) is not None:
            return
        if self.stop.then == "cancel":
            replaceable = Replaceable(parts=tuple(waiting), changes=())
            cancel_waiting(replaceable, self.sweep, sweep_index, self.cluster)
            return
        tasks = [name for sent, chunks in waiting for name in sent.names_of(chunks)]
        self.cluster.hold(tasks)
        fact: HeldFact = {"time": time.time(), "tasks": tasks}
        write_new(held_path(self.sweep.path), json_bytes(fact))


def resume(sweep: SweepDirectory, policies: Policies, outlook: Outlook, cluster: Cluster) -> None:
    """A user goes on: release what was held, and count failures from here on.

    *Raises* ClusterError. The caller holds the lock. *Writes* the directory of the marks.
    """
    is_stopped = stop_fact(sweep.path) is not None
    if policies.stop_after is not None:
        make_directory(failure_marks(sweep.path))
    elif not is_stopped:
        return
    failed, numbers = outlook.failed, sweep.submissions()
    if not numbers or not (failed or is_stopped):
        return
    fact: ResumedFact = {
        "time": time.time(),
        "submission": numbers[-1],
        "manifest": outlook.version.manifest.fingerprint,
        "failed": failed.to_json(),
    }
    write_new(next_resumed_path(sweep.path), json_bytes(fact))
    remove_files(failure_marks(sweep.path))
    # Only now, or its own marks would stop it again.
    stop_path(sweep.path).unlink(missing_ok=True)
    held = held_fact(sweep.path)
    if held is not None:
        cluster.release(held["tasks"])
        held_path(sweep.path).unlink(missing_ok=True)
