"""`submit` killed at each of its steps: the next one resolves it, and sends nothing twice."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.faults.killing import Point, kill_at, struck
from tests.support.clusters import Cluster, EmulatedCluster
from tests.support.fronted import Fronted
from tests.support.project import CLI_S, Project, check_whole

# By name: where the kill strikes, and how many arrays the cluster has then.
STEPS = {
    "before the manifest": (Point(event="os.rename", matching="* */manifests/*"), 0),
    "after the manifest": (Point(event="os.rename", matching="* */manifests/*", after=True), 0),
    "before the submission": (Point(event="os.rename", matching="* */submissions/0001*"), 0),
    "before the intent": (Point(event="os.link", matching="*.intent.json"), 0),
    "before sbatch": (Point(event="subprocess.Popen", matching="*/sbatch *"), 0),
    "after sbatch": (Point(event="os.link", matching="*.job.json"), 1),
    "after the job id": (Point(event="os.link", matching="*.job.json", after=True), 1),
}


def killed_submit(project: Project, point: Point, marks: Path) -> None:
    """A submit that ends at `point`."""
    project.submit(code=-signal.SIGKILL, **kill_at([point], marks))
    assert struck(marks) == [0]


# Until sbatch there is no difference between clusters.
AT_THE_CLUSTER = ("before sbatch", "after sbatch", "after the job id")


@pytest.mark.parametrize(
    ("cluster", "step"),
    [("emulated", step) for step in STEPS]
    + [
        pytest.param(
            "slurm",
            step,
            marks=[pytest.mark.slurm, *([] if step in AT_THE_CLUSTER else [pytest.mark.soak])],
        )
        for step in STEPS
    ],
    indirect=["cluster"],
)
def test_the_next_submit_completes_it(cluster: Cluster, step: str, tmp_path: Path) -> None:
    point, arrays = STEPS[step]
    project = Project(cluster, tmp_path / "project", 3, chunk=3)

    killed_submit(project, point, tmp_path / "marks")

    before = cluster.arrays(project.job_names)
    assert len(before) == arrays
    project.submit("--wait")
    check_whole(project, 3)
    assert project.executions() == dict.fromkeys(range(3), 1)
    after = cluster.arrays(project.job_names)
    assert len(after) == 1
    assert after[:arrays] == before
    assert not list(project.sweep.glob("*/.*.*")), "what was only begun is removed"


def test_the_second_part_is_sent_again_alone(emulated: EmulatedCluster, tmp_path: Path) -> None:
    """Of two parts, the kill leaves one on the cluster and one with nothing but an intent."""
    front = Fronted(emulated, tmp_path)
    front.before("scontrol", '"$real" "$@" | sed "s/^MaxArraySize .*/MaxArraySize = 3/"; exit')
    project = Project(front, tmp_path / "project", 4, chunk=1)

    killed_submit(
        project, Point(event="subprocess.Popen", matching="*/sbatch *", nth=2), tmp_path / "marks"
    )

    assert len(emulated.arrays(project.job_names)) == 1
    project.submit("--wait")
    check_whole(project, 4)
    assert project.executions() == dict.fromkeys(range(4), 1)
    names = {path.name for path in (project.sweep / "submissions" / "0001").glob("part-*")}
    assert names == {
        "part-0000.intent.json",
        "part-0000.job.json",
        "part-0001.intent.json",
        "part-0001.void.json",
    }
    plan = json.loads((project.sweep / "submissions" / "0002" / "plan.json").read_bytes())
    assert plan["indices"] == [[2, 4]]


def test_an_array_that_arrives_late_is_waited_for(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    """sbatch outlives the submit that started it, and succeeds while the next one looks."""
    front = Fronted(emulated, tmp_path)
    gate = tmp_path / "gate"
    front.before("sbatch", f"kill -9 $PPID; until [ -e {gate} ]; do sleep 0.05; done")
    project = Project(front, tmp_path / "project", 2)
    project.submit(code=-signal.SIGKILL)
    front.before("sbatch", "")

    with project.start("submit", "manifest.json", "--wait", HPCSWEEP_UNANSWERED_S="60") as again:
        assert again.stderr is not None
        assert "waiting" in again.stderr.readline()
        gate.touch()
        assert again.wait(CLI_S) == 0

    assert len(front.calls("sbatch")) == 1
    check_whole(project, 2)


def test_an_array_that_only_its_journal_proves(tmp_path: Path, emulated: EmulatedCluster) -> None:
    """Queue and accounting lack its name, as after MinJobAge where there is no accounting."""
    front = Fronted(emulated, tmp_path)
    project = Project(front, tmp_path / "project", 2)
    killed_submit(project, STEPS["after sbatch"][0], tmp_path / "marks")
    (job,) = emulated.arrays(project.job_names)
    emulated.wait_over(job)

    front.before("squeue", "exit 0")
    front.before("sacct", 'echo "Slurm accounting storage is disabled" >&2; exit 1')
    project.submit("--wait")

    assert len(front.calls("sbatch")) == 1
    assert project.job() == job
    assert project.executions() == {0: 1, 1: 1}
    assert len(project.rows()) == 2


@pytest.mark.parametrize("program", ["squeue", "sacct"])
def test_a_failed_query_is_not_an_answer(
    emulated: EmulatedCluster, program: str, tmp_path: Path
) -> None:
    """While queue or accounting do not answer, a part without a job id is never sent again."""
    front = Fronted(emulated, tmp_path)
    project = Project(front, tmp_path / "project", 2)
    killed_submit(project, STEPS["before sbatch"][0], tmp_path / "marks")

    front.before(program, "echo 'Problem talking to the database' >&2; exit 1")
    project.submit(code=7, HPCSWEEP_UNANSWERED_S="0")

    assert front.calls("sbatch") == []
    front.before(program, "")
    project.submit("--wait", HPCSWEEP_UNANSWERED_S="0")
    check_whole(project, 2)
