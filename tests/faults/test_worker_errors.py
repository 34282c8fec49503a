"""The worker reports each refused system call in a sentence, and journals it if possible."""

from __future__ import annotations

import errno
import re
from collections import Counter
from pathlib import Path

import pytest

from hpcsweep.sources import grid
from tests.support.fixtures import Scale
from tests.support.requirements import strace
from tests.support.sweeps import MadeSweep

__all__ = ["strace"]

pytestmark = pytest.mark.usefixtures("strace")

PYTHON = "def run(x, log):\n    log.text('own', str(x))\n    print(x)\n    return {'x': x}\n"
CASES = 4
# By kind of refusal: the system calls for strace, and the errors that they can return.
KINDS = {
    "rename": (
        ("rename", "renameat", "renameat2"),
        ("EIO", "ENOSPC", "EDQUOT", "EACCES", "ESTALE"),
    ),
    "mkdir": (("mkdir", "mkdirat"), ("ENOSPC", "EDQUOT", "EACCES")),
    "open": (("openat",), ("EMFILE", "ENOSPC", "EIO", "EACCES")),
    "write": (("write",), ("EIO", "ENOSPC", "EDQUOT")),
    "fsync": (("fsync",), ("EIO", "ENOSPC", "EDQUOT")),
    "fork": (("clone", "clone3", "fork", "vfork"), ("EAGAIN", "ENOMEM")),
    "pipe": (("pipe2", "memfd_create"), ("EMFILE", "ENFILE")),
    "read": (("read", "pread64"), ("EIO",)),
    "close": (("close",), ("EIO", "EDQUOT")),
    "truncate": (("ftruncate",), ("EIO",)),
    "stat": (("newfstatat", "fstat", "stat"), ("EIO", "ESTALE")),
}
# Python's own message about its wake-up pipe, which is not on a disk.
OF_PYTHON = re.compile(
    r"Exception ignored when trying to write to the signal wakeup fd:\n"
    r"Traceback .*\n( .*\n)*\n?OSError.*\n"
)
# Exit codes of the worker: done; a full disk; its journal; any other error.
CODES = {0, 5, 71, 74, 75}


@pytest.fixture(autouse=True, scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Python writes its compiled files once: such calls are in no other count."""
    for runs in ("all", "packed"):
        sweep = made(tmp_path_factory.mktemp("compiled") / runs, runs)
        sweep.run()
        sweep.run(restart=1)


def made(root: Path, runs: str) -> MadeSweep:
    root.mkdir()
    found = MadeSweep(root, grid(x=list(range(CASES))), python=PYTHON)
    found.plan(runs=runs)
    return found


def calls_of_its_own(root: Path, runs: str, calls: tuple[str, ...]) -> tuple[int, int]:
    """How many of these calls a start makes before its journal is opened, and how many in all."""
    sweep = made(root, runs)
    log = root / "trace"
    names = ",".join(f"?{call}" for call in {*calls, "openat"})
    sweep.run(prefix=("strace", "-qq", "-o", str(log), "-e", f"trace={names}"))
    before = total = 0
    for line in log.read_text(errors="replace").splitlines():
        before = total if "/journal/" in line and ".jsonl" in line and not before else before
        total += line.startswith(tuple(f"{call}(" for call in calls))
    return before, total


@pytest.mark.parametrize("runs", ["all", pytest.param("packed", marks=pytest.mark.soak)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_call(tmp_path: Path, kind: str, runs: str, scale: Scale) -> None:
    """An error at the n-th call gives a message and an outcome; the next start does the rest."""
    calls, errors = KINDS[kind]
    before, total = calls_of_its_own(tmp_path / "counted", runs, calls)
    if total == before:
        pytest.skip("a task of this layout makes no such call")
    points = range(before + 1, total + 1)
    fired: Counter[str] = Counter()
    step = max(1, len(points) // scale(1, 400))
    for turn, nth in enumerate(points[step // 2 :: step]):
        error = errors[turn % len(errors)]
        sweep = made(tmp_path / f"{nth}", runs)
        fired[error] += refused(sweep, calls, nth, error)
        sweep.run(restart=1)
        whole(sweep, f"{kind} {nth} {error}")
    assert fired.total() >= 1, "no error was injected"


def refused(sweep: MadeSweep, calls: tuple[str, ...], nth: int, error: str) -> bool:
    """Start a task whose n-th such call fails; whether it did."""
    log = sweep.root / "trace"
    names = ",".join(f"?{call}" for call in calls)
    inject = f"inject={names}:error={error}:when={nth}"
    prefix = ("strace", "-qq", "-o", str(log), "-e", f"trace={names}", "-e", inject)
    with sweep.start(prefix=prefix) as task:
        out, err = task.communicate(timeout=60)
    err = OF_PYTHON.sub("", err)
    said = f"{calls[0]} {nth} {error}: exit code {task.returncode}\n{out}{err}"
    assert "Traceback" not in err, said
    assert task.returncode in CODES, said
    if task.returncode:
        assert re.search(r"^hpcsweep: ", err, re.MULTILINE), said
    begun = {record["index"] for record in sweep.records("begin")}
    ends = {record["index"]: record for record in sweep.records("end") if "index" in record}
    if task.returncode in (0, 5):
        assert begun <= ends.keys(), said
    for end in ends.values():
        if end["status"] != "complete" and getattr(errno, error) in (errno.ENOSPC, errno.EDQUOT):
            assert end["reason"] in ("quota", "error"), said
    return "(INJECTED)" in log.read_text(errors="replace")


def whole(sweep: MadeSweep, what: str) -> None:
    """Check that every case is complete, or failed with a message."""
    best: dict[int, str] = {}
    for end in sweep.records("end"):
        if "index" in end and best.get(end["index"]) != "complete":
            best[end["index"]] = end["status"]
            assert end["status"] == "complete" or end["error"]["message"], what
    assert best.keys() == set(range(CASES)), what
    assert set(best.values()) <= {"complete", "failed"}, (what, best)


@pytest.mark.parametrize("runs", ["all", "packed"])
def test_a_full_disk_at_publish_interrupts_and_pauses(tmp_path: Path, runs: str) -> None:
    """It uses no attempt, the other cases have the reason, and the next start continues."""
    calls = ("rename",) if runs == "all" else ("write",)
    sweep = made(tmp_path / "s", runs)
    marks = {"all": r"rename\(.*/runs/log_", "packed": r"write\(.*params\.yaml"}
    log = sweep.root / "trace"
    counted = made(tmp_path / "counted", runs)
    trace = counted.root / "trace"
    counted.run(prefix=("strace", "-qq", "-s", "300", "-o", str(trace), "-e", f"trace={calls[0]}"))
    lines = trace.read_text(errors="replace").splitlines()
    nth = [n for n, line in enumerate(lines, 1) if re.search(marks[runs], line)][1]
    inject = f"inject={calls[0]}:error=ENOSPC:when={nth}"
    prefix = ("strace", "-qq", "-o", str(log), "-e", f"trace={calls[0]}", "-e", inject)
    done = sweep.run(code=5, prefix=prefix)
    assert "No space left on device" in done.stderr
    ends = sweep.ends()
    assert {i: (end["status"], end.get("reason")) for i, end in ends.items()} == {
        0: ("complete", None),
        1: ("interrupted", "quota"),
    }
    chunk = sweep.records("end")[-1]
    assert ("index" in chunk, chunk["status"], chunk["reason"]) == (False, "interrupted", "quota")
    sweep.run(restart=1)
    whole(sweep, "a full disk")
    assert [end["status"] for end in sweep.records("end")][-CASES:] == ["complete"] * CASES
