"""Run a closing job: advance its sweep, and run the job again if no other one will continue.

The last array of a sweep is followed by one closing job. If the queue has no room when it runs,
because of another sweep of the same user, if the disk is full, or if the controller does not
answer, no other job continues the sweep. So the closing job asks Slurm to requeue it: it keeps its
place in the queue, which a new job might not get, writes nothing, and starts again after AuthInfo's
cred_expire, 121 s by default (22.05). With PBS, where only operators may requeue a job, the same
script is submitted once more; if that is refused, the log says how to continue.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeVar

from hpcsweep.cluster.base import Cluster
from hpcsweep.cluster.jobs import OwnJob
from hpcsweep.errors import (
    ClusterError,
    HpcsweepError,
    StoreError,
    SweepError,
)
from hpcsweep.files import json_bytes, write_new
from hpcsweep.records import Part
from hpcsweep.room import has_room
from hpcsweep.settings import Settings
from hpcsweep.state.array_tasks import SentPart
from hpcsweep.state.standstill import by_hand
from hpcsweep.submission.advance import advance
from hpcsweep.submission.arrays import job_name
from hpcsweep.submission.closing import CLOSING_SUFFIX, closing_job
from hpcsweep.submission.request import Submitted
from hpcsweep.sweepdir.directory import ClosingFact, SweepDirectory

T = TypeVar("T")

_log = logging.getLogger(__name__)

# Most runs after transient errors: 3 hours, with 121 s between two runs.
MOST_RUNS = 100
# Seconds to retry while the controller does not answer or the queue is full, and between two tries.
PATIENCE_S = 300.0
PAUSE_S = 5.0


class OwnClosingJob(NamedTuple):
    """The closing job in which this process runs."""

    own: OwnJob
    submission: int
    part: Part


def advance_or_run_again(
    sweep: SweepDirectory,
    cluster: Cluster,
    settings: Settings,
    notify: Callable[[str], None],
    show: Callable[[Submitted], None],
) -> None:
    """Advance a sweep and `show` the result; run this closing job again if no other will continue.

    *Raises* and *writes* as `advance`.
    """
    job = own_closing_job(sweep, cluster)
    if job is not None:  # its log may be on the disk that is full
        notify, show = _unless_full(notify), _unless_full(show)
    try:
        done = advance(sweep, cluster, settings, notify)
    except HpcsweepError as error:
        if job is not None and _may_pass(sweep, error, job.own):
            notify(str(error))
            _run_again(sweep, cluster, job, notify)
        raise
    show(done)
    if job is not None and must_return(sweep, done, job.own.job_id):
        _run_again(sweep, cluster, job, notify)


def _unless_full(write: Callable[[T], None]) -> Callable[[T], None]:
    """The same without its errors of the system."""

    def written(text: T) -> None:
        with contextlib.suppress(OSError):
            write(text)

    return written


def _may_pass(sweep: SweepDirectory, error: HpcsweepError, job: OwnJob) -> bool:
    """Whether a later run may succeed: after a transient error, or when a full disk has room."""
    if error.transient and job.restarts < MOST_RUNS:
        return True
    return isinstance(error, (SweepError, StoreError)) and not has_room(sweep.path)


def own_closing_job(sweep: SweepDirectory, cluster: Cluster) -> OwnClosingJob | None:
    """The job of this process, if it is a closing job of the sweep."""
    own = cluster.own_job()
    if own is None:
        return None
    name = sweep.newest().manifest.name
    for number in sweep.submissions():
        for part in sweep.plan(number)[0].parts:
            if own.name == job_name(name, sweep.key, number, part.number) + CLOSING_SUFFIX:
                return OwnClosingJob(own, number, part)
    return None


def must_return(sweep: SweepDirectory, done: Submitted, job_id: str) -> bool:
    """Whether work is left that no other closing job will continue."""
    if done.stopped is not None:
        return False  # a user must continue it
    tasks = done.outlook.tasks
    waiting = [sent for sent in tasks.parts if sent.plan.closes and sent.job_id in tasks.answered]
    # Behind the last arrays of a sweep that retries nothing there is nothing to decide.
    sent = any(plan.closes for plan in done.plans)
    left = bool(done.without_room or done.behind_canary or done.paused or waiting or sent)
    return left and job_id_of_next(sweep, done, waiting, job_id) is None


def job_id_of_next(
    sweep: SweepDirectory, done: Submitted, waiting: list[SentPart], job_id: str
) -> str | None:
    """The id of another closing job, one that follows an array that is not over."""
    closing = (
        sweep.part_facts(submission).get(part, {}).get("closing")
        for submission, part in _arrays(done, waiting)
    )
    return next((fact["job_id"] for fact in closing if fact and fact["job_id"] != job_id), None)


def _arrays(done: Submitted, waiting: list[SentPart]) -> Iterator[tuple[int, int]]:
    """(submission, part) of each array in the queue."""
    for sent in waiting:
        if sent.open_chunks & done.outlook.tasks.alive(sent.plan.submission):
            yield sent.plan.submission, sent.part.number
    for plan in done.plans:
        for part in plan.parts:
            yield plan.submission, part.number


def _record(sweep: SweepDirectory, closing: OwnClosingJob, job_id: str) -> None:
    """Note the job that goes on, if it is another one."""
    if job_id == closing.own.job_id:
        return
    again = closing.own.restarts + 1
    path = sweep.part_file(closing.submission, closing.part.number, "closing", again)
    fact: ClosingFact = {"job_id": job_id, "time": time.time()}
    with contextlib.suppress(FileExistsError):  # the scheduler itself ran this job twice
        write_new(path, json_bytes(fact))


def _run_again(
    sweep: SweepDirectory, cluster: Cluster, closing: OwnClosingJob, notify: Callable[[str], None]
) -> None:
    """Run this job again, which may end this process; if that is refused, say how to continue."""
    notify("This closing job has to run again later.")
    plan, manifest = sweep.plan(closing.submission)[0], sweep.newest().manifest
    job = closing_job(sweep, manifest, plan, closing.part, after=None)
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            _record(sweep, closing, cluster.run_again(closing.own, job))
        except ClusterError as error:
            if error.transient and time.monotonic() < deadline:
                _log.info("%s; retrying in %.0f s", error.what, PAUSE_S)
                time.sleep(PAUSE_S)
                continue
            notify(f"It cannot run again: {error.what}. {by_hand(sweep.path)}")
        return
