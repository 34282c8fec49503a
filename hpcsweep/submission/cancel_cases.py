"""Cancel some cases of a sweep, in whole array tasks where that is possible.

The fact that they are cancelled is written first, and is what counts: tasks that hold them with
other cases look for it before each case, and `advance` never sends them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import ClusterError
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import Policies
from hpcsweep.settings import Settings
from hpcsweep.state.array_tasks import SentPart
from hpcsweep.state.index_order import in_order_of
from hpcsweep.state.outlook import Outlook, State, outlook_of
from hpcsweep.state.scheduler import poll
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission.cancel import reachable
from hpcsweep.submission.cancelled import Cancelled
from hpcsweep.submission.reconcile import resolve_unanswered
from hpcsweep.submission.sweep_lock import locked_sweep
from hpcsweep.sweepdir.cancelled import CancelledFact, add_fact
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.hand_copy import refuse_hand_copy

_log = logging.getLogger(__name__)


def cancel_cases(
    sweep: SweepDirectory,
    cluster: Cluster | None,
    settings: Settings,
    selected: IndexSet,
    notify: Callable[[str], None] = lambda _: None,
) -> Cancelled:
    """Cancel these of the newest manifest's cases: what runs, waits, or would be sent by `advance`.

    *Raises* ClusterUnavailable, SweepBusy. *Writes* a fact; verdicts. *Safe to repeat.*
    """
    refuse_hand_copy(sweep)
    cluster = reachable(sweep, cluster)
    with locked_sweep(sweep, notify):
        resolve_unanswered(sweep, cluster, settings, notify)
        with fresh_index(sweep) as sweep_index:
            tasks = poll(sweep, sweep_index, cluster, settings)
            outlook = outlook_of(sweep, sweep_index, tasks)
        targets = cancellable(outlook) & selected
        done, chunks = _by_task(sweep, cluster, outlook, targets)
        if done.indices or done.tasks:
            add_fact(sweep, _fact(sweep, outlook, targets, chunks))
        if done.tasks:
            try:
                cluster.cancel_tasks(list(done.tasks))
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
    sweep: SweepDirectory,
    outlook: Outlook,
    targets: IndexSet,
    cancelled: Mapping[int, Sequence[int]],
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
            str(number): IndexSet.of(chunks).to_json() for number, chunks in cancelled.items()
        },
    }


def _by_task(
    sweep: SweepDirectory, cluster: Cluster, outlook: Outlook, targets: IndexSet
) -> tuple[Cancelled, dict[int, list[int]]]:
    """Sort cases by array task. A task is cancelled if all that it still has is cancelled.

    Returns also the cancelled chunks by submission.
    """
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
    done = Cancelled(
        name=sweep.name, tasks=tuple(names), indices=new, shared=beside, running=running
    )
    return done, cancelled


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
