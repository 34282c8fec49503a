"""Poll the cluster about silent array tasks, at most once per interval, and journal verdicts.

"Could not ask" is not an answer (DESIGN invariant 10): a failed query leaves the last known state
with its age. A task is lost only after a terminal word and two scans of its journals, a grace
period apart, that show no end.

`cluster_memory` keeps the last answers, for all processes.
"""

from __future__ import annotations

import logging
import os
import time

from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.cluster.jobs import Element, Queued
from hpcsweep.cluster.reasons import NONE
from hpcsweep.cluster.states import Life, meaning
from hpcsweep.errors import ClusterError
from hpcsweep.records import Reason, Status
from hpcsweep.settings import Settings
from hpcsweep.state.array_tasks import ArrayTasks, Chunk, SentPart, array_tasks
from hpcsweep.state.cluster_memory import (
    FILE,
    ClusterMemory,
    by_text,
    chunks_in_queue,
    element_key,
    forget_closed,
    open_memory,
    read_memory,
)
from hpcsweep.state.verdicts import journal_verdicts
from hpcsweep.store import SweepIndex
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
    """Poll the cluster about silent tasks if that is due, and journal verdicts. Returns the tasks.

    `sweep_index` must have been brought up to date just before: that is one scan of the journals.
    Without a cluster nothing is polled; with `at_once` the queue is polled even if it is not due.
    *Writes* `cluster.json`, and a journal of its own if there is a verdict. *Safe to repeat.* Never
    raises because a cluster did not answer.
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
        asking = _parts_on(cluster, tasks.parts, memory, now, due=due)
        if due and asking:
            sweep_index.close_connection()  # the answer may take a minute
            _poll_once(memory, asking, cluster, now)
        if not asking or not memory.get("problem"):
            _note_elsewhere(memory, cluster, [one for one in tasks.parts if one not in asking])
        grace_s = min(settings.grace_s, hurry)
        verdicts = _verdicts(memory, asking, grace_s, now)
        forget_closed(memory, tasks.parts)
        if verdicts:
            journal_verdicts(sweep, sweep_index, verdicts)
            tasks = array_tasks(sweep, sweep_index)
        next_s = max(now, memory.get("tried", 0.0) + min(settings.query_interval_s, hurry))
        tasks.certain_from = _certain_from(tasks.parts, memory, next_s, grace_s)
        return _with_memory(tasks, memory)


def _parts_on(
    cluster: Cluster, parts: list[SentPart], memory: ClusterMemory, now: float, *, due: bool
) -> list[SentPart]:
    """The parts that were submitted to this cluster; job ids of other clusters mean nothing here.

    Each host asks for the cluster's name once and keeps it in the memory. If the submission did not
    record a name, the kind of the cluster is compared.
    """
    sent_off = [sent for sent in parts if sent.job_id]
    own_parts = [s for s in sent_off if registry.is_same_kind(cluster, s.cluster)]
    names = memory.setdefault("names", {})
    key = _name_key(cluster)
    recorded = {sent.cluster["name"] for sent in own_parts} - {""}
    if recorded and due and key not in names:
        problem = None
        try:
            limits = cluster.limits()
            names |= {key: limits.cluster_name} if limits.cluster_name else {}
            problem = None if limits.cluster_name else " ".join(limits.notes)
        except ClusterError as error:
            problem = error.what
        if problem is not None:
            _note_problem(memory, problem, own_parts)
            memory["tried"] = now
    return [sent for sent in own_parts if sent.cluster["name"] in (names.get(key), "")]


def _note_elsewhere(memory: ClusterMemory, cluster: Cluster, others: list[SentPart]) -> None:
    """Record the parts that were submitted to clusters of other names."""
    name = memory.get("names", {}).get(_name_key(cluster))
    elsewhere = [
        sent for sent in others if sent.job_id and registry.is_same_kind(cluster, sent.cluster)
    ]
    if name and elsewhere:
        other_names = ", ".join(sorted({sent.cluster["name"] for sent in elsewhere}))
        _note_problem(
            memory, f"this is the cluster {name}, the tasks are on {other_names}", elsewhere
        )


def _name_key(cluster: Cluster) -> str:
    """Where the memory has the name of a cluster, as this host gets it."""
    return f"{os.uname().nodename} {cluster.address}"


def _note_problem(memory: ClusterMemory, problem: str | None, parts: list[SentPart]) -> None:
    """Record why a poll about these parts failed; None if it succeeded."""
    memory["problem"] = problem
    memory["missed"] = [sent.job_id for sent in parts if problem and sent.job_id]


# --- polling --------------------------------------------------------------------------------------


def _poll_once(memory: ClusterMemory, parts: list[SentPart], cluster: Cluster, now: float) -> None:
    """Poll the queue; or, if the last poll of it lacked tasks, the accounting."""
    memory["tried"] = now
    job_ids = [sent.job_id for sent in parts if sent.job_id]
    absent: dict[str, float] = memory.setdefault("absent", {})
    over: dict[str, str] = memory.setdefault("over", {})
    try:
        if memory.get("last") == "squeue" and any(key not in over for key in absent):
            memory["last"] = "sacct"
            _apply_accounting(over, absent, cluster, parts)
        else:
            memory["last"] = "squeue"
            _apply_queue(memory, parts, cluster.poll_queue(job_ids), now)
            memory["polled"] = job_ids
    except ClusterError as error:
        _log.info("%s did not answer: %s", memory["last"], error.what)
        _note_problem(memory, error.what, parts)
        return
    _log.debug("%s answered about jobs %s", memory["last"], ", ".join(job_ids))
    _note_problem(memory, None, parts)
    memory["asked"] = now


def _apply_queue(
    memory: ClusterMemory, parts: list[SentPart], queue: dict[Element, Queued], now: float
) -> None:
    absent, over = memory["absent"], memory["over"]
    alive: list[tuple[Element, str]] = []
    waiting: list[tuple[Element, str]] = []
    starts: list[float] = []
    seen_absent: dict[str, list[float]] = memory.setdefault("scans", {})
    hints: dict[str, str] = memory.setdefault("hints", {})
    for sent in parts:
        for chunk in sent.open_chunks:
            element = sent.element(chunk)
            key, queued = element_key(element), queue.get(element)
            life, status, reason = meaning(queued.state if queued else "")
            if queued is not None and life is not Life.OVER:
                alive.append((element, queued.state))
                if status is Status.PENDING and queued.reason not in NONE:
                    waiting.append((element, queued.reason))
                if status is Status.PENDING and queued.start is not None and queued.start > now:
                    starts.append(queued.start)
                for by_element in (absent, over, seen_absent, hints):
                    by_element.pop(key, None)
                continue
            absent.setdefault(key, now)
            seen_absent[key] = [seen_absent.get(key, [now])[0], now]
            # Finished elements stay visible for MinJobAge; without accounting this is the only
            # source of the reason. It is not a terminal word yet.
            if reason and reason is not Reason.LOST:
                hints[key] = reason.value
    memory["in_queue"], memory["waits"] = by_text(alive), by_text(waiting)
    memory.pop("next_start", None)
    if starts:
        memory["next_start"] = min(starts)


def _apply_accounting(
    over: dict[str, str], absent: dict[str, float], cluster: Cluster, parts: list[SentPart]
) -> None:
    elements = [sent.element(chunk) for sent in parts for chunk in sent.open_chunks]
    asked = [one for one in elements if (key := element_key(one)) in absent and key not in over]
    for row in cluster.poll_accounting(asked) or ():
        life, _, reason = meaning(row.state)
        if not row.is_final or life is not Life.OVER or reason is None:
            continue
        for task in row.tasks:
            key = element_key((row.job_id, task))
            if key in absent:
                over[key] = reason.value


# --- verdicts -------------------------------------------------------------------------------------


def _verdicts(
    memory: ClusterMemory, parts: list[SentPart], grace_s: float, now: float
) -> dict[Chunk, Reason]:
    """The chunks whose tasks are certainly over, with reasons. Counts as a scan of the journals."""
    verdicts: dict[Chunk, Reason] = {}
    words: dict[str, float] = memory.setdefault("words", {})
    # Without this, each look would go through all tasks that wait in the queue.
    jobs = {key.rpartition("_")[0] for key in (*memory.get("absent", {}), *words)}
    for sent in parts:
        for chunk in sent.open_chunks if sent.job_id in jobs else ():
            key = element_key(sent.element(chunk))
            reason = _terminal_word(memory, sent.cancelled_at(chunk), key, grace_s)
            if reason is None:
                words.pop(key, None)
                continue
            # Two scans with a terminal word, at least a grace period apart.
            first = words.setdefault(key, now)
            if first < now and now - first >= grace_s:
                verdicts[sent.plan.submission, chunk] = reason
    return verdicts


def _certain_from(
    parts: list[SentPart], memory: ClusterMemory, next_s: float, grace_s: float
) -> float | None:
    """When it is certain that cancelled tasks are over: a grace period after the terminal word."""
    words = memory.get("words", {})
    times = [
        words.get(element_key(sent.element(chunk)), next_s)
        for sent in parts
        for chunk in sent.cancelled_chunks()
    ]
    return max(times) + grace_s if times else None


def _terminal_word(
    memory: ClusterMemory, cancelled: float | None, key: str, grace_s: float
) -> Reason | None:
    absent = memory.get("absent", {}).get(key)
    if absent is None:
        return None
    if cancelled is not None and absent >= cancelled:
        return Reason.CANCELLED
    if key in memory.get("over", {}):
        return Reason(memory["over"][key])
    first, last = memory.get("scans", {}).get(key, (0.0, 0.0))
    if first < last and last - first >= grace_s:
        return Reason(memory.get("hints", {}).get(key, Reason.LOST.value))
    return None


def _with_memory(tasks: ArrayTasks, memory: ClusterMemory) -> ArrayTasks:
    """Add the cluster's answers to the tasks."""
    tasks.polled_at = memory.get("asked")
    tasks.answered = frozenset(memory.get("polled", ()))
    tasks.missed = frozenset(memory.get("missed", ()))
    tasks.next_start = memory.get("next_start")
    tasks.progress = memory.get("progress") or []
    tasks.in_state = chunks_in_queue(memory, "in_queue", tasks.parts)
    tasks.waiting_for = chunks_in_queue(memory, "waits", tasks.parts)
    # A failed poll about other arrays is not a problem of these.
    if any(sent.job_id in tasks.missed for sent in tasks.parts):
        tasks.problem = memory.get("problem")
    return tasks
