"""A full disk pauses a sweep: no attempt is burnt, and closing jobs go on when there is room."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.journal import all_journals, read
from hpcsweep.sources import grid
from hpcsweep.state.failing_nodes import is_of_node
from tests.support.clusters import WAIT_S, EmulatedCluster, started_emulated
from tests.support.project import TARGET, Project
from tests.support.small_disk import fill, mounted
from tests.support.sweeps import MadeSweep
from tests.support.wait import wait_until

# Each case leaves 300 kB in its run directory.
WRITING = TARGET.replace("def run(x)", "def run(x, log)").replace(
    "    return {", '    log.text("large", "x" * 300_000)\n    return {'
)


CLOSING = "submissions/0001/part-0000.closing.json"
RESTARTED = re.compile(r"Restarts=([2-9]|\d\d)")


def job(cluster: EmulatedCluster, job_id: str) -> str:
    """What Slurm says of a job."""
    return cluster.run("scontrol", "show", "job", job_id)


@pytest.fixture
def slow_requeues() -> Iterator[EmulatedCluster]:
    """A cluster on which a requeued job waits a second, as on a real one it waits two minutes."""
    with started_emulated(requeue_delay_s=1.0) as made:
        yield made


def ends(project: Project) -> Counter[tuple[int, str]]:
    """How often each index ended with which reason, or complete."""
    root = project.sweep / "journal"
    return Counter(
        (record["index"], record.get("reason") or record["status"])
        for name in all_journals(root)
        for reading in read(root / name)
        for record in reading.records
        if record["kind"] == "end" and "index" in record
    )


@pytest.mark.parametrize("keys", [{"stop_after": 100}, {}], ids=["closing jobs", "by hand"])
def test_a_full_disk_pauses_a_sweep_until_there_is_room(
    slow_requeues: EmulatedCluster, tmp_path: Path, keys: dict[str, Any]
) -> None:
    """A case in two, at most: the room that is left is too little for all of them."""
    outputs = tmp_path / "outputs"
    with mounted(outputs, "size=8m"):
        project = Project(slow_requeues, tmp_path, 6, target=WRITING, chunk=3, **keys)
        ballast = outputs / "ballast"
        project.hold(*range(6))
        project.submit()
        project.wait_begun(0, 3)
        fill(ballast, leave=3 * 4096)
        project.release(*range(6))
        seen = project.wait_status(lambda seen: bool(seen["paused"]), "a paused sweep")
        project.wait_status(lambda seen: not seen["tasks"], "the end of the tasks")
        assert seen["counts"]["failed"] == 0
        said = project.cli("status", project.name).stdout
        assert f"is paused: the disk or quota of {project.sweep} (tmpfs) is full" in said
        assert "Make room there" in said
        if keys:
            closing = json.loads((project.sweep / CLOSING).read_bytes())["job_id"]
            wait_until(
                lambda: RESTARTED.search(seen := job(slow_requeues, closing)) is not None or seen,
                WAIT_S,
                "a closing job that was requeued twice",
            )
        else:
            assert "is paused" in project.cli("advance", project.name).stdout
        assert len(list((project.sweep / "submissions").iterdir())) == 1
        ballast.unlink()
        if not keys:
            project.cli("advance", project.name)
        project.wait_status(lambda seen: bool(seen["complete"]), "a complete sweep")
        assert project.status()["paused"] is None
        found = ends(project)
        assert [found[x, "complete"] for x in range(6)] == [1] * 6
        assert {reason for _, reason in found} <= {"complete", "quota"}, json.dumps(str(found))


def test_a_full_disk_of_the_node_is_an_error_of_its_cases(tmp_path: Path) -> None:
    """The sweep directory has room: without a count of attempts the retries would never end."""
    made = MadeSweep(tmp_path, grid(x=[0, 1]), argv=["true"])
    made.plan(runs="none")
    with mounted(tmp_path / "node", "nr_inodes=1") as node:
        made.run(TMPDIR=str(node))
    ends = made.ends()
    assert [(ends[x]["status"], ends[x]["reason"]) for x in (0, 1)] == [("failed", "error")] * 2
    assert "No space left on device" in ends[0]["error"]["message"]
    assert is_of_node("error", ends[0]["error"])
