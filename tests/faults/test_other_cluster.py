"""Job ids are valid on their own cluster only: no other cluster gets a query or a cancel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.killing import Point, kill_at
from tests.support.clusters import Cluster, EmulatedCluster, started_emulated
from tests.support.fronted import Fronted
from tests.support.project import Project, check_whole

ASKING = ("squeue", "sacct", "scancel", "sbatch")


@pytest.fixture
def other() -> Iterator[EmulatedCluster]:
    """A cluster of another name."""
    with started_emulated(cluster_name="other") as made:
        yield made


def test_a_submission_records_its_cluster(cluster: Cluster, tmp_path: Path) -> None:
    project = Project(cluster, tmp_path, 1)
    more = {"HPCSWEEP_CLUSTER": "auto"} if cluster.kind == "slurm" else {}
    project.submit("--wait", code=0, **more)
    plan = json.loads((project.sweep / "submissions" / "0001" / "plan.json").read_bytes())
    config = cluster.run("scontrol", "show", "config")
    name = next(line.split()[2] for line in config.splitlines() if line.startswith("ClusterName"))
    assert (plan["cluster"]["kind"], plan["cluster"]["name"]) == (cluster.kind, name)


def test_another_slurm_is_not_polled(
    emulated: EmulatedCluster, other: EmulatedCluster, tmp_path: Path
) -> None:
    """The same host, the same programs by name, but pointed at another cluster by now."""
    here, there = Fronted(emulated, tmp_path / "a"), Fronted(other, tmp_path / "b")
    project = Project(here, tmp_path / "project", 2, chunk=1)
    project.hold(0, 1)
    project.submit()
    project.wait_begun(0, 1)
    before = project.wait_status(lambda seen: seen["tasks"] == {"RUNNING": 2}, "two tasks run")
    # Another job there has the same id.
    while (job := other.run("sbatch", "--parsable", "--hold", "--wrap=true").strip()) != (
        project.job()
    ):
        assert int(job) < int(project.job())

    project.cluster = there
    seen = project.status()
    assert seen["cluster"]["problem"] == "this is the cluster other, the tasks are on emulated"
    assert (seen["tasks"], seen["counts"]) == (before["tasks"], before["counts"])
    refused = project.cli("cancel", project.name, code=6)
    assert "its tasks are on the cluster emulated, this is another one" in refused.stderr
    assert there.calls(*ASKING) == []
    assert other.run("squeue", "-h", "-j", job)

    project.cluster = here
    assert project.status()["cluster"]["problem"] is None
    project.release(0, 1)
    project.submit("--wait")
    check_whole(project, 2)


def test_emulated_clusters_of_one_name_differ(
    emulated: EmulatedCluster, own_emulated: EmulatedCluster, tmp_path: Path
) -> None:
    project = Project(emulated, tmp_path, 2, chunk=1)
    project.hold(0, 1)
    project.submit()
    project.wait_begun(0, 1)

    project.cluster = own_emulated
    hasty = {"HPCSWEEP_GRACE_S": "0", "HPCSWEEP_QUERY_INTERVAL_S": "0"}
    for _ in range(3):
        assert "nothing to submit, 2 cases are under way" in project.submit(code=0, **hasty).stdout
    project.wait_status(lambda seen: seen["tasks"] == {"RUNNING": 2}, "two tasks that still run")

    project.cluster = emulated
    project.release(0, 1)
    project.submit("--wait")
    check_whole(project, 2)


def test_an_unanswered_part_is_looked_for_where_it_went(
    emulated: EmulatedCluster, other: EmulatedCluster, tmp_path: Path
) -> None:
    project = Project(emulated, tmp_path / "project", 2, slurm={"hold": True})
    point = Point(event="os.link", matching="*.job.json")
    project.submit(code=-9, **kill_at([point], tmp_path / "marks"))

    project.cluster = other
    done = project.submit(HPCSWEEP_UNANSWERED_S="0")
    assert "nothing to submit, 2 cases are under way" in done.stdout
    assert "emulated" in done.stderr
    assert other.arrays(project.job_names) == []

    project.cluster = emulated
    (job,) = emulated.arrays(project.job_names)
    emulated.run("scontrol", "release", job)
    project.submit("--wait")
    check_whole(project, 2)
    assert project.executions() == {0: 1, 1: 1}
