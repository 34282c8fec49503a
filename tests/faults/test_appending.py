"""`Sweep.append`: while cases run, from two processes at once, and killed between two writes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from hpcsweep.sweepdir.directory import SweepDirectory
from tests.faults.killing import Point, kill_at, struck
from tests.support.clusters import EmulatedCluster
from tests.support.project import CLI_S, Project

APPEND = """\
import json, sys
import hpcsweep as hs
done = hs.Sweep("sweep").append([{"x": x} for x in json.loads(sys.argv[1])])
print(json.dumps([done.outlook.version.source.n_cases, len(done.plans)]))
"""


@pytest.fixture
def project(emulated: EmulatedCluster, tmp_path: Path) -> Project:
    """A sweep whose cases are listed: x = 0 and 1."""
    return Project(emulated, tmp_path / "project", 0, source={"manual": [{"x": 0}, {"x": 1}]})


def appending(project: Project, *xs: int, **more: str) -> subprocess.Popen[str]:
    """A process that appends cases."""
    return subprocess.Popen(
        [sys.executable, "-c", APPEND, json.dumps(xs)],
        cwd=project.root,
        env=project.env(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def append(project: Project, *xs: int) -> list[int]:
    """Append cases. Returns how many there are, and how many submissions it made."""
    out, err = appending(project, *xs).communicate(timeout=CLI_S)
    assert "Traceback" not in err, err
    counts: list[int] = json.loads(out.splitlines()[-1])
    return counts


def wait_complete(project: Project, count: int) -> None:
    """Wait until so many cases are complete."""
    project.wait_status(lambda seen: seen["counts"]["complete"] == count, f"{count} complete")


def squares(project: Project) -> list[tuple[int, int]]:
    """The index and x of every complete case."""
    return [(row["index"], row["x"]) for row in project.collect() if row["square"] == row["x"] ** 2]


def test_cases_are_appended_while_others_run(project: Project) -> None:
    project.hold(0, 1)
    project.submit("--cluster", "emulated")
    project.wait_begun(0, 1)
    assert append(project, 5, 1, 7) == [4, 1]  # 1 is there already
    project.release(0, 1)
    assert append(project, 7, 5) == [4, 0]
    wait_complete(project, 4)
    assert squares(project) == [(0, 0), (1, 1), (2, 5), (3, 7)]
    assert project.executions() == Counter([0, 1, 5, 7])
    sweep = SweepDirectory.open(project.sweep)
    assert [sweep.plan(number)[0].indices.count for number in sweep.submissions()] == [2, 2]


def test_two_processes_append_at_once(project: Project) -> None:
    project.submit("--cluster", "emulated", "--wait")
    both = [appending(project, 5, 6), appending(project, 6, 7)]
    for one in both:
        _, err = one.communicate(timeout=CLI_S)
        assert one.returncode == 0, err
    wait_complete(project, 5)
    found = squares(project)
    assert [index for index, _ in found] == [0, 1, 2, 3, 4]
    assert sorted(x for _, x in found) == [0, 1, 5, 6, 7]
    assert project.executions() == Counter([0, 1, 5, 6, 7])


# Before and after the new version of the manifest is there, before the submission is, and between
# sbatch and the job id.
POINTS = {
    "version": Point(event="os.rename", matching="* */manifests/*", program="*"),
    "after-version": Point(event="os.rename", matching="* */manifests/*", program="*", after=True),
    "submission": Point(event="os.rename", matching="* */submissions/*", program="*"),
    "job-id": Point(event="os.link", matching="*/part-*.job.json", program="*"),
}


@pytest.mark.parametrize("point", POINTS.values(), ids=POINTS)
def test_an_append_that_was_killed_is_repeated(
    project: Project, point: Point, tmp_path: Path
) -> None:
    project.submit("--cluster", "emulated", "--wait")
    marks = tmp_path / "marks"
    killed = appending(project, 5, 6, **kill_at([point], marks))
    killed.communicate(timeout=CLI_S)
    assert killed.returncode == -signal.SIGKILL
    assert struck(marks) == [0]
    assert append(project, 5, 6, 7)[0] == 5
    wait_complete(project, 5)
    assert squares(project) == [(0, 0), (1, 1), (2, 5), (3, 6), (4, 7)]
    assert project.executions() == Counter([0, 1, 5, 6, 7])
