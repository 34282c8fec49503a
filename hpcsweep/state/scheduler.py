"""What became of array tasks that say nothing: the cluster is asked, seldom, and its word noted.

"Could not ask" is not an answer (DESIGN invariant 10): a query that failed leaves the last known
state with its age. A task is lost only by a terminal word and two scans of its journals a grace
apart that show no end.

`cluster_memory` keeps what was last heard, for all processes.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster, Element, Queued
from hpcsweep.cluster.slurm.reasons import NONE
from hpcsweep.cluster.slurm.states import Life, meaning
from hpcsweep.errors import ClusterError
from hpcsweep.files import (
    token,
)
from hpcsweep.journal import JournalWriter, common_fields, now, task_end
from hpcsweep.recordcheck import AttemptFields, CommonFields, EndRecord
from hpcsweep.records import Attempt, Reason, Status, Word
from hpcsweep.settings import Settings
from hpcsweep.state.array_tasks import ArrayTasks, Chunk, SentPart, array_tasks
from hpcsweep.state.cluster_memory import (
    FILE,
    ClusterMemory,
    element_key,
    forget_closed,
    open_memory,
    read_memory,
)
from hpcsweep.store import SweepIndex
from hpcsweep.store.ingest import Ingest
from hpcsweep.sweepdir.directory import SweepDirectory

_log = logging.getLogger(__name__)


def poll(
    sweep: SweepDirectory,
    sweep_index: SweepIndex,
    cluster: Cluster | None,
    settings: Settings,
    *,
    at_once: bool = False,
) -> ArrayTasks:
    """Ask about silent tasks if that is due, journal what is certain, and return what is known.

    `sweep_index` must have been brought up to date just before: that is one scan of the journals.
    Without a cluster nobody is asked; `at_once`, the queue is asked however lately it was.
    *Writes* `cluster.json`; a journal of its own when there is
    a verdict. *Safe to repeat.* Never raises because a cluster did not answer.
    """
    tasks = array_tasks(sweep, sweep_index)
    with open_memory(sweep) as memory:
        if memory is None or cluster is None:
            return _with_memory(tasks, memory or read_memory(sweep.path / FILE))
        hurry = 2.0 if cluster.is_own else float("inf")
        now = time.time()
        waited = now - memory.get("tried", 0.0)
        due = at_once or not 0 <= waited < min(settings.query_interval_s, hurry)
        if at_once:
            memory["last"] = ""
        asking = _those_on(cluster, tasks.parts, memory, now, due=due)
        if due and asking:
            _ask(memory, asking, cluster, now)
        grace_s = min(settings.grace_s, hurry)
        verdicts = _verdicts(memory, asking, grace_s, now)
        forget_closed(memory, tasks.parts)
        if verdicts:
            journal_verdicts(sweep, sweep_index, verdicts)
            tasks = array_tasks(sweep, sweep_index)
        next_s = max(now, memory.get("tried", 0.0) + min(settings.query_interval_s, hurry))
        tasks.certain_from = _certain_from(tasks.parts, memory, next_s, grace_s)
        return _with_memory(tasks, memory)


def _those_on(
    cluster: Cluster, parts: list[SentPart], memory: ClusterMemory, now: float, *, due: bool
) -> list[SentPart]:
    """The parts that were handed to this cluster: of others the ids mean nothing here.

    Each host asks for the cluster's name once; it is kept with what else was heard. Where the
    submission did not learn the name, its kind must do.
    """
    sent_off = [sent for sent in parts if sent.job_id]
    mine = [s for s in sent_off if registry.is_same_kind(cluster, s.cluster)]
    names = memory.setdefault("names", {})
    here = f"{os.uname().nodename} {cluster.address}"
    recorded = {sent.cluster["name"] for sent in mine} - {""}
    if recorded and due and here not in names:
        problem = None
        try:
            limits = cluster.limits()
            names |= {here: limits.cluster_name} if limits.cluster_name else {}
            problem = None if limits.cluster_name else " ".join(limits.notes)
        except ClusterError as error:
            problem = error.what
        if problem is not None:
            _note_problem(memory, problem, mine)
            memory["tried"] = now
    name = names.get(here)
    others = [sent for sent in mine if sent.cluster["name"] not in (name, "")]
    if name and others:
        told = ", ".join(sorted({sent.cluster["name"] for sent in others}))
        _note_problem(memory, f"this is the cluster {name}, the tasks are on {told}", others)
    return [sent for sent in mine if sent not in others]


def _note_problem(memory: ClusterMemory, problem: str | None, parts: list[SentPart]) -> None:
    """Keep why a question about these parts was not answered; None when it was."""
    memory["problem"] = problem
    memory["missed"] = [sent.job_id for sent in parts if problem and sent.job_id]


# --- asking ---------------------------------------------------------------------------------------


def _ask(memory: ClusterMemory, parts: list[SentPart], cluster: Cluster, now: float) -> None:
    """One question: the queue, or when it lacks some tasks, next time the accounting."""
    memory["tried"] = now
    job_ids = [sent.job_id for sent in parts if sent.job_id]
    absent: dict[str, float] = memory.setdefault("absent", {})
    over: dict[str, str] = memory.setdefault("over", {})
    try:
        if memory.get("last") == "squeue" and any(key not in over for key in absent):
            memory["last"] = "sacct"
            _hear_accounting(over, absent, cluster, job_ids)
        else:
            memory["last"] = "squeue"
            _hear_queue(memory, parts, cluster.poll_queue(job_ids), now)
            memory["heard"] = job_ids
    except ClusterError as error:
        _log.info("%s did not answer: %s", memory["last"], error.what)
        _note_problem(memory, error.what, parts)
        return
    _log.debug("%s answered about jobs %s", memory["last"], ", ".join(job_ids))
    _note_problem(memory, None, parts)
    memory["asked"] = now


def _hear_queue(
    memory: ClusterMemory, parts: list[SentPart], queue: dict[Element, Queued], now: float
) -> None:
    absent, over = memory["absent"], memory["over"]
    alive: dict[str, str] = {}
    waiting: dict[str, str] = {}
    seen_absent: dict[str, list[float]] = memory.setdefault("scans", {})
    hints: dict[str, str] = memory.setdefault("hints", {})
    for sent in parts:
        for chunk in sent.open_chunks:
            element = sent.element(chunk)
            key, said = element_key(element), queue.get(element)
            life, status, reason = meaning(said.state if said else "")
            if said is not None and life is not Life.OVER:
                alive[key] = said.state
                if status is Status.PENDING and said.reason not in NONE:
                    waiting[key] = said.reason
                for known in (absent, over, seen_absent, hints):
                    known.pop(key, None)
                continue
            absent.setdefault(key, now)
            seen_absent[key] = [seen_absent.get(key, [now])[0], now]
            # Finished elements stay visible for MinJobAge: without accounting that is all there
            # is to say why. It is not yet a terminal word.
            if reason and reason is not Reason.LOST:
                hints[key] = reason.value
    memory["alive"], memory["waiting"] = alive, waiting


def _hear_accounting(
    over: dict[str, str], absent: dict[str, float], cluster: Cluster, job_ids: list[str]
) -> None:
    for row in cluster.poll_accounting(job_ids) or ():
        life, _, reason = meaning(row.state)
        if not row.is_final or life is not Life.OVER or reason is None:
            continue
        for task in row.tasks:
            key = element_key((row.job_id, task))
            if key in absent:
                over[key] = reason.value


# --- judging --------------------------------------------------------------------------------------


def _verdicts(
    memory: ClusterMemory, parts: list[SentPart], grace_s: float, now: float
) -> dict[Chunk, Reason]:
    """The chunks whose tasks are certainly over, and why; their journals were scanned just now."""
    found: dict[Chunk, Reason] = {}
    words: dict[str, float] = memory.setdefault("words", {})
    for sent in parts:
        for chunk in sent.open_chunks:
            key = element_key(sent.element(chunk))
            reason = _terminal_word(memory, sent, key, grace_s)
            if reason is None:
                words.pop(key, None)
                continue
            # The first scan of the journals with a terminal word, and one a grace later.
            first = words.setdefault(key, now)
            if first < now and now - first >= grace_s:
                found[sent.plan.submission, chunk] = reason
    return found


def _certain_from(
    parts: list[SentPart], memory: ClusterMemory, next_s: float, grace_s: float
) -> float | None:
    """When the tasks that were cancelled can be known to be over: a grace after it is heard."""
    words = memory.get("words", {})
    heard = [
        words.get(element_key(sent.element(chunk)), next_s)
        for sent in parts
        for chunk in sent.open_chunks
        if sent.cancelled is not None
    ]
    return max(heard) + grace_s if heard else None


def _terminal_word(
    memory: ClusterMemory, sent: SentPart, key: str, grace_s: float
) -> Reason | None:
    absent = memory.get("absent", {}).get(key)
    if absent is None:
        return None
    if sent.cancelled is not None and absent >= sent.cancelled:
        return Reason.CANCELLED
    if key in memory.get("over", {}):
        return Reason(memory["over"][key])
    first, last = memory.get("scans", {}).get(key, (0.0, 0.0))
    if first < last and last - first >= grace_s:
        return Reason(memory.get("hints", {}).get(key, Reason.LOST.value))
    return None


def journal_verdicts(
    sweep: SweepDirectory, sweep_index: SweepIndex, verdicts: dict[Chunk, Reason]
) -> None:
    """Write what is certain of these tasks into a journal of this command, and ingest it.

    Where this user may not write, it is read once and not kept.
    """
    _log.info("%s: %d array tasks are over without an end of their own", sweep.name, len(verdicts))
    starts = {(t["submission"], t["chunk"]): t["start_rank"] for t in sweep_index.tasks()}
    manifest = sweep.newest_manifest()
    by_submission: dict[int, dict[int, Reason]] = {}
    for (submission, chunk), reason in verdicts.items():
        by_submission.setdefault(submission, {})[chunk] = reason
    moment = now()
    with tempfile.TemporaryDirectory(prefix="hpcsweep-") as unkept:
        root = sweep.journal_root if sweep.is_writable else Path(unkept)
        for submission, chunks in sorted(by_submission.items()):
            relative = f"{submission:04d}/commands/{token()}.jsonl"
            writer = JournalWriter(root / relative)
            for row in sweep_index.silent(submission):
                why = chunks.get(row["chunk"])
                if why and (row["status"] == Status.RUNNING.value or why is not Reason.LOST):
                    attempt = Attempt(
                        generation=row["generation"],
                        submission=submission,
                        restart=row["restart"],
                        token=row["token"],
                    )
                    common = common_fields(manifest, attempt, row["chunk"])
                    writer.append(_case_end(common, row, why, moment))
            for chunk, reason in chunks.items():
                restart = int(starts.get((submission, chunk), "")[:6] or 0)
                attempt = Attempt(generation=0, submission=submission, restart=restart, token="")
                common = common_fields(manifest, attempt, chunk)
                writer.append(task_end(common, Word.SCHEDULER, reason, time=moment))
            writer.close()
            # A path that is absolute stays so below the sweep's journals.
            Ingest(sweep, sweep_index).run(
                [relative if sweep.is_writable else str(root / relative)]
            )


def _case_end(common: CommonFields, row: dict[str, Any], reason: Reason, moment: str) -> EndRecord:
    """The scheduler's word on a case that was running, or was told to end, in a dead task."""
    known = {
        name: row[name]
        for name in (
            "started",
            "wall_seconds",
            "cpu_seconds",
            "max_rss_bytes",
            "run_dir",
            "code_digest",
            "host",
            "job_id",
        )
        if row[name] is not None
    }
    fields = cast("AttemptFields", known)
    message = f"its array task is over ({reason.value}) and its worker left no other word"
    return {
        "kind": "end",
        **common,
        "index": row["idx"],
        "case_id": row["case_id"],
        "word": Word.SCHEDULER.value,
        "status": reason.status.value,
        "reason": reason.value,
        "error": {"type": reason.value, "message": message},
        "metrics": json.loads(row["metrics"]) or None,
        "ended": row["ended"] or moment,
        **fields,
    }


def _with_memory(tasks: ArrayTasks, memory: ClusterMemory) -> ArrayTasks:
    """The tasks with what was heard of them."""
    tasks.asked = memory.get("asked")
    tasks.heard = frozenset(memory.get("heard", ()))
    tasks.missed = frozenset(memory.get("missed", ()))
    alive, waiting = memory.get("alive", {}), memory.get("waiting", {})
    for known, by_key in ((tasks.alive, alive), (tasks.waiting, waiting)):
        for sent in tasks.parts:
            for chunk in sent.open_chunks:
                key = element_key(sent.element(chunk))
                if key in by_key:
                    known[sent.plan.submission, chunk] = by_key[key]
    # What was not answered about other arrays is no problem of these.
    if any(sent.job_id in tasks.missed for sent in tasks.parts):
        tasks.problem = memory.get("problem")
    return tasks
