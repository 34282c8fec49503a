"""`cancel` of some cases: whole array tasks end; tasks with other cases skip the cancelled ones."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.support import clusters
from tests.support.clusters import Cluster, EmulatedCluster
from tests.support.project import CLI_S, Project, check_whole
from tests.support.wait import wait_until

cluster, emulated = clusters.cluster, clusters.emulated


def in_queue(project: Project) -> list[str]:
    """The names of the project's jobs in the queue."""
    found = project.cluster.run("squeue", "-h", "-o", "%j").split()
    return [name for name in found if name.startswith(project.job_names)]


def test_some_cases_are_cancelled(cluster: Cluster, tmp_path: Path) -> None:
    """Of four tasks with three cases each: 0 runs, the others wait."""
    project = Project(cluster, tmp_path, 12, chunk=3, retry={"on": ["lost", "node_fail"]})
    project.hold(0)
    project.submit("--throttle", "1")
    project.wait_begun(0)
    begun = time.monotonic()
    said = project.cli("cancel", "sweep", "--cases", "0-1,3-5,10").stdout
    assert "cancelled: 6 cases" in said
    assert f"cancelled array tasks: {project.job()}_[1]" in said
    assert "2 of them share an array task with others, which passes over them" in said
    assert "1 of them runs beside others, to the end" in said
    assert (
        "nothing to cancel"
        in project.cli("cancel", "sweep", "--cases", "6", "--status", "failed").stdout
    )
    # A task looks once in a second.
    wait_until(lambda: time.monotonic() > begun + 1.5, CLI_S, "the next look of the task")
    project.release(0)
    project.wait_status(lambda seen: not seen["tasks"], "no task left")
    assert project.executions() == dict.fromkeys((0, 2, 6, 7, 8, 9, 11), 1)
    seen = project.status()
    assert (seen["counts"]["complete"], seen["reasons"]) == (7, {"cancelled": 5})
    wait_until(lambda: not in_queue(project), CLI_S, "the end of the closing job")
    # Only a user sends them again.
    project.cli("advance", "sweep")
    assert not (project.sweep / "submissions" / "0002").exists()
    project.submit("--cases", "4", "--wait")
    wait_until(lambda: not in_queue(project), CLI_S, "the end of its closing job")
    project.submit("--wait")
    check_whole(project, 12)
    assert project.executions() == dict.fromkeys(range(12), 1)


def test_a_running_task_ends_if_all_that_it_has_is_cancelled(
    cluster: Cluster, tmp_path: Path
) -> None:
    project = Project(cluster, tmp_path, 6, chunk=3)
    project.hold(1, 4)
    project.submit()
    project.wait_begun(1, 4)
    # Of task 0 the case 0 is complete.
    project.wait_status(lambda seen: seen["counts"]["complete"] >= 1, "a complete case")
    said = project.cli("cancel", "sweep", "--where", "x < 3").stdout
    assert f"cancelled array tasks: {project.job()}_[0]" in said
    project.release(4)
    project.wait_status(lambda seen: not seen["tasks"], "no task left")
    assert project.executions() == dict.fromkeys((0, 1, 3, 4, 5), 1)
    project.release(1)
    project.submit("--wait")
    check_whole(project, 6)
    assert project.executions() == dict.fromkeys((0, 2, 3, 4, 5), 1) | {1: 2}


def test_from_python(emulated: EmulatedCluster, tmp_path: Path) -> None:
    project = Project(emulated, tmp_path, 4, chunk=1)
    project.hold(0)
    project.submit("--throttle", "1")
    project.wait_begun(0)
    script = (
        'import hpcsweep as hs; sweep = hs.Sweep("sweep"); said = []\n'
        "print(sweep.cancel(cases=[1, 3], notify=said.append).tasks, said)\n"
        'print(sweep.cancel(where="x > 9", notify=said.append).tasks, said[-1])\n'
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=emulated.env(),
        capture_output=True,
        text=True,
        check=True,
        timeout=CLI_S,
    )
    job = project.job()
    assert (
        f"('{job}_[1,3]',) ['cancelled: 2 cases', 'cancelled array tasks: {job}_[1,3]']"
        in done.stdout
    )
    assert "() no case is selected: --where 'x > 9'" in done.stdout
    project.release(0)
    project.wait_status(lambda seen: not seen["tasks"], "no task left")
    assert project.executions() == {0: 1, 2: 1}
