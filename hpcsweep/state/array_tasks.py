"""The array tasks of a sweep that are not known to be over, and what the scheduler says of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hpcsweep.cluster.base import Element
from hpcsweep.cluster.slurm.reasons import is_hold
from hpcsweep.records import Part, Reason
from hpcsweep.store import SweepIndex
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import ClusterRecord, Plan

Chunk = tuple[int, int]  # (submission, chunk)


@dataclass(frozen=True, kw_only=True, slots=True)
class SentPart:
    """One part that was, or may have been, handed to the cluster."""

    plan: Plan
    part: Part
    # The array's job id; None while sbatch's answer is not known.
    job_id: str | None
    # Seconds of the epoch at which we cancelled it; None when we did not.
    cancelled: float | None
    # What its submission recorded of its cluster.
    cluster: ClusterRecord
    # Chunks whose end nobody has reported yet.
    open_chunks: tuple[int, ...]

    def element(self, chunk: int) -> Element:
        """Slurm's name of a chunk's array task."""
        return self.job_id or "", chunk - self.part.first_chunk


@dataclass(kw_only=True, slots=True)
class ArrayTasks:
    """What is known of a sweep's array tasks, and how old that knowledge is."""

    # Parts with open chunks.
    parts: list[SentPart] = field(default_factory=list)
    # Chunks of which a start is journalled.
    started: frozenset[Chunk] = frozenset()
    # Chunks with a verdict, by submission and reason.
    ended: Mapping[tuple[int, Reason], list[int]] = field(default_factory=dict)
    # The state in Slurm's own word, by chunk, of tasks that were there when last asked; and what
    # those wait for that wait, in the queue's words.
    alive: dict[Chunk, str] = field(default_factory=dict)
    waiting: dict[Chunk, str] = field(default_factory=dict)
    # Job ids of the arrays about which the queue was asked last, and of those about which the last
    # question was not answered.
    heard: frozenset[str] = frozenset()
    missed: frozenset[str] = frozenset()
    # Seconds of the epoch of the last answer; None when there was none.
    asked: float | None = None
    # Why the last question was not answered.
    problem: str | None = None
    # Seconds of the epoch before which it cannot be certain that all tasks are over that were
    # cancelled; None when none is in doubt.
    certain_from: float | None = None

    @property
    def open_chunks(self) -> Iterator[tuple[Plan, int]]:
        """Chunks that the cluster holds, or may hold."""
        return _chunks(self.parts)

    @property
    def cancelled_chunks(self) -> Iterator[tuple[Plan, int]]:
        """Those of them that we cancelled."""
        return _chunks(sent for sent in self.parts if sent.cancelled is not None)

    @property
    def unknown_chunks(self) -> Iterator[tuple[Plan, int]]:
        """Those of them about which nobody could be asked since they were submitted."""
        missed = self.missed - self.heard
        return _chunks(s for s in self.parts if s.job_id is None or s.job_id in missed)

    @property
    def held_chunks(self) -> Iterator[tuple[Plan, int]]:
        """Those of them that the queue will not start before somebody releases them."""
        for plan, chunk in self.open_chunks:
            if is_hold(self.waiting.get((plan.submission, chunk), "")):
                yield plan, chunk

    def states(self) -> Iterator[str]:
        """The state of each open chunk's task: Slurm's own word, or one of these.

        `gone` from the queue, and not yet judged; `sent` or `cancelled` since it was last asked;
        `unanswered` when it is not known whether sbatch handed it in.
        """
        for sent in self.parts:
            absent = "gone" if sent.job_id in self.heard else "sent"
            is_cancelled = sent.cancelled is not None and sent.cancelled > (self.asked or 0.0)
            for chunk in sent.open_chunks:
                if sent.job_id is None:
                    yield "unanswered"
                elif is_cancelled:
                    yield "cancelled"
                else:
                    yield self.alive.get((sent.plan.submission, chunk), absent)


def _chunks(parts: Iterable[SentPart]) -> Iterator[tuple[Plan, int]]:
    return ((sent.plan, chunk) for sent in parts for chunk in sent.open_chunks)


def array_tasks(sweep: SweepDirectory, sweep_index: SweepIndex) -> ArrayTasks:
    """What plans, part facts and journals say of the array tasks, without the scheduler's word.

    `sweep_index` must have been brought up to date just before.
    """
    rows = sweep_index.tasks()
    closed, started = set(), set()
    ended: dict[tuple[int, Reason], list[int]] = {}
    for row in rows:
        key = row["submission"], row["chunk"]
        if row["start_rank"]:
            started.add(key)
        if _is_closed(row):
            closed.add(key)
        if row["reason"]:
            ended.setdefault((row["submission"], Reason(row["reason"])), []).append(row["chunk"])
    parts = list(_open_parts(sweep, closed))
    return ArrayTasks(parts=parts, started=frozenset(started), ended=ended)


def _open_parts(sweep: SweepDirectory, closed: set[Chunk]) -> Iterator[SentPart]:
    """The parts with open chunks, oldest submission first."""
    for number in sweep.submissions():
        plan, document = sweep.plan(number)
        facts = sweep.part_facts(number)
        for part in plan.parts:
            chunks = range(part.first_chunk, part.first_chunk + part.chunks)
            still = tuple(chunk for chunk in chunks if (number, chunk) not in closed)
            known = facts.get(part.number, {})
            # Without an intent it was never handed in: its submit was killed before.
            if not still or "void" in known or "intent" not in known:
                continue
            job, cancel = known.get("job"), known.get("cancel")
            yield SentPart(
                plan=plan,
                part=part,
                job_id=job["job_id"] if job else None,
                cancelled=cancel["time"] if cancel else None,
                cluster=document["cluster"],
                open_chunks=still,
            )


def _is_closed(task: dict[str, Any]) -> bool:
    # A finished task can be requeued by hand: a start after the verdict opens it again.
    verdict, start = task["verdict_rank"], task["start_rank"]
    return bool(verdict) and verdict[:6] >= start[:6]
