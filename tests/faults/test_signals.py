"""Array tasks that are told to end: what is complete stays, the rest is interrupted and goes on."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.clusters import Cluster, RealCluster, started_emulated
from tests.support.project import TARGET, Project, check_whole
from tests.support.slurm_cluster import PrivateSlurm
from tests.support.wait import wait_until

# A minute takes nine seconds. From the warning to the limit are 0.75 s, in which a slow machine may
# not get a task requeued: it may run another hour of these before it is ended.
SHORT: dict[str, Any] = {"time_scale": 0.15, "over_time_limit": 60}
# A case that ignores TERM: its worker must kill it to end in time itself.
STUBBORN = TARGET.replace(
    "def run(x):",
    "def run(x):\n    import signal\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)",
)


def reasons(project: Project) -> dict[int, str | None]:
    """The reason of each begun case in the index; None for complete ones."""
    return {index: row["reason"] for index, row in project.rows().items()}


def submitted(project: Project, submission: int) -> list[Any]:
    """The ranges of indices of a submission."""
    path = project.sweep / "submissions" / f"{submission:04d}" / "plan.json"
    found: list[Any] = json.loads(path.read_bytes())["indices"]
    return found


def test_a_cancelled_element(cluster: Cluster, tmp_path: Path) -> None:
    project = Project(cluster, tmp_path, 6, chunk=3, target=STUBBORN)
    project.hold(1, 4)
    project.submit()
    project.wait_begun(1, 4)

    cluster.run("scancel", f"{project.job()}_0")
    cluster.wait_for(project.job(), 0, "CANCELLED")

    project.cli("ingest", project.name)  # does not ask the cluster
    assert reasons(project) == {0: None, 1: "terminated", 3: None, 4: None}
    project.wait_status(lambda seen: seen["reasons"] == {"cancelled": 2}, "the scheduler's verdict")
    assert reasons(project) == {0: None, 1: "cancelled", 3: None, 4: None}
    assert {row["index"]: row["status"] for row in project.collect()} == {
        0: "complete",
        1: "interrupted",
        2: "interrupted",
        3: "complete",
        4: "running",
        5: "pending",
    }

    project.release(1, 4)
    project.submit("--wait")

    assert submitted(project, 2) == [[1, 3]]
    assert project.executions() == {0: 1, 1: 2, 2: 1, 3: 1, 4: 1, 5: 1}
    check_whole(project, 6)


def test_an_element_that_is_signalled_to_end(cluster: Cluster, tmp_path: Path) -> None:
    project = Project(cluster, tmp_path, 3, chunk=3, requeue=False)
    project.hold(1)
    project.submit()
    project.wait_begun(1)

    cluster.run("scancel", "--signal=USR2", "--batch", f"{project.job()}_0")
    cluster.wait_over(project.job())

    project.release(1)
    project.submit("--wait")
    assert submitted(project, 2) == [[1, 3]]
    assert project.executions() == {0: 1, 1: 2, 2: 1}
    check_whole(project, 3)


def test_a_task_that_reaches_its_time_limit(tmp_path: Path) -> None:
    """The case ignores TERM."""
    with started_emulated(time_scale=0.15) as cluster:
        limit = {"time": "00:01:00", "mem": "100M"}
        project = Project(
            cluster, tmp_path, 3, chunk=3, target=STUBBORN, slurm=limit, requeue=False
        )
        project.hold(1)
        project.submit()
        project.wait_begun(1)

        cluster.wait_over(project.job())
        project.cli("ingest", project.name)
        assert reasons(project) == {0: None, 1: "timeout"}
        project.wait_status(lambda seen: seen["reasons"] == {"timeout": 2}, "the verdict")

        project.release(1)
        project.submit("--wait", "--set", "slurm.time=01:00:00")
        assert submitted(project, 2) == [[1, 3]]
        assert project.executions() == {0: 1, 1: 2, 2: 1}
        check_whole(project, 3)


def leaves_before_its_limit(cluster: Cluster, root: Path) -> None:
    """A task that is warned of its time limit says so of all its cases; Slurm knows an exit code.

    No command asks the cluster for it.
    """
    limit = {"time": "00:01:00", "mem": "100M"}
    project = Project(cluster, root, 4, chunk=4, slurm=limit, requeue=False)
    project.hold(1)
    project.submit()
    project.wait_begun(1)

    cluster.wait_over(project.job())
    seen = project.status(HPCSWEEP_QUERY_INTERVAL_S="3600")
    assert seen["reasons"] == {"timeout": 3}
    project.release(1)
    project.submit("--wait", "--set", "slurm.time=01:00:00")
    assert project.executions() == {0: 1, 1: 2, 2: 1, 3: 1}
    check_whole(project, 4)


def test_a_task_that_leaves_before_its_time_limit(tmp_path: Path) -> None:
    with started_emulated(**SHORT) as cluster:
        leaves_before_its_limit(cluster, tmp_path)


@pytest.mark.slurm
@pytest.mark.soak  # a minute is the shortest limit
def test_a_real_task_that_leaves_before_its_time_limit(slurm: PrivateSlurm, tmp_path: Path) -> None:
    leaves_before_its_limit(RealCluster(slurm), tmp_path)


def requeues_itself_before_its_limit(cluster: Cluster, root: Path) -> None:
    """It has finished a case, so another start may finish the next one."""
    limit = {"time": "00:01:00", "mem": "100M"}
    project = Project(cluster, root, 4, chunk=4, slurm=limit, requeue=True)
    project.hold(1)
    project.submit()
    project.wait_begun(1, times=2)
    project.release(1)
    project.submit("--wait")
    check_whole(project, 4)
    assert [path.name for path in (project.sweep / "submissions").iterdir()] == ["0001"]
    assert project.executions() == {0: 1, 1: 2, 2: 1, 3: 1}


def test_a_task_that_requeues_itself_before_its_time_limit(tmp_path: Path) -> None:
    with started_emulated(**SHORT, requeue_delay_s=0.5) as cluster:
        requeues_itself_before_its_limit(cluster, tmp_path)


@pytest.mark.slurm
@pytest.mark.soak  # a minute is the shortest limit
def test_a_real_task_that_requeues_itself_before_its_time_limit(
    slurm: PrivateSlurm, tmp_path: Path
) -> None:
    requeues_itself_before_its_limit(RealCluster(slurm), tmp_path)


@pytest.mark.soak  # a minute is the shortest limit
def test_a_task_whose_time_limit_is_extended(cluster: Cluster, tmp_path: Path) -> None:
    """After half of its minute it would begin no case as long as the first one."""
    limit = {"time": "00:01:00", "mem": "100M"}
    project = Project(cluster, tmp_path, 3, chunk=3, slurm=limit, requeue=False)
    project.hold(0)
    project.submit()
    project.wait_begun(0)
    begun = time.monotonic()
    cluster.run("scontrol", "update", f"jobid={project.job()}_0", "timelimit=10")
    wait_until(lambda: time.monotonic() > begun + 30, 60, "half of the first limit")
    project.release(0)
    project.submit("--wait")
    check_whole(project, 3)
    assert project.executions() == {0: 1, 1: 1, 2: 1}
    assert [path.name for path in (project.sweep / "submissions").iterdir()] == ["0001"]


HOG = """\
import time

def run(x):
    held = bytearray(300 << 20) if x == 1 else b""
    time.sleep(60 if held else 0)
    return {"square": x * x}
"""


def test_a_case_that_is_killed_for_memory(tmp_path: Path) -> None:
    """Slurm calls the whole job OUT_OF_MEMORY; it costs the case that held the memory alone."""
    with started_emulated(mem_poll_s=0.05) as cluster:
        project = Project(cluster, tmp_path, 3, chunk=3, target=HOG)
        project.submit("--wait", code=None)
        cluster.wait_for(project.job(), 0, "OUT_OF_MEMORY")
        assert reasons(project) == {0: None, 1: "out_of_memory", 2: None}
        assert project.status()["reasons"] == {"out_of_memory": 1}
        assert "oom-kill event" in project.cli("logs", project.name, "1").stdout


def test_a_requeued_element_continues(cluster: Cluster, tmp_path: Path) -> None:
    project = Project(cluster, tmp_path, 6, chunk=3)
    project.hold(1, 4)
    project.submit()
    project.wait_begun(1, 4)

    cluster.run("scontrol", "requeue", f"{project.job()}_0")
    project.wait_begun(1, times=2)
    project.release(1, 4)
    project.submit("--wait")

    check_whole(project, 6)
    assert [path.name for path in (project.sweep / "submissions").iterdir()] == ["0001"]
    assert project.executions() == {0: 1, 1: 2, 2: 1, 3: 1, 4: 1, 5: 1}
    assert {index: row["restart"] for index, row in project.rows().items()} == {
        0: 0,
        1: 1,
        2: 1,
        3: 0,
        4: 0,
        5: 0,
    }
