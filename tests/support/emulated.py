"""An emulated cluster for a test: started in a directory, asked through its programs, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Self

from hpcsweep import emulator
from hpcsweep.emulator import client
from hpcsweep.emulator.names import FINAL_STATES
from tests.support.wait import wait_until

# Seconds for all that a test has submitted.
LONG_S = 600.0
QUICK: dict[str, Any] = {
    "kill_wait_s": 1.0,
    "requeue_delay_s": 0.05,
    "start_delay_s": 0.0,
    "idle_exit_s": 60.0,
}


class Emulated:
    """One emulated cluster; ended with all its jobs at the end of a `with` block."""

    def __init__(self, directory: Path, **knobs: Any) -> None:
        self.directory = directory
        self.work = directory.with_name(f"{directory.name}-work")
        self.work.mkdir()
        self.settings = emulator.EmulatorConfig(**QUICK | knobs)

    def __enter__(self) -> Self:
        emulator.ensure(self.directory, self.settings)
        return self

    def __exit__(self, *_: object) -> None:
        # A scheduler that a test killed has left its jobs: only its successor knows them.
        with contextlib.suppress(FileNotFoundError):
            emulator.ensure(self.directory)
            emulator.stop(self.directory)

    @property
    def scheduler(self) -> int:
        """The scheduler's process id."""
        return int((self.directory / "scheduler.pid").read_text())

    def kill_scheduler(self) -> None:
        """kill -9, and wait until its locks are free."""
        os.kill(self.scheduler, signal.SIGKILL)
        wait_until(
            lambda: not emulator.is_running(self.directory), 60, "the scheduler's end", poll_s=0.01
        )

    def env(self, **more: str) -> dict[str, str]:
        """The environment of a program that uses this cluster."""
        return {**os.environ, **emulator.environment(self.directory), **more}

    def run(self, *argv: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program that is found on PATH."""
        return subprocess.run(
            argv,
            input=stdin,
            cwd=self.work,
            env=self.env(**more),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def out(self, *argv: str, **more: str) -> str:
        """Run a program that must succeed without standard error; return its output."""
        done = self.run(*argv, **more)
        assert (done.returncode, done.stderr) == (0, ""), (argv, done)
        return done.stdout

    def submit(self, *argv: str, **more: str) -> int:
        """The job id of an sbatch."""
        return int(self.out("sbatch", "--parsable", *argv, **more))

    def queue(self, *jobs: int) -> list[dict[str, Any]]:
        """What the scheduler knows of these jobs or of all, asked in this process.

        The start of a squeue takes 65 ms of the processor.
        """
        answer = client.ask(self.directory, {"do": "queue", "ids": list(jobs) or None})
        return list(answer["jobs"])

    def wait_empty(self) -> None:
        """Wait until every job is over, closing jobs too."""

        def is_empty() -> bool | str:
            left = [one for one in self.queue() if one["state"] not in FINAL_STATES]
            return not left or str([(one["id"], one["name"], one["state"]) for one in left])

        wait_until(is_empty, LONG_S, "an empty queue")

    def rows(self, job: int, fields: str = "%i %T") -> list[str]:
        """One line for each element of the queue, finished ones too."""
        return self.out("squeue", "-h", "-r", "-t", "all", "-j", str(job), "-o", fields).split(
            "\n"
        )[:-1]

    def states(self, job: int) -> dict[str, str]:
        """The state of each element."""
        return dict(row.split(" ", 1) for row in self.rows(job))

    def wait_for(self, job: int, *states: str) -> dict[str, str]:
        """Wait until every element is in one of the states."""

        def reached() -> dict[str, str] | str:
            present = {one["state"] for one in self.queue(job)}
            if not present or not present <= set(states):
                return str(present)
            seen = self.states(job)
            return seen if set(seen.values()) <= set(states) else str(seen)

        return wait_until(reached, 60, f"job {job} in {states}", poll_s=0.02)

    def wait_file(self, name: str, text: str = "") -> str:
        """The content of a file in the working directory, once it holds `text`."""
        path = self.work / name

        def has_text() -> str | bool:
            return path.exists() and text in path.read_text() and path.stat().st_size > 0

        wait_until(has_text, 60, f"{path} with {text!r}", poll_s=0.02)
        return path.read_text()
