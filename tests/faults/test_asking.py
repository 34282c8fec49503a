"""How often a sweep's cluster is asked: seldom, by however many processes."""

from __future__ import annotations

from pathlib import Path

from hpcsweep.settings import Settings
from tests.support.clusters import Cluster, EmulatedCluster
from tests.support.fronted import Fronted
from tests.support.project import CLI_S, Project, check_whole

QUERIES = ("squeue", "sacct", "scontrol")


def test_all_watchers_together_poll_once_per_interval(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    assert Settings().query_interval_s >= 60
    front = Fronted(emulated, tmp_path)
    project = Project(front, tmp_path / "project", 2)
    project.hold(0)
    project.submit()
    project.wait_begun(0)
    before = len(front.calls(*QUERIES))
    interval_s = 5.0
    patient = {"HPCSWEEP_QUERY_INTERVAL_S": str(interval_s)}

    with project.start("submit", "manifest.json", "--wait", **patient) as watcher:
        for _ in range(8):
            project.status(**patient)
        times = [call.time for call in front.calls(*QUERIES)[before:]]
        project.release(0)
        watcher.communicate(timeout=CLI_S)
        assert watcher.returncode == 0

    # The second submit asks the cluster for its limits, whoever asks first for its name. The time
    # of a question is kept before the program starts, its own log line comes a little later.
    assert len(times) - 2 <= (times[-1] - times[0]) / interval_s + 2
    check_whole(project, 2)


def test_a_task_with_an_end_record_is_not_polled(emulated: EmulatedCluster, tmp_path: Path) -> None:
    front = Fronted(emulated, tmp_path)
    project = Project(front, tmp_path / "project", 2)
    project.submit("--wait")
    before = len(front.calls(*QUERIES))
    project.status(HPCSWEEP_QUERY_INTERVAL_S="0")
    project.collect()
    assert len(front.calls(*QUERIES)) == before


def test_the_reason_of_waiting_tasks_is_shown(cluster: Cluster, tmp_path: Path) -> None:
    project = Project(cluster, tmp_path, 2, chunk=1, slurm={"time": 5, "hold": True})
    with project.start("submit", "manifest.json", "--wait") as watcher:
        assert watcher.stderr is not None
        lines = iter(watcher.stderr.readline, "")
        assert "scontrol release" in next(line for line in lines if "JobHeldUser" in line)
        seen = project.status()
        assert seen["tasks"] == {"PENDING": 2}
        assert seen["waiting"]["JobHeldUser"]["tasks"] == 2
        assert not seen["waiting"]["JobHeldUser"]["starts_by_itself"]
        assert "2 waiting (JobHeldUser): held" in project.cli("status", project.name).stdout
        cluster.run("scontrol", "release", project.job())
        assert watcher.wait(CLI_S) == 0
    assert project.status()["waiting"] == {}


def test_a_task_sent_after_the_last_poll_is_not_gone(cluster: Cluster, tmp_path: Path) -> None:
    seldom = {"HPCSWEEP_QUERY_INTERVAL_S": "1000", "HPCSWEEP_GRACE_S": "0"}
    if cluster.kind == "emulated":  # one's own cluster is asked every 2 s: look at it as at another
        cluster = Fronted(cluster, tmp_path)
    project = Project(cluster, tmp_path / "project", 2, chunk=1)
    project.hold(*range(5))
    project.submit(code=0, **seldom)
    project.wait_begun(0, 1)
    assert project.status(**seldom)["tasks"].keys() <= {"RUNNING", "PENDING"}
    project.write(source={"grid": {"x": list(range(5))}})
    project.submit(code=0, **seldom)
    project.wait_begun(2, 3, 4)
    seen = project.status(**seldom)["tasks"]
    assert seen.pop("sent") == 3
    assert sum(seen.values()) == 2
    assert "gone" not in seen
    project.release(*range(5))
    project.submit("--wait")
    check_whole(project, 5)
