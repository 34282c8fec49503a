"""Ingest: journals into the index; new bytes only, concurrently, and as a rebuild."""

from __future__ import annotations

import builtins
import io
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Collection, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from hpcsweep.errors import StoreError, SweepError
from hpcsweep.indexset import IndexSet
from hpcsweep.journal import all_journals
from hpcsweep.sources import grid, randint, random, uniform
from hpcsweep.store import SweepIndex, ingest
from hpcsweep.store.ingest import Ingest, fresh_index
from hpcsweep.store.record_mapper import skipped_lines, task_id_of
from hpcsweep.store.upsert import RowBatch
from hpcsweep.sweepdir.directory import INDEX_NAME
from tests.support.journals import write_journal
from tests.support.rows import indices
from tests.support.statements import statements
from tests.support.sweeps import MadeSweep

__all__ = ["statements"]  # fixtures are found by their names

Dump = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> MadeSweep:
    """A sweep of three tasks, all of which have run: one case fails."""
    python = "def run(x): return {'y': 10 // x}\n"
    root = tmp_path_factory.mktemp("ingest")
    found = MadeSweep(root, grid(x=[0, 1, 2, 3, 4]), python=python)
    found.plan(chunk_size=2)
    for task in range(3):
        found.run(task)
    return found


@pytest.fixture
def made(template: MadeSweep, tmp_path: Path) -> MadeSweep:
    """A copy of it."""
    return template.copy(tmp_path)


def brought_up_to_date(made: MadeSweep, *, rebuild: bool = False) -> Dump:
    """The content of the index after a command."""
    with fresh_index(made.directory, rebuild=rebuild):
        pass
    return dump(made.path / INDEX_NAME)


def dump(path: Path) -> Dump:
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {
            name: sorted(connection.execute(f"SELECT * FROM {name}"), key=repr)  # noqa: S608
            for (name,) in names.fetchall()
            if name != "blocks"  # made when they are asked for
        }


def program(made: MadeSweep, journal: str = "", deadline: str = "60") -> subprocess.Popen[str]:
    """`hpcsweep.store.ingest`, as a worker starts it."""
    argv = [
        sys.executable,
        "-m",
        "hpcsweep.program",
        "hpcsweep.store.ingest",
        str(made.path),
        f"--journal={journal}",
    ]
    return subprocess.Popen(
        [*argv, f"--deadline={deadline}"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def journals(made: MadeSweep) -> list[str]:
    return list(all_journals(made.directory.journal_root))


# --- the same rows, whatever happened to the index -----------------------------------------------


def test_the_index_has_what_the_journals_have(made: MadeSweep) -> None:
    with fresh_index(made.directory) as sweep_index:
        rows = list(sweep_index.rows())
        assert [(row["idx"], row["status"]) for row in rows] == [
            (0, "failed"),
            (1, "complete"),
            (2, "complete"),
            (3, "complete"),
            (4, "complete"),
        ]
        assert [row["metrics"] for row in rows[1:]] == ['{"y":10}', '{"y":5}', '{"y":3}', '{"y":2}']
        assert {(task["chunk"], task["status"]) for task in sweep_index.tasks()} == {
            (0, "complete"),
            (1, "complete"),
            (2, "complete"),
        }


def test_an_index_is_made_again_from_the_journals(made: MadeSweep) -> None:
    before = brought_up_to_date(made)
    assert brought_up_to_date(made, rebuild=True) == before
    (made.path / INDEX_NAME).unlink()
    assert brought_up_to_date(made) == before


@pytest.mark.parametrize(
    "content", [b"", b"x", b"not a database" * 1000, b"SQLite format 3\0" + b"\xff" * 8000]
)
def test_a_damaged_index_is_made_again(made: MadeSweep, content: bytes) -> None:
    before = brought_up_to_date(made)
    path = made.path / INDEX_NAME
    path.write_bytes(content)
    # What a killed writer of the old file left would be applied to the new one.
    path.with_name(f"{INDEX_NAME}-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" * 100)
    if len(content) > 100:  # less than a header is an empty database
        with pytest.raises(StoreError, match="ingest SWEEP --rebuild"):
            brought_up_to_date(made)
    assert brought_up_to_date(made, rebuild=True) == before


@pytest.mark.parametrize("left", [None, 300])
def test_an_index_that_knows_more_than_the_journals_is_kept(
    made: MadeSweep, left: int | None
) -> None:
    """As on a scratch file system whose site removes old files."""
    before = brought_up_to_date(made)
    for name in journals(made)[:2]:
        path = made.directory.journal_root / name
        path.unlink() if left is None else os.truncate(path, left)
    with pytest.raises(StoreError, match=r"2 journals .* gone or shorter"):
        brought_up_to_date(made, rebuild=True)
    assert brought_up_to_date(made) == before


def test_a_rebuild_leaves_a_locked_index_alone(
    made: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    brought_up_to_date(made)
    monkeypatch.setattr("hpcsweep.store.engine.SQLITE_TIMEOUT_S", 0.1)
    path = made.path / INDEX_NAME
    inode = path.stat().st_ino
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="locked"):
            brought_up_to_date(made, rebuild=True)
    assert path.stat().st_ino == inode


def test_a_case_at_two_indices_has_two_places(tmp_path: Path) -> None:
    """Also when both ran at the same time, one after the other in one journal or in several."""
    made = MadeSweep(tmp_path, random({"x": randint(0, 3)}, 8, seed=1))
    made.plan(chunk_size=4, runs="none")  # so that the second task knows nothing of the first
    for task in (0, 1):
        made.run(task)
    before = brought_up_to_date(made)
    with fresh_index(made.directory) as sweep_index:
        assert indices(sweep_index) == IndexSet.all(8)
    assert brought_up_to_date(made, rebuild=True) == before


# --- only new bytes ------------------------------------------------------------------------------


def test_a_second_ingest_reads_nothing(made: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    brought_up_to_date(made)
    opened: list[str] = []
    real = io.open

    def noted(file: Any, *args: Any, **kwargs: Any) -> Any:
        opened.append(os.fspath(file) if not isinstance(file, int) else "")
        return real(file, *args, **kwargs)

    monkeypatch.setattr(io, "open", noted)  # what pathlib uses
    monkeypatch.setattr(builtins, "open", noted)
    with fresh_index(made.directory) as sweep_index:
        assert Ingest(made.directory, sweep_index).run().records == 0
    assert [path for path in opened if path.endswith(".jsonl")] == []
    known = set(journals(made))
    made.run(0, restart=1)
    (new,) = set(journals(made)) - known
    with fresh_index(made.directory):
        pass
    read = {path for path in opened if path.endswith(".jsonl")}
    assert read == {str(made.directory.journal_root / new)}


def test_rows_are_expected_to_be_new_at_first_alone(
    made: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected: list[bool] = []
    real = SweepIndex.merge_all

    def merge_all(self: SweepIndex, batches: Iterable[RowBatch]) -> bool:
        every = list(batches)
        expected.extend(batch.is_first for batch in every)
        return real(self, every)

    monkeypatch.setattr(SweepIndex, "merge_all", merge_all)
    brought_up_to_date(made)
    made.run(0, restart=1)
    brought_up_to_date(made)
    assert expected == [True, False]


@pytest.mark.parametrize(("seconds", "transactions"), [(60.0, {1}), (0.0, range(4, 99))])
def test_a_transaction_has_several_batches(
    made: MadeSweep,
    monkeypatch: pytest.MonkeyPatch,
    statements: list[str],
    seconds: float,
    transactions: Collection[int],
) -> None:
    for restart in (1, 2):  # cases that several batches have
        made.run(0, restart=restart)
    expected = brought_up_to_date(made, rebuild=True)
    (made.path / INDEX_NAME).unlink()
    monkeypatch.setattr(ingest, "TRANSACTION_S", seconds)
    monkeypatch.setattr(ingest, "BATCH_RECORDS", 1)
    sweep_index = SweepIndex(made.path / INDEX_NAME, made.directory.key)
    sweep_index.create(made.directory.name, made.directory.newest_manifest())
    statements.clear()
    Ingest(made.directory, sweep_index).run()
    assert statements.count("BEGIN IMMEDIATE") in transactions
    assert dump(made.path / INDEX_NAME) == expected | {"submissions": []}


def test_a_journal_that_grows_is_read_from_where_it_was(made: MadeSweep) -> None:
    name = journals(made)[0]
    path = made.directory.journal_root / name
    *lines, _ = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines))  # its task is not over
    brought_up_to_date(made)
    size = path.stat().st_size
    with path.open("r+b") as stream:  # nothing before the position is looked at again
        stream.write(b"?" * size)
        stream.write(b"torn\n")
    with fresh_index(made.directory) as sweep_index:
        assert sweep_index.positions()[name] == size + 5
        assert sweep_index.torn() == {name: 1}
        assert len(list(sweep_index.rows())) == 5


@pytest.mark.parametrize("tail", [b"", b"\n", b"torn\n", b'35ffd1f5 {"kind":"later","v":1}\n'])
def test_journals_of_tasks_that_are_over_are_not_looked_at(
    made: MadeSweep, monkeypatch: pytest.MonkeyPatch, tail: bytes
) -> None:
    """However many there are, and however slow the file system is to tell their size."""
    first, *others = journals(made)
    path = made.directory.journal_root / first
    *lines, end = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines))
    brought_up_to_date(made)
    with fresh_index(made.directory) as sweep_index:
        assert sorted(sweep_index.closed()) == others
    looked_at: list[str] = []
    real = Path.stat

    def stat(self: Path, **how: bool) -> os.stat_result:
        looked_at.append(str(self))
        return real(self, **how)

    monkeypatch.setattr(Path, "stat", stat)
    with path.open("ab") as stream:
        stream.write(end + tail)
    with fresh_index(made.directory) as sweep_index:
        assert sorted(sweep_index.closed()) == [first, *others]
    assert [name for name in looked_at if name.endswith(".jsonl")] == [str(path)]


def test_a_journal_is_closed_if_its_end_fills_a_batch(
    made: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpcsweep.store.ingest.BATCH_RECORDS", 1)
    with fresh_index(made.directory) as sweep_index:
        assert sorted(sweep_index.closed()) == journals(made)


def test_a_journal_that_became_shorter_is_left_alone(made: MadeSweep) -> None:
    """A journal was replaced by an older copy: rows that were read from it stay."""
    before = brought_up_to_date(made)
    path = made.directory.journal_root / journals(made)[0]
    path.write_bytes(path.read_bytes()[:100])
    assert brought_up_to_date(made) == before


# --- many at once --------------------------------------------------------------------------------


def test_several_ingest_at_once(made: MadeSweep) -> None:
    expected = brought_up_to_date(made)
    (made.path / INDEX_NAME).unlink()
    SweepIndex(made.path / INDEX_NAME, made.directory.key).create("s", made.manifest.fingerprint)
    started = [program(made, name) for name in journals(made) * 2]
    for process in started:
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    assert brought_up_to_date(made) == expected


def test_an_older_ingest_does_not_turn_the_order_back(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[5, 6]))
    made.plan()
    made.run()
    with fresh_index(made.directory) as sweep_index:
        older = Ingest(made.directory, sweep_index)
        made.freeze(grid(x=[1, 2, 6, 7]))
        made.plan()
        made.run(submission=2)
        Ingest(made.directory, sweep_index).run()
        assert indices(sweep_index) == IndexSet.of([0, 1, 2, 3])
        after = dump(made.path / INDEX_NAME)
        assert older.run().records == 0
        assert dump(made.path / INDEX_NAME) == after
        assert sweep_index.manifest() == made.manifest.fingerprint
    assert brought_up_to_date(made) == brought_up_to_date(made, rebuild=True)


def test_a_case_merged_during_a_reorder_has_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its look at the index and its writing, another process merged a case."""
    made = MadeSweep(tmp_path, grid(x=[5, 6, 7]))
    made.plan(chunk_size=1)
    for task in (0, 1):
        made.run(task)
    brought_up_to_date(made)
    made.run(2)
    sweep_index = SweepIndex(made.path / INDEX_NAME, made.directory.key)
    older = Ingest(made.directory, sweep_index)
    made.freeze(grid(x=[7, 6, 5, 4]))
    made.plan()
    real = SweepIndex.reorder

    def late(self: SweepIndex, known: Any, manifest: str, *places: Any) -> bool:
        with monkeypatch.context() as patch:
            patch.setattr(made.directory.__class__, "newest_manifest", lambda _: known)
            patch.setattr(SweepIndex, "reorder", real)
            older.run()  # merges in the order of the older manifest
        return real(self, known, manifest, *places)

    monkeypatch.setattr(SweepIndex, "reorder", late)
    Ingest(made.directory, sweep_index).run()
    assert indices(sweep_index) == IndexSet.of([0, 1, 2])


def test_a_random_search_that_grows_keeps_what_is_known(tmp_path: Path) -> None:
    """A thousand million trials before, more afterwards: no trial is looked up."""
    space = {"x": uniform(0, 1)}
    made = MadeSweep(tmp_path, random(space, 10**9, seed=1))
    made.plan(indices=IndexSet.of([0, 5]), chunk_size=1)
    for task in (0, 1):
        made.run(task)
    brought_up_to_date(made)
    made.freeze(random(space, 2 * 10**9, seed=1))
    made.plan(indices=IndexSet.of([7]))
    sweep_index = SweepIndex(made.path / INDEX_NAME, made.directory.key)
    Ingest(made.directory, sweep_index).run()
    assert indices(sweep_index) == IndexSet.of([0, 5])


# --- what a task may and may not do --------------------------------------------------------------


def test_a_task_ingests_its_own_journal(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 2]))
    made.plan(chunk_size=1, ingest=True)
    brought_up_to_date(made)
    made.run(0)
    with closing(sqlite3.connect(made.path / INDEX_NAME)) as connection:
        assert connection.execute("SELECT status FROM cases").fetchall() == [("complete",)]


def test_a_task_makes_no_index(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 2]))
    made.plan(chunk_size=1, ingest=True)
    made.run(0)
    assert not (made.path / INDEX_NAME).exists()
    (made.path / INDEX_NAME).touch()  # an empty file is an empty database
    made.run(1)
    assert dump(made.path / INDEX_NAME) == {}
    assert made.ends().keys() == {0, 1}


def test_a_task_makes_no_tables(made: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    brought_up_to_date(made)
    made.run(0, restart=1)
    executed: list[str] = []

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        executed.append(statement.upper())

    event.listen(Engine, "before_cursor_execute", note)
    monkeypatch.setattr(signal, "setitimer", lambda *_: None)
    for name in journals(made):
        assert ingest.main([str(made.path), f"--journal={name}", "--deadline=60"]) == 0
    event.remove(Engine, "before_cursor_execute", note)
    assert any("INSERT" in text for text in executed)
    ddl = [text for text in executed if text.lstrip().startswith(("CREATE", "ALTER", "DROP"))]
    assert [text for text in ddl if "TEMP" not in text] == []


def test_a_database_that_does_not_answer_costs_a_task_its_deadline_at_most(made: MadeSweep) -> None:
    brought_up_to_date(made)
    made.run(0, restart=1)
    with closing(sqlite3.connect(made.path / INDEX_NAME, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with program(made, journals(made)[-1], deadline="0.5") as process:
            assert process.wait(30) != 0
    brought_up_to_date(made)


@pytest.mark.parametrize("damage", [b"no database" * 100, None])
def test_an_index_that_is_broken_costs_no_case(tmp_path: Path, damage: bytes | None) -> None:
    made = MadeSweep(tmp_path, grid(x=[1]))
    made.plan(ingest=True)
    if damage is None:
        (made.path / INDEX_NAME).mkdir()
    else:
        (made.path / INDEX_NAME).write_bytes(damage)
    made.run()
    assert made.ends()[0]["status"] == "complete"


# --- where SQLite may not be written by many -----------------------------------------------------


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, made: MadeSweep) -> MadeSweep:
    """The sweep directory lies on a network file system."""

    def is_local(path: Path) -> bool:
        return not Path(path).is_relative_to(made.path)

    monkeypatch.setattr(ingest, "is_local", is_local)
    monkeypatch.setattr("hpcsweep.store.engine.is_local", is_local)
    return made


def test_a_command_publishes_a_copy(network: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    real = sqlite3.connect

    def connect(path: Any, *args: Any, **kwargs: Any) -> Any:
        opened.append(os.fspath(path))
        return real(path, *args, **kwargs)

    monkeypatch.setattr(sqlite3, "connect", connect)
    with fresh_index(network.directory) as sweep_index:
        assert len(list(sweep_index.rows())) == 5
    shared = network.path / INDEX_NAME
    assert [name for name in opened if name.startswith("file:")] == opened != []
    assert not any(name.startswith(shared.as_uri()) for name in opened)
    first, inode = dump(shared), shared.stat().st_ino
    network.run(0, restart=1)
    with fresh_index(network.directory) as sweep_index:
        assert len(sweep_index.positions()) == 4
    assert shared.stat().st_ino != inode  # replaced, never written
    assert dump(shared) != first
    assert [one.name for one in network.path.iterdir() if INDEX_NAME in one.name] == [INDEX_NAME]
    assert not any(Path(os.environ["TMPDIR"]).iterdir())


def test_a_copy_without_new_rows_is_not_published(network: MadeSweep) -> None:
    brought_up_to_date(network)
    inode = (network.path / INDEX_NAME).stat().st_ino
    brought_up_to_date(network)
    assert (network.path / INDEX_NAME).stat().st_ino == inode


def test_a_killed_copy_does_not_block_the_next(network: MadeSweep) -> None:
    brought_up_to_date(network)
    old, new = (network.path / f".{INDEX_NAME}.{name}" for name in ("old", "new"))
    for path in (old, new):
        path.write_bytes(b"half of a copy")
    os.utime(old, (1e9, 1e9))
    brought_up_to_date(network, rebuild=True)
    assert (old.exists(), new.exists()) == (False, True)  # the one may still be written


def test_a_copy_that_cannot_be_made(network: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    before = brought_up_to_date(network)
    network.run(0, restart=1)
    shared = (network.path / INDEX_NAME).read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(StoreError, match="cannot be copied to this host: No space left") as one:
            brought_up_to_date(network)
        assert "set TMPDIR" in one.value.next_step
    with monkeypatch.context() as patch:
        patch.setattr("hpcsweep.files.write_all", full)
        with pytest.raises(SweepError, match=r"cannot be written: No space left"):
            brought_up_to_date(network)
    assert (network.path / INDEX_NAME).read_bytes() == shared
    assert [one.name for one in network.path.glob(f"*{INDEX_NAME}*")] == [INDEX_NAME]
    assert not any(Path(os.environ["TMPDIR"]).iterdir())
    assert brought_up_to_date(network) != before


def test_a_copy_is_durable_before_it_takes_the_place(
    network: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    for name in ("fsync", "rename"):
        real = getattr(os, name)

        def noted(*arguments: Any, name: str = name, real: Any = real) -> None:
            done.append(name)
            real(*arguments)

        monkeypatch.setattr(os, name, noted)
    brought_up_to_date(network)
    assert "fsync rename fsync" in " ".join(done)


def test_a_rebuild_there(network: MadeSweep) -> None:
    before = brought_up_to_date(network)
    (network.path / INDEX_NAME).write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match="not a SQLite database"):
        brought_up_to_date(network)
    assert brought_up_to_date(network, rebuild=True) == before


def test_a_task_writes_nothing_there(network: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    brought_up_to_date(network)
    network.run(0, restart=1)
    before = (network.path / INDEX_NAME).read_bytes()
    monkeypatch.setattr(signal, "setitimer", lambda *_: None)
    arguments = [str(network.path), f"--journal={journals(network)[-1]}", "--deadline=60"]
    assert ingest.main(arguments) == 0
    assert (network.path / INDEX_NAME).read_bytes() == before


# --- journals that do not fit --------------------------------------------------------------------


# Records with a valid checksum that cannot belong to this sweep, and the reason reported.
MISFITS: dict[str, tuple[dict[str, Any], str]] = {
    "another case": ({"case_id": "0" * 16}, "it says that index 1 is case 0000000000000000"),
    "no such index": ({"index": 5}, "it has index 5 of 5"),
    "an index below 0": ({"index": -1}, "its index is -1, not an integer from 0 to"),
    "an index that is none": ({"index": None}, "its index is None, not an integer"),
    "a chunk beyond its plan": ({"chunk": 3}, "it has chunk 3 of the 3 of submission 1"),
    "a generation beyond its plan": (
        {"attempt": [8, 1, 0, "a" * 16]},
        "it has generation 8, submission 1 has 7",
    ),
    "a manifest that is gone": ({"manifest": "0" * 16}, "its manifest 0000000000000000 is gone"),
    "a newer version": ({"v": 2}, "it has the version 2, this program reads 1"),
}


@pytest.mark.parametrize("kind", ["begin", "end", "same"])
def test_a_record_that_does_not_fit_costs_only_itself(made: MadeSweep, kind: str) -> None:
    plan = made.directory.submission_dir(1) / "plan.json"
    plan.write_text(plan.read_text().replace('"generation": 0', '"generation": 7'))
    before = brought_up_to_date(made)
    reasons: dict[str, str] = {}
    for restart, (changed, reason) in enumerate(MISFITS.values()):
        record = {
            "kind": kind,
            "v": 1,
            "manifest": made.manifest.fingerprint,
            "status": "complete",
            "attempt": [7, 1, restart, "a" * 16],
            "chunk": 0,
            "index": 1,
            "word": 2,
            "case_id": made.source[1].case_id,
            "started": "2026-01-01",
        }
        name = f"0001/0/9.{restart}.x.jsonl"
        # What comes after it is taken in, and is the latest attempt.
        after = {**record, "kind": "end", "metrics": {"y": f"after {restart}"}}
        write_journal(made.directory.journal_root / name, record | changed, after)
        reasons[name] = f"{made.directory.journal_root / name}, line 1 at byte 0: {reason}"
        misfits_cost_themselves(made, reasons, f"after {restart}")
    misfits_cost_themselves(made, reasons, f"after {len(MISFITS) - 1}", rebuild=True)
    for name in reasons:
        (made.directory.journal_root / name).unlink()
    (made.path / INDEX_NAME).unlink()  # a rebuild would keep what the journals had
    assert brought_up_to_date(made) == before


def misfits_cost_themselves(
    made: MadeSweep, reasons: dict[str, str], newest: str, *, rebuild: bool = False
) -> None:
    """Fail unless each journal has one line that is skipped, for its reason."""
    with fresh_index(made.directory, rebuild=rebuild) as sweep_index:
        assert sweep_index.torn() == dict.fromkeys(reasons, 1)
        assert [row["metrics"] for row in sweep_index.rows()][1] == f'{{"y":"{newest}"}}'
        assert indices(sweep_index) == IndexSet.all(5)
        lines = skipped_lines(made.directory, sweep_index.torn())
    for line, reason in zip(lines, reasons.values(), strict=True):
        assert line.startswith(reason)


def test_a_task_whose_record_has_an_index_is_a_task(made: MadeSweep) -> None:
    record = {
        "kind": "task",
        "v": 1,
        "manifest": made.manifest.fingerprint,
        "attempt": [0, 1, 5, "b" * 16],
        "chunk": 0,
        "index": 1,
        "node": "n9",
        "job_id": "7",
        "time": "2026-01-01",
    }
    write_journal(made.directory.journal_root / "0001/0/0.5.x.jsonl", record)
    with fresh_index(made.directory) as sweep_index:
        assert sweep_index.torn() == {}
        assert sweep_index.tasks()[0]["host"] == "n9"


def test_a_journal_that_disappears(made: MadeSweep) -> None:
    before = brought_up_to_date(made)
    shutil.rmtree(made.directory.journal_root / "0001" / "0")
    assert brought_up_to_date(made) == before


@pytest.mark.parametrize(
    ("max_array_size", "ids"),
    [(1001, [0, 1, 2, 3, 4]), (3, [0, 1, 0, 1, 0]), (0, [0, 0, 0, 0, 0])],
)
def test_a_chunk_has_the_array_task_id_of_its_part(
    tmp_path: Path, max_array_size: int, ids: list[int]
) -> None:
    made = MadeSweep(tmp_path, grid(x=[0, 1, 2, 3, 4]))
    plan = made.plan(chunk_size=1, max_array_size=max_array_size)
    assert [task_id_of(plan, chunk) for chunk in range(5)] == ids
    assert [task_id_of(plan, -1), task_id_of(plan, 5), task_id_of(None, 0)] == [None] * 3
