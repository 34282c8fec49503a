"""Pages that ADBC's driver reads have the values of Python's SQLite, and cost nobody a lock."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from hpcsweep.indexset import IndexSet
from hpcsweep.store import SweepIndex, arrow_pages, case_reader, pages, schema
from hpcsweep.store.sqlite_opening import is_open, opening
from tests.support.rows import MANIFEST, batch, case

NAMES = tuple(column.name for column in schema.cases.c if column.name != "idx")
TEXTS = ["", "é€𝄞", "a\0b", "\n", "'", '"', "1", "NULL"]


@pytest.fixture
def sweep_index(tmp_path: Path) -> SweepIndex:
    made = SweepIndex(tmp_path / "it's 50%.sqlite3", "k'\"")
    made.create("s", MANIFEST)
    rows = [
        case(number, reason=text, host=text or None, wall_seconds=number / 7, max_rss_bytes=2**62)
        for number, text in enumerate(TEXTS)
    ]
    made.merge(batch(*rows, case(9, wall_seconds=3.0, cpu_seconds=1e-320)))
    return made


@pytest.fixture
def path(sweep_index: SweepIndex) -> Path:
    return Path(sweep_index.where)


def read(sweep_index: SweepIndex, within: IndexSet | None = None) -> tuple[list[Any], list[Any]]:
    """The rows with all columns by Python's SQLite, and the pages of the other reader."""
    plain = [
        row
        for page in sweep_index.columns(NAMES, within=within)
        for row in zip(*page.values(), strict=True)
    ]
    return plain, list(sweep_index.arrow_columns(NAMES, within=within))


def as_rows(found: list[Any]) -> list[Any]:
    """The rows of pages, which are arrays."""
    columns = [[values.to_pylist() for values in page.values()] for page in found]
    return [row for page in columns for row in zip(*page, strict=True)]


@pytest.mark.parametrize("rows_at_once", [1, 3, 9, 20_000])
@pytest.mark.parametrize("within", [None, IndexSet([(0, 3)]), IndexSet([(0, 1), (2, 30)])])
def test_values_are_those_of_pythons_sqlite(
    sweep_index: SweepIndex,
    monkeypatch: pytest.MonkeyPatch,
    rows_at_once: int,
    within: IndexSet | None,
) -> None:
    monkeypatch.setattr(case_reader, "PageSize", lambda *_: pages.PageSize(rows_at_once))
    monkeypatch.setattr(pages.PageSize, "fit", lambda *_: None)
    plain, found = read(sweep_index, within)
    assert repr(as_rows(found)) == repr(plain)
    types = {type(column) for page in found for column in page.values()}
    assert types == {pa.StringArray, pa.Int64Array, pa.DoubleArray}


@pytest.mark.parametrize(
    "change",
    [
        "SET host = x'ff' WHERE idx = 3",
        "SET max_rss_bytes = 'many' WHERE idx = 9",
        "SET max_rss_bytes = 0.5",
        "SET submission = 'one'",
        "SET wall_seconds = 'long' WHERE idx = 2",
    ],
)
def test_other_types_are_left_to_pythons_sqlite(
    sweep_index: SweepIndex, path: Path, change: str
) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"UPDATE cases {change}")
        other.commit()
    plain, (page,) = read(sweep_index)
    assert list(zip(*page.values(), strict=True)) == plain


def test_text_that_is_no_utf8_is_an_error(sweep_index: SweepIndex, path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE cases SET host = CAST(x'ff' AS TEXT) WHERE idx = 3")
        other.commit()
    with pytest.raises(Exception, match="UTF-8") as wanted:
        list(sweep_index.columns(NAMES))
    with pytest.raises(wanted.type, match="UTF-8"):
        list(sweep_index.arrow_columns(NAMES))


def test_rows_of_a_page_fit_into_memory() -> None:
    size = pages.PageSize()
    for n_rows, n_bytes, rows in (
        (5000, 5000 * 200, pages.ARROW_ROWS_MAX),
        (5000, 5000 * 1024, (16 << 20) // 1024),
        (5000, 5000 << 20, pages.ROWS_AT_ONCE),
        (0, 0, pages.ROWS_AT_ONCE),
    ):
        size.fit(n_rows, n_bytes)
        assert size.rows == rows


def test_an_empty_index(tmp_path: Path) -> None:
    made = SweepIndex(tmp_path / "s.sqlite3", "k")
    made.create("s", MANIFEST)
    assert list(made.arrow_columns(NAMES)) == []


def test_without_the_driver(sweep_index: SweepIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_sqlite", None)
    plain, (page,) = read(sweep_index)
    assert list(zip(*page.values(), strict=True)) == plain


# --- locks ----------------------------------------------------------------------------------------


def may_write(path: Path) -> bool:
    """Whether another process gets a lock on the file."""
    program = (
        "import sqlite3, sys\n"
        "try: sqlite3.connect(sys.argv[1], timeout=0).execute('BEGIN IMMEDIATE')\n"
        "except sqlite3.OperationalError: sys.exit(3)\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", program, path], check=False)
    assert done.returncode in {0, 3}
    return done.returncode == 0


def test_locks_of_this_process_stay(sweep_index: SweepIndex, path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as own:
        own.execute("BEGIN IMMEDIATE")
        plain, (page,) = read(sweep_index)
        assert list(zip(*page.values(), strict=True)) == plain
        assert not may_write(path)
    assert not is_open(path)
    assert may_write(path)


def test_nobody_opens_the_file_meanwhile(sweep_index: SweepIndex) -> None:
    ended = threading.Event()

    def look() -> None:
        sweep_index.counts()
        ended.set()

    with opening():
        thread = threading.Thread(target=look)
        thread.start()
        assert not ended.wait(0.05)
    thread.join()
    assert ended.is_set()


# Python 3.12 warns of forks in processes with threads, which is what this is about.
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_of_a_fork_may_open_files(sweep_index: SweepIndex) -> None:
    """Also where another thread had the lock."""
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with opening():
            held.set()
            let_go.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    threading.Timer(0.05, let_go.set).start()
    child = os.fork()
    if child == 0:
        os._exit(len(sweep_index.counts()))
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == len(sweep_index.counts())


LOCKED = """\
import sqlite3, sys, time
own = sqlite3.connect(sys.argv[1], isolation_level=None)
own.execute("BEGIN EXCLUSIVE")
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_writer_is_left_to_pythons_sqlite(
    sweep_index: SweepIndex, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrow_pages, "_PATIENCE_MS", 1)
    argv = [sys.executable, "-I", "-c", LOCKED, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdin
        assert writer.stdout
        assert writer.stdout.readline() == b"locked\n"
        end = threading.Timer(0.1, writer.stdin.close)
        end.start()
        plain, (page,) = read(sweep_index)  # it waits until the writer has ended
        end.join()
    assert as_rows([page]) == plain


KILLED = """\
import os, signal, sqlite3, sys
own = sqlite3.connect(sys.argv[1], isolation_level=None)
own.execute("PRAGMA cache_size = 1")
own.execute("BEGIN")
own.execute("UPDATE cases SET host = zeroblob(100000)")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_what_was_there(sweep_index: SweepIndex, path: Path) -> None:
    before = list(sweep_index.rows())
    subprocess.run([sys.executable, "-I", "-c", KILLED, path], check=False)
    assert path.with_name(f"{path.name}-journal").stat().st_size
    (page,) = sweep_index.arrow_columns(NAMES)
    assert list(page["host"]) == [row["host"] for row in before]
    assert list(sweep_index.rows()) == before
