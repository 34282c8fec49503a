"""Workers killed at each of their steps, one array task for each; nothing is lost or run twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.faults.killing import Point, kill_at, struck
from tests.support.clusters import Cluster
from tests.support.project import TARGET, Project, check_whole

WORKER = "*-m hpcsweep.worker *"
INGEST = "*-m hpcsweep.program hpcsweep.store.ingest *"
# The directory of an attempt itself, and the mode that it gets.
ATTEMPT = f"*/.attempts/{16 * '?'}.{16 * '?'} {0o700}"
CHUNK = 3
# Where the worker of each array task ends, mostly in the second of its three cases; and how often
# that case is executed in the end: twice where its outcome was nowhere on disk.
STEPS = {
    "before its journal": (Point(event="open", matching="*/journal/*.jsonl *"), 1),
    "journal made, nothing in it": (
        Point(event="open", matching="*/journal/*.jsonl *", after=True),
        1,
    ),
    "before the first child": (Point(event="os.fork"), 1),
    "begun, no directory": (Point(event="os.mkdir", matching=ATTEMPT, nth=2), 1),
    "an empty directory": (Point(event="os.mkdir", matching=ATTEMPT, nth=2, after=True), 1),
    "params, no metadata": (Point(event="os.rename", matching="* */metadata.json", nth=3), 1),
    "before the last metadata": (Point(event="os.rename", matching="* */metadata.json", nth=4), 2),
    "after the last metadata": (
        Point(event="os.rename", matching="* */metadata.json", nth=4, after=True),
        1,
    ),
    "before its place": (Point(event="os.rename", matching="* */runs/log_*", nth=2), 1),
    "in its place, no end": (
        Point(event="os.rename", matching="* */runs/log_*", nth=2, after=True),
        1,
    ),
    "all ended, no ingest": (Point(event="os.posix_spawn", matching="*hpcsweep.store.ingest*"), 1),
    "ingest started": (
        Point(event="os.posix_spawn", matching="*hpcsweep.store.ingest*", after=True),
        1,
    ),
    "ingest before it opens the index": (Point(event="sqlite3.connect", program=INGEST), 1),
    "ingest in a transaction": (
        Point(event="sql", program=INGEST, matching="INSERT INTO cases *"),
        1,
    ),
    "ingest before its commit": (Point(event="sql", program=INGEST, matching="COMMIT*"), 1),
}

# The target of one more task kills its worker while its second case runs.
KILLS_ITS_WORKER = TARGET.replace(
    "    return",
    f"""\
    import os, signal
    if x == {CHUNK * len(STEPS) + 1} and os.environ.get("SLURM_RESTART_COUNT", "0") == "0":
        try:
            (HERE / "killed").touch(exist_ok=False)
            child = Path(f"/proc/{{os.getppid()}}/stat").read_text()
            os.kill(int(child.rpartition(")")[2].split()[1]), signal.SIGKILL)
        except FileExistsError:
            pass
    return""",
)


def requeue(project: Project) -> None:
    """Start the dead elements again, as a user may who sees them before hpcsweep does."""
    states = project.cluster.states(project.job())
    failed = [f"{project.job()}_{task}" for task, state in states.items() if state == "FAILED"]
    assert len(failed) >= len(STEPS) - 3
    for element in failed:
        project.cluster.run("scontrol", "requeue", element)
    project.submit("--wait")


def submit_again(project: Project) -> None:
    """Submit when the dead tasks have a verdict; their cases are sent at once."""
    project.submit("--wait")


@pytest.mark.parametrize(
    ("cluster", "then"),
    [
        ("emulated", submit_again),
        pytest.param("emulated", requeue, marks=pytest.mark.soak),
        pytest.param("slurm", submit_again, marks=[pytest.mark.slurm, pytest.mark.soak]),
        pytest.param("slurm", requeue, marks=pytest.mark.slurm),
    ],
    indirect=["cluster"],
)
def test_complete_cases_stay_and_the_rest_runs(
    cluster: Cluster, then: Callable[[Project], None], tmp_path: Path
) -> None:
    cases = CHUNK * (len(STEPS) + 1)
    project = Project(
        cluster,
        tmp_path / "project",
        cases,
        tasks_ingest=True,
        chunk=CHUNK,
        target=KILLS_ITS_WORKER,
    )
    marks = tmp_path / "marks"
    points = [replace(point, task=str(task)) for task, (point, _) in enumerate(STEPS.values())]

    points = [replace(p, program=WORKER) if p.program == "*hpcsweep*" else p for p in points]
    project.submit(code=0, **kill_at(points, marks))
    cluster.wait_over(project.job())
    assert struck(marks) == list(range(len(STEPS)))

    then(project)

    check_whole(project, cases)
    twice = [CHUNK * task + 1 for task, (_, times) in enumerate(STEPS.values()) if times == 2]
    expected = dict.fromkeys(range(cases), 1) | dict.fromkeys([*twice, cases - 2], 2)
    assert project.executions() == expected
    before = project.rows()
    project.cli("ingest", project.name, "--rebuild")
    assert project.rows() == before
