"""Pieces of work by several processes: each once, whichever of them is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsweep.store import pieces
from tests.support.wait import wait_until

# Does six pieces by two processes, and prints what was done. Its own process: a fork wants one
# without threads.
PROGRAM = """\
import json, os, signal, sys
from pathlib import Path
from hpcsweep.store import sharing
directory, how = Path(sys.argv[1]), sys.argv[2]
os.sched_getaffinity = lambda _: {0, 1}
me = os.getpid()
if how == "reaped":  # as a parent may leave it to its programs: the kernel waits for children
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if how == "no fork":
    def refused():
        raise BlockingIOError
    os.fork = refused
def wait_for(path):
    while not path.exists():
        pass
def work(numbers):
    for number in numbers:
        with (directory / str(number)).open("x") as stream:
            stream.write(str(os.getpid()))
        if os.getpid() != me:
            (directory / "child.new").write_text(str(os.getpid()))
            (directory / "child.new").rename(directory / "child")
            if how == "child":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "error":
                raise MemoryError
            while how in ("parent", "own error") and os.getppid() == me:
                pass
        elif how != "no fork":
            wait_for(directory / "child")  # each has had one
            if how == "parent":
                os.kill(me, signal.SIGKILL)
            if how == "own error":
                raise RuntimeError("of this process")
        yield number, 10 * number, 100 * number
print(json.dumps(sharing.share(6, work)))
"""


def run(directory: Path, how: str = "") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", PROGRAM, str(directory), how]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def takers(directory: Path) -> dict[int, str]:
    """The process that took each piece."""
    found = (path for path in directory.iterdir() if path.name != "child")
    return {int(path.name): path.read_text() for path in found}


@pytest.mark.parametrize("how", ["", "reaped", "no fork"])
def test_each_piece_is_done_once(tmp_path: Path, how: str) -> None:
    done = run(tmp_path, how)
    expected = [[number, 10 * number, 100 * number] for number in range(6)]
    assert (json.loads(done.stdout), done.stderr) == (expected, "")
    assert takers(tmp_path).keys() == set(range(6))
    assert len(set(takers(tmp_path).values())) == (1 if how == "no fork" else 2)


@pytest.mark.parametrize("how", ["child", "error"])
def test_what_a_fork_left_is_missing(tmp_path: Path, how: str) -> None:
    done = run(tmp_path, how)
    child = (tmp_path / "child").read_text()
    of_child = [piece for piece, pid in takers(tmp_path).items() if pid == child]
    assert len(of_child) == 1
    missing = set(range(6)) - {piece for piece, *_ in json.loads(done.stdout)}
    assert missing == set(of_child)


@pytest.mark.parametrize(("how", "code"), [("parent", -signal.SIGKILL), ("own error", 1)])
def test_no_fork_outlives_its_parent(tmp_path: Path, how: str, code: int) -> None:
    done = run(tmp_path, how)
    assert done.returncode == code
    assert how == "parent" or done.stderr.endswith("RuntimeError: of this process\n")
    child = int((tmp_path / "child").read_text())
    wait_until(lambda: not Path(f"/proc/{child}").exists(), 60, "the fork has ended")
    assert len(takers(tmp_path)) == 2  # the first one of each


def test_journals_are_divided_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 10)
    for name, size in (("a", 6), ("b", 6), ("c", 25), ("d", 1), ("f", 1)):
        (tmp_path / name).write_bytes(bytes(size))
    names = ["a", "b", "c", "d", "gone", "f"]
    assert pieces.divide(tmp_path, names) == [["a", "b"], ["c"], ["d", "gone", "f"]]
    monkeypatch.setattr(pieces, "PIECES_MAX", 2)
    assert pieces.divide(tmp_path, names) == [["a", "b", "c"], ["d", "gone", "f"]]
