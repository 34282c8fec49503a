"""Made-up journals of a sweep: what tasks and commands can leave, and what they cannot."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

from hypothesis import strategies as st

from hpcsweep.indexset import IndexSet
from hpcsweep.sources import ParameterSource, grid, randint, random
from hpcsweep.store import SweepIndex
from hpcsweep.sweepdir.directory import INDEX_NAME, SweepDirectory
from tests.support.journals import Record
from tests.support.sweeps import MadeSweep

WORDS = {"terminated": 0, "scheduler": 1, "worker": 2}


@dataclass(frozen=True)
class World:
    """A sweep with two manifests, whose journals are all made up."""

    directory: SweepDirectory
    # In the sweep directory; one for all trials, since compiling its statements takes longest.
    sweep_index: SweepIndex
    # Of each manifest, oldest first: fingerprint, and its cases as (case id, params).
    manifests: tuple[tuple[str, list[tuple[str, dict[str, Any]]]], ...]
    # Whether both manifests give a case the same index.
    same_order: bool

    def place(self, manifest: str, index: int) -> int | None:
        """The index in the newest manifest of an index of any."""
        newest, cases = self.manifests[-1]
        if manifest == newest or self.same_order:
            return index
        (case_id, _) = dict(self.manifests)[manifest][index]
        return next((i for i, (its_id, _) in enumerate(cases) if its_id == case_id), None)

    def case_id(self, manifest: str, index: int) -> str:
        """Of an index of any manifest."""
        return dict(self.manifests)[manifest][index][0]


def make_world(root: Path, *, duplicates: bool) -> World:
    first: ParameterSource
    second: ParameterSource
    if duplicates:  # 8 draws of 3 values, and a second manifest that differs in nothing else
        first = second = random({"x": randint(0, 3)}, 8, seed=1)
    else:  # a grid that grew in the middle and lost a value
        first, second = grid(x=[3, 1, 4, 5]), grid(x=[1, 2, 3, 6, 5, 7])
    made = MadeSweep(root, first)
    manifests = []
    for number, source in enumerate((first, second)):
        made.freeze(source, setup=(), chunk=number + 1)
        made.plan(IndexSet.all(2), chunk_size=1, generation=1)
        cases = [(case.case_id, case.params) for case in source]
        manifests.append((made.manifest.fingerprint, cases))
    sweep_index = SweepIndex(made.path / INDEX_NAME, made.directory.key)
    return World(made.directory, sweep_index, tuple(manifests), same_order=duplicates)


tokens = st.sampled_from(["0000000000000001", "7fffffffffffffff", "fffffffffffffffe"])
times = st.sampled_from(["2026-01-01T00:00:00.000+00:00", "2026-01-01T00:00:01.000+00:00"])
statuses = st.sampled_from(
    [
        ("complete", None),
        ("failed", "error"),
        ("failed", "out_of_memory"),
        ("interrupted", "terminated"),
        ("interrupted", "timeout"),
    ]
)
# Torn, foreign and unknown lines, each of which costs at most itself.
odd_lines = st.sampled_from([b"\n", b"torn\n", b"\0\0\0\0\n", b"00000000 {}\n"])


def line(record: Record) -> bytes:
    payload = json.dumps(record).encode()
    return b"%08x %s\n" % (crc32(payload), payload)


@dataclass
class Start:
    """What all records of one journal have in common."""

    manifest: str
    attempt: list[Any]
    chunk: int

    def record(self, kind: str, **fields: Any) -> Record:
        common = {"manifest": self.manifest, "attempt": self.attempt, "chunk": self.chunk}
        return {"kind": kind, "v": 1} | common | fields


@st.composite
def starts(draw: st.DrawFn, world: World) -> Start:
    submission = draw(st.integers(1, 2))
    restart = draw(st.sampled_from([0, 1, 10]))
    attempt = [draw(st.integers(0, 1)), submission, restart, draw(tokens)]
    return Start(world.manifests[submission - 1][0], attempt, draw(st.integers(0, 1)))


@st.composite
def ends(draw: st.DrawFn, start: Start, about: Record, word: str) -> Record:
    status, reason = draw(statuses)
    if word == "terminated":
        status, reason = "interrupted", "terminated"
    fields = {
        "word": WORDS[word],
        "status": status,
        "reason": reason,
        "metrics": draw(st.none() | st.dictionaries(st.sampled_from("ab"), st.integers(0, 3))),
        "error": draw(st.none() | st.just({"type": "x", "message": "ä"})),
        "wall_seconds": draw(st.none() | st.sampled_from([0.5, 2.0])),
        "ended": draw(times),
        "run_dir": draw(st.none() | st.just("runs/log_x")),
        "job_id": draw(st.none() | st.just("100")),
    }
    return start.record("end", **about, **{k: v for k, v in fields.items() if v is not None})


@st.composite
def cases(draw: st.DrawFn, world: World, start: Start) -> list[Record]:
    count = len(dict(world.manifests)[start.manifest])
    index = draw(st.integers(0, count - 1))
    about = {"index": index, "case_id": world.case_id(start.manifest, index)}
    if draw(st.integers(0, 4)) == 0:
        return [start.record("same", **about)]
    records = [start.record("begin", **about, started=draw(times), host="n1")]
    word = draw(st.sampled_from(["worker", "worker", "terminated", "none"]))
    if word != "none":
        records.append(draw(ends(start, about, word)))
    return records


@st.composite
def task_journals(draw: st.DrawFn, world: World) -> list[Record]:
    start = draw(starts(world))
    # A token is one start of one task: its host and its time are always the same.
    odd = int(start.attempt[3], 16) + start.attempt[2]
    node = {"node": f"n{odd % 3}", "job_id": "100", "time": f"2026-01-01T00:00:0{odd % 7}+00:00"}
    journal = [start.record("task", **node)]
    for records in draw(st.lists(cases(world, start), max_size=4)):
        journal += records
        if draw(st.integers(0, 5)) == 0:
            journal.append(start.record("beat", time=draw(times)))
    if draw(st.booleans()):
        over = {"word": 2, "status": "complete", "reason": None, "time": draw(times)}
        journal.append(start.record("end", **over))
    return journal


@st.composite
def command_journals(draw: st.DrawFn, world: World) -> list[Record]:
    """Verdicts of the scheduler on cases and on whole tasks."""
    records = []
    for _ in range(draw(st.integers(1, 3))):
        start = draw(starts(world))
        count = len(dict(world.manifests)[start.manifest])
        index = draw(st.integers(0, count - 1))
        about = {"index": index, "case_id": world.case_id(start.manifest, index)}
        records.append(draw(ends(start, about, "scheduler")))
        status, reason = draw(statuses.filter(lambda pair: pair[1] is not None))
        start.attempt = [0, start.attempt[1], start.attempt[2], ""]
        records.append(start.record("end", word=1, status=status, reason=reason, time=draw(times)))
    return records


@dataclass
class History:
    """Journals by name, and the order in which they are read."""

    journals: dict[str, bytes]
    # (which Ingest, which journals, up to which share of each); None for all journals.
    steps: list[tuple[int, list[str] | None, dict[str, int]]] = field(default_factory=list)


@st.composite
def histories(draw: st.DrawFn, world: World) -> History:
    lists = draw(st.lists(task_journals(world), min_size=1, max_size=4))
    lists += draw(st.lists(command_journals(world), max_size=2))
    pieces, ends_of_tasks = {}, {}
    for number, records in enumerate(lists):
        # The worker's own end of its task is the last line of the journal, and closes it.
        is_over = records[-1]["kind"] == "end" and records[-1]["word"] == WORDS["worker"]
        is_over = is_over and "index" not in records[-1]
        lines = [line(record) for record in records]
        last = [lines.pop()] if is_over else []
        for odd in draw(st.lists(odd_lines, max_size=2)):
            lines.insert(draw(st.integers(0, len(lines))), odd)
        name = f"0001/0/{number}.jsonl"
        pieces[name], ends_of_tasks[name] = lines, last
    if draw(st.booleans()):  # a whole journal twice, and one with its lines in another order
        first = "0001/0/0.jsonl"
        for name, lines in (
            ("0001/1/twice.jsonl", list(pieces[first])),
            ("0002/0/shuffled.jsonl", draw(st.permutations(pieces[first]))),
        ):
            pieces[name], ends_of_tasks[name] = lines, ends_of_tasks[first]
    pieces = {name: lines + ends_of_tasks[name] for name, lines in pieces.items()}
    journals = {name: b"".join(lines) for name, lines in pieces.items()}
    names = sorted(journals)
    steps = draw(
        st.lists(
            st.tuples(
                st.integers(0, 2),
                st.none() | st.permutations(names),
                st.dictionaries(st.sampled_from(names), st.integers(0, 100)),
            ),
            max_size=5,
        )
    )
    return History(journals, steps)
