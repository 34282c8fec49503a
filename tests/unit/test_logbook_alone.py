"""A run outside of a sweep: its files say what happened, however it ends."""

from __future__ import annotations

import errno
import io
import json
import logging
import math
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from hpcsweep import Logbook, LogReader, compat
from hpcsweep.errors import InputError, RunExists, SweepError
from hpcsweep.files import names
from hpcsweep.liveness import SILENT_S, Heartbeat, is_alive
from tests.support.experiments import FORK, together
from tests.support.fixtures import Scale
from tests.support.wait import wait_until


def meta(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((path / "metadata.json").read_text())
    return found


# --- what a run leaves ---------------------------------------------------------------------------


def test_files_keys_and_lines(tmp_path: Path) -> None:
    with Logbook("a", tmp_path, params={"omega": 1.0, "dt": 1e-5, "steps": 3}) as log:
        log.info("hello")
        log.array("x", [1.0, 2.0])
        log.arrays("both", a=[1], b=[2.0])
        log.json("metrics", {"energy": 0.5})
        log.text("note", "text")
        log.pickle("object", {"a": 1})
        log.bytes("raw.bin", b"\0")
    path = tmp_path / "log_a"
    assert log.path == path
    files = sorted(str(one.relative_to(path)) for one in path.rglob("*") if one.is_file())
    assert files == [
        "artifacts/metrics.json",
        "artifacts/note.txt",
        "artifacts/object.pkl",
        "artifacts/raw.bin",
        "data/both.npz",
        "data/x.npy",
        "log.txt",
        "metadata.json",
        "params.yaml",
    ]
    assert (path / "params.yaml").read_text() == "dt: 1.0e-05\nomega: 1.0\nsteps: 3\n"
    found = meta(path)
    assert {"run_id": "a", "status": "complete"}.items() <= found.items()
    assert {"start_time", "end_time", "runtime_sec", "host", "pid"} <= found.keys()
    assert found["start_time"].endswith("+00:00")
    lines = (path / "log.txt").read_text().splitlines()
    stamp = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\] INFO "
    assert [re.sub(stamp, "", line) for line in lines] == [
        "Saved params (yaml) in params.yaml",
        "Logbook initialized",
        "hello",
        "Saved array x in data/x.npy",
        "Saved arrays both in data/both.npz",
        "Saved JSON metrics in artifacts/metrics.json",
        "Saved text note in artifacts/note.txt",
        "Saved pickle object in artifacts/object.pkl",
        "Saved bytes raw.bin in artifacts/raw.bin",
        "Marked complete",
    ]


@pytest.mark.parametrize("params", [{"x": object()}, [1], "omega"])
def test_a_run_that_cannot_begin_is_not_there(tmp_path: Path, params: Any) -> None:
    with pytest.raises(InputError):
        Logbook("a", tmp_path, params=params)
    assert Logbook("a", tmp_path, params={"x": 1}).params["x"] == 1


def test_a_run_on_a_full_disk_leaves_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(SweepError, match="No space"):
            Logbook("a", tmp_path)
    assert names(tmp_path) == []
    Logbook("a", tmp_path)


def test_directories_are_made_at_once_on_request(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path, preallocate=True)
    assert all(one.is_dir() for one in (log.datadir, log.plotdir, log.artifactsdir))


def test_the_callback_sees_the_end(tmp_path: Path) -> None:
    seen: list[str] = []
    with Logbook("a", tmp_path, callback=lambda log: seen.append(log.status)):
        assert seen == []
    with (
        pytest.raises(ZeroDivisionError),
        Logbook("b", tmp_path, callback=lambda log: seen.append(log.status)),
    ):
        raise ZeroDivisionError
    assert seen == ["complete", "failed"]


class Colour(Enum):
    RED = "red"


def test_params_are_read_as_they_were_given(tmp_path: Path) -> None:
    # The ancestor wrote tags of Python objects, which nothing could read again.
    given = {
        "a": np.float64(0.1),
        "b": (1, 2),
        "c": Path("/x"),
        "d": Colour.RED,
        "e": np.arange(3),
        "f": np.float32(0.5),
        "on": "off",
        "g": 1e-3,
    }
    log = Logbook("a", tmp_path, params=given)
    plain = {
        "a": 0.1,
        "b": [1, 2],
        "c": "/x",
        "d": "red",
        "e": [0, 1, 2],
        "f": 0.5,
        "on": "off",
        "g": 1e-3,
    }
    assert dict(log.params) == plain
    assert yaml.safe_load((log.path / "params.yaml").read_bytes()) == plain
    log.params(later=np.int64(3))
    log.mark_complete()
    assert dict(log.params) == plain | {"later": 3}


def test_params_are_a_mapping_and_a_call(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path, params={"omega": 1.0, "ext": "png"})
    assert log.params["omega"] == 1.0
    assert log.params["ext"] == "png"
    log.params(ext="json", beta=2)
    assert json.loads((log.path / "params.json").read_text()) == {
        "omega": 1.0,
        "ext": "png",
        "beta": 2,
    }
    with pytest.raises(ValueError, match="not a format of params"):
        log.params(ext="txt", x=1)
    assert not (log.path / "params.txt").exists()


def test_names_of_arrays_are_free(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path)
    log.arrays("q", name=[1], compressed=[2], file=[3], args=[4])
    with np.load(log.datadir / "q.npz") as found:
        assert {name: found[name].tolist() for name in found} == {
            "name": [1],
            "compressed": [2],
            "file": [3],
            "args": [4],
        }


def test_json_is_json(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path)
    log.json("metrics", {"loss": float("nan"), "n": np.int64(2), 3: np.float32(0.5)})
    assert json.loads((log.artifactsdir / "metrics.json").read_text()) == {
        "loss": {"$float": "nan"},
        "n": 2,
        "3": 0.5,
    }
    assert math.isnan(LogReader(log.path).metrics["loss"])
    assert "WARNING" not in log.log_path.read_text()


# --- how it ends ---------------------------------------------------------------------------------


def test_an_exception_is_kept_with_its_traceback(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Logbook("a", tmp_path) as log:
        raise RuntimeError("boom\nover two lines")
    found = meta(log.path)
    assert found["status"] == "failed"
    assert found["failure_reason"] == "boom\nover two lines"
    assert found["error"]["type"] == "RuntimeError"
    assert "test_an_exception_is_kept" in found["error"]["traceback"]
    *_, first, second = log.log_path.read_text().splitlines()
    assert first.endswith("INFO Marked failed: boom")
    assert second == "    over two lines"


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (SystemExit(0), "complete", None),
        (SystemExit(), "complete", None),
        (SystemExit(3), "failed", "sys.exit(3)"),
        (KeyboardInterrupt(), "interrupted", "SIGINT"),
        (ValueError(), "failed", "ValueError: "),
    ],
)
def test_a_block_sets_the_status_of_its_run(
    tmp_path: Path, error: BaseException, status: str, reason: str | None
) -> None:
    with pytest.raises(type(error)), Logbook("a", tmp_path):
        raise error
    found = meta(tmp_path / "log_a")
    assert (found["status"], found.get("failure_reason")) == (status, reason)


def test_the_last_status_replaces_the_earlier_ones(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path)
    log.mark_failed("forced")
    log.mark_complete()
    log.mark_complete()
    found = meta(log.path)
    assert found["status"] == "complete"
    assert "failure_reason" not in found
    with pytest.raises(OSError, match="late"), log:
        raise OSError("late")
    assert (meta(log.path)["status"], meta(log.path)["failure_reason"]) == ("failed", "late")


def test_a_status_of_the_programs_own_stays(tmp_path: Path) -> None:
    with Logbook("a", tmp_path) as log:
        log.mark_failed("diverged")
    assert meta(log.path)["status"] == "failed"
    with Logbook("b", tmp_path) as log:
        log.meta(status="failed", why="diverged")
    assert meta(log.path)["status"] == "failed"


RUN = """
import os, signal, sys, time
from hpcsweep import Logbook
{before}
with Logbook("a", sys.argv[1], params={{"x": 1}}) as log:
    log.json("metrics", {{"half": 1}})
    print("ready", flush=True)
    time.sleep(60)
"""


def started(tmp_path: Path, before: str = "") -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", RUN.format(before=before), str(tmp_path)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_ends_a_run_as_interrupted(tmp_path: Path, number: signal.Signals) -> None:
    with started(tmp_path) as process:
        process.send_signal(number)
        assert process.wait(30) == -number
    found = meta(tmp_path / "log_a")
    assert (found["status"], found["failure_reason"]) == ("interrupted", number.name)
    assert json.loads((tmp_path / "log_a/artifacts/metrics.json").read_text()) == {"half": 1}


BUSY = """
import sys, threading, time
from hpcsweep import Logbook
# What ends the process takes its time, too, so that the thread goes on.
log = Logbook("a", sys.argv[1], callback=lambda log: time.sleep(1))
real = log.storage.read

def slow(name):
    found = real(name)
    print("ready", flush=True)
    time.sleep(0.2)
    return found

log.storage.read = slow
thread = threading.Thread(target=log.meta, kwargs={"k": 1})
thread.start()
thread.join()
time.sleep(60)
"""


def test_a_thread_cannot_undo_the_final_status(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", BUSY, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == -signal.SIGTERM
    found = meta(tmp_path / "log_a")
    assert (found["status"], found["failure_reason"], found["k"]) == ("interrupted", "SIGTERM", 1)


def test_a_handler_of_the_users_stays(tmp_path: Path) -> None:
    before = "signal.signal(signal.SIGUSR1, lambda *_: os._exit(7))"
    with started(tmp_path, before) as process:
        process.send_signal(signal.SIGUSR1)
        assert process.wait(30) == 7
    assert meta(tmp_path / "log_a")["status"] == "initialized"


def test_a_killed_run_is_distinguished_from_a_running_one(tmp_path: Path) -> None:
    path = tmp_path / "log_a" / "metadata.json"
    with started(tmp_path) as process:
        assert is_alive(meta(path.parent), path) is True
        process.kill()
        process.wait(30)
    found = meta(path.parent)
    assert found["status"] == "initialized"
    assert is_alive(found, path) is False
    # The same id of a later process.
    mine = found | {"pid": os.getpid()}
    assert is_alive(mine, path) is False
    assert is_alive(found | {"boot_id": "another"}, path) is False
    # Elsewhere only signs of life tell.
    assert is_alive(found | {"host": "elsewhere"}, path) is True
    old = path.stat().st_mtime - SILENT_S - 1
    os.utime(path, (old, old))
    assert is_alive(found | {"host": "elsewhere"}, path) is False
    assert is_alive({"status": "initialized"}, path) is None


def test_a_forked_child_does_not_end_the_run(tmp_path: Path) -> None:
    with Logbook("a", tmp_path) as log:
        child = FORK.Process(target=sys.exit, args=(3,))
        child.start()
        child.join()
        pid = os.fork()
        if pid == 0:
            log.__exit__(None, None, None)
            os.kill(os.getpid(), signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGTERM
        assert log.status == "initialized"
    assert log.status == "complete"


# --- many, and at once ---------------------------------------------------------------------------


def descriptors() -> int:
    return len(names(Path("/proc/self/fd")))


def test_runs_leave_nothing_behind_in_the_process(tmp_path: Path, scale: Scale) -> None:
    with Logbook("first", tmp_path):
        pass
    before = descriptors(), len(logging.Logger.manager.loggerDict), threading.active_count()
    for number in range(scale(300, 10_000)):
        with Logbook(f"{number % 500}", tmp_path, overwrite=True) as log:
            log.logger.info("hello")
            log.array("x", [1])
    after = descriptors(), len(logging.Logger.manager.loggerDict), threading.active_count()
    # Fewer: what earlier tests left to the garbage collector was closed meanwhile.
    assert all(now <= then for now, then in zip(after, before, strict=True)), (before, after)
    for one in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
        assert signal.getsignal(one) is signal.SIG_DFL


def test_open_runs_hold_no_descriptor(tmp_path: Path) -> None:
    before = descriptors()
    logs = [Logbook(str(number), tmp_path) for number in range(50)]
    for log in logs:
        log.info("hello")
    assert descriptors() == before


def test_one_of_many_processes_creates_the_run(tmp_path: Path, scale: Scale) -> None:
    rounds = scale(50, 1000)
    barrier = FORK.Barrier(8)

    def claim(number: int) -> None:
        with (tmp_path / f"won.{number}").open("w") as won:
            for one in range(rounds):
                barrier.wait(60)
                try:
                    Logbook(f"r{one}", tmp_path / "runs", params={"by": number})
                except FileExistsError:
                    continue
                won.write(f"{one}\n")

    together(claim, 8)
    won = [line for n in range(8) for line in (tmp_path / f"won.{n}").read_text().split()]
    assert sorted(map(int, won)) == list(range(rounds))
    for number in range(8):
        for one in (tmp_path / f"won.{number}").read_text().split():
            text = (tmp_path / "runs" / f"log_r{one}" / "params.yaml").read_text()
            assert text == f"by: {number}\n"


def test_concurrent_fields_of_the_metadata_are_kept(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path)

    def add(number: int) -> None:
        for key in range(50):
            log.meta(**{f"k{number}_{key}": key})

    together(add, 4)
    assert sum(name.startswith("k") for name in meta(log.path)) == 200


def test_two_runs_of_one_name_have_their_own_logs(tmp_path: Path) -> None:
    first, second = (Logbook("a", tmp_path / name) for name in ("one", "two"))
    first.logger.warning("to the first")
    second.logger.warning("to the second")
    assert "to the first" in first.log_path.read_text()
    assert "WARNING to the second" in second.log_path.read_text()
    assert "to the first" not in second.log_path.read_text()


def test_a_directory_that_was_removed_gets_a_log_again(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path)
    log.log_path.unlink()
    log.info("again")
    assert log.log_path.read_text().endswith("INFO again\n")


# --- over an earlier one -------------------------------------------------------------------------


def test_an_earlier_run_is_in_the_way(tmp_path: Path) -> None:
    Logbook("a", tmp_path).json("metrics", {"kept": 1})
    with pytest.raises(RunExists, match="this run exists already"):
        Logbook("a", tmp_path)
    assert (tmp_path / "log_a" / "artifacts" / "metrics.json").exists()


def test_overwriting_leaves_nothing_of_the_earlier_run(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path, {"old": 1})
    log.array("stale", [1])
    log.mark_failed("bad")
    log = Logbook("a", tmp_path, {"new": 1}, overwrite=True)
    assert [name for name in names(tmp_path) if not name.startswith(".provenance.")] == ["log_a"]
    assert not (log.path / "data").exists()
    assert dict(log.params) == {"new": 1}
    assert not {"end_time", "failure_reason", "error"} & meta(log.path).keys()


def test_a_directory_without_any_file_is_overwritten(tmp_path: Path) -> None:
    """What earlier versions left when they were killed at their first write."""
    left = tmp_path / "log_a"
    (left / "data").mkdir(parents=True)
    (left / ".4711.0").touch()
    with pytest.raises(RunExists):
        Logbook("a", tmp_path)
    assert Logbook("a", tmp_path, {"x": 1}, overwrite=True).path == left
    assert names(left) == ["log.txt", "metadata.json", "params.yaml"]


def test_a_failed_overwrite_leaves_the_earlier_run(tmp_path: Path) -> None:
    Logbook("a", tmp_path, {"old": 1}).mark_complete()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(SweepError, match="cannot be written: File too large"):
            Logbook("a", tmp_path, {"new": 1}, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    run = LogReader(tmp_path / "log_a")
    assert (run.status, run.params) == ("complete", {"old": 1})
    assert [name for name in names(tmp_path) if not name.startswith(".provenance.")] == ["log_a"]


def test_only_a_run_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "log_a").mkdir()
    (tmp_path / "log_a" / "thesis.tex").touch()
    with pytest.raises(SweepError, match="is not a run directory"):
        Logbook("a", tmp_path, overwrite=True)
    assert (tmp_path / "log_a" / "thesis.tex").exists()


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("run_id", ["../x", "a/../../x", "a\nb", "a\0b", "x" * 300, "a/.."])
def test_ids_that_are_no_names(tmp_path: Path, run_id: str) -> None:
    with pytest.raises((InputError, SweepError)):
        Logbook(run_id, tmp_path / "in")
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "in").exists()


def test_ids_with_slashes_and_spaces(tmp_path: Path) -> None:
    assert Logbook("a/b c", tmp_path).path == tmp_path / "log_a" / "b c"


@pytest.mark.parametrize("name", ["a\nb", "a\0b", "x" * 300])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    log = Logbook("a", tmp_path)
    for write in (lambda: log.text(name, "x"), lambda: log[name]):
        with pytest.raises((InputError, SweepError)):
            write()
    assert names(log.path) == ["log.txt", "metadata.json"]


def test_a_value_that_is_no_json_changes_nothing(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path, params={"a": 1})
    log.json("metrics", {"x": 1})
    with pytest.raises(InputError, match="not a JSON value"):
        log.json("metrics", {"x": object()})
    with pytest.raises(InputError, match="not a JSON value"):
        log.params(b=object())
    assert json.loads((log.artifactsdir / "metrics.json").read_text()) == {"x": 1}
    assert dict(log.params) == {"a": 1}


def test_a_full_disk_leaves_what_there_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Logbook("a", tmp_path, params={"a": 1})
    log.json("data", {"x": 1})
    log.array("x", [1])

    def full(*_: Any) -> int:
        raise OSError(28, "No space left on device")

    writes: list[Callable[[], object]] = [
        lambda: log.json("data", {"x": 2}),
        lambda: log.params(b=2),
        lambda: log.meta(b=2),
        lambda: log.info("x"),
    ]
    with monkeypatch.context() as patch:
        patch.setattr("os.write", full)
        for write in writes:
            with pytest.raises(SweepError, match="No space"):
                write()
    assert json.loads((log.artifactsdir / "data.json").read_text()) == {"x": 1}
    assert dict(log.params) == {"a": 1}
    assert meta(log.path)["status"] == "initialized"
    assert not list(log.path.rglob(".*"))


WRITER = """
import sys
import numpy as np
from hpcsweep import Logbook
log = Logbook("a", sys.argv[1], params={"n": -1})
number = 0
while True:
    number += 1
    log.json("data", [number] * 2000)
    log.text("text", f"{number}\\n" * 2000)
    log.array("array", np.full(2000, number))
    log.params(n=number, more=[number] * 500)
    log.meta(n=number, more=[number] * 500)
    log.checkpoint.save({"x": np.full(2000, number), "n": number})
    if number == 1:
        print("ready", flush=True)
"""


def test_a_kill_tears_no_file(tmp_path: Path, scale: Scale) -> None:
    for number in range(scale(4, 50)):
        base = tmp_path / str(number)
        argv = [sys.executable, "-c", WRITER, str(base)]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            threading.Event().wait(0.003 * number)  # anywhere in the loop
            process.kill()
        path = base / "log_a"
        data = json.loads((path / "artifacts/data.json").read_text())
        assert len(data) == 2000
        assert len(set(data)) == 1
        assert len(set((path / "artifacts/text.txt").read_text().split())) == 1
        assert len(set(np.load(path / "data/array.npy").tolist())) == 1
        params = yaml.safe_load((path / "params.yaml").read_bytes())
        assert params["more"] == [params["n"]] * 500
        assert meta(path)["more"] == [meta(path)["n"]] * 500
        state = Logbook("a", base, overwrite=True).checkpoint.load()
        assert state is not None
        assert set(state["x"].tolist()) == {state["n"]}


# --- beyond the ancestor -------------------------------------------------------------------------


def test_metrics_with_steps_are_a_table(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path)
    for step in range(3):
        log.metric("loss", np.float64(1 / (step + 1)), step=step)
    log.metric("energy", 2)
    assert (log.artifactsdir / "metrics_steps.csv").read_text() == (
        "name,step,value\nloss,0,1.0\nloss,1,0.5\nloss,2,0.3333333333333333\n"
    )
    assert json.loads((log.artifactsdir / "metrics.json").read_text()) == {"energy": 2}
    with pytest.raises(InputError, match="not a scalar"):
        log.metric("loss", [1, 2], step=4)


def test_threads_and_forks_report_into_one_file(tmp_path: Path, scale: Scale) -> None:
    for number in range(scale(20, 200)):
        log = Logbook(str(number), tmp_path)
        barrier = threading.Barrier(4)

        def report(who: int, log: Logbook = log, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            log.metric("m", who, step=who)
            log.metric(f"m{who}", who)

        child = FORK.Process(target=log.metric, args=("child", 5))
        child.start()
        threads = [threading.Thread(target=report, args=(who,)) for who in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        child.join()
        run = LogReader(log.path)
        assert sorted(run.steps) == [("m", who, who) for who in range(4)]
        assert run.metrics == {"child": 5, "m0": 0, "m1": 1, "m2": 2, "m3": 3}


def test_metrics_are_those_of_both_ways(tmp_path: Path) -> None:
    log = compat.Logbook("a", tmp_path)
    log.metric("before", 1)
    log.json("metrics", {"energy": 2})
    assert LogReader(log.path).metrics == {"before": 1, "energy": 2}
    log.metric("after", 3)
    log.save_json("metrics", {"energy": 4})
    assert LogReader(log.path).metrics == {"before": 1, "energy": 4, "after": 3}


def test_a_number_that_becomes_null_is_logged(tmp_path: Path) -> None:
    log = compat.Logbook("a", tmp_path, params={"a": math.nan})
    log.params(b=math.inf)
    log.save_params({"c": math.nan})
    log.save_json("d", {"d": math.nan})
    log.save_json("e", {"e": math.nan}, category="other")
    log.json("metrics", {"f": math.inf})
    log.metric("g", -math.inf)
    log.meta(h=math.nan, i=None)
    for step in range(3):
        log.metric("j", math.nan, step=step)
    told = re.findall(r"WARNING (\S+) is (?:nan|inf)", log.log_path.read_text())
    wanted = ["params.a", "params.b", "params.c", "d.d", "e.e", "metadata.h", "j"]
    assert told == wanted
    found = meta(log.path)
    assert found["h"] is found["i"] is None
    assert LogReader(log.path).metrics == {"f": math.inf, "g": -math.inf}
    assert LogReader(log.path).steps == [("j", step, None) for step in range(3)]


def test_handlers_of_the_program_hear_what_is_logged(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path)
    heard = io.StringIO()
    log.logger.addHandler(logging.StreamHandler(heard))
    log.info("to both")
    log.logger.info("by %s", "logger")
    log.debug("below INFO")
    log.json("x", 1)
    assert heard.getvalue().splitlines() == [
        "to both",
        "by logger",
        "Saved JSON x in artifacts/x.json",
    ]
    lines = log.log_path.read_text().splitlines()
    assert [line.partition("] ")[2] for line in lines[1:]] == [
        "INFO to both",
        "INFO by logger",
        "DEBUG below INFO",
        "INFO Saved JSON x in artifacts/x.json",
    ]


def test_steps_come_back_as_they_were_given(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path)
    given = [
        ("loss", 0, 0.1),
        ("loss", 1.5, 1e-300),
        ("n", 2, 3),
        ("ok", 3, True),
        ("odd,\nname", 4, 1),
        ("line\u2028end", 5, 2),
        ("a\rb", 5, 2),
        ("none", 6, None),
        ("word", 7, "fine"),
    ]
    for name, step, value in given:
        log.metric(name, value, step=step)
    assert LogReader(log.path).steps == given
    log.metric("nan", math.nan, step=8)
    given.append(("nan", 8, None))
    with (log.path / "artifacts" / "metrics_steps.csv").open("a") as stream:
        stream.write("loss,9,0.")  # a kill, or a disk that was full for a moment
    assert LogReader(log.path).steps == given
    log.metric("loss", 1, step=10)
    log.metric("loss", 1, step=11)
    assert LogReader(log.path).steps == [*given, ("loss", 11, 1)]


def test_resources_of_a_run_are_recorded(tmp_path: Path) -> None:
    with Logbook("a", tmp_path) as log:
        until = time.process_time() + 0.05
        while time.process_time() < until:
            pass
    found = meta(log.path)
    assert found["runtime_sec"] >= 0.05
    assert 0.05 <= found["cpu_seconds"] < 60
    assert found["max_rss_bytes"] > 2**20


def test_a_program_writes_into_the_run(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path)
    script = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(int(sys.argv[1]))"
    argv: list[Any] = [sys.executable, "-c", script, 0]  # a number is taken, too
    done = log.subprocess(argv, name="solver")
    assert done.returncode == 0
    assert (log.artifactsdir / "solver.stdout.txt").read_text() == "out\n"
    assert (log.artifactsdir / "solver.stderr.txt").read_text() == "err\n"
    with pytest.raises(InputError, match="exit code 3"):
        log.subprocess([sys.executable, "-c", script, "3"], name="solver")
    assert log.subprocess([sys.executable, "-c", script, "3"], check=False).returncode == 3
    with pytest.raises(InputError, match="cannot be run"):
        log.subprocess(["/no/such/program"])
    with pytest.raises(InputError, match="list of its arguments"):
        log.subprocess("rm -rf /")
    assert "Ran solver: exit code 3" in log.log_path.read_text()


@pytest.mark.xdist_group("figure")  # the worker that loads all of matplotlib
def test_figures_and_frames(tmp_path: Path) -> None:
    import_module("matplotlib").use("Agg")
    plt = import_module("matplotlib.pyplot")
    log = Logbook("a", tmp_path)
    _, axes = plt.subplots()
    axes.plot([1, 2])
    log.plot("line", formats=("png", "pdf"))
    assert plt.get_fignums()
    log.figure("line")
    assert not plt.get_fignums()
    assert names(log.plotdir) == ["line.pdf", "line.png"]
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    log.dataframe("table", frame)
    assert pd.read_parquet(log.datadir / "table.parquet").equals(frame)
    with pytest.raises(InputError, match="not a pandas frame"):
        log.dataframe("table", [1])
    with pytest.raises(InputError, match="Parquet cannot"):
        log.dataframe("table", pd.DataFrame({"a": [1, "x"]}))
    with pytest.raises(InputError, match="not a matplotlib figure"):
        log.plot("line", 3)
    assert pd.read_parquet(log.datadir / "table.parquet").equals(frame)


def test_without_pyarrow_a_frame_is_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Logbook("a", tmp_path)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    log.dataframe("table", pd.DataFrame({"a": [1], "b": ["x,y"]}))
    assert (log.datadir / "table.csv").read_text() == 'a,b\n1,"x,y"\n'
    assert "Saved dataframe table in data/table.csv" in log.log_path.read_text()
    log.dataframe("table", pd.DataFrame({"a": [1]}, index=pd.Index([0.5], name="t")))
    assert (log.datadir / "table.csv").read_text() == "t,a\n0.5,1\n"


def test_without_matplotlib_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Logbook("a", tmp_path)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(RuntimeError, match=r"pip install 'hpcsweep\[plot\]'"):
        log.plot("line")


def test_a_checkpoint_survives_attempts(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path)
    assert log.checkpoint.load() is None
    log.checkpoint.save({"step": 7, "x": np.arange(3.0)})
    with log.checkpoint.writing("mesh.h5") as path:
        path.write_text("mesh")
    with pytest.raises(ValueError, match="half"), log.checkpoint.writing("mesh.h5") as path:
        raise ValueError(path.write_text("half a mesh"), "half")
    log.mark_failed("lost")
    log = Logbook("a", tmp_path, overwrite=True)
    state = log.checkpoint.load()
    assert state is not None
    assert (state["step"], state["x"].tolist()) == (7, [0.0, 1.0, 2.0])
    assert log.checkpoint.path("mesh.h5").read_text() == "mesh"
    log.checkpoint.save({"step": 8})
    assert log.checkpoint.load() == {"step": 8}
    log.checkpoint.path("state.checkpoint").write_text("{")
    with pytest.raises(SweepError, match="is damaged"):
        log.checkpoint.load()
    log.checkpoint.clear()
    assert log.checkpoint.load() is None
    with pytest.raises(SweepError, match="would leave"):
        log.checkpoint.path("../x")


def test_overwriting_a_complete_run_starts_without_its_checkpoint(tmp_path: Path) -> None:
    for version in range(3):
        log = Logbook("a", tmp_path, overwrite=True)
        assert log.checkpoint.load() is None
        log.checkpoint.save({"version": version})
        log.mark_complete()
    kept = tmp_path / "checkpoints" / ".a.complete" / "state.checkpoint"
    assert json.loads(kept.read_text()) == {"version": 2}


def test_a_run_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpcsweep.liveness.BEAT_S", 0.01)

    class Run:
        path = tmp_path

    (tmp_path / "metadata.json").touch()
    os.utime(tmp_path / "metadata.json", (0, 0))
    threads = threading.active_count()
    beats, run = Heartbeat(), Run()
    beats.add(run)
    wait_until(lambda: (tmp_path / "metadata.json").stat().st_mtime > 0, 30, "a beat")
    beats.remove(run)
    wait_until(lambda: threading.active_count() <= threads, 30, "the end of the thread")


def test_a_run_beats_after_a_fork(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpcsweep.liveness.BEAT_S", 0.01)

    class Run:
        path = tmp_path

    beats, run = Heartbeat(), Run()
    beats.add(run)
    child = os.fork()
    if child == 0:
        os._exit(len(beats.all()))
    assert os.waitpid(child, 0)[1] == 0
    (tmp_path / "metadata.json").touch()
    os.utime(tmp_path / "metadata.json", (0, 0))
    wait_until(lambda: (tmp_path / "metadata.json").stat().st_mtime > 0, 30, "a beat")
    assert beats.remove(run)
    wait_until(lambda: beats._thread is None, 30, "the end of the thread")  # noqa: SLF001


def test_a_run_that_ends_does_not_stop_the_heartbeats_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpcsweep.liveness.BEAT_S", 0.01)
    looked, forgotten = threading.Event(), threading.Event()

    class Run:
        @property
        def path(self) -> Path:
            looked.set()
            forgotten.wait(0.2)  # it takes its time, so that another one can end
            return tmp_path

    beats, runs = Heartbeat(), [Run() for _ in range(3)]
    for run in runs:
        beats.add(run)
    assert looked.wait(30)
    assert not beats.remove(runs[0])
    forgotten.set()
    (tmp_path / "metadata.json").touch()
    os.utime(tmp_path / "metadata.json", (0, 0))
    wait_until(lambda: (tmp_path / "metadata.json").stat().st_mtime > 0, 30, "a beat")
    assert not beats.remove(runs[1])
    assert beats.remove(runs[2])
    wait_until(lambda: beats._thread is None, 30, "the end of the thread")  # noqa: SLF001
