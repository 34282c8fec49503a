"""Chaos: run a sweep to its end on an emulated Slurm that injects faults; report the result."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hpcsweep import emulator
from hpcsweep.cluster.base import Cluster
from hpcsweep.emulator import Fault
from hpcsweep.errors import ClusterError, ClusterUnavailable, SweepError
from hpcsweep.indexset import IndexSet
from hpcsweep.journal import all_journals, rank, read
from hpcsweep.quantities import counted
from hpcsweep.recordcheck import BeginRecord, EndRecord
from hpcsweep.records import Status
from hpcsweep.settings import Settings
from hpcsweep.state.moments import epoch_s
from hpcsweep.state.status import wait
from hpcsweep.state.summary import Summary
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission.request import SubmitRequest
from hpcsweep.submission.submit import submit
from hpcsweep.sweepdir.directory import SweepDirectory

# Node failures, preemptions, duplicate starts, two outages of the controller, lost answers of
# sbatch.
MIXTURE = (
    Fault(kind="node_fail", rate=0.02),
    Fault(kind="preempt", rate=0.02),
    Fault(kind="duplicate_start", rate=0.01),
    Fault(kind="controller_down", rate=1.0, seconds=10.0, within_s=8.0, times=2),
    Fault(kind="submit_timeout", rate=0.3),
)
# The part of a job name that depends on the sweep directory. Without it the same faults strike the
# same tasks of a manifest in every directory.
KEY = r"\.[0-9a-f]{8}(?=\.\d+\.\d+$)"
# Submits until the remaining cases count as lost, for each batch of a search, and seconds between
# two that were refused.
_ROUNDS = 20
_PAUSE_S = 1.0
# Seconds at most from the end of a case to its record.
_LATE_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class InjectedFault:
    """One injected fault."""

    kind: str
    # Of the array task; None for a fault of the cluster.
    job: str | None
    # Indices of the task's cases, as text; empty for none.
    cases: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """How often each case was accepted, according to the journals. Sets hold case ids."""

    # Cases for which the index has another attempt than the best one of the journals.
    wrong: frozenset[str]
    # Cases that a start began although they were complete in a journal that it had to know.
    again: frozenset[str]
    # Count of cases that several starts computed, concurrently or after an interruption: harmless.
    repeated: int

    @property
    def is_once(self) -> bool:
        """Whether each case was accepted once."""
        return not self.wrong and not self.again

    def line(self) -> str:
        """The summary in one line."""
        if self.is_once:
            return f"each case accepted once, {self.repeated} of them begun more than once"
        kinds = (("not as journalled", self.wrong), ("computed again", self.again))
        names = (f"{what}: {', '.join(sorted(ids)[:5])} ({len(ids)})" for what, ids in kinds if ids)
        return f"ACCEPTED WRONGLY: {'; '.join(names)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """The faults of a run, and whether a result was lost."""

    seed: int
    faults: list[InjectedFault]
    # Count of submits, including those without an answer.
    submits: int
    summary: Summary
    accepted: Accepted


def run(
    request: SubmitRequest,
    cluster: Cluster,
    settings: Settings,
    seed: int,
    notify: Callable[[str], None],
) -> Report:
    """Submit under faults repeatedly until every case has an outcome, then clear the faults.

    *Raises* ClusterError if the cluster is not an emulated one.
    """
    if not cluster.takes_faults:
        raise ClusterError(
            "only an emulated cluster can inject faults",
            next_step="Use --cluster emulated with --chaos.",
        )
    state_dir, begun = Path(cluster.state_dir), time.time()
    request = replace(request, at_once=True)  # this run sends the rest itself
    emulator.order_faults(state_dir, MIXTURE, seed=seed, ignore=KEY)
    try:
        submits, summary = _submit_until_done(request, cluster, settings, notify)
    finally:
        emulator.order_faults(state_dir, (), seed=0)
    sweep = SweepDirectory.open(request.path)
    tasks = dict(_tasks(sweep))
    faults = emulator.faults_since(state_dir, begun)
    injected = [_describe(fault, tasks) for fault in faults]
    return Report(
        seed=seed, faults=injected, submits=submits, summary=summary, accepted=accepted(sweep)
    )


def _submit_until_done(
    request: SubmitRequest, cluster: Cluster, settings: Settings, notify: Callable[[str], None]
) -> tuple[int, Summary]:
    summary: Summary | None = None
    search = request.policies.search
    rounds = _ROUNDS * (1 if search is None else math.ceil(search.n / search.batch))
    for number in range(1, rounds + 1):
        try:
            done = submit(request, cluster, settings, notify)
            # Resubmit only unfinished cases of this run, never those complete before it.
            request = replace(request, rerun=None)
            summary = wait(done.sweep, cluster, settings)
        except (ClusterUnavailable, ClusterError) as problem:
            notify(f"submit {number}: {problem.what}")
            time.sleep(_PAUSE_S)
            continue
        if summary.without_outcome:
            again = counted(summary.without_outcome, "case is", "cases are")
            notify(f"submit {number}: {again} to be sent again")
        elif summary.search is None or summary.search.is_over:
            break
    if summary is None:
        raise SweepError(
            f"{rounds} submits got no answer",
            where=str(request.path),
            next_step="Try another seed, or without --chaos first.",
        )
    return number, summary


def _tasks(sweep: SweepDirectory) -> Iterator[tuple[tuple[int, int], IndexSet]]:
    """The indices of every array task that was ever submitted, by job id and task id."""
    for number in sweep.submissions():
        plan, _ = sweep.plan(number)
        facts = sweep.part_facts(number)
        for part in plan.parts:
            job = facts.get(part.number, {}).get("job")
            if job is None:
                continue
            for task in range(part.chunks):
                yield (int(job["job_id"]), task), plan.chunk(part.first_chunk + task)


def _describe(fault: dict[str, Any], tasks: dict[tuple[int, int], IndexSet]) -> InjectedFault:
    if "job" not in fault:
        return InjectedFault(kind=fault["kind"], job=None, cases="")
    key = (fault["job"], fault["task"])
    indices = tasks.get(key)
    task = "" if fault["task"] is None else f"_{fault['task']}"
    cases = "" if indices is None else _text_of(indices)
    return InjectedFault(kind=fault["kind"], job=f"{fault['job']}{task}", cases=cases)


def _text_of(indices: IndexSet) -> str:
    numbers = list(indices)
    if len(numbers) > 1 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]}-{numbers[-1]}"
    return ",".join(map(str, numbers))


# --- the check of all journals --------------------------------------------------------------------


@dataclass(slots=True)
class _Case:
    """The records of one case in all journals."""

    best: str = ""
    # (submission, restart, seconds since the epoch) of each start that began it, and of each
    # `end` record with status complete.
    begun: list[tuple[int, int, float]] = field(default_factory=list)
    complete: list[tuple[int, int, float]] = field(default_factory=list)

    def is_computed_again(self, sent: dict[int, float]) -> bool:
        """Whether a start began it that had to know that it was complete.

        A task reads the journals of its chunk when it starts, and a submission reads all
        journals. Two starts with the same restart count run concurrently: a duplicate start.
        """
        for submission, restart, started in self.begun:
            for before, earlier, ended in self.complete:
                is_requeued = before == submission and earlier < restart
                since = started if is_requeued else sent[submission]
                if (is_requeued or before < submission) and ended < since - _LATE_S:
                    return True
        return False


def accepted(sweep: SweepDirectory) -> Accepted:
    """Compare the index with all journals: each case accepted once. *Writes* the index."""
    cases: dict[tuple[int, str], _Case] = {}
    for name in all_journals(sweep.journal_root):
        started = 0.0
        for reading in read(sweep.journal_root / name):
            for record in reading.records:
                if record["kind"] == "task":
                    started = epoch_s(record["time"])
                elif record["kind"] in ("begin", "end") and "index" in record:
                    key = record["attempt"][0], record["case_id"]
                    _add_record(cases.setdefault(key, _Case()), record, started)
    sent = {n: epoch_s(sweep.plan(n)[1]["time"]) for n in sweep.submissions()}
    best: dict[str, str] = {}
    for (_, case_id), case in cases.items():
        best[case_id] = max(best.get(case_id, ""), case.best)
    with fresh_index(sweep) as sweep_index:
        ranks = {row["case_id"]: row["rank"] for row in sweep_index.rows()}
    return Accepted(
        wrong=frozenset(case_id for case_id, rank_ in ranks.items() if best.get(case_id) != rank_),
        again=frozenset(
            case_id for (_, case_id), case in cases.items() if case.is_computed_again(sent)
        ),
        repeated=sum(len(case.begun) > 1 for case in cases.values()),
    )


def _add_record(case: _Case, record: BeginRecord | EndRecord, started: float) -> None:
    case.best = max(case.best, rank(record))
    _, submission, restart, _ = record["attempt"]
    if record["kind"] == "begin":
        case.begun.append((submission, restart, started))
    elif record["status"] == Status.COMPLETE.value:
        case.complete.append((submission, restart, epoch_s(record["ended"])))
