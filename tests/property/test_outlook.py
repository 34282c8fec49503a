"""The outlook: every index is in exactly one class, which a slow and obvious model agrees with.

The model looks at one case at a time: at its journal records, at the part facts of the submissions
that have it, and at what the queue answered about their array tasks.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Pool, event

from hpcsweep.cluster.jobs import Queued
from hpcsweep.cluster.limits import Limits
from hpcsweep.errors import ClusterUnavailable
from hpcsweep.indexset import IndexSet
from hpcsweep.records import Reason, Status
from hpcsweep.settings import Settings
from hpcsweep.sources import grid
from hpcsweep.state import scheduler
from hpcsweep.state.outlook import Outlook, State, outlook_of
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import FactKind
from hpcsweep.sweepdir.version import Version
from tests.support.journals import rank, write_journal
from tests.support.scripted import TIME
from tests.support.sweeps import MadeSweep

CASES = 6
GRACE_S = 60.0
NEW, OLD = "1" * 16, "0" * 16
ENDS: tuple[tuple[str, str | None], ...] = (
    ("complete", None),
    ("failed", "error"),
    ("failed", "out_of_memory"),
    ("interrupted", "lost"),
    ("interrupted", "terminated"),
)
VERDICTS = ("lost", "timeout", "cancelled", "out_of_memory")


# --- what can happen ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Told:
    """What a task start left of one case: no end, or one."""

    x: int
    end: tuple[str, str | None] | None
    digest: str | None


@dataclass(frozen=True)
class Start:
    """One start of an array task."""

    chunk: int
    restart: int
    cases: tuple[Told, ...]


@dataclass(frozen=True)
class Sent:
    """One submission."""

    indices: tuple[int, ...]
    chunk_size: int
    is_rerun: bool
    # Of its one part.
    facts: frozenset[FactKind]
    starts: tuple[Start, ...]
    # Restart count and reason of the scheduler's word, by chunk.
    verdicts: dict[int, tuple[int, str]]


@dataclass(frozen=True)
class Answer:
    """A poll some seconds later: states and reasons by element, or no answer."""

    after_s: float
    queue: dict[tuple[str, int], tuple[str, str]] | None


@dataclass(frozen=True)
class History:
    """A sweep of one parameter x, and what became of it."""

    sent: tuple[Sent, ...]
    answers: tuple[Answer, ...]
    # The values of x of the wanted manifest, where that is a newer one.
    grown: tuple[int, ...] | None


@st.composite
def submissions(draw: st.DrawFn) -> Sent:
    indices = tuple(sorted(draw(st.sets(st.integers(0, CASES - 1), min_size=1))))
    size = draw(st.integers(1, 3))
    chunks = [indices[at : at + size] for at in range(0, len(indices), size)]
    kinds: list[set[FactKind]] = [
        {"intent", "job"},
        {"intent", "job", "cancel"},
        {"intent"},
        {"intent", "void"},
        set(),
    ]
    facts = st.sampled_from(kinds)
    starts, verdicts = [], {}
    for number, chunk in enumerate(chunks):
        for restart in range(draw(st.integers(0, 2))):
            cases = st.builds(
                Told,
                x=st.sampled_from(chunk),
                end=st.none() | st.sampled_from(ENDS),
                digest=st.sampled_from([NEW, OLD, None]),
            )
            some = draw(st.lists(cases, max_size=3, unique_by=lambda case: case.x))
            starts.append(Start(number, restart, tuple(some)))
        if draw(st.booleans()):
            verdicts[number] = draw(st.integers(0, 1)), draw(st.sampled_from(VERDICTS))
    return Sent(
        indices=indices,
        chunk_size=size,
        is_rerun=draw(st.booleans()),
        facts=frozenset(draw(facts)),
        starts=tuple(starts),
        verdicts=verdicts,
    )


ELEMENTS = st.tuples(st.sampled_from(["101", "102", "103"]), st.integers(0, CASES - 1))
STATES = st.sampled_from(
    [
        ("RUNNING", "None"),
        ("PENDING", "Priority"),
        ("PENDING", "JobHeldUser"),
        ("COMPLETED", ""),
        ("TIMEOUT", ""),
        ("TELEPORTING", ""),
    ]
)
ANSWERS = st.builds(
    Answer,
    after_s=st.sampled_from([1.0, GRACE_S, -GRACE_S]),
    queue=st.none() | st.dictionaries(ELEMENTS, STATES, max_size=8),
)
HISTORIES = st.builds(
    History,
    sent=st.lists(submissions(), min_size=1, max_size=3).map(tuple),
    answers=st.lists(ANSWERS, max_size=4).map(tuple),
    grown=st.none() | st.lists(st.integers(0, CASES + 1), min_size=1, unique=True).map(tuple),
)


# --- a sweep that it happens to -------------------------------------------------------------------


@dataclass
class Queue:
    """A Slurm without accounting, with scripted answers, that records its queries."""

    kind: str = "slurm"
    state_dir: str = ""
    address: str = "here"
    is_own: bool = False
    answer: dict[tuple[str, int], tuple[str, str]] | None = None
    # The arrays of the last question that was answered, and what was answered; the arrays of the
    # last question if it was not.
    heard: set[str] = field(default_factory=set)
    said: dict[tuple[str, int], tuple[str, str]] = field(default_factory=dict)
    missed: set[str] = field(default_factory=set)

    def limits(self) -> Limits:
        return Limits(cluster_name="test", max_array_size=1001, kill_wait_s=30.0)

    def poll_queue(self, job_ids: list[str]) -> dict[tuple[str, int], Any]:
        self._ask(job_ids)
        self.heard, self.said = set(job_ids), dict(self.answer or {})
        return {key: Queued(state, reason) for key, (state, reason) in self.said.items()}

    def poll_accounting(self, elements: list[tuple[str, int]]) -> None:
        self._ask([job_id for job_id, _ in elements])

    def _ask(self, job_ids: list[str]) -> None:
        if self.answer is None:
            self.missed = set(job_ids)
            raise ClusterUnavailable("no answer")
        self.missed = set()


def generations(history: History) -> list[int]:
    found: list[int] = []
    for sent in history.sent:
        found.append(max(found, default=0) + (sent.is_rerun and bool(found)))
    return found


def happen(made: MadeSweep, history: History) -> None:
    """Write plans, facts and journals."""
    common = {"v": 1, "manifest": made.manifest.fingerprint}
    for number, (sent, generation) in enumerate(
        zip(history.sent, generations(history), strict=True), 1
    ):
        made.plan(IndexSet.of(sent.indices), chunk_size=sent.chunk_size, generation=generation)
        for what in sorted(sent.facts):
            content: dict[str, dict[str, Any]] = {
                "intent": {"job_name": "n"},
                "job": {"job_id": str(100 + number)},
            }
            # We cancelled before anything was asked.
            made.fact(what, number, **content.get(what, {}), time=0.0)
        for start in sent.starts:
            token = f"{number:08x}{start.chunk:04x}{start.restart:04x}"
            root = made.directory.journal_root
            about = common | {
                "attempt": [generation, number, start.restart, token],
                "chunk": start.chunk,
            }
            records = [
                about
                | {
                    "kind": "task",
                    "time": TIME,
                    "node": "n1",
                    "job_id": "1",
                    "array_job_id": str(100 + number),
                }
            ]
            for told in start.cases:
                case = about | {"index": told.x, "case_id": made.source[told.x].case_id}
                records.append(case | {"kind": "begin", "started": TIME})
                if told.end is not None:
                    status, reason = told.end
                    end = {"word": 2, "status": status, "reason": reason}
                    records.append(case | end | {"kind": "end", "code_digest": told.digest})
            write_journal(
                root / f"{number:04d}/0/{start.chunk}.{start.restart}.{token}.jsonl", *records
            )
        for chunk, (restart, reason) in sent.verdicts.items():
            write_journal(
                made.directory.journal_root / f"{number:04d}/commands/{chunk}.jsonl",
                common
                | {
                    "kind": "end",
                    "attempt": [0, number, restart, ""],
                    "chunk": chunk,
                    "word": 1,
                    "status": Reason(reason).status.value,
                    "reason": reason,
                    "time": TIME,
                },
            )


def look(made: MadeSweep, history: History, queue: Queue, version: Version) -> Outlook:
    """Poll as often as the history says, and take the outlook of the last time."""
    now = 1_000_000.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scheduler, "time", SimpleNamespace(time=lambda: now))
        for answer in (*history.answers, None):
            now += answer.after_s if answer else 0.0
            queue.answer = answer.queue if answer else None
            asked: Any = queue if answer else None
            rules = Settings(query_interval_s=GRACE_S, grace_s=GRACE_S)
            with fresh_index(made.directory) as sweep_index:
                tasks = scheduler.poll(made.directory, sweep_index, asked, rules)
                found = outlook_of(made.directory, sweep_index, tasks, version, NEW)
    return found


# --- the model ------------------------------------------------------------------------------------


@dataclass
class Model:
    """What must be known of one case, from everything that was written and answered."""

    history: History
    queue: Queue
    # All records, with the verdicts that polling wrote.
    records: list[dict[str, Any]]

    def expected(self, x: int) -> tuple[State, Status, Reason | None]:
        """Class, status and reason of the case with this x."""
        mine = [r for r in self.records if r.get("index") == x and r["kind"] in ("begin", "end")]
        best = max(mine, key=rank, default=None)
        asked = max(
            (
                generation
                for sent, generation in zip(
                    self.history.sent, generations(self.history), strict=True
                )
                if x in sent.indices
            ),
            default=0,
        )
        task = self.task(x)
        if best is None or best["attempt"][0] < asked:
            if task is State.UNKNOWN:
                return task, Status.UNKNOWN, None
            if task is not None:
                return task, Status.PENDING, None
            over = self.over(x)
            if over is not None:
                return State.INTERRUPTED, over.status, over
            return State.UNSUBMITTED, Status.PENDING, None
        if best["kind"] == "begin":
            return State.RUNNING, Status.RUNNING, None
        reason = Reason(best["reason"]) if best.get("reason") else None
        match best["status"]:
            case "complete":
                is_stale = best["code_digest"] == OLD
                return State.STALE if is_stale else State.COMPLETE, Status.COMPLETE, None
            case "failed":
                return State.FAILED, Status.FAILED, reason
        return task or State.INTERRUPTED, Status.INTERRUPTED, reason

    def attempt(self, x: int) -> int:
        """The number of the attempt that counts, among those of the case; 0 without any."""
        mine = [r for r in self.records if r.get("index") == x]
        if not mine:
            return 0
        attempts = sorted({tuple(r["attempt"]) for r in mine})
        return attempts.index(tuple(max(mine, key=rank)["attempt"])) + 1

    def task(self, x: int) -> State | None:
        """The state of a case by the open array tasks that have it."""
        found = set()
        for number, chunk in self.chunks(x):
            if not self.is_open(number, chunk):
                continue
            job = str(100 + number) if "job" in self.history.sent[number - 1].facts else None
            state, reason = self.queue.said.get((job or "", chunk), ("", ""))
            if job is None or job in self.queue.missed - self.queue.heard:
                found.add(State.UNKNOWN)
            elif job in self.queue.heard and (state, reason) == ("PENDING", "JobHeldUser"):
                found.add(State.HELD)
            else:
                found.add(State.QUEUED)
        order = (State.UNKNOWN, State.HELD, State.QUEUED)
        return next((state for state in order if state in found), None)

    def chunks(self, x: int) -> list[tuple[int, int]]:
        """(submission, chunk) of all that had the case, oldest first."""
        return [
            (number, sent.indices.index(x) // sent.chunk_size)
            for number, sent in enumerate(self.history.sent, 1)
            if x in sent.indices
        ]

    def is_open(self, number: int, chunk: int) -> bool:
        facts = self.history.sent[number - 1].facts
        if "intent" not in facts or "void" in facts:
            return False
        verdict = self.verdict(number, chunk)
        starts = [r["attempt"][2] for r in self.on_task(number, chunk) if r["kind"] == "task"]
        return verdict is None or verdict["attempt"][2] < max(starts, default=0)

    def verdict(self, number: int, chunk: int) -> dict[str, Any] | None:
        """The last word on an array task."""
        words = [r for r in self.on_task(number, chunk) if r["kind"] == "end"]
        return max(words, key=lambda r: (r["attempt"][2], r["time"], r["crc"]), default=None)

    def on_task(self, number: int, chunk: int) -> list[dict[str, Any]]:
        """The records that are about an array task as a whole."""
        about = ((r["attempt"][1], r["chunk"]) for r in self.records)
        pairs = zip(self.records, about, strict=True)
        return [r for r, task in pairs if task == (number, chunk) and "index" not in r]

    def over(self, x: int) -> Reason | None:
        """Why the last array task with a verdict that had the case is over."""
        for number, chunk in reversed(self.chunks(x)):
            verdict = self.verdict(number, chunk)
            if verdict is not None:
                return Reason(verdict["reason"])
        return None


@pytest.fixture(scope="module", autouse=True)
def _no_disk() -> Iterator[None]:
    """Skip fsync: it takes most of the time, and no file has to survive a crash."""

    def hurry(connection: Any, *_: Any) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    event.listen(Pool, "checkout", hurry)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield
    event.remove(Pool, "checkout", hurry)


# Each example is a sweep on disk.
@settings(max_examples=settings().max_examples * 2 // 5)
@given(HISTORIES)
def test_every_index_is_in_one_class_and_the_model_agrees(history: History) -> None:
    with tempfile.TemporaryDirectory(prefix="outlook-") as root:
        made = MadeSweep(Path(root), grid(x=list(range(CASES))))
        happen(made, history)
        values = history.grown or tuple(range(CASES))
        if history.grown is not None:
            made.freeze(grid(x=list(values)))
        version = Version.of(made.manifest, made.source)
        queue = Queue()
        found = look(made, history, queue, version)
        model = Model(history, queue, [dict(r) for r in made.records("task", "begin", "end")])
    for index, x in enumerate(values):
        (group,) = (group for group in found.groups if index in group.indices)
        assert (group.state, group.status, group.reason) == model.expected(x), (index, x)
        assert (index in found.in_flight) == (model.task(x) is not None)
        assert (index in found.cancelled) == any(
            model.is_open(number, chunk) and "cancel" in history.sent[number - 1].facts
            for number, chunk in model.chunks(x)
        )
        assert group.attempt == model.attempt(x)
    assert sum(group.indices.count for group in found.groups) == len(values)
    assert found.generation == max(generations(history))
