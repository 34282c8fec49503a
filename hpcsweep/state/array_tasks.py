"""The array tasks of a sweep that are not known to be over, and their states in the scheduler."""

from __future__ import annotations

from collections import Counter
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
# Sets of chunks, by submission; and these by a text about them.
ChunkSets = dict[int, IndexSet]
ChunksBy = dict[str, ChunkSets]
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
    open_chunks: IndexSet
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

    def chunks_of(self, elements: IndexSet) -> IndexSet:
        """The open chunks of array tasks, by their ids."""
        if not self.part.is_array:
            return self.open_chunks if 0 in elements else NONE
        return self.open_chunks & _shifted(elements, self.part.first_chunk)

    @property
    def open_elements(self) -> IndexSet:
        """The ids of the open array tasks."""
        if not self.part.is_array:
            return IndexSet.all(1)
        return _shifted(self.open_chunks, -self.part.first_chunk)

    def cancelled_chunks(self, after: float = float("-inf")) -> IndexSet:
        """The open chunks whose array tasks we cancelled after a time, seconds of the epoch."""
        if self.cancelled is not None:
            return self.open_chunks if self.cancelled > after else NONE
        times = self.cancel_times.items()
        return self.open_chunks & IndexSet.of(sorted(chunk for chunk, at in times if at > after))

    @property
    def tasks(self) -> IndexSet:
        """A chunk for each open array task; of a job of whole nodes one for all of them."""
        return self.open_chunks.slice(0, 1) if self.part.nodes else self.open_chunks

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
    # Open chunks by Slurm's state of their tasks in the last answer of the queue, and by the reason
    # that these wait for.
    in_state: ChunksBy = field(default_factory=dict)
    waiting_for: ChunksBy = field(default_factory=dict)
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
    def open_chunks(self) -> Iterator[tuple[Plan, IndexSet]]:
        """Chunks that the cluster holds, or may hold."""
        return _chunks(self.parts)

    @property
    def cancelled_chunks(self) -> Iterator[tuple[Plan, IndexSet]]:
        """The open chunks whose array tasks we cancelled."""
        return ((sent.plan, sent.cancelled_chunks()) for sent in self.parts)

    @property
    def unknown_chunks(self) -> Iterator[tuple[Plan, IndexSet]]:
        """The open chunks about which no poll succeeded since they were submitted."""
        missed = self.missed - self.answered
        return _chunks(s for s in self.parts if s.job_id is None or s.job_id in missed)

    @property
    def held_chunks(self) -> Iterator[tuple[Plan, IndexSet]]:
        """The open chunks that the queue does not start until they are released."""
        for plan, chunks in self.open_chunks:
            for reason, sets in self.waiting_for.items():
                if is_hold(reason):
                    yield plan, chunks & sets.get(plan.submission, NONE)

    def alive(self, submission: int) -> IndexSet:
        """The chunks of a submission whose tasks were in the last answer of the queue."""
        return IndexSet.union(sets.get(submission, NONE) for sets in self.in_state.values())

    def waits(self) -> Counter[str]:
        """How many open array tasks wait for what, by the queue's reason."""
        counts: Counter[str] = Counter()
        for sent in self.parts:
            _count(counts, _split(sent.tasks, sent.plan.submission, self.waiting_for))
        return counts

    def states(self) -> Counter[str]:
        """How many open array tasks are in each state: Slurm's state, or one of these.

        `gone` from the queue, without a verdict yet; `sent` or `cancelled` since the last answer;
        `unanswered` if it is not known whether sbatch succeeded.
        """
        counts: Counter[str] = Counter()
        for sent in self.parts:
            if sent.job_id is None:
                counts["unanswered"] += sent.tasks.count
                continue
            cancelled = sent.tasks & sent.cancelled_chunks(self.polled_at or 0.0)
            rest = sent.tasks - cancelled
            known = _split(rest, sent.plan.submission, self.in_state)
            absent = "gone" if sent.job_id in self.answered else "sent"
            others = {"cancelled": cancelled, absent: rest - IndexSet.union(known.values())}
            _count(counts, known | others)
        return counts


def _split(chunks: IndexSet, submission: int, sets: ChunksBy) -> dict[str, IndexSet]:
    """Those of a submission's chunks that are in some set, by what it is about."""
    return {text: chunks & of.get(submission, NONE) for text, of in sets.items()}


def _count(counts: Counter[str], chunks: Mapping[str, IndexSet]) -> None:
    """Count chunks by their text, in the order of the first chunk of each."""
    known = [(own.ranges[0], text, own.count) for text, own in chunks.items() if own]
    for _, text, count in sorted(known):
        counts[text] += count


def _chunks(parts: Iterable[SentPart]) -> Iterator[tuple[Plan, IndexSet]]:
    return ((sent.plan, sent.open_chunks) for sent in parts)


def _shifted(indices: IndexSet, by: int) -> IndexSet:
    """All indices plus a number; those below 0 are left out."""
    return IndexSet((max(0, start + by), max(0, stop + by)) for start, stop in indices.ranges)


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
            still = chunks - closed.get(number, NONE)
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
