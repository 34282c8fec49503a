"""A node on which cases fail is left out by the next arrays, and named for people."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.clusters import started_emulated
from tests.support.project import TARGET, Project

# Every case fails on the first node, whose file system is gone.
FAILING = TARGET.replace(
    '    return {"square"',
    '    import os\n    if os.environ["SLURMD_NODENAME"] == "n1":\n'
    '        raise OSError(116, "Stale file handle", "/data")\n    return {"square"',
)


def test_a_failing_node_is_excluded_from_the_retries(tmp_path: Path) -> None:
    with started_emulated(nodes=4, cpus=1, requeue_delay_s=0.2) as cluster:
        project = Project(
            cluster,
            tmp_path,
            12,
            target=FAILING,
            chunk=2,
            retry={"max_attempts": 2, "on": ["error"]},
            slurm={"time": "00:10:00", "mem": "100M", "exclude": "n3"},
        )
        project.hold(*range(6))  # until each node has a task
        project.submit()
        project.wait_begun(0, 2, 4)
        project.release(*range(6))
        seen = project.wait_status(lambda seen: bool(seen["complete"]), "a complete sweep")
        said = project.cli("status", project.name).stdout
        note = project.cli("doctor", project.name, "--cluster", "emulated", code=None).stdout
    assert [fact["node"] for fact in seen["excluded_nodes"]] == ["n1"]
    assert len(seen["excluded_nodes"][0]["cases"]) >= 2
    assert "node n1 is excluded until your next submit" in said
    assert "Stale file handle" in said
    assert "node n1: " in note
    plans = sorted((project.sweep / "submissions").glob("*/plan.json"))
    asked = [json.loads(path.read_bytes()).get("options", {}).get("exclude") for path in plans]
    assert asked[0] is None
    assert set(asked[1:]) == {"n3,n1"}
