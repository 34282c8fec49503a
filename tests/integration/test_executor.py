"""`hs.Executor` on the emulated cluster: answers, errors, cancels, caches, deaths."""

from __future__ import annotations

import contextlib
import importlib
import re
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import CancelledError, as_completed, wait
from pathlib import Path
from typing import Any

import pytest

import hpcsweep as hs
from hpcsweep.executor import dispatch
from hpcsweep.sweepdir.directory import SweepDirectory
from tests.support.clusters import (
    INGEST_LATER,
    WAIT_S,
    Cluster,
    EmulatedCluster,
    cluster,
    emulated,
)
from tests.support.wait import wait_until

__all__ = ["cluster", "emulated"]

WORK = """\
import os, pathlib, time

def twice(x):
    return 2 * x

def fails(x):
    raise KeyError(f"no {x}")

def dies(x):
    os._exit(3)

def counted(x, directory):
    with open(pathlib.Path(directory) / "calls", "a") as stream:
        stream.write(f"{x}\\n")
    return x + 1

def waits(x, directory):
    (pathlib.Path(directory) / f"begun-{x}").touch()
    while not (pathlib.Path(directory) / "go").exists():
        time.sleep(0.02)
    return 10 * x
"""


@pytest.fixture
def place(
    emulated: EmulatedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A directory with a module `work`, in an environment with the cluster."""
    (tmp_path / "work.py").write_text(WORK)
    for name, value in (emulated.env() | INGEST_LATER).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("work", None)


def arrays(executor: hs.Executor) -> int:
    """How many job arrays the cluster took."""
    sweep = SweepDirectory.open(executor.sweep.path)
    return sum(len(sweep.part_facts(number)) for number in sweep.submissions())


@contextlib.contextmanager
def released(place: Path) -> Iterator[None]:
    """Let calls of `waits` end, whatever happens: an executor waits for its calls."""
    try:
        yield
    finally:
        (place / "go").touch()


def executor(name: str | None = None, **keys: Any) -> hs.Executor:
    return hs.Executor(name, cluster="emulated", **keys)


class Point:
    """A class of this module, which tasks do not have."""

    def __init__(self, x: int) -> None:
        self.x = x


@pytest.mark.usefixtures("place")
def test_answers_errors_and_deaths_come_back_as_they_were() -> None:
    work = importlib.import_module("work")

    shift = 100
    with executor(time="00:05:00", chunk=2) as pool:
        with pool.batch():
            plain = pool.submit(work.twice, x=4)
            closure = pool.submit(lambda x: Point(x + shift).x, 1)
            fails, dies = pool.submit(work.fails, 7), pool.submit(work.dies, 7)
            unsent = pool.submit(threading.Lock)
        assert [plain.result(), closure.result()] == [8, 101]
        with pytest.raises(KeyError, match="no 7") as caught:
            fails.result()
        shown = "".join(traceback.format_exception(caught.value))
        assert 'work.py", line 7, in fails' in shown
        assert "hpcsweep/executor/task.py" not in shown
        with pytest.raises(hs.CallFailed, match=r"has no answer: failed: exit_code"):
            dies.result()
        with pytest.raises(hs.InputError, match="what the function returned cannot be pickled"):
            unsent.result()
        done, rest = wait([plain, closure, fails, dies, unsent])
        assert (len(done), len(rest), arrays(pool)) == (5, 0, 1)
        assert pool.sweep.status().counts_text == "2 complete, 3 failed of 5"
        assert "KeyError" in pool.sweep.logs(fails.index or 0)
        kept = list((pool.sweep.path / "calls").iterdir())
        assert {path.stat().st_mode & 0o777 for path in kept} == {0o600}
        with pytest.raises(hs.InputError, match=r"the argument 2 of twice cannot be pickled"):
            pool.submit(work.twice, 1, threading.Lock())
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(work.twice, 1)


@pytest.mark.soak  # the others are on the emulated one
def test_on_each_cluster(cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "work.py").write_text(WORK)
    for name, value in (cluster.env() | INGEST_LATER).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    work = importlib.import_module("work")
    with hs.Executor(cluster=cluster.kind, chunk=1) as pool, released(tmp_path):
        assert list(pool.map(work.twice, range(3))) == [0, 2, 4]
        assert isinstance(pool.submit(work.dies, 1).exception(), hs.CallFailed)
        begun = pool.submit(work.waits, 7, str(tmp_path))
        wait_until(begun.running, WAIT_S, "a call that runs")
        assert not begun.cancel()
        (tmp_path / "go").touch()
        assert begun.result() == 70
    del sys.modules["work"]


@pytest.mark.usefixtures("place")
def test_a_map_of_500_calls_is_one_array() -> None:
    with executor(isolation="task", runs="packed") as pool:
        assert list(pool.map(pow, range(500), [2] * 500, chunksize=250)) == [
            x**2 for x in range(500)
        ]
        assert arrays(pool) == 1
        assert len(list((pool.sweep.path / "calls").iterdir())) == 501  # one function


def test_a_cancelled_call_is_not_run_and_the_others_are(place: Path) -> None:
    work = importlib.import_module("work")

    with executor(chunk=1, max_workers=1) as pool, released(place):
        with pool.batch():
            calls = [pool.submit(work.waits, x, str(place)) for x in range(3)]
        wait_until(calls[0].running, WAIT_S, "the first call runs")
        assert not calls[0].cancel()
        assert calls[1].cancel()
        assert next(as_completed(calls[1:2])).cancelled()
        wait_until(
            lambda: "cancelled" in pool.sweep.status().reasons, WAIT_S, "the cluster cancelled it"
        )
        (place / "go").touch()
        assert [calls[0].result(), calls[2].result()] == [0, 20]
        with pytest.raises(CancelledError):
            calls[1].result()
    assert not (place / "begun-1").exists()
    again = executor(pool.sweep.name)
    assert [future.cancelled() or future.result() for future in again.futures()] == [0, True, 20]


def test_equal_calls_are_computed_once_until_their_module_changes(place: Path) -> None:
    work = importlib.import_module("work")

    def computed() -> list[str]:
        return (place / "calls").read_text().split()

    with executor("kept", cache=True, chunk=4) as pool:
        assert list(pool.map(work.counted, [1, 2, 1], [str(place)] * 3)) == [2, 3, 2]
    with executor("kept", cache=True, chunk=4) as pool:
        assert list(pool.map(work.counted, [2, 1, 3], [str(place)] * 3)) == [3, 2, 4]
    assert sorted(computed()) == ["1", "2", "3"]
    (place / "work.py").write_text(WORK.replace("x + 1", "x + 5"))
    del sys.modules["work"]
    changed = importlib.import_module("work")

    with executor("kept", cache=True) as pool:
        assert pool.submit(changed.counted, 1, str(place)).result() == 6


SCRIPT = """\
import hpcsweep as hs, work, sys
executor = hs.Executor("fit", cluster="emulated", chunk=1)
futures = [executor.submit(work.waits, x, sys.argv[1]) for x in range(3)]
futures[0].result()
"""


def test_calls_survive_the_process_that_submitted_them(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "PATIENCE_S", 0.1)
    caller = subprocess.Popen([sys.executable, "-c", SCRIPT, str(place)])
    with released(place):
        wait_until((place / "begun-2").exists, WAIT_S, "the calls have begun")
        with pytest.raises(hs.SweepBusy, match="another executor of this name"):
            executor("fit").futures()
        caller.send_signal(signal.SIGKILL)
        caller.wait()
    assert list(executor("fit").results()) == [0, 10, 20]
    with pytest.raises(hs.SweepError, match="no calls of this name"):
        executor("other").futures()
    assert not (place / "outputs/other").exists()


KILLED = """\
import os, signal
import hpcsweep as hs, work
from hpcsweep.cluster.slurm.client import Slurm
Slurm.submit = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
list(hs.Executor("fit", cluster="emulated").map(work.twice, [1, 2]))
"""


def test_calls_of_a_process_that_was_killed_before_sbatch_are_sent_later(place: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in place.rglob("part-*")] == ["part-0000.intent.json"]
    pool = executor("fit")
    assert list(pool.results(timeout=WAIT_S)) == [2, 4]
    assert arrays(pool) == 2  # the void one, and the one that was sent


def test_no_pickle_is_loaded_that_others_could_have_written(place: Path) -> None:
    with executor("own") as pool:
        assert pool.submit(pow, 2, 3).result() == 8
    path = pool.sweep.path
    path.chmod(0o755)
    with pytest.raises(hs.SweepError, match="open to others: no pickle is loaded"):
        executor("own").futures()
    path.chmod(0o700)
    (answer,) = path.rglob("answer.pickle")
    answer.chmod(0o600)
    answer.write_bytes(b"cos\nsystem\n(S'touch hit'\ntR.")
    with pytest.raises(hs.CallFailed, match="is not what was pickled"):
        next(executor("own").results())
    assert not (place / "hit").exists()


def test_calls_that_could_not_be_sent_fail_and_leave_no_trace(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without, hs.Executor("late", cluster="slurm") as pool:
        without.setenv("PATH", str(place))
        for _ in range(2):
            error = pool.submit(pow, 2, 3).exception()
            assert isinstance(error, hs.ClusterError)
    with executor("late") as pool:
        assert pool.submit(pow, 3, 2).result() == 9
    assert list(executor("late").results()) == [9]


def test_what_an_executor_does_not_take(place: Path) -> None:
    with pytest.raises(hs.InputError, match="root='nowhere': is not a directory"):
        hs.Executor(root="nowhere")
    with pytest.raises(hs.InputError, match="'share' has no meaning for calls"):
        executor(share="group")
    with pytest.raises(hs.ManifestError, match=r"slurm.tiem.*Did you mean 'time'"):
        executor(tiem="1")
    with pytest.raises(hs.InputError, match="'none' keeps no answers"):
        executor(runs="none")
    with pytest.raises(ValueError, match="max_workers"):
        executor(max_workers=0)
    assert not (place / "outputs").exists()


PAGE = Path(__file__).parents[2] / "docs/how-to/executor.md"
RUN = """\
import doctest, sys, warnings
flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
failed, tried = doctest.testfile(sys.argv[1], module_relative=False, optionflags=flags)
sys.exit(failed or tried < 10)
"""


def test_the_page_shows_what_happens_with_programs_for_other_executors(place: Path) -> None:
    (block,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    (place / "work.py").write_text(block)
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(PAGE)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
