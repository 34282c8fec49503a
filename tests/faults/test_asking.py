"""How often a sweep's cluster is asked: seldom, by however many processes."""

from __future__ import annotations

from pathlib import Path

from hpcsweep.settings import Settings
from tests.support.clusters import EmulatedCluster
from tests.support.fronted import Fronted
from tests.support.project import CLI_S, Project, check_whole

QUERIES = ("squeue", "sacct", "scontrol")


def test_all_watchers_together_ask_once_in_an_interval(
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


def test_what_has_ended_by_its_own_word_is_not_asked_about(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    front = Fronted(emulated, tmp_path)
    project = Project(front, tmp_path / "project", 2)
    project.submit("--wait")
    before = len(front.calls(*QUERIES))
    project.status(HPCSWEEP_QUERY_INTERVAL_S="0")
    project.collect()
    assert len(front.calls(*QUERIES)) == before
