"""A real Slurm whose nodes fail, whose controller restarts, and whose jobs others end."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from hpcsweep.chaos import accepted
from hpcsweep.journal import all_journals, read
from hpcsweep.sweepdir.directory import SweepDirectory
from tests.support.clusters import INGEST_LATER, RealCluster
from tests.support.fixtures import MakeSlurm, Scale
from tests.support.project import TARGET, Project, check_whole
from tests.support.slurm_cluster import PrivateSlurm
from tests.support.wait import wait_until

LONG_S = 3600.0
pytestmark = pytest.mark.timeout(2 * LONG_S)
SLOW = TARGET.replace('    return {"square"', '    time.sleep(0.1)\n    return {"square"')


def disturb(slurm: PrivateSlurm, event: str, chance: random.Random) -> None:
    """Do one thing that an administrator, or a failure, does to a task that runs."""

    def running() -> list[tuple[str, str]] | str:
        rows = slurm.run("squeue", "-h", "-r", "-t", "R", "-o", "%i %N").stdout.splitlines()
        tasks = [(job, node) for job, _, node in (row.partition(" ") for row in rows)]
        return [(job, node) for job, node in tasks if "_" in job] or "no task runs"

    job, node = chance.choice(wait_until(running, LONG_S, "a task that runs"))
    match event:
        case "requeue":
            slurm.run("scontrol", "requeue", job, check=False)  # it may have ended meanwhile
        case "scancel":
            slurm.run("scancel", job)
        case "node":
            slurm.kill_node(node)
            slurm.start_node(node)
        case "controller":
            slurm.restart_controller()


def begun(project: Project) -> Counter[tuple[int, str]]:
    """How often each attempt began, by index and token."""
    root = project.sweep / "journal"
    return Counter(
        (record["index"], record["attempt"][3])
        for name in all_journals(root)
        for reading in read(root / name)
        for record in reading.records
        if record["kind"] == "begin"
    )


def test_each_case_is_accepted_once(private_slurm: MakeSlurm, tmp_path: Path, scale: Scale) -> None:
    """Closing jobs repeat failed tasks; tasks that others cancelled wait for a user."""
    slurm = private_slurm(kill_wait=2, min_job_age=36_000, slurmd_timeout=10)
    cases = scale(200, 2000)
    retry = {"max_attempts": 50, "on": ["node_fail", "lost", "preempted"]}
    project = Project(
        RealCluster(slurm), tmp_path, cases, target=SLOW, chunk=10, retry=retry, runs="all"
    )
    project.submit(**INGEST_LATER)
    events = [
        # A node is down for good only after a minute: here that is for a soak.
        *["node"] * scale(0, 20),
        *["controller"] * scale(1, 5),
        *["requeue"] * scale(2, 20),
        *["scancel"] * scale(1, 10),
    ]
    chance = random.Random(20)
    chance.shuffle(events)
    for event in events:
        disturb(slurm, event, chance)

    wait_until(
        lambda: not (rows := slurm.run("squeue", "-h", "-r").stdout) or rows,
        LONG_S,
        "the end of all arrays and closing jobs",
    )
    left = project.status()
    # Only cases of tasks that scancel ended are left: a user decides about them.
    assert set(left["reasons"]) <= {"cancelled"}, left
    assert left["counts"]["pending"] == 0, left
    project.submit("--wait")

    check_whole(project, cases)
    found = accepted(SweepDirectory.open(project.sweep))
    assert found.is_once, found.line()
    attempts = begun(project)
    assert set(attempts.values()) == {1}
    kept = [path.name for path in (project.sweep / "runs/.attempts").glob("*.*")]
    tokens = {token for _, token in attempts}
    assert [name for name in kept if name.rpartition(".")[2] not in tokens] == []
