"""The modes of a sweep: array tasks, jobs of one node each, or one job of several nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import clusters
from tests.support.clusters import Cluster, EmulatedCluster, RealCluster
from tests.support.project import Project, check_whole, essential
from tests.support.slurm_cluster import PrivateSlurm

cluster, emulated = clusters.cluster, clusters.emulated
CASES = 45  # one chunk more than two nodes of four CPUs run at once


def project_of(
    cluster: Cluster, root: Path, mode: str, cases: int = CASES, nodes: int = 2, **more: Any
) -> Project:
    """A sweep in one of the modes of whole nodes."""
    slurm = {"time": "00:10:00", "nodes": nodes}
    return Project(cluster, root, cases, mode=mode, slurm=slurm, **{"chunk": 5} | more)


def test_the_same_table_in_each_mode(cluster: Cluster, tmp_path: Path) -> None:
    """Chunks of five cases, on two nodes of four CPUs."""
    projects = [
        Project(cluster, tmp_path / "array", CASES, chunk=5),
        project_of(cluster, tmp_path / "node", "node"),
        project_of(cluster, tmp_path / "single", "single"),
    ]
    for project in projects:
        project.submit()
    for project in projects:
        project.submit("--wait")
        check_whole(project, CASES)
        assert set(project.executions().values()) == {1}
    array, node, single = (essential(project.rows()) for project in projects)
    assert [{row.pop("task_id") for row in rows.values()} for rows in (node, single)] == [{0}, {0}]
    assert {row.pop("task_id") for row in array.values()} == set(range(CASES // 5))
    assert node == array
    assert single == array


def test_some_cases_of_a_job_are_cancelled(emulated: EmulatedCluster, tmp_path: Path) -> None:
    """The job goes on without them; a cancel of all that is left ends it."""
    project = project_of(emulated, tmp_path, "node", cases=12, nodes=1, chunk=1)
    project.hold(0, 1, 2, 3)
    project.submit()
    project.wait_begun(0, 1, 2, 3)
    said = project.cli("cancel", "sweep", "--cases", "4-9").stdout
    assert "6 of them share an array task with others, which passes over them" in said
    assert "cancelled array tasks" not in said
    assert "jobs of whole nodes: 1 RUNNING" in project.cli("status", "sweep").stdout
    project.release(0, 1)
    project.wait_status(lambda seen: seen["counts"]["complete"] == 4, "all but 2 held ones")
    said = project.cli("cancel", "sweep", "--cases", "0-11").stdout
    assert f"cancelled array tasks: {project.job()}" in said.splitlines()
    seen = project.wait_status(lambda seen: not seen["tasks"], "the end of the job")
    assert (seen["counts"]["complete"], seen["reasons"]) == (4, {"cancelled": 8})
    project.release(2, 3)
    project.submit("--wait")
    check_whole(project, 12)


def test_a_setup_line_that_fails_on_each_node(emulated: EmulatedCluster, tmp_path: Path) -> None:
    """The preflight passes, as it runs on no node. Each node says it of one chunk."""
    setup = ['[[ ! ${SLURM_JOB_ID-} ]] || { echo "no licence here"; (exit 3); }']
    project = project_of(emulated, tmp_path, "single", cases=15, setup=setup)
    project.submit("--wait", code=9)
    seen = project.status()
    assert seen["counts"]["failed"] == 10
    assert seen["reasons"] == {"setup": 10, "lost": 5}
    assert "no licence here" in project.cli("logs", "sweep", "0").stdout


def test_a_reduce_has_a_whole_node(emulated: EmulatedCluster, tmp_path: Path) -> None:
    project = project_of(emulated, tmp_path, "single", cases=5, reduce=["wc", "-l", "{table}"])
    project.submit("--wait")
    script = (project.sweep / "reduce" / "submissions" / "0001" / "array.sbatch").read_text()
    assert "#SBATCH --nodes=1\n" in script
    assert "srun" not in script
    arrays = emulated.run("squeue", "-h", "-t", "all", "-o", "%j|%K").splitlines()
    assert [row.endswith("|N/A") for row in arrays if row.startswith("sweep-reduce")] == [True]


def test_a_node_without_the_gpus_of_a_case(emulated: EmulatedCluster, tmp_path: Path) -> None:
    """Nobody else runs its chunks, so the node fails all of them."""
    project = project_of(emulated, tmp_path, "node", cases=10, nodes=1, gpus_per_case=1)
    project.submit("--wait", code=9)
    seen = project.status()
    assert (seen["counts"]["failed"], seen["reasons"]) == (10, {"setup": 10})
    assert "a case needs 1 of the task's GPUs" in project.cli("logs", "sweep", "9").stdout


def calls_srun(cluster: Cluster, root: Path) -> None:
    """A program's step shares the nodes with the step of the workers, and has one process."""
    project = project_of(cluster, root, "single", cases=2, case_timeout=60)
    del project.manifest["target"]
    project.write(command=["srun", "sh", "-c", "echo $SLURM_NTASKS >> of.$1", "sh", "{x}"])
    project.submit("--wait")
    assert project.status()["counts"]["complete"] == 2
    assert [(root / f"of.{x}").read_text() for x in (0, 1)] == ["1\n"] * 2
    for path in project.sweep.rglob("stderr.txt"):
        assert "binding" not in path.read_text()


def test_a_program_of_a_single_job_may_call_srun(emulated: EmulatedCluster, tmp_path: Path) -> None:
    calls_srun(emulated, tmp_path)


@pytest.mark.slurm
@pytest.mark.soak
def test_a_program_of_a_real_job_may_call_srun(slurm: PrivateSlurm, tmp_path: Path) -> None:
    calls_srun(RealCluster(slurm), tmp_path)
