"""Cancel the array tasks of a sweep. Results stay."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Sequence

from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import ClusterError, ClusterUnavailable
from hpcsweep.files import json_bytes, write_new
from hpcsweep.importing import refuse_while_importing
from hpcsweep.settings import Settings
from hpcsweep.state.array_tasks import SentPart, array_tasks
from hpcsweep.state.reduced import reduce_of
from hpcsweep.state.scheduler import poll
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission.cancelled import Cancelled
from hpcsweep.submission.reconcile import resolve_unanswered
from hpcsweep.submission.sweep_lock import locked_sweep
from hpcsweep.sweepdir.directory import CancelFact, SweepDirectory
from hpcsweep.sweepdir.followers import give_up_follower, goes_before
from hpcsweep.sweepdir.hand_copy import refuse_hand_copy

_log = logging.getLogger(__name__)


def cancel(
    sweep: SweepDirectory,
    cluster: Cluster | None,
    settings: Settings,
    notify: Callable[[str], None] = lambda _: None,
) -> Cancelled:
    """Cancel every array with tasks that are not known to be over, and the reduce; follow no sweep.

    *Raises* ClusterUnavailable, SweepBusy; ClusterError where all are on another cluster.
    *Writes* a `cancel` file for each part, after the cluster accepted the request: if this is
    killed in between, the accounting reports the cancelled tasks. *Safe to repeat.*
    """
    before = goes_before(sweep.path)
    if before is not None:
        give_up_follower(before, sweep.path, sweep.key)
        notify(f"{sweep.name} is no longer sent after {before.name}")
        if not sweep.submissions():
            return Cancelled(name=sweep.name)
    refuse_hand_copy(sweep)
    cluster = reachable(sweep, cluster)
    with locked_sweep(sweep, notify):
        resolve_unanswered(sweep, cluster, settings, notify)
        with fresh_index(sweep) as sweep_index:
            parts = [sent for sent in array_tasks(sweep, sweep_index).parts if sent.job_id]
        own = [sent for sent in parts if registry.is_same(cluster, sent.cluster)]
        if parts and not own:
            raise ClusterError(
                f"its tasks are on the cluster {parts[-1].cluster['name']}, this is another one",
                where=str(sweep.path),
                next_step="Cancel on a host of that cluster.",
            )
        _say_what_is_elsewhere([sent for sent in parts if sent not in own], notify)
        job_ids = [sent.job_id for sent in own if sent.job_id]
        _cancel_rest(sweep)
        if job_ids:
            cluster.cancel(job_ids)
            _log.info("cancelled jobs %s of %s", ", ".join(job_ids), sweep.name)
        for sent in own:
            path = sweep.part_file(sent.plan.submission, sent.part.number, "cancel")
            if sent.cancelled is None:
                fact: CancelFact = {"time": time.time()}
                write_new(path, json_bytes(fact))
        if job_ids:
            # Poll at once: the end of the tasks is then certain one grace period from now.
            with fresh_index(sweep) as sweep_index:
                poll(sweep, sweep_index, cluster, settings, at_once=True)
    reduce = reduce_of(sweep)
    done = Cancelled(name=sweep.name, jobs=tuple(job_ids))
    if reduce is None:
        return done
    of_reduce = cancel(reduce, cluster, settings, notify)
    return dataclasses.replace(done, jobs=done.jobs + of_reduce.jobs)


def _say_what_is_elsewhere(parts: Sequence[SentPart], notify: Callable[[str], None]) -> None:
    """Name the jobs that another cluster has: they go on."""
    by_cluster: dict[str, list[str]] = {}
    for sent in parts:
        if sent.open_chunks and sent.job_id:
            by_cluster.setdefault(sent.cluster["name"], []).append(sent.job_id)
    for name, job_ids in by_cluster.items():
        jobs = f"{'jobs' if len(job_ids) > 1 else 'job'} {', '.join(job_ids)}"
        notify(f"Not cancelled: {jobs} on the cluster {name}. Cancel on a host of that one, too.")


def reachable(sweep: SweepDirectory, cluster: Cluster | None) -> Cluster:
    """The cluster of a sweep, to cancel on it. *Raises* ClusterUnavailable."""
    refuse_while_importing("cancel")
    if cluster is None:
        raise ClusterUnavailable(
            "the cluster of this sweep cannot be reached from here",
            where=str(sweep.path),
            next_step="Cancel on a host of that cluster.",
        )
    return cluster


def _cancel_rest(sweep: SweepDirectory) -> None:
    """Let no later submission send what earlier ones left. *Writes* a file for each of them."""
    for number in sweep.submissions():
        if sweep.plan(number)[0].closes:
            with contextlib.suppress(FileExistsError):
                fact: CancelFact = {"time": time.time()}
                write_new(sweep.cancelled_rest(number), json_bytes(fact))
