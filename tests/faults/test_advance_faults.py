"""`advance` in a closing job: killed at each of its steps, and refused by sbatch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.killing import Point, kill_at, struck
from tests.support.clusters import WAIT_S, EmulatedCluster, started_emulated
from tests.support.fronted import Fronted
from tests.support.project import CLI_S, Project, check_whole
from tests.support.wait import wait_until

ADVANCE = "*hpcsweep advance *"
# By name: where the kill strikes, and how many arrays the cluster has then. The first one is of
# the submission in front of the closing job.
STEPS = {
    "before the submission": (Point(event="os.rename", matching="* */submissions/0002*"), 1),
    "before the intent": (Point(event="os.link", matching="*/0002/*.intent.json"), 1),
    "before sbatch": (Point(event="subprocess.Popen", matching="*/sbatch *"), 1),
    "after sbatch": (Point(event="os.link", matching="*/0002/*.job.json"), 2),
    "after the job id": (Point(event="os.link", matching="*/0002/*.job.json", after=True), 2),
    "before the closing job": (Point(event="subprocess.Popen", matching="*/sbatch *", nth=2), 2),
    "after the closing job": (Point(event="os.link", matching="*/0002/*.closing.json"), 2),
}
# As sbatch refuses an array above the limit of an association (22.05).
POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
REFUSE = (
    'echo "sbatch: error: AssocMaxSubmitJobLimit" >&2; '
    f'echo "sbatch: error: Batch job submission failed: {POLICY}" >&2; exit 1'
)
# One more than the queue takes at once, beside a closing job.
CASES = 4
USUAL = ("before sbatch", "after sbatch", "before the closing job")


@pytest.fixture(scope="module")
def cluster_of_few() -> Iterator[EmulatedCluster]:
    """One that lets a user queue three array tasks and their closing job."""
    few = {"max_submit_jobs": 4, "account": "physics", "requeue_delay_s": 0.1}
    with started_emulated(**few) as made:
        yield made


@pytest.mark.parametrize(
    "step", [pytest.param(one, marks=[] if one in USUAL else pytest.mark.soak) for one in STEPS]
)
def test_the_next_advance_goes_on(
    cluster_of_few: EmulatedCluster, step: str, tmp_path: Path
) -> None:
    point, arrays = STEPS[step]
    project = Project(cluster_of_few, tmp_path / "project", CASES, chunk=1, retry=2)
    marks = tmp_path / "marks"
    point = Point(**{**vars(point), "program": ADVANCE})
    project.submit(code=0, **kill_at([point], marks))
    wait_until(lambda: struck(marks) == [0], WAIT_S, f"a closing job killed {step}")
    cluster_of_few.emulated.wait_empty()
    assert len(cluster_of_few.arrays(project.job_names)) == arrays

    project.cli("advance", project.name)

    project.wait_status(lambda seen: bool(seen["complete"]), "a complete sweep")
    cluster_of_few.emulated.wait_empty()
    check_whole(project, CASES)
    assert project.executions() == dict.fromkeys(range(CASES), 1)
    assert len(cluster_of_few.arrays(project.job_names)) == 2
    assert f"nothing to submit, {CASES} complete" in project.cli("advance", project.name).stdout


def test_what_was_refused_half_way_is_said_and_follows(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    """Another sweep of the user takes the room between two parts, then it ends."""
    front = Fronted(emulated, tmp_path)
    front.before("scontrol", '"$real" "$@" | sed "s/^MaxArraySize .*/MaxArraySize = 2/"; exit')
    refuses = f'if [ -e {tmp_path}/full ]; then case "$*" in *"array.sbatch 1") {REFUSE};; esac; fi'
    front.before("sbatch", refuses)
    (tmp_path / "full").touch()
    project = Project(front, tmp_path / "project", 4, chunk=1, retry=2)
    project.hold(0)

    said = project.submit(code=6).stderr

    assert "Parts before number 1 of submission 1 were accepted" in said
    assert "the same command sends the rest, and so do closing jobs when these are over" in said
    (tmp_path / "full").unlink()
    project.release(0)
    project.wait_status(lambda seen: bool(seen["complete"]), "a complete sweep")
    check_whole(project, 4)
    assert project.executions() == dict.fromkeys(range(4), 1)
    folder = project.sweep / "submissions" / "0001"
    assert json.loads((folder / "part-0001.void.json").read_bytes())["why"] == "refused"


def test_a_closing_job_that_is_refused_half_way_runs_again(
    cluster_of_few: EmulatedCluster, tmp_path: Path
) -> None:
    """sbatch refuses an array that the limits allowed before; the closing job is requeued."""
    front = Fronted(cluster_of_few, tmp_path)
    # Without retries no closing job is needed for as many as the queue takes.
    cases = CASES + 1
    project = Project(front, tmp_path / "project", cases, chunk=1)
    project.hold(0)
    project.submit()
    front.before("sbatch", f"if mkdir {tmp_path}/refused 2>/dev/null; then {REFUSE}; fi")
    project.release(0)
    wait_until((tmp_path / "refused").exists, CLI_S, "a refused sbatch")
    project.wait_status(lambda seen: bool(seen["complete"]), "a complete sweep")
    check_whole(project, cases)
    assert project.executions() == dict.fromkeys(range(cases), 1)
    log = (project.sweep / "logs/0001/closing-0.log").read_text()
    assert "This closing job has to run again later." in log
