"""`make cluster` beside an existing cluster: a partial one, or one of another version."""

from __future__ import annotations

from tests.support.container_cluster import SUITES, ContainerCluster
from tests.support.docker_engine import docker


def test_a_half_started_cluster_is_completed(cluster: ContainerCluster) -> None:
    docker("kill", cluster.container("c2"), cluster.container("slurmdbd"))

    done = cluster.program("up")

    assert done.returncode == 0, done.stderr
    assert f"Slurm {cluster.version} runs on c1, c2 and c3" in done.stdout
    assert cluster.run("srun -w c2 hostname").stdout == "c2\n"


def test_a_cluster_of_another_version_is_in_the_way(cluster: ContainerCluster) -> None:
    other = next(version for version in SUITES if version != cluster.version)

    refused = cluster.program("up", other)

    assert refused.returncode == 1
    assert f"is of a cluster with Slurm {cluster.version}, not {other}" in refused.stderr
    assert "`make cluster-down`" in refused.stderr
    assert "idle" in cluster.run("sinfo -h -o %T").stdout
