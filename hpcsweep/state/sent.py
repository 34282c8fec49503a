"""What was handed to the cluster and is not known to be over, and what was heard of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hpcsweep.cluster.base import Element
from hpcsweep.records import Part
from hpcsweep.store import SweepIndex
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import Plan

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
    # What its submission recorded of its cluster: kind, name, state_dir.
    cluster: dict[str, str]
    # Chunks whose end nobody has reported yet.
    open_chunks: tuple[int, ...]

    def element(self, chunk: int) -> Element:
        """Slurm's name of a chunk's array task."""
        return self.job_id or "", chunk - self.part.first_chunk


@dataclass(kw_only=True, slots=True)
class View:
    """What is known of a sweep's array tasks, and how old that knowledge is."""

    # Parts with open chunks.
    parts: list[SentPart] = field(default_factory=list)
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

    def tasks(self) -> Iterator[str]:
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


def sent_parts(sweep: SweepDirectory, store: SweepIndex) -> list[SentPart]:
    """The parts with open chunks, oldest submission first."""
    closed = {(t["submission"], t["chunk"]) for t in store.tasks() if _is_closed(t)}
    found = []
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
            found.append(
                SentPart(
                    plan=plan,
                    part=part,
                    job_id=job["job_id"] if job else None,
                    cancelled=cancel["time"] if cancel else None,
                    cluster=document["cluster"],
                    open_chunks=still,
                )
            )
    return found


def _is_closed(task: dict[str, Any]) -> bool:
    # A finished task can be requeued by hand: a start after the verdict opens it again.
    verdict, start = task["verdict_rank"], task["start_rank"]
    return bool(verdict) and verdict[:6] >= start[:6]
