"""Cancel some cases of a sweep, in whole array tasks where that is possible.

The fact that they are cancelled is written first, and is what counts: tasks that hold them with
other cases look for it before each case, and `advance` never sends them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import ClusterError
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import Policies
from hpcsweep.quantities import counted
from hpcsweep.settings import Settings
from hpcsweep.state.array_tasks import SentPart
from hpcsweep.state.index_order import in_order_of
from hpcsweep.state.outlook import NONE, Outlook, State, outlook_of
from hpcsweep.state.scheduler import poll
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission.cancel import reachable
from hpcsweep.submission.reconcile import resolve_unanswered
from hpcsweep.submission.sweep_lock import locked_sweep
from hpcsweep.sweepdir.cancelled import CancelledFact, add_fact
from hpcsweep.sweepdir.directory import SweepDirectory

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class CancelledCases:
    """What a cancel of some cases did."""

    # Cases that were not cancelled before.
    indices: IndexSet
    # The cancelled array tasks: as Slurm names them, and their chunks by submission.
    tasks: list[str] = field(default_factory=list)
    chunks: Mapping[int, Sequence[int]] = field(default_factory=dict)
    # Those of the cases whose array tasks go on, as they hold other cases; and of these, those that
    # had begun.
    shared: IndexSet = NONE
    running: IndexSet = NONE

    @property
    def lines(self) -> list[str]:
        """For people."""
        if not (self.indices or self.tasks):
            return ["nothing to cancel"]
        lines = [f"cancelled: {counted(self.indices.count, 'case')}"] if self.indices else []
        if self.tasks:
            lines.append(f"cancelled array tasks: {', '.join(self.tasks)}")
        if self.shared - self.running:
            count = (self.shared - self.running).count
            shares = counted(count, "of them shares", "of them share")
            lines.append(f"{shares} an array task with others, which passes over them")
        if self.running:
            runs = counted(self.running.count, "of them runs", "of them run")
            lines.append(f"{runs} beside others, to the end")
        return lines


def cancel_cases(
    sweep: SweepDirectory,
    cluster: Cluster | None,
    settings: Settings,
    selected: IndexSet,
    notify: Callable[[str], None] = lambda _: None,
) -> CancelledCases:
    """Cancel these of the newest manifest's cases: what runs, waits, or would be sent by `advance`.

    *Raises* ClusterUnavailable, SweepBusy. *Writes* a fact; verdicts. *Safe to repeat.*
    """
    cluster = reachable(sweep, cluster)
    with locked_sweep(sweep, notify):
        resolve_unanswered(sweep, cluster, settings, notify)
        with fresh_index(sweep) as sweep_index:
            tasks = poll(sweep, sweep_index, cluster, settings)
            outlook = outlook_of(sweep, sweep_index, tasks)
        targets = cancellable(outlook) & selected
        done = _by_task(sweep, cluster, outlook, targets)
        if done.indices or done.tasks:
            add_fact(sweep, _fact(sweep, outlook, targets, done))
        if done.tasks:
            try:
                cluster.cancel_tasks(done.tasks)
            except ClusterError as error:
                notify(f"Array tasks stay where they are, and begin none of them: {error.what}")
            _log.info("cancelled array tasks %s of %s", ", ".join(done.tasks), sweep.name)
            with fresh_index(sweep) as sweep_index:
                poll(sweep, sweep_index, cluster, settings, at_once=True)
    return done


def cancellable(outlook: Outlook) -> IndexSet:
    """The indices that may run, or be sent without a user. Pure."""
    idle = outlook.indices(State.UNSUBMITTED)
    if Policies.from_json(outlook.version.manifest.policies).retry is None:
        idle |= (outlook.failed | outlook.indices(State.INTERRUPTED)) - outlook.paused
    every = IndexSet.all(outlook.version.source.n_cases)
    return every - outlook.complete - idle | outlook.owed


def _fact(
    sweep: SweepDirectory, outlook: Outlook, targets: IndexSet, done: CancelledCases
) -> CancelledFact:
    tasks = {}
    for sent in outlook.tasks.parts:
        indices = _as_planned(sweep, outlook, sent, targets) & sent.plan.indices
        tasks[str(sent.plan.submission)] = indices.to_json()
    return {
        "time": time.time(),
        "submission": sweep.submissions()[-1],
        "manifest": outlook.version.fingerprint,
        "indices": targets.to_json(),
        "tasks": tasks,
        "chunks": {
            str(number): IndexSet.of(chunks).to_json() for number, chunks in done.chunks.items()
        },
    }


def _by_task(
    sweep: SweepDirectory, cluster: Cluster, outlook: Outlook, targets: IndexSet
) -> CancelledCases:
    """Sort cases by array task. A task is cancelled if all that it still has is cancelled."""
    left = outlook.in_flight - outlook.complete - outlook.failed
    kept = left - targets - outlook.withdrawn
    names: list[str] = []
    cancelled: dict[int, list[int]] = {}
    shared: list[IndexSet] = []
    for sent in _open_on(cluster, outlook):
        to_cancel, to_keep = (
            _as_planned(sweep, outlook, sent, indices) for indices in (left & targets, kept)
        )
        if not to_cancel:
            continue
        whole: list[int] = []
        part: list[IndexSet] = []
        for chunk in sent.open_chunks:
            of = sent.plan.chunk(chunk)
            if not of.isdisjoint(to_cancel):
                if of.isdisjoint(to_keep):
                    whole.append(chunk)
                else:
                    part.append(of & to_cancel)
        if not sent.part.is_array and len(whole) < len(sent.open_chunks):
            # Its nodes run all its chunks: the job goes on with those that stay.
            part += [sent.plan.chunk(chunk) & to_cancel for chunk in whole]
            whole = []
        names += sent.names_of(whole)
        cancelled.setdefault(sent.plan.submission, []).extend(whole)
        of_part = [IndexSet.union(part)]
        shared += in_order_of(outlook.version, sweep, sent.plan.manifest, of_part)
    new = targets - outlook.withdrawn
    beside = IndexSet.union(shared) & new
    running = beside & outlook.indices(State.RUNNING)
    return CancelledCases(
        indices=new, tasks=names, chunks=cancelled, shared=beside, running=running
    )


def _open_on(cluster: Cluster, outlook: Outlook) -> Iterator[SentPart]:
    is_same: dict[str, bool] = {}  # the cluster is asked for its name once
    for sent in outlook.tasks.parts:
        if sent.job_id is None or sent.cancelled is not None:
            continue
        record = str(sent.cluster)
        if record not in is_same:
            is_same[record] = registry.is_same(cluster, sent.cluster)
        if is_same[record]:
            yield sent


def _as_planned(
    sweep: SweepDirectory, outlook: Outlook, sent: SentPart, indices: IndexSet
) -> IndexSet:
    """Translate indices into those of the manifest of a part's plan."""
    version = sweep.version(sent.plan.manifest)
    return in_order_of(version, sweep, outlook.version.fingerprint, [indices])[0]
