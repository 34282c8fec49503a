"""Merging: any order, repetition and truncation of journals ends in the same index.

What the index must hold is computed here a second time, from the words of DESIGN invariant 7
alone: attempts as tuples, records as bytes, no code of `journal`, `ingest` or `store`.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcsweep import ids
from hpcsweep.store.ingest import Ingest
from hpcsweep.sweepdir.directory import INDEX_NAME
from tests.support.histories import World, histories, make_world
from tests.support.journals import Record, rank

# A local directory in memory: no test waits for a disk.
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None


@pytest.fixture(scope="module", params=["grown", "duplicates"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="hm-", dir=MEMORY) as root:
        yield make_world(Path(root), duplicates=request.param == "duplicates")


# --- the reference -------------------------------------------------------------------------------


class Reference:
    """The expected content of the tables, by invariant 7."""

    def __init__(self, world: World, journals: dict[str, bytes]) -> None:
        self.world = world
        self.best: dict[str, tuple[tuple[Any, ...], Record]] = {}
        self.places: dict[int, str] = {}
        self.begun: dict[tuple[int, int], tuple[Any, ...]] = {}
        self.judged: dict[tuple[int, int], tuple[Any, ...]] = {}
        self.positions = set()
        for name, data in journals.items():
            whole = data[: data.rfind(b"\n") + 1]
            if whole:
                torn = sum(map(self.damaged, whole.split(b"\n")[:-1]))
                self.positions.add((name, len(whole), torn))

    def damaged(self, text: bytes) -> bool:
        """Take a line in; whether it is damaged."""
        crc, payload = text[:8].decode(errors="replace"), text[9:]
        if text[:9] != b"%08x " % crc32(payload):
            return bool(text)
        record = json.loads(payload)
        _, submission, restart, token = record["attempt"]
        task = submission, record["chunk"]
        if record["kind"] == "task":
            value = restart, token, record["node"], record["job_id"], record["time"]
            self.begun[task] = max(self.begun.get(task, ()), value)
        elif record["kind"] == "end" and "index" not in record:
            value = restart, record["time"], crc, record["status"], record["reason"] or ""
            self.judged[task] = max(self.judged.get(task, ()), value)
        elif record["kind"] in ("begin", "end", "same"):
            self.case(record, crc)
        return False

    def case(self, record: Record, crc: str) -> None:
        case_id = record["case_id"]
        place = self.world.place(record["manifest"], record["index"])
        if place is not None:
            self.places[place] = case_id
        order = merge_order(record, crc)
        if record["kind"] != "same" and order > self.best.get(case_id, ((),))[0]:
            self.best[case_id] = order, record

    @property
    def tables(self) -> dict[str, set[tuple[Any, ...]]]:
        tasks = set()
        for task in self.begun.keys() | self.judged.keys():
            start = self.begun.get(task, (0, "", None, None, None))[2:]
            tasks.add((*task, *start, *self.judged.get(task, ("",) * 5)[3:]))
        return {
            "cases": {case_row(self.world, record) for _, record in self.best.values()},
            "places": set(self.places.items()),
            "tasks": tasks,
            "journals": self.positions,
        }


def reference(world: World, journals: dict[str, bytes]) -> dict[str, set[tuple[Any, ...]]]:
    return Reference(world, journals).tables


def merge_order(record: Record, crc: str) -> tuple[Any, ...]:
    generation, submission, restart, token = record["attempt"]
    word = record["word"] if record["kind"] == "end" else -1
    complete = record["kind"] == "end" and record["status"] == "complete"
    return generation, complete, submission, restart, token, word, crc


def case_row(world: World, record: Record) -> tuple[Any, ...]:
    params = dict(world.manifests)[record["manifest"]][record["index"]][1]
    generation, submission, restart, token = record["attempt"]
    return (
        record["case_id"],
        record["status"] if record["kind"] == "end" else "running",
        record.get("reason"),
        json.dumps(params, separators=(",", ":")),
        json.dumps(record.get("metrics") or {}, separators=(",", ":")),
        json.dumps(record["error"], separators=(",", ":"), ensure_ascii=False)
        if record.get("error")
        else None,
        f"{ids.case_seed(0, record['case_id'], 0):032x}",
        generation,
        submission,
        record["chunk"],
        restart,
        token,
        record.get("started"),
        record.get("ended"),
        record.get("wall_seconds"),
        record.get("host"),
        record.get("job_id"),
        record.get("run_dir"),
    )


def dump(path: Path) -> dict[str, set[tuple[Any, ...]]]:
    """The content of an index, read without hpcsweep."""
    queries = {
        "cases": "SELECT case_id, status, reason, params, metrics, error, seed, generation, "
        "submission, chunk, restart, token, started, ended, wall_seconds, host, job_id, run_dir "
        "FROM cases",
        "places": "SELECT idx, case_id FROM cases WHERE idx IS NOT NULL "
        "UNION ALL SELECT idx, case_id FROM places",
        "tasks": "SELECT submission, chunk, host, job_id, time, coalesce(status, ''), "
        "coalesce(reason, '') FROM tasks",
        "journals": "SELECT path, position, torn FROM journals",
    }
    with closing(sqlite3.connect(path)) as connection:
        return {name: set(connection.execute(query)) for name, query in queries.items()}


def everything(world: World, *, by_key: bool = False) -> dict[str, list[Any]]:
    """Every column of every table, once a reader has made what merges leave to it.

    `by_key` for numbers by their keys: who comes first decides which column a key has.
    """
    world.sweep_index.case_groups()
    world.sweep_index.kinds()
    path = world.directory.path / INDEX_NAME
    with closing(sqlite3.connect(path)) as connection:
        keys = connection.execute("SELECT name, document, path FROM number_columns").fetchall()
        key_of = {name: (document, keys) for name, document, keys in keys if by_key}
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        found: dict[str, list[Any]] = {}
        for (table,) in names.fetchall():
            rows = connection.execute(f"SELECT * FROM {table}")  # noqa: S608
            columns = [key_of.get(column, column) for column, *_ in rows.description]
            of_rows = [dict(zip(columns, row, strict=True)) for row in rows]
            found[table] = sorted((sorted(row.items(), key=repr) for row in of_rows), key=repr)
    if by_key:
        found["number_columns"] = sorted(key_of.values())
    return found


# --- the property --------------------------------------------------------------------------------


class Trial:
    """One index, and the journals as far as they are written."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.root = world.directory.journal_root
        shutil.rmtree(self.root, ignore_errors=True)
        self.path = world.directory.path / INDEX_NAME
        self.path.unlink(missing_ok=True)
        world.sweep_index.create("s", world.manifests[0][0])

    def write(self, name: str, data: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def ingest(self) -> Ingest:
        return Ingest(self.world.directory, self.world.sweep_index)


@settings(max_examples=settings().max_examples * 2 // 5)
@given(data=st.data())
def test_any_order_of_reading_gives_the_same_index(world: World, data: st.DataObject) -> None:
    history = data.draw(histories(world))
    trial = Trial(world)
    ingests = [trial.ingest(), trial.ingest(), trial.ingest()]
    written = dict.fromkeys(history.journals, 0)
    for which, names, upto in history.steps:
        for name, percent in upto.items():
            whole = history.journals[name]
            written[name] = max(written[name], len(whole) * percent // 100)
            trial.write(name, whole[: written[name]])
        ingests[which].run(names)
    # Now each is cut at some byte; nothing is taken back that was written.
    cut = {
        name: whole[: max(written[name], data.draw(st.integers(0, len(whole))))]
        for name, whole in history.journals.items()
    }
    for name, part in cut.items():
        trial.write(name, part)
    ingests[0].run()
    assert dump(trial.path) == reference(world, cut)
    for name, whole in history.journals.items():
        trial.write(name, whole)
    ingests[1].run()
    assert dump(trial.path) == reference(world, history.journals)
    full = everything(world)
    assert ingests[2].run().records == 0
    assert everything(world) == full
    world.sweep_index.clear()
    trial.ingest().run()
    assert everything(world) == full


@settings(max_examples=settings().max_examples // 5)
@given(data=st.data())
def test_the_order_of_journals_does_not_matter(world: World, data: st.DataObject) -> None:
    history = data.draw(histories(world))
    names = sorted(history.journals)
    found = []
    for order in (names, data.draw(st.permutations(names))):
        trial = Trial(world)
        for name, whole in history.journals.items():
            trial.write(name, whole)
        for name in order:  # each in a transaction of its own
            trial.ingest().run([name])
        found.append(everything(world, by_key=True))
    assert found[0] == found[1]


# --- the order of two records --------------------------------------------------------------------

attempts = st.tuples(
    st.integers(0, 999),
    st.integers(1, 999_999),
    st.integers(0, 999_999),
    st.text("0123456789abcdef", min_size=16, max_size=16) | st.just(""),
)
ranked = st.builds(
    lambda attempt, end, crc: (
        ({"kind": "begin"} if end is None else {"kind": "end", "status": end[0], "word": end[1]})
        | {"attempt": list(attempt), "crc": f"{crc:08x}"}
    ),
    attempts,
    st.none() | st.tuples(st.sampled_from(["complete", "failed"]), st.integers(0, 2)),
    st.integers(0, 2**32 - 1),
)


@given(ranked, ranked)
def test_ranks_order_records_as_invariant_7_requires(first: Record, second: Record) -> None:
    ours = merge_order(first, first["crc"]), merge_order(second, second["crc"])
    assert (rank(first) < rank(second)) == (ours[0] < ours[1])
