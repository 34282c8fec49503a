"""Submissions to a real Slurm with rules of its site and little room in the queue."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcsweep.sweepdir.directory import SweepDirectory
from tests.support.clusters import RealCluster
from tests.support.fixtures import require_slurm
from tests.support.project import Project
from tests.support.slurm_cluster import PrivateSlurm
from tests.support.slurm_config import SlurmOptions
from tests.support.wait import wait_until

pytestmark = pytest.mark.slurm

# Slurm 22.05 takes one job less than MaxJobCount.
ROOM = 6
# `slurm.ERROR` is a no without a reason: sbatch says "Unspecified error" (22.05).
RULES = """\
function slurm_job_submit(job, partitions, user)
  slurm.log_user("Welcome to this site, " .. user)
  if job.comment == "unwanted" then
    slurm.log_user("This site takes no unwanted jobs.")
    return slurm.ERROR
  end
  return slurm.SUCCESS
end
function slurm_job_modify(job, record, partitions, user) return slurm.SUCCESS end
return slurm.SUCCESS
"""


@pytest.fixture(scope="module")
def narrow() -> Iterator[RealCluster]:
    """A Slurm with rules of its own, without arrays, and with room for six jobs."""
    require_slurm()
    options = SlurmOptions(
        accounting=False, max_array_size=0, max_job_count=ROOM + 1, min_job_age=2, job_submit=RULES
    )
    with PrivateSlurm(options) as slurm:
        yield RealCluster(slurm)


@pytest.fixture
def project(narrow: RealCluster, tmp_path: Path) -> Project:
    """A sweep of two cases, each a task; its cluster has forgotten all jobs before."""
    narrow.run("scancel", "--user=root")
    wait_until(lambda: not narrow.run("squeue", "-h", "-t", "all"), 30, "an empty memory")
    return Project(narrow, tmp_path, 2, chunk=1, slurm={"time": 5})


def test_without_arrays_each_task_is_a_job(project: Project) -> None:
    done = project.submit("--wait")
    assert "no job arrays (MaxArraySize 0)" in done.stderr
    assert ", job " in done.stdout
    assert project.executions() == {0: 1, 1: 1}
    logs = sorted(path.name for path in (project.sweep / "logs/0001").iterdir())
    assert logs == [f"0.{project.job(part=0)}_0.log", f"1.{project.job(part=1)}_0.log"]
    assert "none: 2 single jobs" in project.submit("--dry-run", "--rerun", "all").stdout
    version = SweepDirectory.open(project.sweep).plan(1)[1]["slurm_version"]
    assert project.cluster.run("sinfo", "--version").split()[-1] == version


def test_a_single_job_that_is_cancelled_is_judged_as_any_task(project: Project) -> None:
    project.hold(0, 1)
    project.submit()
    project.wait_begun(0, 1)
    seen = project.status(HPCSWEEP_QUERY_INTERVAL_S="0")
    assert seen["tasks"] == {"RUNNING": 2}
    project.cluster.run("scancel", project.job(part=0))
    project.release(1)
    seen = project.wait_status(lambda seen: not seen["tasks"], "both judged")
    assert (seen["counts"]["complete"], seen["counts"]["interrupted"]) == (1, 1)


def test_a_refusal_in_the_words_of_a_site(project: Project) -> None:
    project.write(slurm={"time": 5, "comment": "unwanted"})
    said = project.submit(code=6).stderr
    assert "This site takes no unwanted jobs." in said
    assert "Nothing was submitted" in said
    assert not project.sweep.exists()


def test_a_full_queue_is_reported_while_sbatch_waits(project: Project) -> None:
    held = [
        project.cluster.run("sbatch", "-H", "--parsable", "--wrap", "true").strip()
        for _ in range(ROOM)
    ]
    with project.start("submit", "manifest.json", "--wait") as submit:
        assert submit.stderr is not None
        lines = iter(submit.stderr.readline, "")
        told = next(line for line in lines if "sbatch waits" in line)
        assert re.search("unable to accept job|job queue full", told)  # 22.05 and 24.11, 26.05
        assert submit.poll() is None
        project.cluster.run("scancel", *held)
        assert submit.wait(120) == 0
    assert project.executions() == {0: 1, 1: 1}


@pytest.mark.soak
def test_a_queue_that_stays_full_refuses(project: Project) -> None:
    for _ in range(ROOM):
        project.cluster.run("sbatch", "-H", "--parsable", "--wrap", "true")
    begun = time.monotonic()
    with project.start("submit", "manifest.json") as submit:
        assert submit.stderr is not None
        said = submit.stderr.read()
    assert submit.returncode == 6
    assert time.monotonic() - begun > 100  # it is sbatch that tries so long
    assert "queue is full" in said
    assert not project.sweep.exists()
