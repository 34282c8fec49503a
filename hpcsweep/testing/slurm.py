"""A pytest fixture: an emulated Slurm for one test, in the version that the test names.

from hpcsweep.testing.slurm import slurm

@pytest.mark.parametrize("slurm", ["22.05", "26.05"], indirect=True)
def test_my_launcher(slurm):
    job = slurm.sbatch("job.sh")
    assert slurm.wait(job) == {"COMPLETED"}
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import pytest

from hpcsweep import emulator
from hpcsweep.emulator.client import ask
from hpcsweep.emulator.names import FINAL_STATES
from hpcsweep.emulator.versions import DEFAULT
from hpcsweep.errors import InputError
from hpcsweep.testing.reap import reap

# A test waits for jobs; Slurm's own delays would be most of its time.
_QUICK: dict[str, Any] = {"kill_wait_s": 1.0, "requeue_delay_s": 0.05, "start_delay_s": 0.0}
_POLL_S = 0.02
# Reads the directory, and then a line at the end of the block. A killed process writes none: its
# end of the pipe is closed.
_REAPER = """\
read -r place || exit
read -r _ || exec "$1" -m hpcsweep.testing.reap "$place" </dev/null >/dev/null 2>&1
"""
_WAIT_S = 60.0


class EmulatedSlurm:
    """A running emulated Slurm; `sbatch` and its siblings on PATH are its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def run(self, *argv: str) -> str:
        """What a program prints. *Raises* CalledProcessError, whose `stderr` is the message."""
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        return done.stdout

    def sbatch(self, *arguments: str) -> int:
        """Submit a job. Returns its id."""
        return int(self.run("sbatch", "--parsable", *arguments).partition(";")[0])

    def states(self, job: int) -> set[str]:
        """The states that the elements of a job have now."""
        answer = ask(self.directory, {"do": "queue", "ids": [job]})
        return {one["state"] for one in answer["jobs"]}

    def wait(self, job: int, timeout_s: float = _WAIT_S) -> set[str]:
        """Wait until a job is over. Returns the states of its elements.

        *Raises* TimeoutError.
        """
        deadline = time.monotonic() + timeout_s
        while not (states := self.states(job)) or not states <= FINAL_STATES:
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {timeout_s:g} s job {job} is {', '.join(states)}")
            time.sleep(_POLL_S)
        return states

    def fault(self, kind: str, job: int) -> None:
        """Let a fault strike a running job: `node_fail`, `preempt`, `out_of_memory`."""
        if not emulator.order_fault(self.directory, kind, job=job):
            raise InputError(f"job {job} does not run", next_step="Wait until it is RUNNING.")


@contextmanager
def emulated_slurm(version: str = DEFAULT, **knobs: Any) -> Iterator[EmulatedSlurm]:
    """An emulated Slurm of a version, with the knobs of `config.json`, for a `with` block.

    It is first on PATH of this process until the block ends, and its jobs end with it.
    """
    with _reaped_directory() as place, pytest.MonkeyPatch.context() as patch:
        config = emulator.EmulatorConfig(slurm_version=version, **_QUICK | knobs)
        for name, value in emulator.ensure(place, config).items():
            patch.setenv(name, value)
        yield EmulatedSlurm(place)


@contextmanager
def _reaped_directory() -> Iterator[Path]:
    """A directory whose cluster ends with the block, or with this process if that is killed."""
    # A session of its own: what kills the process group of the tests leaves it alone.
    with subprocess.Popen(
        ["sh", "-c", _REAPER, "sh", sys.executable],
        stdin=subprocess.PIPE,
        start_new_session=True,
        bufsize=0,
    ) as reaper:
        place = Path(tempfile.mkdtemp(prefix="slurm-"))
        pipe = cast("IO[bytes]", reaper.stdin)
        pipe.write(f"{place}\n".encode())
        try:
            yield place
        finally:
            reap(place)
            # Not its end alone: a fork that the test left would keep the pipe open.
            with contextlib.suppress(BrokenPipeError):
                pipe.write(b"\n")


@pytest.fixture
def slurm(request: pytest.FixtureRequest) -> Iterator[EmulatedSlurm]:
    """An emulated Slurm for this test; its version is the parameter, by default the oldest."""
    with emulated_slurm(getattr(request, "param", DEFAULT)) as made:
        yield made
