"""Jobs of whole nodes: a worker or a chunk is killed, the job is requeued, the time is over."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support import clusters
from tests.support.clusters import Cluster, EmulatedCluster, RealCluster, started_emulated
from tests.support.fixtures import MakeSlurm
from tests.support.project import TARGET, Project, check_whole
from tests.support.slurm_cluster import PrivateSlurm
from tests.support.wait import wait_until

cluster, emulated = clusters.cluster, clusters.emulated
# Each case writes its process and those above it: of its slot, of its chunk, and of its node.
TELLING = TARGET.replace(
    "    while",
    """\
    import os
    pids = [os.getpid()]
    for _ in range(3):
        fields = Path(f"/proc/{pids[-1]}/stat").read_text().rpartition(")")[2].split()
        pids.append(int(fields[1]))
    (HERE / f"above.{x}.new").write_text(" ".join(map(str, pids)))
    (HERE / f"above.{x}.new").rename(HERE / f"above.{x}")
    while""",
)
SLOTS = 4
# A minute takes less, and the limit is not enforced: what ends at it has ended by itself.
SHORT: dict[str, Any] = {"time_scale": 0.15, "over_time_limit": 60}


def project_of(cluster: Cluster, root: Path, mode: str, cases: int, **more: Any) -> Project:
    """A sweep of chunks of one case, on nodes of four slots."""
    nodes = 2 if mode == "single" else 1
    slurm = {"time": "00:10:00", "nodes": nodes}
    keys: dict[str, Any] = {"mode": mode, "slots": SLOTS, "chunk": 1, "slurm": slurm} | more
    return Project(cluster, root, cases, target=TELLING, **keys)


class Processes(NamedTuple):
    """The processes of a case, by their ids."""

    case: int
    slot: int
    chunk: int
    node: int


def processes(project: Project, x: int) -> Processes:
    """The processes of a case, as soon as they are known."""
    path = project.root / f"above.{x}"
    wait_until(path.exists, 60, f"the processes of case {x}")
    return Processes(*map(int, path.read_text().split()))


def are_alive(project: Project, pids: Iterable[int]) -> bool:
    """Whether any of these processes of the project lives. A zombie has no command line."""

    def command(pid: int) -> bytes:
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/cmdline").read_bytes()
        return b""

    return any(str(project.root).encode() in command(pid) for pid in pids)


def test_a_killed_worker_leaves_the_other_node_at_work(cluster: Cluster, tmp_path: Path) -> None:
    """Two nodes have four cases each when one of them loses its worker, and the other a chunk."""
    project = project_of(cluster, tmp_path, "single", 16)
    first, second = range(SLOTS), range(8, 8 + SLOTS)
    project.hold(*first, *second)
    project.submit()
    project.wait_begun(*first, *second)
    lost = {*first, 8}
    of_case = {x: processes(project, x) for x in lost}
    assert of_case[0].node != of_case[8].node
    os.kill(of_case[0].node, signal.SIGKILL)
    os.kill(of_case[8].chunk, signal.SIGKILL)
    doomed = [pid for one in of_case.values() for pid in (one.case, one.slot, one.chunk)]
    wait_until(lambda: not are_alive(project, doomed), 60, "the end of what ran there")
    project.release(*first, *second)
    project.wait_status(lambda seen: not seen["tasks"], "the end of the job")
    counts = project.status()["counts"]
    assert (counts["complete"], counts["interrupted"]) == (16 - len(lost), len(lost))
    assert "5 cases" in project.submit("--wait").stdout
    check_whole(project, 16)
    assert project.executions() == {x: 2 if x in lost else 1 for x in range(16)}


def goes_on_after_a_requeue(cluster: Cluster, root: Path) -> None:
    """What was complete before stays, and the job runs the rest once more."""
    project = project_of(cluster, root, "node", 8)
    project.hold(*range(2, 6))
    project.submit()
    project.wait_begun(*range(6))
    project.wait_status(lambda seen: seen["counts"]["complete"] == 2, "two complete cases")
    cluster.run("scontrol", "requeue", project.job())
    project.wait_begun(*range(2, 6), times=2)
    project.release(*range(2, 6))
    project.wait_status(lambda seen: seen["counts"]["complete"] == 8, "all complete")
    check_whole(project, 8)
    assert project.executions() == {x: 2 if 2 <= x < 6 else 1 for x in range(8)}


def test_a_requeued_job_goes_on(emulated: EmulatedCluster, tmp_path: Path) -> None:
    goes_on_after_a_requeue(emulated, tmp_path)


@pytest.mark.slurm
@pytest.mark.soak
def test_a_real_requeued_job_goes_on(slurm: PrivateSlurm, tmp_path: Path) -> None:
    goes_on_after_a_requeue(RealCluster(slurm), tmp_path)


def leaves_chunks_at_its_limit(cluster: Cluster, root: Path) -> None:
    """What no node took has the reason that ended the other chunks of the job."""
    project = project_of(cluster, root, "single", 12)
    project.write(slurm={"time": "00:01:00", "nodes": 2})
    project.hold(*range(12))
    project.submit()
    seen = project.wait_status(lambda seen: not seen["tasks"], "the end of the job")
    begun = project.executions()
    assert 0 < len(begun) <= 2 * SLOTS
    assert seen["reasons"] == {"timeout": 12}
    project.release(*range(12))
    project.submit("--wait", "--set", "slurm.time=01:00:00")
    check_whole(project, 12)
    assert project.executions() == {x: 2 if x in begun else 1 for x in range(12)}


def test_the_time_limit_leaves_chunks_to_the_next_job(tmp_path: Path) -> None:
    with started_emulated(time_scale=0.2) as cluster:
        leaves_chunks_at_its_limit(cluster, tmp_path)


@pytest.mark.slurm
@pytest.mark.soak  # a minute is the shortest limit
def test_a_real_time_limit_leaves_chunks_to_the_next_job(
    slurm: PrivateSlurm, tmp_path: Path
) -> None:
    leaves_chunks_at_its_limit(RealCluster(slurm), tmp_path)


def is_cancelled_for_good(cluster: Cluster, root: Path, mode: str) -> None:
    project = project_of(cluster, root, mode, 12, requeue=True)
    begun = [*range(SLOTS), *(range(6, 6 + SLOTS) if mode == "single" else ())]
    project.hold(*range(12))
    project.submit()
    project.wait_begun(*begun)
    project.cli("cancel", "sweep")
    seen = project.wait_status(lambda seen: not seen["tasks"], "the end of the job")
    assert seen["reasons"] == {"cancelled": 12}
    assert project.executions() == dict.fromkeys(begun, 1)
    logs = "".join(path.read_text() for path in (project.sweep / "logs/0001").iterdir())
    assert "REQUEUE" not in logs
    assert "not requeued" not in logs


@pytest.mark.parametrize("mode", ["node", "single"])
def test_a_cancelled_job_does_not_requeue_itself(
    emulated: EmulatedCluster, tmp_path: Path, mode: str
) -> None:
    is_cancelled_for_good(emulated, tmp_path, mode)


@pytest.mark.slurm
@pytest.mark.soak
@pytest.mark.parametrize("mode", ["node", "single"])
def test_a_real_cancelled_job_does_not_requeue_itself(
    slurm: PrivateSlurm, tmp_path: Path, mode: str
) -> None:
    is_cancelled_for_good(RealCluster(slurm), tmp_path, mode)


def requeues_itself_at_its_limit(cluster: Cluster, root: Path, mode: str) -> None:
    """Its first start has finished cases, so another one may finish the others."""
    slurm = {"time": "00:01:00", "nodes": 2 if mode == "single" else 1}
    project = project_of(cluster, root, mode, 6, slurm=slurm, requeue=True)
    project.hold(1, 2)
    project.submit()
    project.wait_begun(1, 2, times=2)
    project.release(1, 2)
    project.submit("--wait")
    check_whole(project, 6)
    assert [path.name for path in (project.sweep / "submissions").iterdir()] == ["0001"]
    assert project.executions() == {x: 2 if x in (1, 2) else 1 for x in range(6)}


@pytest.mark.parametrize("mode", ["node", "single"])
def test_a_job_requeues_itself_at_its_time_limit(tmp_path: Path, mode: str) -> None:
    with started_emulated(**SHORT, requeue_delay_s=0.5) as cluster:
        requeues_itself_at_its_limit(cluster, tmp_path, mode)


@pytest.mark.slurm
@pytest.mark.soak  # a minute is the shortest limit
@pytest.mark.parametrize("mode", ["node", "single"])
def test_a_real_job_requeues_itself_at_its_time_limit(
    slurm: PrivateSlurm, tmp_path: Path, mode: str
) -> None:
    requeues_itself_at_its_limit(RealCluster(slurm), tmp_path, mode)


@pytest.mark.parametrize("mode", ["node", "single"])
def test_a_job_whose_requeue_is_refused(tmp_path: Path, mode: str) -> None:
    """What it leaves has ended at its time limit, also the chunk that no worker took."""
    slurm = {"time": "00:01:00", "nodes": 2 if mode == "single" else 1}
    held = range(1, 10)
    with started_emulated(**SHORT) as cluster:
        project = project_of(cluster, tmp_path, mode, 10, slurm=slurm, requeue=True)
        project.hold(*held)
        project.submit()
        cluster.run("scontrol", "update", f"jobid={project.job()}", "requeue=0")
        seen = project.wait_status(lambda seen: not seen["tasks"], "the end of the job")
        assert seen["reasons"] == {"timeout": 9}
        assert "Requested operation is presently disabled" in "".join(
            path.read_text() for path in (project.sweep / "logs/0001").iterdir()
        )
        project.release(*held)
        project.submit("--wait", "--set", "slurm.time=01:00:00")
        check_whole(project, 10)


def test_a_running_case_whose_time_limit_is_extended(tmp_path: Path) -> None:
    """Slurm warns no process of a job of several nodes, so its workers ask before they do."""
    with started_emulated(**SHORT) as cluster:
        project = project_of(cluster, tmp_path, "single", 8, requeue=False)
        project.write(slurm={"time": "00:01:00", "nodes": 2})
        project.hold(0)
        project.submit()
        project.wait_begun(0)
        cluster.run("scontrol", "update", f"jobid={project.job()}", "timelimit=10")
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() > begun + 12, 60, "the first limit, 9 s")
        project.release(0)
        project.submit("--wait")
        check_whole(project, 8)
        assert project.executions() == dict.fromkeys(range(8), 1)


def test_a_job_whose_time_limit_is_extended(tmp_path: Path) -> None:
    """By the first limit, 9 s, there would be no time for another case as long as the first one."""
    with started_emulated(**SHORT) as cluster:
        limit = {"time": "00:01:00"}
        project = Project(
            cluster, tmp_path, 3, mode="node", slots=1, chunk=3, slurm=limit, requeue=False
        )
        project.hold(0)
        project.submit()
        project.wait_begun(0)
        cluster.run("scontrol", "update", f"jobid={project.job()}", "timelimit=10")
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() > begun + 6, 60, "two thirds of the first limit")
        project.release(0)
        project.submit("--wait")
        check_whole(project, 3)
        assert project.executions() == {0: 1, 1: 1, 2: 1}
        assert [path.name for path in (project.sweep / "submissions").iterdir()] == ["0001"]


@pytest.mark.slurm
@pytest.mark.soak  # a node counts as down after ten seconds
def test_a_node_that_fails_leaves_the_others_at_work(
    private_slurm: MakeSlurm, tmp_path: Path
) -> None:
    """The node on which the job's script does not run."""
    slurm = private_slurm(slurmd_timeout=10)
    cluster = RealCluster(slurm)
    project = project_of(cluster, tmp_path, "single", 16)
    first, second = range(SLOTS), range(8, 8 + SLOTS)
    project.hold(*first, *second)
    project.submit()
    project.wait_begun(*first, *second)
    batch = cluster.run("squeue", "-h", "-j", project.job(), "-o", "%B").strip()
    nodes = cluster.run("squeue", "-h", "-j", project.job(), "-o", "%N").strip()
    (other,) = {f"n{number}" for number in re.findall(r"\d+", nodes)} - {batch}
    slurm.kill_node(other)
    project.release(*first)
    project.wait_status(
        lambda seen: seen["counts"]["complete"] == 12, "all but those of the node that failed"
    )
    seen = project.wait_status(lambda seen: not seen["tasks"], "the end of the job")
    assert seen["counts"]["interrupted"] == SLOTS
    project.release(*second)
    project.submit("--wait")
    check_whole(project, 16)
