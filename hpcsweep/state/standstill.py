"""A sweep that stands still: something is to be sent, and no array or closing job is queued.

It is cases, or the stages that follow them: the reduce, and other sweeps.

Closing jobs may have been cancelled, may have failed, or were never accepted.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.cluster.reasons import meaning, passes
from hpcsweep.cluster.states import Life
from hpcsweep.cluster.states import meaning as state_meaning
from hpcsweep.errors import ClusterError
from hpcsweep.files import end_of_text
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import Policies, Retry
from hpcsweep.redact import redact
from hpcsweep.settings import Settings
from hpcsweep.state import canary
from hpcsweep.state.cluster_memory import ClusterMemory, open_memory
from hpcsweep.state.given_up import exhausted
from hpcsweep.state.outlook import NONE, Outlook, State
from hpcsweep.sweepdir.directory import SweepDirectory

# Closing jobs that are asked about: the newest ones.
JOBS_MAX = 100
# How an error of a command begins.
ERROR = "hpcsweep: "
# Bytes of a log from its end, and characters of its last line.
TAIL_BYTES, LINE_CHARACTERS = 4096, 200


@dataclass(frozen=True, kw_only=True, slots=True)
class ClosingJob:
    """A closing job that was submitted."""

    job_id: str
    log: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Standstill:
    """Why nothing goes on with a sweep."""

    name: str
    path: str
    # Count of the cases that the next `advance` sends, and names of the stages.
    cases: int
    stages: tuple[str, ...]
    why: str

    @property
    def lines(self) -> list[str]:
        """The reason, and how to go on."""
        cases = f"{self.cases} case{'s' * (self.cases > 1)}"
        waiting = [*([cases] if self.cases else []), *self.stages]
        wait = "waits" if len(waiting) == 1 and self.cases < 2 else "wait"
        what = f"{' and '.join(waiting)} {wait}"
        reason = f"{what} to be sent, and no closing job does it: {self.why}"
        return [f"{self.name} stands still: {reason}", by_hand(Path(self.path))]

    def to_json(self) -> dict[str, Any]:
        """The part of `status --json`."""
        return {
            "cases": self.cases,
            "stages": list(self.stages),
            "why": self.why,
            "next": _command(Path(self.path)),
        }


def by_hand(path: Path) -> str:
    """How a sweep goes on where no job of ours does it."""
    command = _command(path)
    return (
        f"`{command}` goes on with the sweep; `hpcsweep submit … --wait` does so while it runs, "
        f"and a crontab or scrontab the line `*/10 * * * * {command}`."
    )


def _command(path: Path) -> str:
    return f"hpcsweep advance {shlex.quote(str(path.resolve()))}"


def to_send(outlook: Outlook, retry: Retry | None) -> IndexSet:
    """The indices that an `advance` sends, wherever there is room. Pure."""
    retried = NONE
    if retry is not None:
        over = (State.FAILED, State.INTERRUPTED)
        for group in outlook.groups:
            if group.state in over and group.reason in retry.on and group.submission is not None:
                stalled = NONE if group.tries else _stalled(outlook, retry.max_attempts)
                retried |= group.indices - stalled
        retried -= IndexSet.union(exhausted(outlook, retry).values())
    due = outlook.owed - outlook.failed | outlook.paused | retried
    others = outlook.complete | outlook.in_flight | outlook.indices(State.RUNNING)
    return due - others - canary.behind(outlook)


def _stalled(outlook: Outlook, most: int) -> IndexSet:
    return IndexSet.union(indices for count, indices in outlook.stalled.items() if count >= most)


def standstill(
    sweep: SweepDirectory,
    outlook: Outlook,
    cluster: Cluster | None,
    settings: Settings,
    due: Callable[[], tuple[str, ...]] = tuple,
) -> Standstill | None:
    """Why nothing goes on; None if something does, or if that is not known.

    `due` returns the names of the stages that are to be sent now. *Writes* `cluster.json`.
    """
    policies = Policies.from_json(outlook.version.manifest.policies)
    cases = to_send(outlook, policies.retry)
    is_cancelled = sweep.cancelled_rest(sweep.submissions()[-1]).exists()
    if not (cases or due()) or outlook.tasks.parts or is_cancelled or cluster is None:
        return None
    jobs = list(_closing_jobs(sweep))
    closes = any(sweep.plan(number)[0].closes for number in sweep.submissions())
    why = "none was accepted by the cluster" if closes else "this sweep has none"
    if policies.closing is None:
        why = "the manifest has `closing: false`"
    if jobs:
        states = _poll(sweep, [job.job_id for job in jobs], cluster, settings)
        was_faster = set(sweep.submissions()) > outlook.resources.keys()
        if states is None or was_faster or any(_goes_on(states.get(job.job_id)) for job in jobs):
            return None
        why = _why(jobs[0], states)
    stages = due()  # a closing job may have sent them before it was asked about
    if not (cases or stages):
        return None
    return Standstill(
        name=sweep.name, path=str(sweep.path), cases=cases.count, stages=stages, why=why
    )


def has_closing_job(sweep: SweepDirectory, cluster: Cluster | None, settings: Settings) -> bool:
    """Whether a closing job is known to wait or run. *Writes* `cluster.json`."""
    jobs = [job.job_id for job in _closing_jobs(sweep)]
    if not jobs or cluster is None:
        return False
    states = _poll(sweep, jobs, cluster, settings) or {}
    return any(_goes_on(states.get(job)) for job in jobs)


def _closing_jobs(sweep: SweepDirectory) -> Iterator[ClosingJob]:
    """The newest closing jobs, the last one first."""
    count = 0
    for number in reversed(sweep.submissions()):
        for part, facts in sorted(sweep.part_facts(number).items(), reverse=True):
            if "closing" in facts and count < JOBS_MAX:
                count += 1
                log = sweep.log_dir(number) / f"closing-{part}.log"
                yield ClosingJob(job_id=facts["closing"]["job_id"], log=log)


def _poll(
    sweep: SweepDirectory, job_ids: list[str], cluster: Cluster, settings: Settings
) -> dict[str, list[str]] | None:
    """State and reason of those jobs that the queue knows; None if it could not be asked.

    Asks once in an interval, as `poll` does.
    """
    with open_memory(sweep) as memory:
        if memory is None:
            return None
        now = time.time()
        waited = now - memory.get("closing_tried", 0.0)
        hurry = 2.0 if cluster.is_own else float("inf")
        is_recent = 0 <= waited < min(settings.query_interval_s, hurry)
        if is_recent and memory.get("closing_ids") == job_ids:
            return memory.get("closing")
        return _ask(memory, sweep, job_ids, cluster, now)


def _ask(
    memory: ClusterMemory, sweep: SweepDirectory, job_ids: list[str], cluster: Cluster, now: float
) -> dict[str, list[str]] | None:
    _, document = sweep.plan(sweep.submissions()[-1])
    memory["closing_tried"], memory["closing_ids"] = now, job_ids
    memory.pop("closing", None)
    try:
        if not registry.is_same(cluster, document["cluster"]):
            return None
        queue = cluster.poll_queue(job_ids)
    except ClusterError:
        return None
    memory["closing"] = {job: [queued.state, queued.reason] for (job, _), queued in queue.items()}
    return memory["closing"]


def _goes_on(answer: list[str] | None) -> bool:
    """Whether a closing job in this state, with this reason to wait, will run."""
    if answer is None:
        return False
    state, reason = answer
    life, status, _ = state_meaning(state)
    return life is not Life.OVER and (status.value != "pending" or passes(reason))


def _why(job: ClosingJob, states: dict[str, list[str]]) -> str:
    """What became of the last closing job."""
    if job.job_id not in states:
        what = f"job {job.job_id} is no longer in the queue"
    else:
        state, reason = states[job.job_id]
        what = f"job {job.job_id} is {state}"
        if not passes(reason):
            what += f" ({reason}{': ' if meaning(reason) else ''}{meaning(reason)})"
    last = _last_line(job.log)
    return f"{what}; its log ends with: {last}" if last else f"{what}, and it left no log"


def _last_line(path: Path) -> str:
    lines = end_of_text(path, TAIL_BYTES).split("\n")
    texts = [line.strip() for line in reversed(lines) if line.strip()]
    errors = (line for line in texts if line.startswith(ERROR))  # advice follows it
    last = next(errors, texts[0] if texts else "")
    return redact(last)[:LINE_CHARACTERS]
