"""The shim sees the calls that the kernel sees, and strikes the ones that a fault names."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.injecting import CHANGES, Fault, calls_in, some_of

PROGRAM = """
import os, shutil, sqlite3, sys
os.chdir(sys.argv[1])
os.mkdir("d")
with open("d/a", "w") as stream:
    stream.write("x" * 100)
    stream.flush()
    os.fsync(stream.fileno())
os.link("d/a", "d/b")
os.replace("d/b", "d/c")
os.utime("d/c")
os.chmod("d/c", 0o600)
shutil.copyfile("d/c", "d/e")
connection = sqlite3.connect("d/s.sqlite3")
connection.execute("CREATE TABLE t (x)")
connection.close()
os.system("echo x > d/shell")
shutil.rmtree("d")
"""
# What the kernel calls them.
SYSTEM_CALLS = {
    "mkdir": "mkdir",
    "rmdir": "rmdir",
    "unlink": "unlink",
    "unlinkat": "unlink",
    "rename": "rename",
    "link": "link",
    "linkat": "link",
    "chmod": "chmod",
    "fsync": "fsync",
    "fdatasync": "fsync",
    "utimensat": "utime",
}


def run(place: Path, fault: Fault, log: Path, *before: str) -> int:
    argv = [*before, sys.executable, "-c", PROGRAM, str(place)]
    env = os.environ | fault.variables(log)
    return subprocess.run(argv, env=env, capture_output=True, check=False).returncode


def test_the_interposer_sees_what_strace_sees(tmp_path: Path) -> None:
    place, log, trace = tmp_path / "place", tmp_path / "log", tmp_path / "trace"
    place.mkdir()
    names = ",".join(SYSTEM_CALLS)
    strace = ["strace", "-f", "-y", "-qq", "-e", f"trace={names}", "-o", str(trace)]
    assert run(place, Fault(roots=(place,)), log, *strace) == 0
    found = sorted(call.name for call in calls_in(log) if call.name in SYSTEM_CALLS.values())
    lines = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines()]
    # Its own log lies elsewhere; what is relative is so to the place.
    seen = sorted(
        SYSTEM_CALLS[line.partition("(")[0]]
        for line in lines
        if line.partition("(")[0] in SYSTEM_CALLS and "/tmp/shim" not in line
    )
    assert found == seen
    assert {"create", "write"} <= {call.name for call in calls_in(log)} <= set(CHANGES)


def test_a_kill_strikes_one_process_before_the_call(tmp_path: Path) -> None:
    place, log = tmp_path / "place", tmp_path / "log"
    place.mkdir()
    assert run(place, Fault(roots=(place,), at=2), log) == -9
    assert [(call.number, call.name) for call in calls_in(log)] == [(2, "create")]
    assert list((place / "d").iterdir()) == []
    (place / "d").rmdir()
    assert run(place, Fault(roots=(place,), at=2), log) == 0  # once and for all


def test_an_error_is_the_call_s_own(tmp_path: Path) -> None:
    place, log = tmp_path / "place", tmp_path / "log"
    place.mkdir()
    fault = Fault(roots=(place,), calls=["write"], at=1, on=True, error="ENOSPC")
    assert run(place, fault, log) == 1
    assert (place / "d" / "a").read_bytes() == b""
    assert {call.name for call in calls_in(log)} == {"write"}


def test_injected_clocks_locks_and_views_are_seen(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    code = """if True:
        import fcntl, os, sys, time
        place = sys.argv[1]
        open(f"{place}/{sys.argv[2]}", "w").close()
        ends = [os.open(f"{place}/{sys.argv[2]}", os.O_RDWR) for _ in range(2)]
        for end in ends:
            fcntl.flock(end, fcntl.LOCK_EX | fcntl.LOCK_NB)
        print(int(time.time()), os.listdir(place), [os.path.exists(f"{place}/{n}") for n in "ab"])
    """
    said = []
    for host in "ab":
        fault = Fault(
            roots=(place,),
            calls=(),
            host=host,
            fresh_at=tmp_path / "never",
            local_locks=True,
            clock_s=1_000_000,
        )
        done = subprocess.run(
            [sys.executable, "-c", code, str(place), host],
            capture_output=True,
            text=True,
            env=os.environ | fault.variables(tmp_path / "log"),
            check=True,
        )
        said.append(done.stdout.split(maxsplit=1))
    assert all(int(clock) > time.time() + 999_000 for clock, _ in said)
    assert said[0][1] == "['a'] [True, False]\n"
    assert said[1][1] in ("['a', 'b'] [False, True]\n", "['b', 'a'] [False, True]\n")


@pytest.mark.parametrize(("count", "wanted"), [(1, 5), (7, 3), (100, 10), (10, 10)])
def test_fault_points_are_spread_and_rotate(count: int, wanted: int) -> None:
    tried = [some_of(count, wanted, turn) for turn in range(count)]
    assert {one for some in tried for one in some} == set(range(1, count + 1))
    assert all(1 <= len(some) <= wanted for some in tried)
