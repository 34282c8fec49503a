"""`python -m tests.faults.lives NAME BASE STEP TURN`: kills a life at its calls, each in a fork.

A life is something that a program does with the library, more than once if need be. This program
has everything loaded and is under the shim; for each call of the life it forks once for the life
that is killed there and once for the same life again, which is not. Prints one JSON line.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

from tests.faults.campaign import Row
from tests.faults.injecting import Call, Fault, calls_in

ROOT = Path(__file__).parents[2]
# Those that submit, each at every so many of its calls, as a test has time for few.
STAGES = {
    "tests.faults.stage_lives:Advanced": 150,
    "tests.faults.stage_lives:Awaited": 30,
    "tests.faults.stage_lives:GivenUp": 1,
}
LIVES = [
    *(
        f"tests.faults.logbook_lives:{name}"
        for name in (
            "Begun",
            "Overwriting",
            "Failing",
            "Added",
            "Saved",
            "Completed",
        )
    ),
    *(
        f"tests.faults.cache_lives:{name}"
        for name in (
            "Deleted",
            "Forgotten",
            "Made",
            "Registered",
            "Swept",
            "Rebuilt",
        )
    ),
    *STAGES,
]


class Life(Protocol):
    """A program to kill. Each method is called in a process of its own, with a fresh directory."""

    def prepare(self, base: Path) -> None:
        """Make the initial state."""

    def live(self, base: Path) -> None:
        """Run the program; after a kill this is called again."""

    def look(self, base: Path) -> None:
        """Check what a reader sees after the kill. *Raises* AssertionError."""

    def check(self, base: Path) -> None:
        """Check the final state after the second run. *Raises* AssertionError."""


def in_fork(at: int, function: Callable[[Path], None], base: Path, told: Path) -> int:
    """The wait status of a fork that does something; its traceback goes to `told`."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            ctypes.CDLL(None).fault_at(at)
            function(base)
            code = 0
        except BaseException:  # noqa: BLE001  # it ends here, whatever it was
            told.write_text(traceback.format_exc())
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def recorded(life: Life, base: Path, log: Path) -> list[Call]:
    """The calls of a life that is not killed."""
    base.mkdir()
    told = log.with_name("told")
    assert in_fork(0, life.prepare, base, told) == 0, told.read_text()
    before = len(calls_in(log))
    assert in_fork(0, life.live, base, told) == 0, told.read_text()
    found = calls_in(log)[before:]
    assert in_fork(0, life.check, base, told) == 0, told.read_text()
    # Of the life itself, which a child of its own may follow.
    return [call for call in found if call.pid == found[0].pid]


def killed(life: Life, room: Path, step: int, turn: int) -> Row:
    """Kill a life at each `step`-th of its calls."""
    name = type(life).__name__
    calls = recorded(life, room / "whole", room / "log")
    assert calls, f"{name} makes no call that counts"
    row = Row(name, len(calls))
    told = room / "told"
    for at in range(1 + turn % step, len(calls) + 1, step):
        base = room / "base"
        shutil.rmtree(base, ignore_errors=True)
        base.mkdir()
        row.tried += 1
        assert in_fork(0, life.prepare, base, told) == 0
        status = in_fork(at, life.live, base, told)
        where = f"{name}, killed at {at}: {calls[at - 1].name} {calls[at - 1].path}"
        if status != 9:  # another order of calls, or an end before
            row.problems.append(f"{where}: not struck, status {status}")
            continue
        row.fired += 1
        for step_of in (life.look, life.live, life.check):
            if in_fork(0, step_of, base, told):
                row.problems.append(f"{where}: {step_of.__name__}\n{told.read_text()[-1500:]}")
                break
        else:
            row.recovered += 1
    return row


def environment(room: Path) -> dict[str, str]:
    """The environment in which this program kills lives in `room`."""
    fault = Fault(roots=(room / "whole", room / "base"), role="forked")
    found = fault.variables(room / "log")
    del found["FAULT_MARK"]  # one kill for each fork
    return found


def row_of(life: str, room: Path, step: int = 1, turn: int = 0) -> Row:
    """The row of one life, by a program of its own; `life` is `module:Class`."""
    argv = [sys.executable, "-m", "tests.faults.lives", life, str(room), str(step), str(turn)]
    done = subprocess.run(
        argv,
        cwd=ROOT,
        env=os.environ | environment(room),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Row(**json.loads(done.stdout))


def rows_of_lives(room: Path, lives: Iterable[str]) -> Iterator[Row]:
    """These lives, each killed at each of its calls."""
    for life in lives:
        place = room / life.rpartition(":")[2]
        place.mkdir(parents=True)
        yield row_of(life, place)


def main(name: str, room: str, step: str, turn: str) -> None:
    """Print the row of one life."""
    module, _, attribute = name.partition(":")
    life: Life = getattr(importlib.import_module(module), attribute)()
    row = killed(life, Path(room), int(step), int(turn))
    sys.stdout.write(json.dumps(asdict(row)) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
