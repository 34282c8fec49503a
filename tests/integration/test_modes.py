"""The modes of a sweep: array tasks, jobs of one whole node each, one job of several nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support import clusters
from tests.support.clusters import Cluster
from tests.support.project import Project, check_whole

cluster, emulated = clusters.cluster, clusters.emulated
CASES = 60
WHOLE = {"time": "00:10:00"}


def project_of(cluster: Cluster, root: Path, mode: str, nodes: int = 2, **more: Any) -> Project:
    """A sweep in one of the modes."""
    slurm = {"time": "00:10:00", "mem": "100M"} if mode == "array" else WHOLE | {"nodes": nodes}
    keys: dict[str, Any] = {"mode": mode, "chunk": 5, "slurm": slurm} | more
    return Project(cluster, root, CASES, **keys)


@pytest.mark.parametrize("mode", ["node", "single"])
def test_the_same_table_in_each_mode(cluster: Cluster, tmp_path: Path, mode: str) -> None:
    project = project_of(cluster, tmp_path / mode, mode)
    project.submit("--wait")
    check_whole(project, CASES)
    assert set(project.executions().values()) == {1}
