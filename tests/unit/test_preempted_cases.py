"""What becomes of a running case, and of its task, when the task has to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.records import CaseNeeds
from hpcsweep.sources import grid
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

# Until there is a file `free`, the second step of each start lasts until a stop is requested.
STEPS = """\
import time
from pathlib import Path

HERE = Path(__file__).parent

def run(x, checkpoint):
    state = checkpoint.load() or {"step": 0}
    first = state["step"]
    while state["step"] < 10:
        with (HERE / "steps").open("a") as stream:
            stream.write(f"{x} {state['step']}\\n")
        while state["step"] > first and not ((HERE / "free").exists() or checkpoint.requested):
            time.sleep(0.01)
        checkpoint.save({"step": state["step"] + 1})
        state = checkpoint.load()
    return {"steps": state["step"]}
"""
ALL_STEPS = [f"{x} {step}" for x in (0, 1) for step in range(10)]
# A case in the interpreter of the child: a thread of the import is a fork's obstacle.
THREAD = """\
import threading, time

threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
"""
# Whose limit is over, so that it explains USR2 and TERM.
AT_ITS_LIMIT: dict[str, Any] = {"SLURM_JOB_START_TIME": "1000.0", "SLURM_JOB_END_TIME": "1000.1"}


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def wait_steps(root: Path, count: int) -> None:
    wait_until(lambda: len(lines(root / "steps")) >= count or str(count), 30, f"{count} steps")


def last_ends(made: MadeSweep) -> dict[int, tuple[str, str | None]]:
    """Status and reason of the last attempt at each index."""
    ends = sorted(made.records("end"), key=lambda record: record["attempt"][2])
    return {r["index"]: (r["status"], r.get("reason")) for r in ends if "index" in r}


def chunk_ends(made: MadeSweep) -> list[str]:
    return [r["reason"] for r in made.records("end") if "index" not in r]


class FakeProgram:
    """A program in the place of one of Slurm's."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
        (root / "bin").mkdir(exist_ok=True)
        program, self._calls = root / "bin" / name, root / f"{name}.calls"
        program.write_text(f'#!/bin/sh\necho "$@" >> {self._calls}\n{script}\n')
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{root / 'bin'}:{os.environ['PATH']}")

    @property
    def calls(self) -> list[str]:
        """The arguments of each call."""
        return lines(self._calls)


# --- functions -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "before"),
    [(signal.SIGTERM, ""), (signal.SIGUSR2, ""), (signal.SIGTERM, THREAD)],
    ids=["TERM", "USR2", "in-process"],
)
def test_a_case_is_preempted_when_it_has_saved(
    tmp_path: Path, number: signal.Signals, before: str
) -> None:
    made = MadeSweep(tmp_path, grid(x=[0, 1]), python=before + STEPS)
    made.plan(term_grace_s=20.0)
    with made.start() as task:
        wait_steps(tmp_path, 2)
        task.send_signal(number)
        assert task.wait(30) == 75
    (end,) = made.ends().values()
    assert (end["status"], end["reason"]) == ("interrupted", "terminated")
    assert end["error"]["message"] == (
        f"the worker was told to end by {number.name}; the case has saved its state"
    )
    (tmp_path / "free").touch()
    made.run(restart=1)
    assert last_ends(made) == {0: ("complete", None), 1: ("complete", None)}
    assert lines(tmp_path / "steps") == ALL_STEPS  # not one was repeated


def test_the_time_limit_is_the_reason(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[0]), python=STEPS)
    made.plan(term_grace_s=20.0)
    with made.start(**AT_ITS_LIMIT) as task:
        wait_steps(tmp_path, 2)
        task.send_signal(signal.SIGUSR2)
        assert task.wait(30) == 75
    assert last_ends(made) == {0: ("interrupted", "timeout")}
    assert made.ends()[0]["error"]["message"].endswith("; the case has saved its state")


def test_a_case_that_learns_of_it_late_ends_as_it_likes(tmp_path: Path) -> None:
    python = """\
import time
from pathlib import Path
from typing import Any

def run(x, log):
    checkpoint = log.checkpoint
    Path(__file__).with_name("steps").write_text("begun\\n")
    while not checkpoint.requested:
        time.sleep(0.01)
    return {"requested": checkpoint.requested}
"""
    made = MadeSweep(tmp_path, grid(x=[0, 1]), python=python)
    made.plan(term_grace_s=20.0)
    with made.start() as task:
        wait_steps(tmp_path, 1)
        task.send_signal(signal.SIGTERM)
        assert task.wait(30) == 75
    (end,) = made.ends().values()
    assert (end["status"], end["metrics"]) == ("complete", {"requested": True})


def test_a_case_that_never_saves_is_killed_after_its_grace(tmp_path: Path) -> None:
    python = """\
from pathlib import Path
from typing import Any

def run(x, checkpoint):
    Path(__file__).with_name("steps").write_text("begun\\n")
    while True:
        pass
"""
    made = MadeSweep(tmp_path, grid(x=[0]), python=python)
    made.plan(term_grace_s=0.3)
    with made.start() as task:
        wait_steps(tmp_path, 1)
        task.send_signal(signal.SIGTERM)
        assert task.wait(30) == 75
    assert last_ends(made) == {0: ("interrupted", "terminated")}


def test_a_checkpoint_that_cannot_be_read_costs_its_case(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[0, 1]), python=STEPS)
    made.plan()
    saved = made.path / "checkpoints" / made.source[0].case_id / "state.checkpoint"
    saved.parent.mkdir(parents=True)
    saved.write_text('{"step": 3')
    (tmp_path / "free").touch()
    made.run()
    assert last_ends(made) == {0: ("failed", "error"), 1: ("complete", None)}
    assert f"{saved}: is damaged: " in made.ends()[0]["error"]["message"]


def test_a_term_to_one_case_alone(tmp_path: Path) -> None:
    """It is interrupted by it, and the next one runs."""
    python = """\
import os, signal

def run(x, checkpoint):
    if x == 0:
        os.kill(os.getpid(), signal.SIGTERM)
    checkpoint.save({"x": x})
    return {"x": x}
"""
    made = MadeSweep(tmp_path, grid(x=[0, 1]), python=python)
    made.plan()
    made.run()
    assert last_ends(made) == {0: ("interrupted", "terminated"), 1: ("complete", None)}
    assert made.ends()[0]["error"]["type"] == "Preempted"


def test_a_handler_of_the_target_is_called(tmp_path: Path) -> None:
    python = """\
import os, signal

def run(x, log):
    seen = []
    signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    checkpoint = log.checkpoint
    os.kill(os.getpid(), signal.SIGTERM)
    return {"seen": len(seen), "requested": checkpoint.requested}
"""
    made = MadeSweep(tmp_path, grid(x=[0]), python=python)
    made.plan()
    made.run()
    assert made.ends()[0]["metrics"] == {"seen": 1, "requested": True}


def test_processes_of_a_case_die_of_term(tmp_path: Path) -> None:
    """So pools do that end their workers by TERM."""
    python = """\
import multiprocessing, time

def run(x, checkpoint):
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    process.start()
    process.terminate()
    process.join()
    return {"code": process.exitcode, "requested": checkpoint.requested}
"""
    made = MadeSweep(tmp_path, grid(x=[0]), python=python)
    made.plan()
    made.run()
    assert made.ends()[0]["metrics"] == {"code": -signal.SIGTERM, "requested": False}


def test_outside_of_a_task_nothing_is_requested(tmp_path: Path) -> None:
    script = (
        "import signal; from pathlib import Path\n"
        "from hpcsweep.logbook.checkpoint import Checkpoint\n"
        f"checkpoint = Checkpoint(Path({str(tmp_path)!r}))\n"
        "checkpoint.save({'a': 1})\n"
        "print(checkpoint.requested, signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)\n"
    )
    argv = [sys.executable, "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == "False True\n"


# --- commands ------------------------------------------------------------------------------------

# It saves its count at USR1, and leaves.
SAVES = """\
import os, signal, sys, time
from pathlib import Path
from typing import Any

place = Path(os.environ["HPCSWEEP_CHECKPOINTS"])
state = place / "state"
step = int(state.read_text()) if state.exists() else 0

def save(*_):
    place.mkdir(parents=True, exist_ok=True)
    state.write_text(str(step))
    sys.exit(0)

signal.signal(signal.SIGUSR1, save)
begun = step
step += 1
Path(sys.argv[1], "steps").write_text(f"{begun}\\n")
while not Path(sys.argv[1], "free").exists():
    step += 1
    time.sleep(0.01)
Path(sys.argv[1], "last").write_text(str(step))
"""
USR1 = {"checkpoint_signal": "USR1"}


def test_a_command_is_told_by_the_signal_that_it_wants(tmp_path: Path) -> None:
    (tmp_path / "saves.py").write_text(SAVES)
    argv = [sys.executable, "saves.py", str(tmp_path)]
    made = MadeSweep(tmp_path, grid(x=[0]), argv=argv, policies=USR1)
    made.plan(term_grace_s=20.0)
    with made.start() as task:
        wait_steps(tmp_path, 1)
        task.send_signal(signal.SIGTERM)
        assert task.wait(30) == 75
    assert last_ends(made) == {0: ("interrupted", "terminated")}  # whatever its exit code
    (tmp_path / "free").touch()
    made.run(restart=1)
    assert last_ends(made) == {0: ("complete", None)}
    saved = made.path / "checkpoints" / f".{made.source[0].case_id}.complete" / "state"
    assert int(lines(tmp_path / "steps")[0]) == int(saved.read_text()) > 0


@pytest.mark.parametrize("ignored", [["USR1"], ["USR1", "TERM"]], ids=" ".join)
def test_a_command_that_ignores_it_gets_term_and_kill(tmp_path: Path, ignored: list[str]) -> None:
    script = (
        f"trap '' {' '.join(ignored)}; echo begun > {tmp_path}/steps; while :; do sleep 0.05; done"
    )
    made = MadeSweep(tmp_path, grid(x=[0]), argv=["sh", "-c", script], policies=USR1)
    made.plan(term_grace_s=0.4)
    with made.start() as task:
        wait_steps(tmp_path, 1)
        task.send_signal(signal.SIGTERM)
        assert task.wait(30) == 75
    assert last_ends(made) == {0: ("interrupted", "terminated")}


# --- the task is requeued ------------------------------------------------------------------------


@pytest.fixture
def preempted(tmp_path: Path) -> MadeSweep:
    """A sweep of which every start may save a few steps."""
    return MadeSweep(tmp_path, grid(x=[0, 1]), python=STEPS)


def warn(made: MadeSweep, restart: int = 0, **environment: Any) -> str:
    """Start the task, send it USR2 after a further step, and return what it says."""
    count = len(lines(made.root / "steps"))
    with made.start(restart=restart, **environment) as task:
        wait_steps(made.root, count + 2)
        task.send_signal(signal.SIGUSR2)
        _, said = task.communicate(timeout=30)
    assert task.returncode == 75
    return said


@pytest.mark.parametrize("environment", [{}, AT_ITS_LIMIT], ids=["preempted", "limit"])
def test_a_task_has_itself_requeued(
    preempted: MadeSweep, monkeypatch: pytest.MonkeyPatch, environment: dict[str, Any]
) -> None:
    scontrol = FakeProgram(preempted.root, monkeypatch, "scontrol", "")
    preempted.plan(term_grace_s=20.0, requeue=3)
    assert warn(preempted, **environment) == ""
    assert scontrol.calls == ["requeue 100_0"]
    assert chunk_ends(preempted) == []  # it is not over
    (preempted.root / "free").touch()
    preempted.run(restart=1)
    assert last_ends(preempted) == {0: ("complete", None), 1: ("complete", None)}
    assert lines(preempted.root / "steps") == ALL_STEPS


def test_a_requeue_that_is_refused(preempted: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = "Requested operation is presently disabled for job 100_0"
    FakeProgram(preempted.root, monkeypatch, "scontrol", f"echo '{refusal}' >&2; exit 1")
    preempted.plan(term_grace_s=20.0, requeue=3)
    said = warn(preempted, **AT_ITS_LIMIT)
    assert said.startswith(f"hpcsweep: this task is not requeued ({refusal}): ")
    assert chunk_ends(preempted) == ["timeout"]


def test_without_scontrol(preempted: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(preempted.root / "nowhere"))
    preempted.plan(term_grace_s=20.0, requeue=3)
    assert "scontrol cannot be started here" in warn(preempted)


@pytest.mark.parametrize("rules", [{}, {"requeue": 3}], ids=["not wanted", "TERM"])
def test_a_task_that_is_not_requeued(
    preempted: MadeSweep, monkeypatch: pytest.MonkeyPatch, rules: dict[str, Any]
) -> None:
    """TERM may be a scancel, which a requeue would undo; Slurm requeues whom it preempts."""
    scontrol = FakeProgram(preempted.root, monkeypatch, "scontrol", "")
    preempted.plan(term_grace_s=20.0, **rules)
    with preempted.start() as task:
        wait_steps(preempted.root, 2)
        task.send_signal(signal.SIGTERM if rules else signal.SIGUSR2)
        assert task.wait(30) == 75
    assert scontrol.calls == []


HANGS = """import time
from pathlib import Path
from typing import Any

def run(x):
    if x:
        with Path(__file__).with_name("steps").open("a") as stream:
            stream.write("begun\\n" * 2)
        time.sleep(600)
"""


NO_PROGRESS = "neither finished a case nor saved a newer checkpoint"


def test_a_task_without_progress_is_not_requeued_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scontrol = FakeProgram(tmp_path, monkeypatch, "scontrol", "")
    made = MadeSweep(tmp_path, grid(x=[0, 1]), python=HANGS)
    made.plan(term_grace_s=0.3, requeue=3)
    said = [warn(made, restart) for restart in range(4)]
    assert said[:3] == ["", "", ""]  # the first start finished a case
    assert f"its last 3 starts {NO_PROGRESS}" in said[3]
    assert len(scontrol.calls) == 3


def test_a_case_that_takes_longer_than_the_limit_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start would have no more time."""
    scontrol = FakeProgram(tmp_path, monkeypatch, "scontrol", "")
    made = MadeSweep(tmp_path, grid(x=[1, 0]), python=HANGS)
    made.plan(term_grace_s=0.3, requeue=3)
    assert f"its last start {NO_PROGRESS}" in warn(made, **AT_ITS_LIMIT)
    assert (scontrol.calls, chunk_ends(made)) == ([], ["timeout"])


def test_a_newer_checkpoint_is_progress(
    preempted: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    scontrol = FakeProgram(preempted.root, monkeypatch, "scontrol", "")
    preempted.plan(term_grace_s=20.0, requeue=1)
    for restart in range(4):
        assert warn(preempted, restart, **AT_ITS_LIMIT) == ""
    assert len(scontrol.calls) == 4
    (preempted.root / "free").touch()
    preempted.run(restart=4)
    assert lines(preempted.root / "steps") == ALL_STEPS


# --- the time limit is extended ------------------------------------------------------------------

SLEEPS = """import time

def run(x):
    time.sleep(0.3)
"""
SHORT: dict[str, Any] = {"SLURM_JOB_START_TIME": "1000", "SLURM_JOB_END_TIME": "1001"}


@pytest.mark.parametrize("slots", [1, 2])
def test_an_extended_limit_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slots: int
) -> None:
    squeue = FakeProgram(tmp_path, monkeypatch, "squeue", "echo 1:00:00")
    made = MadeSweep(tmp_path, grid(x=list(range(8))), python=SLEEPS, needs=CaseNeeds(slots=slots))
    made.plan(warning_s=0.1)
    made.run(SLURM_CPUS_ON_NODE=str(slots), **SHORT)
    assert {status for status, _ in last_ends(made).values()} == {"complete"}
    assert len(made.ends()) == 8
    assert squeue.calls == ["--noheader --jobs 100 --format %L"]


def test_a_limit_that_was_not_extended_is_asked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    squeue = FakeProgram(tmp_path, monkeypatch, "squeue", "echo 0:00")
    scontrol = FakeProgram(tmp_path, monkeypatch, "scontrol", "")
    made = MadeSweep(tmp_path, grid(x=list(range(8))), python=SLEEPS)
    made.plan(warning_s=0.1, requeue=3)
    made.run(code=75, **SHORT)
    assert 0 < len(made.ends()) < 8
    assert len(squeue.calls) == 1
    # It leaves cases, so it has itself requeued.
    assert (scontrol.calls, chunk_ends(made)) == (["requeue 100_0"], [])
