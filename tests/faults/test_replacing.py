"""`submit --replace`: waiting tasks with other options are cancelled and sent anew; others stay."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.killing import Point, kill_at, struck
from tests.support.clusters import Cluster, EmulatedCluster
from tests.support.fronted import Fronted
from tests.support.project import Project, check_whole

OLD, NEW = {"time": "02:00:00", "mem": "100M"}, {"time": "00:10:00", "mem": "100M"}
TOLD = "3 queued array tasks of submission 1 were sent with other options"
CHANGE = "(time 02:00:00 -> 00:10:00)"


def waiting(cluster: Cluster, root: Path) -> Project:
    """A sweep of which one task runs, three wait, and whose manifest asks for less time now."""
    project = Project(cluster, root, 4, chunk=1, slurm=OLD)
    project.hold(0)
    project.submit("--throttle", "1")
    project.wait_begun(0)
    project.write(slurm=NEW)
    return project


def indices(project: Project, submission: int) -> Any:
    """The indices of a submission."""
    path = project.sweep / "submissions" / f"{submission:04d}" / "plan.json"
    return json.loads(path.read_bytes())["indices"]


def test_queued_tasks_with_old_options_are_replaced(cluster: Cluster, tmp_path: Path) -> None:
    project = waiting(cluster, tmp_path)

    # Reading commands and a submit without cases say so, and how to replace the tasks.
    for command in (("plan",), ("submit", "--dry-run"), ("submit",)):
        done = project.cli(command[0], "manifest.json", *command[1:])
        assert f"{TOLD} {CHANGE}; --replace cancels them and sends their cases anew" in done.stdout
    assert "nothing to submit, 4 cases are under way" in done.stdout

    done = project.submit("--replace")

    assert "3 queued array tasks were cancelled, to be sent anew" in done.stderr
    assert "other options" not in done.stdout
    assert indices(project, 2) == [[1, 4]]
    assert project.cluster.states(project.job())[0] == "RUNNING"
    assert "nothing to submit" in project.submit("--replace").stdout
    project.release(0)
    project.submit("--wait")
    check_whole(project, 4)
    assert project.executions() == dict.fromkeys(range(4), 1)
    assert not (project.sweep / "submissions" / "0003").exists()


def test_from_python(emulated: EmulatedCluster, tmp_path: Path) -> None:
    project = waiting(emulated, tmp_path)
    script = (
        'import hpcsweep as hs; sweep = hs.Sweep(manifest="manifest.json")\n'
        "print(sweep.submit().replaceable.n_tasks)\n"
        "done = sweep.submit(replace=True)\n"
        "print(done.plan.indices.count, done.replaceable)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env=emulated.env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["3", "3", "None"], done.stderr
    project.release(0)


@pytest.mark.parametrize(
    ("point", "arrays"),
    [
        (Point(event="subprocess.Popen", matching="*/scancel *"), 1),
        (Point(event="open", matching="*/commands/*"), 1),
        (Point(event="os.rename", matching="* */submissions/0002*"), 1),
        (Point(event="os.link", matching="*0002/part-0000.job.json"), 2),
    ],
    ids=["before the order", "before it is noted", "before the submission", "before the job id"],
)
def test_a_kill_at_any_step(
    emulated: EmulatedCluster, tmp_path: Path, point: Point, arrays: int
) -> None:
    project = waiting(emulated, tmp_path / "project")
    marks = tmp_path / "marks"
    project.submit("--replace", code=-signal.SIGKILL, **kill_at([point], marks))
    assert struck(marks) == [0]
    assert len(emulated.arrays(project.job_names)) == arrays

    project.submit("--replace")
    project.release(0)
    project.submit("--wait")

    check_whole(project, 4)
    assert project.executions() == dict.fromkeys(range(4), 1)
    assert len(emulated.arrays(project.job_names)) == 2


def test_the_same_options_replace_nothing(emulated: EmulatedCluster, tmp_path: Path) -> None:
    project = waiting(emulated, tmp_path)
    project.write(slurm=OLD)
    done = project.submit("--replace")
    assert "nothing to submit, 4 cases are under way" in done.stdout
    assert "other options" not in done.stdout
    project.release(0)


def test_after_a_cancel_submit_gives_the_earliest_time(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    front = Fronted(emulated, tmp_path)  # on a cluster of one's own nobody is kept waiting
    project = waiting(front, tmp_path / "project")
    project.cli("cancel", project.name)
    project.release(0)

    before = int(time.time())
    done = project.submit(HPCSWEEP_GRACE_S="600")
    after = int(time.time())

    assert "cases are under way" in done.stdout
    (line,) = [one for one in done.stdout.splitlines() if "were cancelled" in one]
    # The cancel polled the queue, or this command does.
    moments = [time.localtime(moment + 600) for moment in range(before - 120, after + 2)]
    assert any(f"from {time.strftime('%H:%M:%S', one)} on" in line for one in moments), line
    assert len(front.calls("sbatch")) == 1


def test_after_a_cancel_one_may_wait_for_it(emulated: EmulatedCluster, tmp_path: Path) -> None:
    project = waiting(emulated, tmp_path)
    project.cli("cancel", project.name)
    project.release(0)
    done = project.submit("--wait")
    check_whole(project, 4)
    # In one submission or in two: of the task that ran the end is certain later than of the others.
    # Its case may have ended before the task did.
    sent = re.findall(r"submission \d+, (\d+) cases?", done.stdout)
    assert sum(map(int, sent)) == project.executions().total() - 1
