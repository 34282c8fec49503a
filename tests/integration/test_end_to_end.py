"""The main path, from a manifest to a table, on both clusters; afterwards the two agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpcsweep import ids
from tests.support import clusters
from tests.support.clusters import EmulatedCluster, RealCluster
from tests.support.project import Project, check_whole, essential
from tests.support.slurm_cluster import PrivateSlurm

emulated = clusters.emulated

CASES, CHUNK = 60, 10
# Each task has a node of its own.
NODES = 4
# Columns of a table that are others at every run.
ACCIDENTAL = {"started", "ended", "wall_seconds", "cpu_seconds", "max_rss_bytes", "host", "job_id"}


def swept(project: Project) -> list[dict[str, Any]]:
    """The table of a sweep that ran on all of the cluster at once."""
    first = range(0, NODES * CHUNK, CHUNK)
    project.hold(*first)
    project.submit()
    project.wait_begun(*first)
    project.release(*first)
    project.submit("--wait")

    check_whole(project, CASES)
    assert project.executions() == dict.fromkeys(range(CASES), 1)
    assert {row["host"] for row in project.rows().values()} == {"n1", "n2", "n3", "n4"}
    assert len(list((project.sweep / "journal").rglob("*.jsonl"))) == CASES // CHUNK
    assert len({row["job_id"] for row in project.rows().values()}) == CASES // CHUNK
    return project.collect()


def test_both_clusters_give_the_same(
    emulated: EmulatedCluster, slurm: PrivateSlurm, tmp_path: Path
) -> None:
    one, other = (
        Project(
            cluster,
            tmp_path / cluster.kind,
            CASES,
            tasks_ingest=True,
            chunk=CHUNK,
            slurm={"time": "00:10:00", "mem": "100M", "cpus-per-task": 4},
        )
        for cluster in (emulated, RealCluster(slurm))
    )

    tables = swept(one), swept(other)

    assert essential(one.rows()) == essential(other.rows())
    plain = [
        [{name: row[name] for name in row if name not in ACCIDENTAL} for row in table]
        for table in tables
    ]
    assert plain[0] == plain[1]
    case_ids = [ids.case_id({"x": x}) for x in range(CASES)]
    digests = {row["code_digest"] for row in plain[0]}
    assert len(digests) == 1
    assert plain[0] == [
        {
            "index": x,
            "case_id": case_ids[x],
            "replicate": 0,
            "status": "complete",
            "x": x,
            "square": x * x,
            "seed": f"{ids.case_seed(7, case_ids[x], 0):032x}",
            "run_dir": f"runs/log_{ids.run_id(ids.canonical({'x': x}), case_ids[x])}",
            "code_digest": digests.copy().pop(),
        }
        for x in range(CASES)
    ]
