"""The two clusters that the end-to-end tests run on, behind one interface.

`cluster` is a fixture with two values: the emulated Slurm and a real one.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.emulator import arrays
from tests.support.emulated import Emulated
from tests.support.slurm_cluster import PrivateSlurm
from tests.support.wait import wait_until

HPCSWEEP = str(Path(sys.executable).with_name("hpcsweep"))
# Short, so that tests do not wait; long enough for a loaded machine.
QUICK = {
    "HPCSWEEP_GRACE_S": "1",
    "HPCSWEEP_QUERY_INTERVAL_S": "0.5",
    "HPCSWEEP_UNANSWERED_S": "3",
}
# Tasks that leave the ingest of their journals to commands, as where it takes too long: one takes
# 0.4 s of the processor. For tests of something else; others have the usual deadline.
INGEST_LATER: dict[str, Any] = {"HPCSWEEP_INGEST_DEADLINE_S": "0.01"}
WAIT_S = 60.0


class Cluster(ABC):
    """A cluster that a test submits to. `kind` is the value of `--cluster`."""

    kind: str

    @abstractmethod
    def env(self, **more: str) -> dict[str, str]:
        """A whole environment in which hpcsweep and Slurm's programs find this cluster."""

    @abstractmethod
    def kill_controller(self) -> None:
        """SIGKILL whatever schedules; the jobs that run are left alone."""

    @abstractmethod
    def revive_controller(self) -> None:
        """Start another one with the state that the killed one left. *Safe to repeat.*"""

    def run(self, *argv: str, check: bool = True) -> str:
        """What one of Slurm's programs prints."""
        done = subprocess.run(
            argv, env=self.env(), capture_output=True, text=True, timeout=WAIT_S, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{argv} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def arrays(self, name: str) -> list[str]:
        """The job ids of all arrays of a job name, finished ones too.

        Of a name that ends with a point, those of all names that begin with it.
        """
        named = str.startswith if name.endswith(".") else str.__eq__
        jobs = {
            job
            for job, its_name in self.jobs()
            if named(its_name, name) and not its_name.endswith(".closing")
        }
        return sorted(jobs, key=int)

    def jobs(self) -> Iterator[tuple[str, str]]:
        """Job id and name of each row of the queue, finished ones too."""
        for row in self.run("squeue", "-h", "-t", "all", "-o", "%F|%j").splitlines():
            job, _, name = row.partition("|")
            yield job, name

    def states(self, job: str) -> dict[int, str]:
        """The state of each element of an array; Slurm forgets those of an array that is long over.

        Elements that were cancelled before they began are one row without an id (22.05).
        """
        argv = ("squeue", "-h", "-r", "-t", "all", "-j", job, "-o", "%K %T")
        rows = self.run(*argv, check=False).splitlines()
        return {int(task): state for task, state in map(str.split, rows) if task.isdecimal()}

    def wait_for(self, job: str, element: int, *states: str) -> None:
        """Wait until an element is in one of these states."""
        wait_until(
            lambda: (seen := self.states(job)).get(element) in states or str(seen),
            WAIT_S,
            f"element {element} of job {job} is {' or '.join(states)}",
        )

    def wait_over(self, job: str) -> None:
        """Wait until every element of an array is in a final state."""
        alive = {"PENDING", "RUNNING", "COMPLETING", "CONFIGURING"}
        wait_until(
            lambda: alive.isdisjoint((seen := self.states(job)).values()) or str(seen),
            WAIT_S,
            f"the end of job {job}",
        )


class EmulatedCluster(Cluster):
    """The emulated Slurm in a directory of its own: what `--cluster emulated` finds there."""

    kind = "emulated"

    def __init__(self, state_home: Path, **knobs: object) -> None:
        (state_home / "hpcsweep").mkdir(parents=True)
        self._state_home = state_home
        self.emulated = Emulated(state_home / "hpcsweep" / "emulator", **knobs)

    def env(self, **more: str) -> dict[str, str]:
        """The environment of Slurm's programs; `hpcsweep` reads the state directory from it."""
        own = {"XDG_STATE_HOME": str(self._state_home), "HPCSWEEP_CLUSTER": self.kind}
        return self.emulated.env(**QUICK | own | more)

    def jobs(self) -> Iterator[tuple[str, str]]:
        """Asked without squeue, whose start takes 65 ms of the processor."""
        for one in self.emulated.queue():
            yield str(one["base"]), one["name"]

    def states(self, job: str) -> dict[int, str]:
        """Asked without squeue."""
        return {
            task: one["state"]
            for one in self.emulated.queue(int(job))
            for task in (
                arrays.parse_array(one["tasks"], arrays.ANY_ID)
                if one["task"] is None
                else [one["task"]]
            )
        }

    def kill_controller(self) -> None:
        """The next program starts another one, which requeues what ran."""
        self.emulated.kill_scheduler()

    def revive_controller(self) -> None:
        """Do nothing: the next query starts it."""
        self.run("squeue")


class RealCluster(Cluster):
    """A private real Slurm."""

    kind = "slurm"

    def __init__(self, slurm: PrivateSlurm) -> None:
        self.slurm = slurm

    def env(self, **more: str) -> dict[str, str]:
        """As a user's on a login node."""
        return self.slurm.env(**QUICK | {"HPCSWEEP_CLUSTER": self.kind} | more)

    def kill_controller(self) -> None:
        """Kill slurmctld. Jobs go on without it once it has saved that they run.

        It saves within 5 s of a submission or a cancel, and for a start by the backfill scheduler
        not at all (22.05). One that dies before knows nothing of a job that it started: its
        successor ends that job, or leaves it running for SlurmdTimeout.
        """
        state, saved_after = self.slurm.directory / "state" / "job_state", time.time()
        held = self.run("sbatch", "-H", "--parsable", "-o", "/dev/null", "--wrap", "true").strip()
        wait_until(
            lambda: state.exists() and state.stat().st_mtime > saved_after,
            WAIT_S,
            "slurmctld saving its state",
        )
        self.run("scancel", held)
        self.slurm.kill_controller()

    def revive_controller(self) -> None:
        """Also waits until it answers."""
        if "slurmctld" not in self.slurm.pids():
            self.slurm.start_controller()
        self.slurm.wait_ready()


BOTH = ("emulated", pytest.param("slurm", marks=pytest.mark.slurm))


@pytest.fixture(scope="session")
def emulated() -> Iterator[EmulatedCluster]:
    """An emulated cluster of four nodes, shared by all tests that do not disrupt it."""
    with started_emulated() as made:
        yield made


@pytest.fixture(params=BOTH)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Each of the two clusters in turn, shared: not to be disrupted."""
    if request.param == "emulated":
        emulated_cluster: EmulatedCluster = request.getfixturevalue("emulated")
        return emulated_cluster
    return RealCluster(request.getfixturevalue("slurm"))


@pytest.fixture
def own_emulated() -> Iterator[EmulatedCluster]:
    """An emulated cluster for one test alone."""
    with started_emulated() as made:
        yield made


@pytest.fixture(params=BOTH)
def own_cluster(request: pytest.FixtureRequest) -> Cluster:
    """Each of the two clusters in turn, for one test alone."""
    if request.param == "emulated":
        emulated_cluster: EmulatedCluster = request.getfixturevalue("own_emulated")
        return emulated_cluster
    return RealCluster(request.getfixturevalue("private_slurm")(kill_wait=2))


@contextlib.contextmanager
def started_emulated(**knobs: object) -> Iterator[EmulatedCluster]:
    """An emulated cluster of four nodes, up; the arguments are those of `EmulatorConfig`."""
    home = Path(tempfile.mkdtemp(prefix="he-", dir="/tmp"))
    try:
        made = EmulatedCluster(home, **{"kill_wait_s": 5.0} | knobs)
        with made.emulated:
            yield made
    finally:
        shutil.rmtree(home, ignore_errors=True)
