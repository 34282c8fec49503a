"""Sweeps through submitit: on Slurm, on this host, and on the scheduler of a plugin."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.killing import Point, kill_at, struck
from tests.support.clusters import Cluster, EmulatedCluster
from tests.support.project import TARGET, Project, check_whole
from tests.support.submitting import PLUGIN, SlurmBySubmitit, WithoutSlurm, tray
from tests.support.wait import wait_until

WAIT_S = 60.0
# A case that fails as long as there is a file `break.X`.
BREAKABLE = TARGET.replace(
    "    return {", "    assert not (HERE / f'break.{x}').exists(), 'broken'\n    return {"
)


@pytest.fixture
def local(tmp_path: Path) -> WithoutSlurm:
    return WithoutSlurm("submitit:local", tmp_path)


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[WithoutSlurm]:
    with tray(tmp_path) as started:
        yield started


# --- this host -----------------------------------------------------------------------------------


def test_a_sweep_on_this_host(local: WithoutSlurm, tmp_path: Path) -> None:
    project = Project(local, tmp_path, 4, target=BREAKABLE, setup=["export LINE=1"])
    (tmp_path / "break.2").touch()
    (tmp_path / "argparse.py").write_text("raise ImportError('not the standard library')")

    done = project.submit("--wait", code=9)

    assert "left out of `slurm:` there: mem, time" in done.stderr
    assert done.stderr.count("left out of") == 1
    statuses = {row["index"]: row["status"] for row in project.collect()}
    assert statuses == {0: "complete", 1: "complete", 2: "failed", 3: "complete"}
    assert (project.sweep / "logs" / ".slot-0").exists(), "chunks wait for their turn"
    logs = project.cli("logs", project.name, "2").stdout
    assert "broken" in logs
    assert "_0_log.out\nsubmitit INFO" in logs, "submitit's own log is shown too"
    assert "nothing to submit" in project.submit().stdout
    assert project.executions() == dict.fromkeys(range(4), 1)

    (tmp_path / "break.2").unlink()
    project.cli("retry", project.name, "--wait")
    check_whole(project, 4)
    assert project.executions()[2] == 2


def test_a_submit_returns_and_a_cancel_ends_what_it_left(
    local: WithoutSlurm, tmp_path: Path
) -> None:
    project = Project(local, tmp_path, 2)
    project.hold(0, 1)
    project.submit("--throttle", "1")
    assert project.status()["tasks"] == {"RUNNING": 2}, "one of them waits for the other's slot"
    assert "under way" in project.submit().stdout, "another process sends nothing"

    wait_until(lambda: bool(project.executions()), WAIT_S, "one case begun")
    project.cli("cancel", project.name)

    folder = str(project.sweep / "logs" / "0001" / "0.submitit")
    assert processes_of(folder) == []
    project.wait_status(lambda seen: seen["reasons"] == {"cancelled": 2}, "the verdict")
    project.release(0, 1)
    project.submit("--wait")
    check_whole(project, 2)


@pytest.mark.soak
def test_the_throttle_holds_without_a_queue(local: WithoutSlurm, tmp_path: Path) -> None:
    project = Project(local, tmp_path, 4, slurm={"cpus-per-task": 1})
    project.hold(0, 1, 2, 3)
    project.submit("--throttle", "1")
    waiting = "hpcsweep: waiting for one of 1 slots"
    wait_until(
        lambda: (seen := submitit_logs(project).count(waiting)) == 3 or str(seen),
        WAIT_S,
        "three chunks that wait for the fourth",
    )
    wait_until(lambda: bool(project.executions()), WAIT_S, "a case begun")
    assert project.executions().total() == 1
    project.release(0, 1, 2, 3)
    project.submit("--wait")
    check_whole(project, 4)


@pytest.mark.parametrize(
    ("point", "code"),
    [
        # submitit's process dies after all jobs were accepted, before their ids are kept.
        (Point(event="os.link", matching="*/jobs.json", program="*submitit.executor submit*"), 7),
        # submit dies after that, before it notes the job id.
        pytest.param(
            Point(event="os.link", matching="*.job.json"), -signal.SIGKILL, marks=pytest.mark.soak
        ),
    ],
    ids=["before the ids", "before the job id"],
)
def test_an_accepted_array_is_found_again(
    local: WithoutSlurm, tmp_path: Path, point: Point, code: int
) -> None:
    project = Project(local, tmp_path / "project", 2)
    local = WithoutSlurm("submitit:local", tmp_path / "project")
    project.cluster = local
    project.hold(0, 1)
    project.submit(code=code, **kill_at([point], tmp_path / "marks"))
    assert struck(tmp_path / "marks") == [0]

    said = project.submit().stdout
    assert "2 cases are under way" in said
    project.release(0, 1)
    project.submit("--wait")
    assert project.executions() == {0: 1, 1: 1}
    assert {row["status"] for row in project.collect()} == {"complete"}


@pytest.mark.soak
def test_jobs_that_died_without_a_record_are_sent_again(
    local: WithoutSlurm, tmp_path: Path
) -> None:
    project = Project(local, tmp_path, 2)
    project.hold(0, 1)
    project.submit()
    project.wait_begun(0)
    for pid in processes_of(str(project.sweep)):
        os.kill(pid, signal.SIGKILL)
    project.wait_status(lambda seen: seen["reasons"].get("lost", 0) > 0, "the verdict")
    project.release(0, 1)
    project.submit("--wait")
    check_whole(project, 2)


# --- Slurm ---------------------------------------------------------------------------------------


def test_a_sweep_on_slurm(cluster: Cluster, tmp_path: Path) -> None:
    project = Project(SlurmBySubmitit(cluster), tmp_path, 3, target=BREAKABLE)
    (tmp_path / "break.1").touch()
    project.submit("--wait", code=9)
    assert project.executions() == {0: 1, 1: 1, 2: 1}

    # One chunk, which submitit hands in as a job that is no array.
    (tmp_path / "break.1").unlink()
    project.cli("retry", project.name, "--wait")
    check_whole(project, 3)


@pytest.mark.soak
def test_a_cancel_on_slurm(cluster: Cluster, tmp_path: Path) -> None:
    project = Project(SlurmBySubmitit(cluster), tmp_path, 1)
    project.hold(0)
    project.submit()
    project.wait_begun(0)
    project.wait_status(lambda seen: seen["tasks"] == {"RUNNING": 1}, "it is seen to run")
    project.cli("cancel", project.name)
    project.wait_status(lambda seen: seen["reasons"] == {"cancelled": 1}, "the verdict")
    project.release(0)
    project.submit("--wait")
    check_whole(project, 1)


@pytest.mark.soak
def test_an_array_that_slurm_took_is_found_by_its_name(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    project = Project(SlurmBySubmitit(emulated), tmp_path / "project", 2)
    point = Point(event="os.link", matching="*.job.json")
    project.submit(code=-signal.SIGKILL, **kill_at([point], tmp_path / "marks"))
    project.submit("--wait")
    check_whole(project, 2)
    assert project.executions() == {0: 1, 1: 1}


@pytest.mark.parametrize(
    "how", ["told before its limit", pytest.param("preempted", marks=pytest.mark.soak)]
)
def test_a_chunk_continues_where_it_stopped(
    emulated: EmulatedCluster, tmp_path: Path, how: str
) -> None:
    project = Project(SlurmBySubmitit(emulated), tmp_path, 6, chunk=3)
    project.hold(1, 4)
    project.submit()
    project.wait_begun(1, 4)
    if how == "preempted":  # by Slurm, which tells it with SIGTERM and starts it again
        emulated.run("scontrol", "requeue", f"{project.job()}_0")
    else:  # as `--signal` does; submitit checkpoints the callable and requeues the job
        emulated.run("scancel", "--signal=USR2", f"{project.job()}_0")
    project.wait_begun(1, times=2)
    project.release(1, 4)
    project.submit("--wait")
    check_whole(project, 6)
    assert project.executions() == {0: 1, 1: 2, 2: 1, 3: 1, 4: 1, 5: 1}
    assert not (project.sweep / "submissions" / "0002").exists(), "nothing was sent again"
    assert restarts(project, 0) == ["0", "1"]


# --- a plugin's scheduler ------------------------------------------------------------------------


def test_a_sweep_on_the_scheduler_of_a_plugin(plugin: WithoutSlurm, tmp_path: Path) -> None:
    project = Project(plugin, tmp_path, 6, chunk=2, slurm={"time": "00:10:00", "partition": "a"})
    project.hold(1)
    project.submit()
    project.wait_begun(1)
    project.wait_status(lambda seen: seen["tasks"] == {"RUNNING": 1}, "the others have ended")
    # It tells the job to end and starts it again by itself.
    (first,) = (tmp_path / "tray").glob("*.job")
    first.with_suffix(".preempt").touch()
    project.wait_begun(1, times=2)
    project.release(1)
    project.submit("--wait")

    check_whole(project, 6)
    assert project.executions() == {0: 1, 1: 2, 2: 1, 3: 1, 4: 1, 5: 1}
    assert restarts(project, 0) == ["0", "1"]


@pytest.mark.soak
def test_a_cancel_on_the_scheduler_of_a_plugin(plugin: WithoutSlurm, tmp_path: Path) -> None:
    project = Project(plugin, tmp_path, 3, slurm={"time": 10})
    project.hold(0, 1, 2)
    project.submit()
    project.wait_begun(0, 1)
    project.wait_status(lambda seen: seen["tasks"] == {"RUNNING": 2, "PENDING": 1}, "the tray's")
    project.cli("cancel", project.name)
    project.wait_status(lambda seen: seen["reasons"] == {"cancelled": 3}, "the verdict")
    project.release(0, 1, 2)
    project.submit("--wait")
    check_whole(project, 3)


@pytest.mark.soak
def test_what_only_the_scheduler_knows_is_left_to_the_user(
    plugin: WithoutSlurm, tmp_path: Path
) -> None:
    project = Project(plugin, tmp_path, 1, slurm={"time": 10})
    point = Point(event="os.link", matching="*/jobs.json", program="*submitit.executor submit*")
    killing = kill_at([point], tmp_path / "marks")
    path = os.pathsep.join([killing["PYTHONPATH"], str(PLUGIN)])
    project.submit(code=7, **killing | {"PYTHONPATH": path})
    wait_until(lambda: bool(project.executions()), WAIT_S, "the job has run")

    said = project.submit(code=6).stderr
    assert "it is not known whether submitit:tray took part 0 of submission 1" in said
    intent = "submissions/0001/part-0000.intent.json"
    assert f"remove {intent}" in said
    (project.sweep / intent).unlink()
    project.submit("--wait")
    assert {row["status"] for row in project.collect()} == {"complete"}


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "keys", "code", "words"),
    [
        ("submitit:", {}, 3, ["'submitit:' is not a kind of cluster", "submitit:EXECUTOR"]),
        ("submitit:abacus", {}, 6, ["no executor 'abacus'", "local, slurm", "plugins"]),
        ("submitit:debug", {}, 6, ["no executor 'debug' that runs jobs by itself"]),
        (
            "submitit:tray",
            {"slurm": {"time": 5, "qos": "high"}},
            3,
            ["slurm: qos", "'tray' has no parameter for 'high'", "Remove it"],
        ),
        ("submitit:tray", {"slurm": {}}, 3, ["slurm: time", "missing or no limit", "slurm.time="]),
        (
            "submitit:local",
            {"chunk": 1},
            3,
            ["chunk", "65 array tasks are more than the 64", "`chunk: 2`"],
        ),
    ],
)
def test_an_impossible_request_gets_one_sentence(
    tmp_path: Path, kind: str, keys: dict[str, Any], code: int, words: list[str]
) -> None:
    environment = {"PYTHONPATH": str(PLUGIN), "TRAY": str(tmp_path)}
    project = Project(WithoutSlurm(kind, tmp_path, **environment), tmp_path, 65, **keys)
    said = project.submit(code=code).stderr
    assert all(word in said for word in words), said
    assert len(said.splitlines()) <= 3, said
    assert not project.sweep.exists(), "nothing is left behind"
    if kind == "submitit:local":
        assert project.submit("--dry-run", code=code).stderr == said


def test_a_throttle_that_an_executor_does_not_know(tmp_path: Path) -> None:
    environment = {"PYTHONPATH": str(PLUGIN), "TRAY": str(tmp_path)}
    cluster = WithoutSlurm("submitit:tray", tmp_path, **environment)
    said = Project(cluster, tmp_path, 2).submit("--throttle", "2", code=3).stderr
    assert "--throttle: submitit's executor 'tray' has no array_parallelism" in said


def test_options_that_slurm_accepts_and_submitit_does_not(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    project = Project(SlurmBySubmitit(emulated), tmp_path, 2, slurm={"time": 5, "ntasks": 2})
    said = project.submit(code=3).stderr
    assert "slurm: ntasks: submitit would start several workers" in said
    project.write(slurm={"time": 5, "partition": "nowhere"})
    said = project.submit(code=6).stderr
    assert "slurm.partition is nowhere, and this cluster has no such partition" in said
    assert not project.sweep.exists(), "nothing is left behind"


def submitit_logs(project: Project) -> str:
    """What the callables of the first submission printed."""
    logs = (project.sweep / "logs" / "0001" / "0.submitit").glob("*_0_log.out")
    return "".join(path.read_text() for path in logs)


def restarts(project: Project, chunk: int) -> list[str]:
    """The restart counts of all starts of a chunk of the first submission."""
    journals = (project.sweep / "journal" / "0001").glob(f"*/{chunk}.*.jsonl")
    return sorted(path.name.split(".")[1] for path in journals)


def processes_of(folder: str) -> list[int]:
    """The processes whose command line holds a text."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if folder.encode() in (place / "cmdline").read_bytes():
                found.append(int(place.name))
        except OSError:
            continue
    return found
