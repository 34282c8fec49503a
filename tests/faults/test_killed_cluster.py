"""The scheduler is killed while tasks run, or the cluster does not answer: no case fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support.clusters import Cluster, EmulatedCluster
from tests.support.fronted import UNREACHABLE, Fronted
from tests.support.project import Project, check_whole


def test_a_killed_controller(own_cluster: Cluster, tmp_path: Path) -> None:
    """Slurm's tasks go on without it; the emulated one's are ended and requeued by the next one."""
    project = Project(own_cluster, tmp_path, 8, chunk=2)
    project.hold(1, 3, 5, 7)
    project.submit()
    project.wait_begun(1, 3, 5, 7)

    own_cluster.kill_controller()
    if own_cluster.kind == "slurm":
        project.release(1, 5)  # these end while nobody schedules
    own_cluster.revive_controller()
    if own_cluster.kind == "emulated":
        project.wait_begun(1, 3, 5, 7, times=2)
        project.release(1, 5)
    project.release(3, 7)
    project.submit("--wait")

    check_whole(project, 8)
    assert len(own_cluster.arrays(project.job_names)) == 1
    times = project.executions()
    assert all(times[x] == 1 for x in (0, 2, 4, 6))
    if own_cluster.kind == "emulated":
        restarts = {index: row["restart"] for index, row in project.rows().items()}
        assert restarts == {x: x % 2 for x in range(8)}
        assert times == {x: 1 + x % 2 for x in range(8)}
    else:
        # A new slurmctld may not know that a task began a moment before the old one died: it then
        # starts the task once more beside itself (22.05).
        assert (times[1], times[5]) == (1, 1)
        assert {times[3], times[7]} <= {1, 2}


def test_a_controller_that_is_down_gives_no_verdict(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    """Without an answer, dead tasks keep their last known state for any time."""
    front = Fronted(emulated, tmp_path)
    project = Project(front, tmp_path / "project", 4, chunk=2)
    project.hold(0, 2)
    project.submit()
    project.wait_begun(0, 2)
    before = project.wait_status(lambda seen: seen["tasks"] == {"RUNNING": 2}, "two tasks run")

    front.kill_controller()
    emulated.run("scancel", project.job())
    emulated.wait_over(project.job())
    project.wait_status(
        lambda seen: seen["cluster"]["asked_s_ago"] > 3, "three times the grace without an answer"
    )

    seen = project.status(HPCSWEEP_QUERY_INTERVAL_S="0", HPCSWEEP_GRACE_S="0")
    assert UNREACHABLE in seen["cluster"]["problem"]
    assert (seen["tasks"], seen["unsubmitted"]) == ({"RUNNING": 2}, 0)
    # Only the workers' own records changed the state: a signal ended them.
    assert seen["reasons"] == {"terminated": 2}
    assert seen["counts"] == before["counts"] | {"running": 0, "interrupted": 2}
    assert {row["status"] for row in project.collect()} == {"interrupted", "pending"}
    project.submit(code=7)
    assert [path.name for path in (project.sweep / "submissions").iterdir()] == ["0001"]

    front.revive_controller()
    project.wait_status(lambda seen: seen["reasons"] == {"cancelled": 4}, "the verdict")
    project.release(0, 2)
    project.submit("--wait")
    check_whole(project, 4)


def test_lost_needs_more_than_a_missing_row(emulated: EmulatedCluster, tmp_path: Path) -> None:
    """Without accounting: two answers of the queue without the element, a grace apart."""
    front = Fronted(emulated, tmp_path)
    front.before("sacct", 'echo "Slurm accounting storage is disabled" >&2; exit 1')
    project = Project(front, tmp_path / "project", 1)
    project.hold(0)
    project.submit()
    project.wait_begun(0)
    project.wait_status(lambda seen: seen["tasks"] == {"RUNNING": 1}, "a task that runs")

    # The controller forgets running jobs.
    front.before("squeue", 'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1')
    long = {"HPCSWEEP_GRACE_S": "600", "HPCSWEEP_QUERY_INTERVAL_S": "0"}
    for _ in range(3):
        seen = project.status(**long)
        assert (seen["counts"]["running"], seen["tasks"]) == (1, {"gone": 1})
    front.before("squeue", "")
    project.wait_status(lambda seen: seen["tasks"] == {"RUNNING": 1}, "it is back", **long)

    front.before("squeue", 'echo "slurm_load_jobs error: Invalid job id specified" >&2; exit 1')
    lost = project.wait_status(lambda seen: seen["reasons"] == {"lost": 1}, "the verdict")
    assert (lost["counts"]["interrupted"], lost["counts"]["failed"]) == (1, 0)

    # The task was alive: its own record wins.
    project.release(0)
    seen = project.wait_status(lambda seen: bool(seen["complete"]), "the worker's own word")
    assert seen["tasks"] == {}
    check_whole(project, 1)


def test_a_child_that_is_killed_costs_its_case(cluster: Cluster, tmp_path: Path) -> None:
    target = """\
import os, resource, signal
from pathlib import Path

HERE = Path(__file__).parent


def run(x):
    with (HERE / "executions").open("a") as stream:
        stream.write(f"{x}\\n")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if x and not (HERE / "mended").exists():
        match x:
            case 1:
                raise ValueError("one")
            case 3:
                os._exit(3)
            case 5:
                os.kill(os.getpid(), signal.SIGKILL)
            case 7:
                os.abort()
            case 9:
                os.kill(os.getpid(), signal.SIGSEGV)
    return {"square": x * x}
"""
    project = Project(cluster, tmp_path, 12, chunk=6, target=target)

    done = project.submit("--wait", code=9)

    assert "7 complete" in done.stderr
    rows = project.collect()
    assert {row["index"]: row["reason"] for row in rows if row["status"] == "failed"} == {
        1: "error",
        3: "exit_code",
        5: "signal",
        7: "signal",
        9: "signal",
    }
    errors = {row["index"]: row["error"] for row in rows if "error" in row}
    assert errors[1] == "one"
    assert "exit code 3" in errors[3]
    assert ["SIGKILL" in errors[5], "SIGABRT" in errors[7], "SIGSEGV" in errors[9]] == [True] * 3
    assert project.executions() == dict.fromkeys(range(12), 1)

    # What failed stays failed, until it is asked for.
    assert "5 failed (--rerun failed)" in project.submit().stdout
    (tmp_path / "mended").touch()
    project.submit("--wait", "--rerun", "failed")

    check_whole(project, 12)
    failed = [1, 3, 5, 7, 9]
    generations = {index: row["generation"] for index, row in project.rows().items()}
    assert generations == dict.fromkeys(range(12), 0) | dict.fromkeys(failed, 1)
    assert project.executions() == dict.fromkeys(range(12), 1) | dict.fromkeys(failed, 2)
    assert kept(project) == dict.fromkeys(failed, "failed")


def kept(project: Project) -> dict[Any, str]:
    """Status by index of the attempts that were superseded."""
    found = [
        json.loads(path.read_bytes())
        for path in (project.sweep / "runs" / ".attempts").glob("*/metadata.json")
    ]
    return {metadata["index"]: metadata["status"] for metadata in found}
