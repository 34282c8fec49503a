"""A sweep on a cluster of containers, from a manifest to a table, on each version of Slurm."""

from __future__ import annotations

import json
from typing import Any

from tests.support.container_cluster import NODES, ContainerCluster
from tests.support.container_sweep import ContainerSweep
from tests.support.wait import wait_until

CASES, CHUNK = 200, 10
TARGET = """\
import time


def square(x):
    time.sleep(0.05)
    return {"square": x * x}


def allocate(megabytes):
    return {"bytes": len(bytearray(megabytes << 20))}
"""
# Columns of a table that are others at every run.
ACCIDENTAL = {"started", "ended", "wall_seconds", "cpu_seconds", "max_rss_bytes", "host", "job_id"}


def made(cluster: ContainerCluster, name: str, **more: Any) -> ContainerSweep:
    """A sweep in a directory of its own in ada's home."""
    manifest = {
        "target": "target.py:square",
        "source": {"grid": {"x": list(range(CASES))}},
        "chunk": CHUNK,
    } | more
    return ContainerSweep(cluster, f"/shared/home/ada/{name}", TARGET, **manifest)


def swept(
    cluster: ContainerCluster,
    name: str,
    jobs: int = CASES // CHUNK,
    nodes: int = len(NODES),
    **more: Any,
) -> list[dict[str, Any]]:
    """The table of a whole sweep on so many nodes at least, without what differs between runs."""
    sweep = made(cluster, name, **more)

    assert sweep.submit() == 0
    table = sweep.collect()

    assert [row["square"] for row in table] == [x * x for x in range(CASES)]
    assert {row["status"] for row in table} == {"complete"}
    hosts = {row["host"] for row in table}
    assert hosts <= set(NODES)
    assert len(hosts) >= nodes
    assert len({row["job_id"] for row in table}) == jobs
    return [{key: row[key] for key in row if key not in ACCIDENTAL} for row in table]


def test_two_hundred_cases_give_the_same_in_both_databases(cluster: ContainerCluster) -> None:
    sqlite = swept(cluster, "sqlite")
    postgresql = swept(cluster, "postgresql", store="postgresql:///?service=sweeps")

    assert sqlite == postgresql


def test_whole_nodes_give_the_table_of_an_array(cluster: ContainerCluster) -> None:
    whole = {"time": "00:20:00", "nodes": len(NODES)}

    array = swept(cluster, "array")
    # A job may be over before the next one starts; a node may find that the others took its chunks.
    node = swept(cluster, "node", mode="node", slurm=whole, jobs=len(NODES), nodes=1)
    single = swept(cluster, "single", mode="single", slurm=whole, jobs=1, nodes=2)

    assert node == single == array


def test_a_case_that_the_cgroup_kills_is_out_of_memory(cluster: ContainerCluster) -> None:
    sweep = made(
        cluster,
        "greedy",
        target="target.py:allocate",
        source={"grid": {"megabytes": [1, 400]}},
        chunk=1,
    )

    sweep.submit()
    rows = {row["megabytes"]: row for row in sweep.collect()}

    assert rows[1]["status"] == "complete"
    assert (rows[400]["status"], rows[400]["reason"]) == ("failed", "out_of_memory")
    accounting = cluster.run("sacct -n -X -P -o jobname,state").stdout.splitlines()
    states = [row.partition("|")[2] for row in accounting if row.startswith("greedy.")]
    assert sorted(states) == ["COMPLETED", "OUT_OF_MEMORY"]


def test_a_case_out_of_memory_comes_to_success_by_closing_jobs(cluster: ContainerCluster) -> None:
    sweep = made(
        cluster,
        "escalating",
        target="target.py:allocate",
        source={"grid": {"megabytes": [1, 150]}},
        chunk=1,
        retry={"max_attempts": 3, "on": ["out_of_memory"], "scale": {"mem": 4.0}},
    )

    sweep.hpcsweep("submit manifest.json")
    wait_until(sweep.is_complete, 600, "two complete cases", poll_s=2)

    first, second = (row for row in sweep.collect("--attempts") if row["megabytes"] == 150)
    assert (first["status"], first["asked_mem"]) == ("failed", "100M")
    assert second["status"] == "complete"
    # Four times what it asked for, or used: the kernel counts a little more.
    assert 400 <= int(second["asked_mem"].rstrip("M")) < 410


def test_a_sweep_of_the_group_is_read_by_another_member(cluster: ContainerCluster) -> None:
    few = {"grid": {"x": [1, 2, 3]}}
    shared = made(cluster, "shared", source=few, share="group")
    private = made(cluster, "private", source=few)
    assert (shared.submit(), private.submit()) == (0, 0)

    read = cluster.run(f"hpcsweep collect {shared.directory} --format jsonl", user="ben")
    refused = cluster.run(f"hpcsweep status {private.directory}", user="ben", check=False)

    assert [json.loads(line)["square"] for line in read.stdout.splitlines()] == [1, 4, 9]
    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr
    assert cluster.run(f"ls {private.directory}", user="ben", check=False).returncode != 0
