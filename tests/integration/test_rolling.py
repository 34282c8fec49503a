"""Sweeps larger than a real Slurm's queue go on by themselves: by closing jobs, or by `advance`."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.support.clusters import WAIT_S, RealCluster
from tests.support.fixtures import MakeSlurm, Scale
from tests.support.project import TARGET, Project, check_whole
from tests.support.slurm_cluster import PrivateSlurm
from tests.support.wait import wait_until

LONG_S = 1800.0
FAILS_ONCE = """\
    if x == 7 and not (HERE / "failed").exists():
        (HERE / "failed").touch()
        raise RuntimeError
"""
pytestmark = pytest.mark.timeout(LONG_S)


class NodesMayNotSubmit(RealCluster):
    """A real Slurm whose sbatch refuses whoever calls it inside a job."""

    def __init__(self, slurm: PrivateSlurm, directory: Path) -> None:
        super().__init__(slurm)
        self._bin = directory
        directory.mkdir()
        refusing = directory / "sbatch"
        refusing.write_text(
            "#!/bin/bash\n"
            "if grep -qz ^SLURM_JOB_ID= /proc/$PPID/environ; then\n"
            '  echo "sbatch: error: Batch job submission failed: Access/permission denied" >&2\n'
            "  exit 1\n"
            "fi\n"
            f'exec {shutil.which("sbatch")} "$@"\n'
        )
        refusing.chmod(0o755)

    def env(self, **more: str) -> dict[str, str]:
        """With that sbatch first on PATH."""
        found = super().env(**more)
        return found | {"PATH": f"{self._bin}{os.pathsep}{found['PATH']}"}


def plans(project: Project) -> list[dict[str, object]]:
    """The plans of all submissions."""
    paths = sorted(project.sweep.glob("submissions/*/plan.json"))
    return [json.loads(path.read_text()) for path in paths]


def wait_complete(project: Project, cases: int) -> None:
    """Wait until a sweep is complete, and check that each case ran once."""

    def look() -> bool | str:
        seen = project.status()
        return seen["complete"] or json.dumps(seen)

    wait_until(look, LONG_S, f"{cases} complete cases", poll_s=1.0)
    check_whole(project, cases)
    assert project.executions() == dict.fromkeys(range(cases), 1)


def limit(slurm: PrivateSlurm, jobs: int) -> None:
    """Let the user have so many jobs and array tasks in the queue."""
    slurm.run("sacctmgr", "-i", "modify", "user", "root", "set", f"MaxSubmitJobs={jobs}")
    slurm.run("sacctmgr", "-i", "modify", "qos", "normal", "set", f"MaxSubmitJobsPerUser={jobs}")

    def applies() -> bool | str:
        answer = slurm.run("scontrol", "show", "assoc_mgr", "users=root", "flags=assoc").stdout
        return f"MaxSubmitJobs={jobs}(" in answer or answer

    wait_until(applies, WAIT_S, "the limit in slurmctld")


@pytest.fixture
def slurm_of_few(private_slurm: MakeSlurm) -> PrivateSlurm:
    """A real Slurm whose arrays have at most 6 elements, and which enforces limits."""
    return private_slurm(max_array_size=6, extra=("AccountingStorageEnforce=limits",))


def wait_empty(slurm: PrivateSlurm) -> None:
    """Wait until no job is left, not even a closing job."""
    wait_until(
        lambda: not (rows := slurm.run("squeue", "-h", "-r").stdout) or rows,
        LONG_S,
        "an empty queue",
    )


def test_a_closing_job_without_room_runs_again_later(
    slurm_of_few: PrivateSlurm, tmp_path: Path
) -> None:
    """The queue is full with other jobs of the user when the only closing job runs."""
    slurm = slurm_of_few
    project = Project(RealCluster(slurm), tmp_path, 15, chunk=3)
    project.hold(0)
    limit(slurm, 4)
    assert "6 more cases are sent when the queue has room" in project.submit().stdout
    limit(slurm, 7)
    other = slurm.run("sbatch", "--parsable", "-H", "-a", "0-2", "-o", "/dev/null", "--wrap=true")
    limit(slurm, 4)
    project.release(0)
    log = project.sweep / "logs/0001/closing-0.log"

    def ran_twice() -> bool | str:
        said = log.read_text() if log.exists() else ""
        return said.count("the queue has no room; 6 cases are sent later") >= 2 or said

    wait_until(ran_twice, WAIT_S, "two runs of the closing job")
    slurm.run("scancel", other.stdout.strip())
    wait_complete(project, 15)
    wait_empty(slurm)


@pytest.mark.soak
def test_two_sweeps_that_share_a_full_queue_both_end(
    slurm_of_few: PrivateSlurm, tmp_path: Path, scale: Scale
) -> None:
    """Tasks without room are sent when the other sweep has ended, without a process of ours."""
    slurm, cases = slurm_of_few, scale(15, 230)
    projects = [Project(RealCluster(slurm), tmp_path / name, cases, chunk=3) for name in "ab"]
    for project, jobs in zip(projects, (4, 8), strict=True):
        limit(slurm, jobs)
        said = project.submit().stdout
        assert f"{cases - 9} more cases are sent when the queue has room" in said
    for project in projects:
        wait_complete(project, cases)
    wait_empty(slurm)


@pytest.mark.soak
def test_where_nodes_may_not_submit_advance_goes_on(
    slurm_of_few: PrivateSlurm, tmp_path: Path, scale: Scale
) -> None:
    slurm, cases = slurm_of_few, scale(40, 230)
    limit(slurm, 8)
    cluster = NodesMayNotSubmit(slurm, tmp_path / "bin")
    project = Project(cluster, tmp_path / "project", cases, chunk=3)
    project.submit()
    sent = len(plans(project))
    while not project.status()["complete"]:
        wait_empty(slurm)
        assert len(plans(project)) == sent, "no closing job submitted anything"
        project.cli("advance", project.name)
        sent = len(plans(project))
    wait_complete(project, cases)
    assert sent == -(-cases // 18)


def test_without_accounting_parts_and_retries_follow_each_other(
    private_slurm: MakeSlurm, tmp_path: Path, scale: Scale
) -> None:
    """A case that fails once is sent again by a closing job."""
    slurm = private_slurm(max_array_size=6, accounting=False)
    cases = scale(24, 230)
    target = TARGET.replace('    return {"square"', FAILS_ONCE + '    return {"square"')
    retry = {"max_attempts": 2, "on": ["error"]}
    root = tmp_path / "project"
    project = Project(RealCluster(slurm), root, cases, target=target, chunk=3, retry=retry)
    project.submit()
    wait_until(lambda: project.status()["complete"], LONG_S, "a complete sweep", poll_s=1.0)
    check_whole(project, cases)
    assert project.executions() == {x: 1 + (x == 7) for x in range(cases)}
    first, second = plans(project)
    assert len(first["parts"]) == -(-cases // 15)  # type: ignore[arg-type]
    assert second["indices"] == [[7, 8]]
