"""One submit or cancel at a time in a sweep, on any file system, also after a crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hpcsweep import claims
from hpcsweep.errors import SweepBusy, SweepError
from hpcsweep.liveness import this_process
from hpcsweep.submission import sweep_lock
from hpcsweep.submission.sweep_lock import awaited_sweep, created_sweep, locked_sweep
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.undo import UndoLog

HOLD = """
import sys
from pathlib import Path
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.submission.sweep_lock import locked_sweep
with locked_sweep(SweepDirectory.open(Path(sys.argv[1]))):
    print("in", flush=True)
    sys.stdin.read()
"""


def hold(path: Path, *before: str) -> subprocess.Popen[str]:
    """A process that has the lock until its input ends; `before` is put before its command."""
    process = subprocess.Popen(
        [*before, sys.executable, "-c", HOLD, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "in\n"
    return process


def owner_file(sweep: SweepDirectory) -> Path:
    """The one file that says whose lock it is."""
    (found,) = sweep.path.glob(".claims/submit/*/metadata.json")
    return found


def left_by(sweep: SweepDirectory, **owner: Any) -> Path:
    """A lock that was not released; `owner` describes another process."""
    root = sweep.path / ".claims"
    root.mkdir()
    assert claims.try_acquire(root, sweep_lock.NAME) is not None
    path = owner_file(sweep)
    path.write_text(json.dumps(this_process() | {"pid_namespace": "pid:[1]"} | owner))
    return path


@pytest.fixture
def sweep(tmp_path: Path) -> SweepDirectory:
    """A sweep that nobody is submitting."""
    return SweepDirectory.create(tmp_path / "s", "s")


def test_the_second_of_two_submits_is_refused(sweep: SweepDirectory) -> None:
    with hold(sweep.path) as first:
        with pytest.raises(SweepBusy, match=f"process {first.pid} on {os.uname().nodename}") as no:
            locked_sweep(sweep).__enter__()
        # Its holder is alive: nobody is told to take it away.
        assert "remove" not in str(no.value)
        assert first.stdin
        first.stdin.close()
    with locked_sweep(sweep):
        pass
    assert list(sweep.path.glob(".claims/*")) == []


def test_an_advance_is_waited_for_a_while(
    sweep: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's command may meet the `advance` of a closing job at any time."""
    monkeypatch.setattr(sweep_lock, "POLL_S", 0.01)
    has_lock, may_end = threading.Event(), threading.Event()

    def advance() -> None:
        with awaited_sweep(sweep):
            has_lock.set()
            may_end.wait(30)

    with ThreadPoolExecutor() as pool:
        done = pool.submit(advance)
        assert has_lock.wait(30)
        monkeypatch.setattr(sweep_lock, "BRIEF_S", 0.0)
        with pytest.raises(SweepBusy, match=f"process {os.getpid()} on"):
            locked_sweep(sweep).__enter__()
        monkeypatch.setattr(sweep_lock, "BRIEF_S", 30.0)
        threading.Timer(0.2, may_end.set).start()
        with locked_sweep(sweep):
            assert may_end.is_set()
        done.result()


def test_of_two_threads_the_second_refuses(sweep: SweepDirectory) -> None:
    with locked_sweep(sweep), pytest.raises(SweepBusy, match=f"process {os.getpid()} on"):
        locked_sweep(sweep).__enter__()


def test_the_place_of_a_dead_one_is_free_at_once(sweep: SweepDirectory) -> None:
    with hold(sweep.path) as first:
        first.send_signal(signal.SIGKILL)
    assert json.loads(owner_file(sweep).read_text())["pid"] == first.pid
    said: list[str] = []
    with locked_sweep(sweep, said.append):
        assert json.loads(owner_file(sweep).read_text())["pid"] == os.getpid()
    assert said == []


def test_a_process_with_the_number_of_a_dead_one_has_no_turn(sweep: SweepDirectory) -> None:
    namespace = str(Path("/proc/self/ns/pid").readlink())
    left_by(sweep, pid=os.getppid(), pid_started="1", pid_namespace=namespace)
    with locked_sweep(sweep):
        pass


def test_the_place_is_given_back_after_an_error(sweep: SweepDirectory) -> None:
    with pytest.raises(KeyError), locked_sweep(sweep):
        raise KeyError
    with locked_sweep(sweep):
        pass


def test_a_place_without_directories_is_named_as_unwritable() -> None:
    """Every mkdir(2) in /proc fails with ENOENT, as below the point of an automount."""
    with pytest.raises(SweepError) as caught:
        created_sweep(Path("/proc/x/s"), "s", "private", None, lambda _: None).__enter__()
    assert not isinstance(caught.value, SweepBusy)
    assert (caught.value.where, caught.value.what) == (
        "/proc/x/s",
        "cannot be written: No such file or directory",
    )
    assert "--outputs" in caught.value.next_step


# --- of a process that only another host can ask for ----------------------------------------------


def cut(sweep: SweepDirectory) -> Path:
    """The remains of an owner's file after a power cut."""
    path = left_by(sweep)
    path.write_text("")
    return path


ELSEWHERE: dict[str, Callable[[SweepDirectory], Path]] = {
    "another host": lambda sweep: left_by(sweep, host="login2", boot_id="another"),
    "another container of this host": left_by,
    "unknown": cut,
}


@pytest.mark.parametrize("elsewhere", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_remote_submit_without_a_heartbeat_is_dead(
    sweep: SweepDirectory, monkeypatch: pytest.MonkeyPatch, elsewhere: Callable[..., Path]
) -> None:
    """Whatever its clock says: the time of its last sign is compared with nothing but itself."""
    monkeypatch.setattr(sweep_lock, "SILENT_S", 0.3)
    monkeypatch.setattr(sweep_lock, "POLL_S", 0.05)
    for moment in (1.0, 4e9):
        path = elsewhere(sweep)
        os.utime(path, (moment, moment))
        said: list[str] = []
        with locked_sweep(sweep, said.append):
            assert owner_file(sweep) != path
        assert len(said) == 1
        assert "Watching its heartbeat" in said[0]
        (sweep.path / ".claims").rmdir()


def test_a_remote_submit_with_a_heartbeat_is_alive(
    sweep: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_lock, "POLL_S", 0.05)
    path = left_by(sweep, host="login2", boot_id="another", pid=7)
    os.utime(path, (1, 1))
    sign = threading.Timer(0.2, lambda: os.utime(path, (2, 2)))
    sign.start()
    with pytest.raises(SweepBusy, match="process 7 on login2") as no:
        locked_sweep(sweep).__enter__()
    sign.join()
    assert "remove" not in str(no.value)
    assert path.exists()


def test_a_remote_submit_that_ends_while_it_is_watched(
    sweep: SweepDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_lock, "POLL_S", 0.05)
    path = left_by(sweep, host="login2", boot_id="another")

    def give_back() -> None:
        path.parent.rename(sweep.path / ".claims/.gone.x")

    end = threading.Timer(0.2, give_back)
    end.start()
    with locked_sweep(sweep):
        end.join()


@pytest.mark.skipif(
    subprocess.run(("unshare", "-u", "true"), stderr=subprocess.DEVNULL, check=False).returncode
    != 0,
    reason="not allowed to have a host name of its own: needs root, and no container",
)
def test_an_alias_of_this_host_is_this_host(sweep: SweepDirectory) -> None:
    rename = ("unshare", "-u", "bash", "-c", 'hostname hostb; exec "$@"', "-")
    with hold(sweep.path, *rename) as first:
        with pytest.raises(SweepBusy, match=f"process {first.pid} on hostb"):
            locked_sweep(sweep).__enter__()
        first.kill()
    with locked_sweep(sweep):
        pass


def test_who_was_taken_for_dead_sends_nothing_any_more(sweep: SweepDirectory) -> None:
    with locked_sweep(sweep) as mine:
        mine.check()
        (own,) = sweep.path.glob(".claims/submit/*")
        own.rename(sweep.path / ".claims/.gone.x")
        with locked_sweep(sweep), pytest.raises(SweepBusy, match="took this one for dead"):
            mine.check()


# --- what is taken back ---------------------------------------------------------------------------


def fail(path: Path, *, and_notes: bool = False) -> None:
    """A submit that makes a directory and fails; meanwhile the user may put something there."""

    def begin(sweep: SweepDirectory, made: UndoLog) -> None:
        made.directory(sweep.path / "logs" / "0001")
        if and_notes:
            (sweep.path / "logs" / "notes.txt").write_text("mine")
        raise KeyError

    with created_sweep(path, "s", "private", None, print) as (sweep, _, made):
        begin(sweep, made)


def test_a_first_submit_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        fail(tmp_path / "out" / "s")
    assert list(tmp_path.iterdir()) == []


def test_files_of_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "out" / "s"
    with pytest.raises(KeyError):
        fail(path, and_notes=True)
    assert (path / "logs" / "notes.txt").read_text() == "mine"
    assert not (path / "logs" / "0001").exists()


def test_existing_files_stay(tmp_path: Path) -> None:
    sweep = SweepDirectory.create(tmp_path / "s", "s")
    (sweep.path / "logs").mkdir()
    with pytest.raises(KeyError):
        fail(sweep.path)
    assert SweepDirectory.open(sweep.path) == sweep
    assert list((sweep.path / "logs").iterdir()) == []


def test_a_refused_submit_removes_nothing_of_another(tmp_path: Path) -> None:
    """The second saw no directory when it began, and is stopped there until the first is in."""
    path, inside, ended = tmp_path / "s", threading.Event(), threading.Event()
    make = UndoLog.directory

    def first() -> None:
        with created_sweep(path, "s", "private", None, print):
            inside.set()
            ended.wait(60)

    def second(self: UndoLog, one: Path) -> Path:
        if threading.current_thread() is threading.main_thread() and not inside.is_set():
            thread.start()
            inside.wait(60)
        return make(self, one)

    thread = threading.Thread(target=first)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(UndoLog, "directory", second)
        with pytest.raises(SweepBusy):
            created_sweep(path, "s", "private", None, print).__enter__()
    assert SweepDirectory.open(path).name == "s"
    ended.set()
    thread.join()


def test_the_creator_of_a_directory_may_remove_it_concurrently(tmp_path: Path) -> None:
    """Between a submit's look at the directory and its claim, one that could not begin ends."""
    path, take = tmp_path / "s", claims.try_acquire
    gone: list[Path] = []

    def late(root: Path, *rest: Any) -> Any:
        if not gone:
            gone.append(root)
            root.rmdir()
            path.rmdir()
        return take(root, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims, "try_acquire", late)
        with created_sweep(path, "s", "private", None, print) as (sweep, _, _):
            assert sweep == SweepDirectory.open(path)
    assert gone
