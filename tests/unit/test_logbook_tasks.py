"""The very same Logbook in a case of a sweep: the worker says what becomes of the run."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from hpcsweep import LogReader
from hpcsweep.sources import grid
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

LAYOUTS = ["all", "packed", "none"]

PYTHON = """\
def run(x, log):
    assert log.status == "initialized"
    assert dict(log.params) == {"x": x}
    assert log.elapsed >= 0
    if x == 1:
        log.mark_failed("diverged")
    elif x == 2:
        with log:
            raise ValueError("in a block")
    elif x == 3:
        with log:
            log.metric("y", x)
    elif x == 4:
        log.mark_failed("at first")
        log.mark_complete()
    elif x == 5:
        log.params(more=1)
    elif x == 6:
        log.metric("loss", float("nan"))
"""


# With `runs: none` the targets' tracebacks are the task's own output.
@pytest.mark.parametrize("runs", ["all", "packed"])
def test_a_case_gets_the_status_of_its_outcome(tmp_path: Path, runs: str) -> None:
    made = MadeSweep(tmp_path, grid(x=list(range(7))), python=PYTHON)
    made.plan(runs=runs)
    made.run()
    ends = made.ends()
    assert {index: end["status"] for index, end in ends.items()} == {
        0: "complete",
        1: "failed",
        2: "failed",
        3: "complete",
        4: "complete",
        5: "failed",
        6: "complete",
    }
    assert ends[1]["error"] == {"type": "MarkedFailed", "message": "diverged"}
    assert ends[2]["error"]["type"] == "ValueError"
    assert ends[3]["metrics"] == {"y": 3}
    assert "those of its manifest" in ends[5]["error"]["message"]
    assert ends[6]["metrics"] == {"loss": {"$float": "nan"}}


def test_metadata_of_the_targets_own_stays(tmp_path: Path) -> None:
    python = "def run(x, log):\n    log.meta(solver='rk4', status='odd')\n"
    made = MadeSweep(tmp_path, grid(x=[0]), python=python)
    made.plan()
    made.run()
    meta = LogReader(made.run_dir(0)).meta
    assert meta["solver"] == "rk4"
    assert meta["status"] == "complete"


CHECKPOINTS = """\
import time
from pathlib import Path

HERE = Path(__file__).parent

def run(x, checkpoint, log):
    state = checkpoint.load() or {"step": 0}
    with (HERE / "begun").open("a") as stream:
        stream.write(f"{state['step']}\\n")
    while state["step"] < 10:
        state["step"] += 1
        checkpoint.save(state)
        if state["step"] == 5 and not (HERE / "free").exists():
            (HERE / "half").touch()
            time.sleep(600)
    assert log.checkpoint.load() == state
    return {"steps": state["step"]}
"""


@pytest.mark.parametrize("runs", LAYOUTS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_checkpoint_survives_the_attempt(
    tmp_path: Path, runs: str, number: signal.Signals
) -> None:
    made = MadeSweep(tmp_path, grid(x=[7]), python=CHECKPOINTS)
    made.plan(runs=runs)
    with made.start() as task:
        wait_until((tmp_path / "half").exists, 30, "the fifth step")
        task.send_signal(number)
        task.wait(30)
    (tmp_path / "free").touch()
    made.run(restart=1)
    assert (tmp_path / "begun").read_text().split() == ["0", "5"]
    case_id = made.source[0].case_id
    saved = made.path / "checkpoints" / f".{case_id}.complete" / "state.checkpoint"
    assert json.loads(saved.read_text()) == {"step": 10}
    # It is complete: who asks for it once more wants the answer of the code as it is by now.
    made.plan(runs=runs, generation=1)
    made.run(submission=2)
    assert (tmp_path / "begun").read_text().split() == ["0", "5", "0"]


FORKS = """
import os

def run(x, log):
    if not os.fork():
        try:
            log.metric("y", x)
        except ValueError as error:
            print(error, flush=True)
        os._exit(0)
    os.wait()
"""


def test_metrics_of_forks_are_not_lost_in_silence(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[7]), python=FORKS)
    made.plan()
    made.run()
    assert "reported by the process that runs it" in (made.run_dir(0) / "stdout.txt").read_text()


def test_a_command_finds_the_place_of_its_checkpoints(tmp_path: Path) -> None:
    script = 'mkdir -p "$HPCSWEEP_CHECKPOINTS" && echo 1 > "$HPCSWEEP_CHECKPOINTS/state"'
    made = MadeSweep(tmp_path, grid(x=[7]), argv=["sh", "-c", script, "sh", "{x}"])
    made.plan()
    made.run()
    found: dict[str, Any] = made.ends()[0]
    assert found["status"] == "complete"
    kept = made.path / "checkpoints" / f".{made.source[0].case_id}.complete"
    assert (kept / "state").read_text() == "1\n"
