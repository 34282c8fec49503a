"""A Slurm, real or emulated: the same programs, found on another PATH."""

from __future__ import annotations

import getpass
import shlex
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn, Self

from hpcsweep.cluster import process
from hpcsweep.cluster.base import Defaults, Opening
from hpcsweep.cluster.jobs import AccountingRow, Array, Element, OwnJob, Queued, SingleJob
from hpcsweep.cluster.limits import NOTHING, Limits
from hpcsweep.cluster.process import Answer
from hpcsweep.cluster.scripts import ScriptForm
from hpcsweep.cluster.slurm import refusals, site, site_cache, submit_limits, text
from hpcsweep.cluster.slurm.answers import (
    NO_CLUSTER,
    OTHER_OPTIONS,
    is_unreachable,
    order_error,
    refused,
    report_waits,
    submission_error,
)
from hpcsweep.cluster.slurm.environment import (
    clean_environment,
    finite_limits,
    ignored_defaults,
    inherited_limits,
    own_job,
    pointed_at,
)
from hpcsweep.cluster.slurm.refusals import Verdict
from hpcsweep.cluster.slurm.site import Site, SiteAnswers
from hpcsweep.cluster.slurm.submit_limits import QueuedTask
from hpcsweep.errors import ClusterError, ClusterUnavailable

# Arrays in one query; at 16 digits each they stay far below the kernel's limit on an argument.
IDS_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Slurm(Defaults):
    """The programs of one cluster. Each query *raises* ClusterUnavailable if it fails."""

    kind: str
    # Seconds that one query may take.
    timeout_s: float
    # Seconds that one sbatch may take: it retries by itself for 120 s if the queue is full (22.05).
    sbatch_timeout_s: float
    # Largest age of the site's limits in the user's cache, in seconds; 0 reads them each time.
    limits_age_s: float = 0.0
    # Environment on top of our own.
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, opening: Opening) -> Self:
        """The Slurm whose programs are on PATH."""
        settings = opening.settings
        return cls(
            kind=opening.kind,
            timeout_s=settings.command_timeout_s,
            sbatch_timeout_s=settings.sbatch_timeout_s,
            limits_age_s=settings.limits_age_s,
        )

    @property
    def address(self) -> str:
        """See `Cluster`: the path of squeue and the variables that select the cluster."""
        environment = clean_environment(self.environment, frozenset())
        return f"{self.kind} {self._program('squeue')} {pointed_at(environment)}"

    @property
    def is_here(self) -> bool:
        """Whether its programs are on PATH."""
        return self._program("squeue") is not None

    @property
    def script_form(self) -> ScriptForm:
        """Scripts with `#SBATCH` lines."""
        return text.SCRIPTS

    def own_job(self) -> OwnJob | None:
        """The job in which this process runs; None outside of jobs."""
        return own_job()

    def limits(self) -> Limits:
        """Name and limits of the cluster; Slurm's defaults if users may not run scontrol."""
        return site.limits_in(*self._configuration())

    def with_room(
        self, limits: Limits, options: Mapping[str, str], own: Mapping[str, int] = NOTHING
    ) -> Limits:
        """The limits for a task with these options, and the jobs that this user may have queued.

        Nothing is called impossible by limits that were read earlier.
        """
        kept = site_cache.read_new(limits.cluster_name, self.limits_age_s)
        with_room = None if kept is None else self._with_room(limits, options, own, kept)
        if with_room is None or with_room.impossible:
            with_room = self._with_room(limits, options, own, self._site_answers(limits))
        return with_room

    def _with_room(
        self,
        limits: Limits,
        options: Mapping[str, str],
        own: Mapping[str, int],
        answers: SiteAnswers,
    ) -> Limits:
        site = Site.of(answers)
        jobs: list[QueuedTask] = []
        if site.enforces_limits or "max_submit" in own:
            query = submit_limits.squeue_of_user(getpass.getuser())
            jobs = submit_limits.queued(self._query(query).stdout)
        return site.limits(limits, options, jobs, read_at=answers["time"]).overridden(
            own, options, len(jobs)
        )

    def remembered(
        self, options: Mapping[str, str], own: Mapping[str, int] = NOTHING
    ) -> Limits | None:
        """The limits in the user's cache, whatever their age; the queue counts as empty."""
        kept = site_cache.find(self.address) if self.limits_age_s else None
        if kept is None:
            return None
        limits = site.limits_in(kept["configuration"])
        remembered = Site.of(kept).limits(limits, options, [], read_at=kept["time"])
        return remembered.overridden(own, options, 0)

    def _site_answers(self, limits: Limits) -> SiteAnswers:
        """The limits of the site as its programs print them; *writes* them to the user's cache."""
        configuration = dict(limits.configuration)
        output: dict[str, str] = {}
        failed: dict[str, str] = {}
        for query, argv in site.queries(getpass.getuser(), configuration).items():
            try:
                output[query] = self._query(argv).stdout
            except ClusterError as error:
                failed[query] = error.what
        answers: SiteAnswers = {
            "time": time.time(),
            "configuration": configuration,
            "output": output,
            "failed": failed,
        }
        if self.limits_age_s and not failed:
            site_cache.write(limits.cluster_name, self.address, answers)
        return answers

    def _configuration(self) -> tuple[dict[str, str], str]:
        """The values of scontrol, or the reason why there are none. *Raises* ClusterUnavailable."""
        try:
            answer = self._run(text.show_config(), self.timeout_s)
        except ClusterUnavailable:
            raise
        except ClusterError as error:  # scontrol is missing or not executable
            if self._program("sbatch") is None:
                raise
            return {}, error.what
        if answer.returncode == 0:
            return text.config_values(answer.stdout), ""
        if NO_CLUSTER in answer.stderr:
            raise ClusterUnavailable(
                "Slurm's programs are installed, but they have no slurm.conf and so no cluster",
                next_step="Log in where the cluster's own are, or use `--cluster emulated`.",
            )
        if answer.returncode < 0 or is_unreachable(answer.stderr):
            raise ClusterUnavailable(f"scontrol: {answer.complaint}", next_step="Try again later.")
        return {}, f"scontrol: {answer.complaint}"

    def check_options(self, options: Mapping[str, str], throttle: int) -> list[str]:  # noqa: ARG002
        """The user's own defaults that do not reach sbatch, and limits that reach every task."""
        notes = ignored_defaults(options)
        if "propagate" not in options and (names := finite_limits()):
            notes += inherited_limits(names, self._configuration()[0])
        return notes

    def command(self, array: Array) -> str:
        """The sbatch command."""
        return shlex.join(text.sbatch(array))

    def test_only(self, array: Array) -> str:
        """Run `sbatch --test-only`; see `Cluster`."""
        program, *arguments = text.sbatch(array)
        argv = [program, "--test-only", *arguments]
        answer = self._run(argv, self.timeout_s, frozenset(array.options))
        if answer.returncode == 0:
            return ""
        what = f"sbatch --test-only: {answer.complaint}"
        if answer.returncode < 0 or refusals.verdict(answer.stderr) is Verdict.UNKNOWN:
            return what
        raise ClusterError(
            f"the cluster would refuse the array: {what}",
            next_step=refusals.next_step(answer.stderr) or OTHER_OPTIONS,
        )

    def submit(self, array: Array, notify: Callable[[str], None]) -> str:
        """Submit one part. Returns the array's job id. *Raises* like `_sbatch`.

        If the answer is ambiguous, the array is looked up by its name at once.
        """
        begun = time.time()
        try:
            return self._send(array, notify)
        except ClusterUnavailable as doubt:
            try:
                ids = self._ids_by_name(array.job_name, begun)
            except ClusterUnavailable:
                raise doubt from None
            if ids:
                notify(f"{doubt.what}; the array was found by its name: job {ids[0]}.")
                self._cancel_copies(ids, notify)
                return ids[0]
            if refusals.verdict(doubt.what) is Verdict.UNSPECIFIED:
                raise refused(doubt.what) from None
            raise

    def _send(self, array: Array, notify: Callable[[str], None]) -> str:
        return self._sbatch(array.job_name, text.sbatch(array), array.options, notify)

    def _sbatch(
        self,
        name: str,
        argv: Sequence[str],
        directives: Iterable[str],
        notify: Callable[[str], None] = lambda _: None,
    ) -> str:
        """Run one sbatch of a job name; `notify` gets messages about waits. Returns the job id.

        *Raises* ClusterUnavailable if it is unknown whether the array was accepted, ClusterError
        if it was refused.
        """
        how = (self.sbatch_timeout_s, frozenset(directives), report_waits(notify))
        answer = self._run(argv, *how)
        if answer.returncode != 0 and refusals.lacks_parsable(answer.stderr + answer.stdout):
            # Of a site's wrapper; what Slurm answers without the option is understood as well.
            answer = self._run([word for word in argv if word != text.PARSABLE], *how)
        accepted = text.accepted(answer.stdout) if answer.returncode == 0 else None
        if accepted is None:
            raise submission_error(answer)
        if accepted.cluster and not self._asks(accepted.cluster):
            # A site's wrapper may print another name than the configuration has.
            here = text.states_by_name(self._query(text.squeue_by_name([name])).stdout, name)
            if accepted.job_id not in here:
                self._withdraw(*accepted)
        return accepted.job_id

    def _asks(self, cluster: str) -> bool:
        """Whether the other programs ask a cluster of this name. *Raises* ClusterUnavailable."""
        chosen = clean_environment(self.environment, frozenset()).get("SLURM_CLUSTERS", "")
        if not chosen:
            chosen = site.limits_in(*self._configuration()).cluster_name or "all"
        # Slurm itself takes the names of clusters in any case, and answers in lower case.
        names = [name.strip() for name in chosen.lower().split(",")]
        return cluster.lower() in names or names == ["all"]

    def _withdraw(self, job_id: str, cluster: str) -> NoReturn:
        """Cancel a job that a site's sbatch sent to another cluster. *Raises* ClusterError."""
        cancelled = self._run(text.scancel([job_id], cluster=cluster), self.timeout_s)
        what = "it was cancelled there"
        if cancelled.returncode != 0:
            what = f"cancel it there by `scancel -M {cluster} {job_id}`: {cancelled.complaint}"
        raise ClusterError(
            f"sbatch sent the array to the cluster {cluster}, as job {job_id}, where squeue and "
            f"the other programs do not look; {what}",
            next_step=f"Set the environment variable SLURM_CLUSTERS={cluster} for all of them.",
        )

    def poll_queue(self, job_ids: Sequence[str]) -> dict[Element, Queued]:
        """The state of every element that the controller still knows."""
        queue: dict[Element, Queued] = {}
        for some in _batches(job_ids):
            answer = self._run(text.squeue(some), self.timeout_s)
            # squeue fails for a single unknown id, but not for several (22.05).
            if answer.returncode != 0 and text.FORGOTTEN not in answer.stderr:
                raise ClusterUnavailable(f"squeue: {answer.complaint}")
            queue |= text.elements(answer.stdout)
        return queue

    def poll_accounting(self, elements: Sequence[Element]) -> list[AccountingRow] | None:
        """The accounting rows of their arrays; None if the site keeps no accounting."""
        rows = []
        for some in _batches(list(dict.fromkeys(job_id for job_id, _ in elements))):
            answer = self._query_accounting(text.sacct(some))
            if answer is None:
                return None
            rows.extend(text.accounting(answer.stdout))
        return rows

    def _query_accounting(self, argv: Sequence[str]) -> Answer | None:
        """The answer of sacct; None if the site keeps no accounting, or offers no sacct here."""
        try:
            answer = self._run(argv, self.timeout_s)
        except ClusterError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise
        if text.NO_ACCOUNTING in answer.stderr:
            return None
        return self._require_success(answer, "sacct")

    def find_by_name(self, name: str, since: float) -> str | None:
        """The job id of an array by its unique name; None if queue and accounting lack it.

        A wrapper of sbatch that tried again may have sent it twice: copies are cancelled.
        """
        ids = self._ids_by_name(name, since)
        self._cancel_copies(ids)
        return ids[0] if ids else None

    def _ids_by_name(self, name: str, since: float) -> list[str]:
        """The array to keep of those of one name, and its copies; none if there is no array."""
        states = text.states_by_name(self._query(text.squeue_by_name([name])).stdout, name)
        if not states:
            argv = text.sacct_by_name([name], text.local_time(since))
            answer = self._query_accounting(argv)
            states = {} if answer is None else text.states_by_name(answer.stdout, name)
        return text.one_and_copies(states)

    def _cancel_copies(
        self, ids: Sequence[str], notify: Callable[[str], None] = lambda _: None
    ) -> None:
        """Cancel all but the first array of one name. *Raises* ClusterError."""
        if copies := ids[1:]:
            self.cancel(copies)
            notify(f"sbatch had sent it more than once: job {', '.join(copies)} was cancelled.")

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Cancel arrays or elements. *Safe to repeat*: one that has ended is no error."""
        self._cancel(job_ids, pending_only=False)

    def cancel_pending(self, job_ids: Sequence[str]) -> None:
        """Cancel the pending elements of arrays. *Safe to repeat.*"""
        self._cancel(job_ids, pending_only=True)

    def _cancel(self, job_ids: Sequence[str], *, pending_only: bool) -> None:
        for some in _batches(job_ids):
            answer = self._run(text.scancel(some, pending_only=pending_only), self.timeout_s)
            if answer.returncode != 0:
                raise order_error("scancel", answer)

    def cancel_tasks(self, tasks: Sequence[str]) -> None:
        """Cancel elements. *Safe to repeat*: one that has ended is no error."""
        self._cancel(tasks, pending_only=False)

    def hold(self, tasks: Sequence[str]) -> None:
        """Hold queued elements. One that has ended meanwhile is no error."""
        self._hold(tasks, release=False)

    def release(self, tasks: Sequence[str]) -> None:
        """Release held elements. *Safe to repeat.*"""
        self._hold(tasks, release=True)

    def _hold(self, tasks: Sequence[str], *, release: bool) -> None:
        for some in _batches(tasks):
            answer = self._run(text.scontrol_hold(some, release=release), self.timeout_s)
            if answer.returncode != 0 and not text.has_ended(answer.stderr):
                raise order_error(f"scontrol {'release' if release else 'hold'}", answer)

    def submit_job(self, job: SingleJob) -> str:
        """Submit a job that is no array. Returns its id. *Raises* as `_sbatch` does."""
        try:
            return self._sbatch(job.name, text.sbatch_job(job), job.options)
        except ClusterError as error:
            # 24.11 and newer refuse a dependency on a job that the controller has forgotten. That
            # job is over, so there is nothing to wait for.
            if job.after is None or refusals.DEPENDENCY not in error.what:
                raise
        return self._sbatch(job.name, text.sbatch_job(replace(job, after=None)), job.options)

    def run_again(self, own: OwnJob, job: SingleJob) -> str:  # noqa: ARG002
        """Requeue the job, which keeps its place; see `Cluster`."""
        answer = self._run(text.requeue(own.job_id), self.timeout_s)
        if answer.returncode != 0:
            raise order_error("scontrol requeue", answer)
        return own.job_id

    def _query(self, argv: Sequence[str]) -> Answer:
        return self._require_success(self._run(argv, self.timeout_s), argv[0])

    def _require_success(self, answer: Answer, program: str) -> Answer:
        if answer.returncode != 0:
            raise ClusterUnavailable(f"{program}: {answer.complaint}", next_step="Try again later.")
        return answer

    def _run(
        self,
        argv: Sequence[str],
        timeout_s: float,
        directives: frozenset[str] = frozenset(),
        on_line: Callable[[str], None] = lambda _: None,
    ) -> Answer:
        environment = clean_environment(self.environment, directives)
        # subprocess looks programs up on *our* PATH; the emulated ones are on theirs.
        program = self._program(argv[0]) or argv[0]
        return process.run([program, *argv[1:]], environment, timeout_s, on_line)

    def _program(self, name: str) -> str | None:
        """The path of one of the cluster's programs; None if it does not exist."""
        environment = clean_environment(self.environment, frozenset())
        return shutil.which(name, path=environment.get("PATH"))


def _batches(items: Sequence[str]) -> Iterable[Sequence[str]]:
    # No query for an empty list: without a filter squeue and sacct return everything.
    return [items[i : i + IDS_AT_ONCE] for i in range(0, len(items), IDS_AT_ONCE)]
