"""An OpenPBS or PBS Pro, by its programs on PATH."""

from __future__ import annotations

import getpass
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

from hpcsweep.cluster import process
from hpcsweep.cluster.base import Defaults, Opening
from hpcsweep.cluster.jobs import AccountingRow, Array, Element, OwnJob, Queued, SingleJob
from hpcsweep.cluster.limits import NOTHING, Limits
from hpcsweep.cluster.pbs import queued_limits, site, text
from hpcsweep.cluster.pbs.environment import (
    RUNS,
    handed_on,
    of_programs,
    own_job,
    pointed_at,
)
from hpcsweep.cluster.pbs.options import SCRIPTS, qsub_options
from hpcsweep.cluster.pbs.refusals import NO_ROOM, is_unanswered, next_step
from hpcsweep.cluster.process import Answer
from hpcsweep.cluster.scripts import ScriptForm
from hpcsweep.errors import ClusterError, ClusterUnavailable

# Jobs in one query.
IDS_AT_ONCE = 500
# Seconds until a job starts again: as long as Slurm takes by default.
PAUSE_S = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Pbs(Defaults):
    """The programs of one server. Each query *raises* ClusterUnavailable if it fails."""

    kind: str
    # Seconds that one query may take, and one qsub.
    timeout_s: float
    qsub_timeout_s: float

    @classmethod
    def open(cls, opening: Opening) -> Self:
        """The PBS whose programs are on PATH."""
        settings = opening.settings
        return cls(
            kind=opening.kind,
            timeout_s=settings.command_timeout_s,
            qsub_timeout_s=settings.sbatch_timeout_s,
        )

    @property
    def address(self) -> str:
        """See `Cluster`: the path of qstat and the variables that select the server."""
        return f"{self.kind} {shutil.which('qstat')} {pointed_at()}"

    @property
    def is_here(self) -> bool:
        """Whether its programs are on PATH."""
        return shutil.which("qstat") is not None

    @property
    def script_form(self) -> ScriptForm:
        """Scripts that name the options of qsub in comments: they are on its command line."""
        return SCRIPTS

    def own_job(self) -> OwnJob | None:
        """The job in which this process runs; None outside of jobs."""
        return own_job()

    def limits(self) -> Limits:
        """Name and limits of the server."""
        return site.limits_in(self._query(site.qstat_server()).stdout)

    def with_room(
        self, limits: Limits, options: Mapping[str, str], own: Mapping[str, int] = NOTHING
    ) -> Limits:
        """The limits for a task with these options; the queue's, if the server has that queue."""
        name = options.get("partition") or limits.configuration.get("default_queue", "")
        queue = self._queue(name) if name else {}
        limits = site.with_queue(limits, name, queue, options)
        limits = self._with_count(limits, name, queue, options.get("project", ""))
        jobs = 0
        if "max_submit" in own:
            all_of_user = queued_limits.QueuedLimit(0, "max_queued", "", "user")
            jobs = self._count(all_of_user, "")
        return limits.overridden(own, options, jobs)

    def _queue(self, name: str) -> dict[str, str]:
        """The attributes of a queue; none of one that the server lacks, as qsub will say."""
        answer = self._run(site.qstat_queue(name), self.timeout_s)
        if is_unanswered(answer):
            raise ClusterUnavailable(_complaint("qstat", answer), next_step="Try again later.")
        return site.queue_in(answer.stdout) if answer.returncode == 0 else {}

    def _with_count(
        self, limits: Limits, name: str, queue: Mapping[str, str], project: str
    ) -> Limits:
        """The limits with the limit on queued jobs that leaves the least room."""
        found = [
            limit
            for attributes, where in ((queue, name), (limits.configuration, ""))
            for limit in queued_limits.queued_limits(attributes, where, getpass.getuser(), project)
        ]
        unread = [f"how many jobs count for {one.name}" for one in found if one.counts == "group"]
        counted = [(one, self._count(one, project)) for one in found if one.counts != "group"]
        if counted:
            least, jobs = min(counted, key=lambda pair: pair[0].most - pair[1])
            limits = replace(limits, max_jobs=least.most, jobs=jobs, max_jobs_name=least.name)
        return replace(limits, unread=(*limits.unread, *unread))

    def _count(self, limit: queued_limits.QueuedLimit, project: str) -> int:
        """The jobs and elements that a limit counts."""
        argv = queued_limits.qselect_counted(limit, getpass.getuser(), project)
        return queued_limits.count(self._query(argv).stdout)

    def check_options(self, options: Mapping[str, str], throttle: int) -> list[str]:  # noqa: ARG002
        """*Raises* InputError naming an option that PBS does not have."""
        qsub_options(options)
        return []

    def command(self, array: Array) -> str:
        """The qsub command."""
        return shlex.join(text.qsub(array, handed_on(of_programs())))

    def submit(self, array: Array, notify: Callable[[str], None]) -> str:  # noqa: ARG002
        """Submit one part. Returns the array's job id."""
        return self._qsub(text.qsub(array, handed_on(of_programs())))

    def submit_job(self, job: SingleJob) -> str:
        """Submit a job that is no array. Returns its id.

        The server deletes a job that depends on one that it has forgotten (23.06). That one is
        over, so there is nothing to wait for; it may be forgotten while this job is submitted.
        """
        alone = replace(job, after=None)
        if job.after is None or not self._is_known(job.after):
            return self._qsub_job(alone)
        job_id = self._qsub_job(job)
        try:
            is_known = self._is_known(job_id)
        except ClusterUnavailable:  # it was accepted
            is_known = True
        return job_id if is_known else self._qsub_job(alone)

    def _is_known(self, job_id: str) -> bool:
        return bool(text.objects(self._known([job_id]).stdout))

    def _qsub_job(self, job: SingleJob, begin: float | None = None, runs: int = 0) -> str:
        """Submit a job. `begin`: not before this time; `runs`: how often it ran before."""
        environment = of_programs() | ({RUNS: str(runs)} if runs else {})
        handed = handed_on(environment) | ({RUNS: environment[RUNS]} if runs else {})
        return self._qsub(text.qsub_job(job, handed, begin), environment)

    def _qsub(self, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
        """Run one qsub. Returns the job id.

        *Raises* ClusterUnavailable if it is unknown whether the job was accepted, ClusterError if
        it was refused.
        """
        answer = process.run(argv, environment or of_programs(), self.qsub_timeout_s)
        if answer.returncode == 0:
            return text.job_id(answer.stdout)
        if is_unanswered(answer):
            raise ClusterUnavailable(_complaint("qsub", answer))
        # The usage follows the error of qsub itself.
        first = answer.stderr.strip().partition("\n")[0]
        error = ClusterError(
            f"qsub refused the array: {first.removeprefix('qsub: ')}", next_step=next_step(first)
        )
        error.transient = NO_ROOM.search(first) is not None
        raise error

    def poll_queue(self, job_ids: Sequence[str]) -> dict[Element, Queued]:
        """The state of every element that the server still has in its queues."""
        queue: dict[Element, Queued] = {}
        for some in _batches(job_ids):
            known = self._known(some)
            left = text.arrays(text.objects(known.stdout))
            table = self._known(left, elements=True).stdout if left else ""
            queue |= text.queue(known.stdout, table)
        return queue

    def poll_accounting(self, elements: Sequence[Element]) -> list[AccountingRow] | None:
        """How elements ended by the server's history; None if it keeps none."""
        rows = []
        for some in _batches(list(text.pieces(elements))):
            answer = self._run(text.qstat_history(some), self.timeout_s)
            if text.NO_HISTORY in answer.stderr:
                return None
            rows.extend(text.history(self._require(answer, "qstat").stdout))
        return rows

    def find_by_name(self, name: str, since: float) -> str | None:  # noqa: ARG002
        """The job id of an array by its unique name; None if queue and history lack it."""
        answer = self._query(text.qselect(name, history=True))
        if text.NO_HISTORY in answer.stderr:
            answer = self._query(text.qselect(name, history=False))
        return answer.stdout.strip().partition("\n")[0] or None

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Delete arrays. *Safe to repeat*: one that has ended is no error."""
        self._order("qdel", job_ids)

    def cancel_tasks(self, tasks: Sequence[str]) -> None:
        """Delete elements. *Safe to repeat*: one that has ended is no error."""
        self._order("qdel", list(text.targets(tasks)))

    def cancel_pending(self, job_ids: Sequence[str]) -> None:
        """Delete the queued elements of arrays. *Safe to repeat.*

        One that begins between the query and the order ends, too: qdel has no filter by states.
        """
        arrays = text.arrays(job_ids)
        if not arrays:
            return
        queued = text.pending(self._known(arrays, elements=True).stdout)
        named = {name.partition("[")[0]: name for name in arrays}
        tasks = [
            text.elements_named(named[number], indices)
            for number, indices in queued.items()
            if indices
        ]
        self.cancel_tasks(tasks)

    def hold(self, tasks: Sequence[str]) -> None:
        """Hold the arrays of these elements: PBS holds all queued ones together (23.06)."""
        self._order("qhold", list(dict.fromkeys(map(text.array_of, tasks))))

    def release(self, tasks: Sequence[str]) -> None:
        """Release held arrays. *Safe to repeat.*"""
        self._order("qrls", list(dict.fromkeys(map(text.array_of, tasks))))

    def run_again(self, own: OwnJob, job: SingleJob) -> str:
        """Submit the same job once more, to start later: qrerun is for operators (23.06)."""
        return self._qsub_job(job, time.time() + PAUSE_S, own.restarts + 1)

    def _order(self, program: str, targets: Sequence[str]) -> None:
        for some in _batches(targets):
            answer = self._run([program, *some], self.timeout_s)
            if answer.returncode == 0 or _is_about_ended_jobs(answer):
                continue
            kind = ClusterUnavailable if is_unanswered(answer) else ClusterError
            raise kind(_complaint(program, answer))

    def _known(self, job_ids: Sequence[str], *, elements: bool = False) -> Answer:
        """What qstat knows of jobs that are not over."""
        argv = text.qstat_elements(job_ids) if elements else text.qstat(job_ids)
        return self._require(self._run(argv, self.timeout_s), "qstat")

    def _query(self, argv: Sequence[str]) -> Answer:
        return self._require(self._run(argv, self.timeout_s), argv[0])

    def _require(self, answer: Answer, program: str) -> Answer:
        if answer.returncode != 0 and not _is_about_ended_jobs(answer):
            raise ClusterUnavailable(_complaint(program, answer), next_step="Try again later.")
        return answer

    def _run(self, argv: Sequence[str], timeout_s: float) -> Answer:
        return process.run(argv, of_programs(), timeout_s)


def _is_about_ended_jobs(answer: Answer) -> bool:
    """Whether a program that ended by itself complains about nothing but jobs that are over."""
    return answer.returncode > 0 and text.is_gone(answer.stderr)


def _complaint(program: str, answer: Answer) -> str:
    """What a program complains of; it begins with its name, as most of its lines do."""
    return f"{program}: {answer.complaint.removeprefix(f'{program}: ')}"


def _batches(items: Sequence[str]) -> Iterable[Sequence[str]]:
    # No query for an empty list: without a job qstat shows everybody's, and qdel complains.
    return [items[i : i + IDS_AT_ONCE] for i in range(0, len(items), IDS_AT_ONCE)]
