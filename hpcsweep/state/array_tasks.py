"""The array tasks of a sweep that are not known to be over, and their states in the scheduler."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from hpcsweep.cluster.jobs import Element
from hpcsweep.cluster.reasons import is_hold
from hpcsweep.indexset import IndexSet
from hpcsweep.records import Part, Reason
from hpcsweep.store import SweepIndex
from hpcsweep.sweepdir.cancelled import cancel_times
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import ClusterRecord, Plan

Chunk = tuple[int, int]  # (submission, chunk)
# Ranges of array task ids in one name.
RANGES_NAMED = 200
NONE = IndexSet()


@dataclass(frozen=True, kw_only=True, slots=True)
class SentPart:
    """A part that was, or may have been, submitted to the cluster."""

    plan: Plan
    part: Part
    # The array's job id; None while the answer of sbatch is not known.
    job_id: str | None
    # Time of our cancel, seconds of the epoch; None without one.
    cancelled: float | None
    # The cluster that its submission recorded.
    cluster: ClusterRecord
    # Chunks without a reported end.
    open_chunks: tuple[int, ...]
    # Time of our cancel of single array tasks, by chunk.
    cancel_times: Mapping[int, float] = field(default_factory=dict)

    def cancelled_at(self, chunk: int) -> float | None:
        """When we cancelled a chunk's array task, seconds of the epoch; None if we did not."""
        if self.cancelled is not None:
            return self.cancelled
        return self.cancel_times.get(chunk)

    def element(self, chunk: int) -> Element:
        """Slurm's name of a chunk's array task."""
        return self.job_id or "", self.part.element(chunk)

    @property
    def tasks(self) -> tuple[int, ...]:
        """A chunk for each open array task; of a job of whole nodes one for all of them."""
        return self.open_chunks[:1] if self.part.nodes else self.open_chunks

    def names_of(self, chunks: Iterable[int]) -> list[str]:
        """Slurm's names of chunks' array tasks: `123_[0-4,7]`, or `123` of a job that is no array.

        Several of them where the text would be too long for an argument of Slurm's programs. None
        for some of the open chunks of a job that is no array: it has no name for them.
        """
        chunks = set(chunks)
        elements = IndexSet.of(map(self.part.element, chunks))
        if not elements or not (self.part.is_array or chunks.issuperset(self.open_chunks)):
            return []
        if not self.part.is_array:
            return [self.job_id or ""]
        pieces = (
            elements.ranges[at : at + RANGES_NAMED]
            for at in range(0, len(elements.ranges), RANGES_NAMED)
        )
        return [f"{self.job_id}_[{IndexSet(piece)}]" for piece in pieces]


@dataclass(kw_only=True, slots=True)
class ArrayTasks:
    """The array tasks of a sweep, and the age of what is known about them."""

    # Parts with open chunks.
    parts: list[SentPart] = field(default_factory=list)
    # Chunks with a journalled start, by submission.
    started: Mapping[int, IndexSet] = field(default_factory=dict)
    # Chunks with a verdict, by submission and reason.
    ended: Mapping[tuple[int, Reason], IndexSet] = field(default_factory=dict)
    # By chunk: Slurm's state of a task in the last answer of the queue, and the reason it waits
    # for.
    alive: dict[Chunk, str] = field(default_factory=dict)
    waiting: dict[Chunk, str] = field(default_factory=dict)
    # When the queue expected the next of them to start, seconds of the epoch; None if it did not.
    next_start: float | None = None
    # Job ids of the arrays in the last successful poll of the queue, and in the last poll that
    # failed.
    answered: frozenset[str] = frozenset()
    missed: frozenset[str] = frozenset()
    # Time of the last answer, seconds of the epoch; None before the first.
    polled_at: float | None = None
    # Why the last poll failed.
    problem: str | None = None
    # Times, and the counts of cases that had ended by then: see `state/pace`.
    progress: list[list[float]] = field(default_factory=list)
    # Time from which on it can be certain that all cancelled tasks are over, seconds of the epoch;
    # None if no cancelled task is open.
    certain_from: float | None = None

    def has_started(self, submission: int, chunk: int) -> bool:
        """Whether a start of a chunk's task is journalled."""
        return chunk in self.started.get(submission, NONE)

    @property
    def open_chunks(self) -> Iterator[tuple[Plan, int]]:
        """Chunks that the cluster holds, or may hold."""
        return _chunks(self.parts)

    @property
    def cancelled_chunks(self) -> Iterator[tuple[Plan, int]]:
        """The open chunks whose array tasks we cancelled."""
        for sent in self.parts:
            for chunk in sent.open_chunks:
                if sent.cancelled_at(chunk) is not None:
                    yield sent.plan, chunk

    @property
    def unknown_chunks(self) -> Iterator[tuple[Plan, int]]:
        """The open chunks about which no poll succeeded since they were submitted."""
        missed = self.missed - self.answered
        return _chunks(s for s in self.parts if s.job_id is None or s.job_id in missed)

    @property
    def held_chunks(self) -> Iterator[tuple[Plan, int]]:
        """The open chunks that the queue does not start until they are released."""
        for plan, chunk in self.open_chunks:
            if is_hold(self.waiting.get((plan.submission, chunk), "")):
                yield plan, chunk

    def waits(self) -> Iterator[str]:
        """What each open chunk's task waits for, as far as it does."""
        for sent in self.parts:
            for chunk in sent.tasks:
                reason = self.waiting.get((sent.plan.submission, chunk))
                if reason is not None:
                    yield reason

    def states(self) -> Iterator[str]:
        """The state of each open chunk's task: Slurm's state, or one of these.

        `gone` from the queue, without a verdict yet; `sent` or `cancelled` since the last answer;
        `unanswered` if it is not known whether sbatch succeeded.
        """
        for sent in self.parts:
            absent = "gone" if sent.job_id in self.answered else "sent"
            for chunk in sent.tasks:
                if sent.job_id is None:
                    yield "unanswered"
                elif (sent.cancelled_at(chunk) or 0.0) > (self.polled_at or 0.0):
                    yield "cancelled"
                else:
                    yield self.alive.get((sent.plan.submission, chunk), absent)


def _chunks(parts: Iterable[SentPart]) -> Iterator[tuple[Plan, int]]:
    return ((sent.plan, chunk) for sent in parts for chunk in sent.open_chunks)


def array_tasks(sweep: SweepDirectory, sweep_index: SweepIndex) -> ArrayTasks:
    """The array tasks from plans, part facts and journals, without the scheduler.

    `sweep_index` must have been brought up to date just before.
    """
    closed: dict[int, IndexSet] = {}
    started: dict[int, IndexSet] = {}
    ended: dict[tuple[int, Reason], IndexSet] = {}
    for group in sweep_index.task_groups():
        number, chunks = group.submission, group.chunks
        if group.is_started:
            started[number] = chunks | started.get(number, NONE)
        if group.is_closed:
            closed[number] = chunks | closed.get(number, NONE)
        if group.reason:
            key = number, Reason(group.reason)
            ended[key] = chunks | ended.get(key, NONE)
    parts = list(_open_parts(sweep, closed))
    return ArrayTasks(parts=parts, started=started, ended=ended)


def _open_parts(sweep: SweepDirectory, closed: Mapping[int, IndexSet]) -> Iterator[SentPart]:
    """The parts with open chunks, oldest submission first."""
    times = cancel_times(sweep)
    for number in sweep.submissions():
        plan, document = sweep.plan(number)
        facts = sweep.part_facts(number)
        for part in plan.parts:
            chunks = IndexSet([(part.first_chunk, part.first_chunk + part.chunks)])
            still = tuple(chunks - closed.get(number, NONE))
            part_facts = facts.get(part.number, {})
            # Without an intent it was never submitted: its submit was killed before.
            if not still or "void" in part_facts or "intent" not in part_facts:
                continue
            job, cancel = part_facts.get("job"), part_facts.get("cancel")
            yield SentPart(
                plan=plan,
                part=part,
                job_id=job["job_id"] if job else None,
                cancelled=cancel["time"] if cancel else None,
                cluster=document["cluster"],
                open_chunks=still,
                cancel_times=times.get(number, {}),
            )
