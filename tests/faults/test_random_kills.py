"""Submits, workers and ingests killed at random operations, until the sweep is complete."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from tests.faults.killing import Point, kill_at, struck
from tests.support.clusters import Cluster
from tests.support.fixtures import Scale
from tests.support.project import Project, check_whole

CASES, CHUNK = 12, 3
TASKS = CASES // CHUNK
# Kills that a submit and its tasks may suffer; one that is not reached does no harm.
TRIES = 2 + 2 * TASKS + 2
# By event: about how many of them a process announces until it ends.
EVENTS = {"open": 260, "os.mkdir": 8, "os.rename": 16, "os.link": 4, "os.listdir": 12}
WORKER_EVENTS = EVENTS | {"os.fork": 1, "os.posix_spawn": 1, "os.putenv": 12}


def chosen(chance: random.Random, events: dict[str, int], program: str, task: str = "*") -> Point:
    """A random operation of a program."""
    event = chance.choice(sorted(events))
    return Point(event=event, nth=chance.randint(1, events[event]), program=program, task=task)


def points(chance: random.Random) -> list[Point]:
    """One kill for the submit, and two for each task: its worker, its ingest."""
    submit = EVENTS | {"subprocess.Popen": 8, "os.link": 6}
    found = [chosen(chance, submit, "*/hpcsweep submit *", task="")]
    for task in map(str, range(TASKS)):
        found.append(chosen(chance, WORKER_EVENTS, "*-m hpcsweep.worker *", task))
        found.append(
            chosen(
                chance,
                {"open": 400, "sql": 40},
                "*-m hpcsweep.program hpcsweep.store.ingest *",
                task,
            )
        )
    return found


@pytest.mark.parametrize(
    "cluster",
    ["emulated", pytest.param("slurm", marks=[pytest.mark.slurm, pytest.mark.soak])],
    indirect=True,
)
def test_a_sweep_with_random_kills_completes(
    cluster: Cluster, tmp_path: Path, scale: Scale
) -> None:
    for seed in range(scale(1, 40)):
        project = Project(cluster, tmp_path / str(seed), CASES, tasks_ingest=True, chunk=CHUNK)
        marks = project.root / "marks"
        kills = kill_at(points(random.Random(f"{cluster.kind} {seed}")), marks)
        for _ in range(TRIES):
            code = project.submit("--wait", code=None, **kills).returncode
            assert code in (0, 9, -signal.SIGKILL), f"seed {seed}"
            if code == 0:
                break
        assert code == 0, f"seed {seed}: killed at {struck(marks)}, and never complete"
        check_whole(project, CASES)
        most = 1 + len(struck(marks))
        assert all(1 <= times <= most for times in project.executions().values()), f"seed {seed}"
