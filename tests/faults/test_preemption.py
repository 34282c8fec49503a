"""Tasks that give way, or are requeued at any moment: no case is lost, and no step repeated."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.emulator import Partition
from tests.support.clusters import BOTH, Cluster, RealCluster, started_emulated
from tests.support.fixtures import Scale, require_slurm
from tests.support.project import Project, check_whole
from tests.support.slurm_cluster import PrivateSlurm
from tests.support.slurm_config import SlurmOptions
from tests.support.wait import wait_until

# A line for each step that was executed; the state is saved behind each. Until there is a file
# `free`, the second step lasts until a stop is requested.
STEPS = """\
import time
from pathlib import Path

HERE = Path(__file__).parent


def run(x, checkpoint):
    state = checkpoint.load() or {"step": 0}
    while state["step"] < 100:
        with (HERE / "steps").open("a") as stream:
            stream.write(f"{x} {state['step']}\\n")
        while state["step"] == 1 and not ((HERE / "free").exists() or checkpoint.requested):
            time.sleep(0.01)
        time.sleep(0.01)
        state["step"] += 1
        checkpoint.save(state)
    return {"square": x * x}
"""
CPUS = 6
# Seconds of GraceTime: longer than any test waits.
NOTICE_S = 300
PREEMPTION = (
    "PreemptType=preempt/partition_prio",
    "PreemptMode=REQUEUE",
    "SlurmctldParameters=preempt_send_user_signal",
    "PartitionName=low Nodes=n1 MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE",
    "PartitionName=gone Nodes=n1 MaxTime=INFINITE PriorityTier=1 PreemptMode=CANCEL",
    f"PartitionName=notice Nodes=n1 MaxTime=INFINITE PriorityTier=1 GraceTime={NOTICE_S}",
    "PartitionName=high Nodes=n1 MaxTime=INFINITE PriorityTier=2",
)


PARTITIONS = (
    Partition(name="low", preempt_mode="REQUEUE"),
    Partition(name="gone", preempt_mode="CANCEL"),
    Partition(name="notice", preempt_mode="REQUEUE", grace_s=NOTICE_S),
    Partition(name="high", priority_tier=2),
)


# Real Slurm and the emulated one answered alike; of each test one of them is asked in every run.
FIRST_EMULATED = ("emulated", pytest.param("slurm", marks=[pytest.mark.slurm, pytest.mark.soak]))
FIRST_SLURM = (pytest.param("emulated", marks=pytest.mark.soak), BOTH[1])


@pytest.fixture(scope="module")
def preempting(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Each of the two clusters in turn, of one node, with partitions that preempt each other."""
    if request.param == "slurm":
        require_slurm()
        options = SlurmOptions(nodes=1, cpus=CPUS, extra=PREEMPTION)
        with PrivateSlurm(options) as slurm:
            yield RealCluster(slurm)
        return
    how = {"preempt_send_user_signal": True, "requeue_delay_s": 1.0}
    with started_emulated(nodes=1, cpus=CPUS, partitions=PARTITIONS, **how) as cluster:
        yield cluster


# --- what a job sees of it -----------------------------------------------------------------------

# What a batch shell receives, and in which run.
RECEIVES = """\
trap 'echo TERM; exit 0' TERM
trap 'echo USR2; ON_USR2' USR2
echo run ${SLURM_RESTART_COUNT:-0}
[ -z "$SLURM_RESTART_COUNT" ] || exit 0
while :; do sleep 0.05; done
"""


def submitted(cluster: Cluster, root: Path, partition: str, on_usr2: str, *options: str) -> str:
    """The id of a job that writes what it receives."""
    argv = ("sbatch", "--parsable", f"--partition={partition}", "--signal=B:USR2@10")
    output = (f"--output={root}/{partition}.%a", "--open-mode=append")
    script = RECEIVES.replace("ON_USR2", on_usr2)
    return cluster.run(*argv, *output, *options, f"--wrap={script}").strip()


def preempt(cluster: Cluster, root: Path) -> None:
    """Run a job that needs all CPUs, and wait until it runs."""
    out = root / "high.out"
    argv = ("sbatch", "--partition=high", f"--ntasks={CPUS}", f"--output={out}", "--wrap")
    cluster.run(*argv, "echo here")
    wait_until(lambda: out.exists() and "here" in out.read_text(), 60, "the job of the higher tier")


def received(path: Path) -> list[str]:
    """What a job wrote, without what Slurm and the shell say of it."""
    text = path.read_text() if path.exists() else ""
    return [line for line in text.splitlines() if line.startswith(("run ", "TERM", "USR2"))]


@pytest.mark.parametrize("preempting", FIRST_EMULATED, indirect=True)
def test_what_a_preempted_job_receives(preempting: Cluster, tmp_path: Path) -> None:
    """Without a grace USR2 comes right before TERM; a batch shell may handle them in any order."""
    low = submitted(preempting, tmp_path, "low", ":", "--array=0-1")
    gone = submitted(preempting, tmp_path, "gone", ":", "--array=0")
    argv = ("--array=0-1", "--requeue")
    requeue = "scontrol requeue ${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
    notice = submitted(preempting, tmp_path, "notice", requeue, *argv)
    names = ("low.0", "low.1", "gone.0", "notice.0", "notice.1")
    wait_until(lambda: all(received(tmp_path / name) for name in names), 60, "five running jobs")

    preempt(preempting, tmp_path)

    for job in (low, gone, notice):
        preempting.wait_over(job)
    told = {name: received(tmp_path / name) for name in names}
    assert {name: sorted(lines) for name, lines in told.items()} == {
        "low.0": ["TERM", "USR2", "run 0", "run 1"],
        "low.1": ["TERM", "USR2", "run 0", "run 1"],
        "gone.0": ["TERM", "USR2", "run 0"],
        "notice.0": ["TERM", "USR2", "run 0", "run 1"],
        "notice.1": ["TERM", "USR2", "run 0", "run 1"],
    }
    assert preempting.states(gone) == {0: "PREEMPTED"}
    assert set(preempting.states(low).values()) == {"COMPLETED"}
    assert set(preempting.states(notice).values()) == {"COMPLETED"}


@pytest.mark.parametrize("preempting", FIRST_EMULATED, indirect=True)
def test_a_requeue_of_one_element(preempting: Cluster, tmp_path: Path) -> None:
    job = submitted(preempting, tmp_path, "low", ":", "--array=0-2")
    files = [tmp_path / f"low.{task}" for task in range(3)]
    wait_until(lambda: all(map(received, files)), 60, "three running jobs")
    preempting.run("scontrol", "requeue", f"{job}_1")
    wait_until(lambda: "run 1" in received(files[1]), 60, "the second run")
    assert [received(path) for path in files] == [["run 0"], ["run 0", "TERM", "run 1"], ["run 0"]]
    preempting.run("scancel", job)
    preempting.wait_over(job)
    with_end = [["run 0", "TERM"], ["run 0", "TERM", "run 1"], ["run 0", "TERM"]]
    assert [received(path) for path in files] == with_end


# --- sweeps --------------------------------------------------------------------------------------


def steps(project: Project) -> Counter[str]:
    """How often each step of each case was executed."""
    path = project.root / "steps"
    return Counter(path.read_text().splitlines() if path.exists() else ())


def wait_started(project: Project, *cases: int) -> None:
    """Wait until each of these cases is at its second step."""
    wanted = {f"{case} 1" for case in cases}
    wait_until(lambda: wanted <= steps(project).keys() or str(steps(project)), 60, f"{wanted}")


def wait_steps(project: Project, more: int) -> None:
    """Wait until all cases together have made so many more steps."""
    wanted = steps(project).total() + more
    wait_until(lambda: steps(project).total() >= wanted, 120, f"{wanted} steps")


def wait_running(project: Project) -> list[int]:
    """The tasks that run; at least one."""

    def running() -> list[int] | str:
        seen = project.cluster.states(project.job())
        return [task for task, state in seen.items() if state == "RUNNING"] or str(seen)

    return wait_until(running, 120, "a running task")


def journals(project: Project) -> list[Path]:
    """The journal of each start of a task."""
    return [*(project.sweep / "journal").glob("*/[0-9]*/*.jsonl")]


def check_steps(project: Project, cases: int) -> None:
    """Every step was executed once, and of each start of a case at most the last one twice."""
    seen = steps(project)
    assert len(seen) == 100 * cases
    starts = sum(path.read_text().count('"kind":"begin"') for path in journals(project))
    assert seen.total() <= 100 * cases + starts - cases, [s for s in seen.items() if s[1] > 1]


def started(cluster: Cluster, root: Path, partition: str) -> Project:
    """A sweep of two tasks in a partition, both at work."""
    slurm = {"time": "01:00:00", "mem": "100M", "partition": partition}
    project = Project(cluster, root / partition, 4, chunk=2, target=STEPS, slurm=slurm)
    project.submit()
    wait_started(project, 0, 2)
    return project


@pytest.mark.parametrize("preempting", FIRST_SLURM, indirect=True)
def test_preemption_in_every_mode(preempting: Cluster, tmp_path: Path) -> None:
    low, gone, notice = (started(preempting, tmp_path, name) for name in ("low", "gone", "notice"))
    preempt(preempting, tmp_path)
    for project in (low, gone, notice):
        (project.root / "free").touch()
    preempting.wait_over(gone.job())
    gone.wait_status(lambda seen: seen["reasons"] == {"preempted": 4}, "the verdict")
    gone.submit("--wait")
    for project in (low, notice):  # Slurm requeues the one, the other asks for it
        project.submit("--wait")
        assert [path.name for path in (project.sweep / "submissions").iterdir()] == ["0001"]
        assert all(row["restart"] for row in project.rows().values())
    for project in (low, gone, notice):
        check_whole(project, 4)
        check_steps(project, 4)


@pytest.mark.parametrize("preempting", FIRST_EMULATED, indirect=True)
def test_a_preempted_job_of_a_whole_node(preempting: Cluster, tmp_path: Path) -> None:
    """Its cases save their state, and it has itself requeued."""
    slurm = {"time": "01:00:00", "partition": "notice", "nodes": 1}
    keys: dict[str, Any] = {"mode": "node", "slots": 2, "chunk": 1, "slurm": slurm}
    project = Project(preempting, tmp_path / "node", 3, target=STEPS, **keys)
    project.submit()
    wait_started(project, 0, 1)
    preempt(preempting, tmp_path)
    (project.root / "free").touch()
    project.submit("--wait")
    assert [path.name for path in (project.sweep / "submissions").iterdir()] == ["0001"]
    assert all(row["restart"] for row in project.rows().values())
    check_whole(project, 3)
    check_steps(project, 3)


@pytest.mark.parametrize("preempting", FIRST_SLURM, indirect=True)
def test_requeues_at_random_times(preempting: Cluster, tmp_path: Path, scale: Scale) -> None:
    """A task is requeued whenever all of them have made some more steps."""
    times, chunk = scale(3, 50), scale(2, 10)
    cases = CPUS * chunk
    slurm = {"time": "01:00:00", "mem": "100M", "partition": "low"}
    project = Project(preempting, tmp_path, cases, chunk=chunk, target=STEPS, slurm=slurm)
    (project.root / "free").touch()
    project.submit()
    chance = random.Random(times)
    for _ in range(times):
        wait_steps(project, chance.randint(1, 20))
        task = chance.choice(wait_running(project))
        preempting.run("scontrol", "requeue", f"{project.job()}_{task}", check=False)
    project.submit("--wait")
    assert [path.name for path in (project.sweep / "submissions").iterdir()] == ["0001"]
    check_whole(project, cases)
    check_steps(project, cases)
