"""A first ingest with children: the same rows and errors, whichever of them is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsweep.sources import grid
from hpcsweep.store import SweepIndex, decoding
from hpcsweep.store.ingest import Ingest, fresh_index
from hpcsweep.store.upsert import RowBatch
from hpcsweep.sweepdir.directory import INDEX_NAME
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until
from tests.unit.test_ingest import Dump, dump, journals

# Ingests with a child, and prints what it counted. Its own process: a fork wants one without
# threads.
PROGRAM = """\
import os, resource, signal, sys
from pathlib import Path
from hpcsweep.errors import HpcsweepError
from hpcsweep.store import SweepIndex, decoding, ingest, pieces
from hpcsweep.sweepdir.directory import INDEX_NAME, SweepDirectory
path, how = Path(sys.argv[1]), sys.argv[2]
pieces.PIECE_BYTES = 1 if how != "one piece" else 1 << 20
os.sched_getaffinity = lambda _: {0, 1}
decoding.pays = lambda *_: True
with_children, me = decoding.with_children, os.getpid()
taken = path / "taken"
def wait_for(path):
    while not path.exists():
        pass
def disturbed(decode):
    def decoded(piece):
        if os.getpid() == me:
            wait_for(taken)  # the child has one, too
            if how == "killed":
                os.kill(me, signal.SIGKILL)
            yield from decode(piece)
            return
        try:
            batches = list(decode(piece))
        except HpcsweepError:
            taken.touch()
            raise
        for batch in batches:
            yield batch
            taken.with_name("new").write_text(str(os.getpid()))
            taken.with_name("new").rename(taken)
            if how == "child":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "error":
                raise MemoryError
            while how == "killed" and os.getppid() == me:
                pass
    return decoded
decoding.with_children = lambda count, decode: with_children(count, disturbed(decode))
if how == "reaped":  # as a parent may leave it to its programs: the kernel waits for children
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if how == "many files":
    resource.setrlimit(resource.RLIMIT_NOFILE, (3000, 3000))
    others = [os.dup(0) for _ in range(1100)]
if how == "no fork":
    def refused():
        taken.touch()
        raise BlockingIOError
    os.fork = refused
sweep = SweepDirectory.open(path)
sweep_index = SweepIndex(path / INDEX_NAME, sweep.key)
sweep_index.create(sweep.name, sweep.newest_manifest())
try:
    done = ingest.Ingest(sweep, sweep_index).run()
    print(done.records, done.torn)
except HpcsweepError as error:
    print(error)
"""


@pytest.fixture
def made(tmp_path: Path) -> MadeSweep:
    """A sweep of three tasks, all of which have run; a line of one is torn."""
    found = MadeSweep(tmp_path, grid(x=[0, 1, 2, 3, 4]), python="def run(x): return {'y': x}\n")
    found.plan(chunk_size=2)
    for task in range(3):
        found.run(task)
    last = found.directory.journal_root / journals(found)[-1]
    last.write_bytes(b"torn\n" + last.read_bytes())
    return found


def run(made: MadeSweep, how: str = "") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", PROGRAM, str(made.path), how]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def alone(made: MadeSweep) -> tuple[Dump, str]:
    """What one process makes, and the counts that it returns."""
    with fresh_index(made.directory):
        pass
    found = dump(made.path / INDEX_NAME)
    (made.path / INDEX_NAME).unlink()
    sweep_index = SweepIndex(made.path / INDEX_NAME, made.directory.key)
    sweep_index.create("s", made.directory.newest_manifest())
    done = Ingest(made.directory, sweep_index).run()
    (made.path / INDEX_NAME).unlink()
    return found, f"{done.records} {done.torn}"


def rows(made: MadeSweep) -> Dump:
    """The content after a command: it notes submissions, too."""
    with fresh_index(made.directory):
        return dump(made.path / INDEX_NAME)


@pytest.mark.parametrize(
    "how", ["", "reaped", "child", "error", "no fork", "one piece", "many files"]
)
def test_children_make_the_same_rows(made: MadeSweep, how: str) -> None:
    expected, counts = alone(made)
    done = run(made, how)
    assert (done.stdout, done.stderr) == (f"{counts}\n", "")
    assert (made.path / "taken").exists()
    (made.path / "taken").unlink()
    assert rows(made) == expected


def test_an_error_is_that_of_one_process(made: MadeSweep) -> None:
    path = made.directory.journal_root / journals(made)[1]
    path.unlink()
    path.mkdir()
    done = run(made)
    assert f"{path}: cannot be read" in done.stdout


def test_a_killed_ingest_leaves_no_child(made: MadeSweep) -> None:
    expected, _ = alone(made)
    assert run(made, "killed").returncode == -signal.SIGKILL
    child = int((made.path / "taken").read_text())
    wait_until(lambda: not Path(f"/proc/{child}").exists(), 60, "the child has ended")
    (made.path / "taken").unlink()
    assert rows(made) == expected


def test_a_child_is_made_where_it_pays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    monkeypatch.setattr("threading.active_count", lambda: 1)
    monkeypatch.setattr(decoding, "BYTES_MIN", 10)
    for name, size in (("a", 6), ("b", 6)):
        (tmp_path / name).write_bytes(bytes(size))
    assert decoding.pays(tmp_path, ["a", "gone", "b"])
    assert not decoding.pays(tmp_path, ["a"])
    monkeypatch.setattr("threading.active_count", lambda: 2)
    assert not decoding.pays(tmp_path, ["a", "b"])
    monkeypatch.setattr("threading.active_count", lambda: 1)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    assert not decoding.pays(tmp_path, ["a", "b"])


def test_a_batch_goes_through_the_pipe_unchanged() -> None:
    columns = {
        "case_id": "abc",
        "m1": (1, True, 1.0),
        "m2": (0.0, -0.0, 0.0),
        "host": (None,) * 3,
        "chunk": (2.5,) * 3,
    }
    batch = RowBatch(manifest="f" * 16, places={3: "a"}, journals=[("j", 0, 9, 1)])
    batch.numbers = {("metrics", ("y", "z")): "m1"}
    for count in (3, 1, 0):
        batch.cases = {name: tuple(column[:count]) for name, column in columns.items() if count}
        sent, *counts = decoding._loaded(decoding._dumped(batch, 7, 8))  # noqa: SLF001
        assert (repr(sent), counts) == (repr(batch), [7, 8])
