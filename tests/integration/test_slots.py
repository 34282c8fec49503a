"""Tasks of several slots on a cluster: nothing is lost, and nothing runs into the time limit."""

from __future__ import annotations

import os
import random
import signal
from datetime import datetime
from pathlib import Path
from typing import cast

import pytest

from hpcsweep.journal import read
from tests.support.clusters import RealCluster, started_emulated
from tests.support.fixtures import MakeSlurm
from tests.support.journals import Record
from tests.support.project import TARGET, Project, check_whole
from tests.support.slurm_cluster import PrivateSlurm
from tests.support.wait import wait_until

SLOTS = 10
# Each case tells its process, that of its child and that of the worker.
TELLING = TARGET.replace(
    "    while",
    """\
    import os
    child = os.getppid()
    worker = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1]
    with (HERE / "pids").open("a") as stream:
        stream.write(f"{os.getpid()} {child} {worker}\\n")
    time.sleep(0.05)
    while""",
)


def test_ten_slots_lose_nothing_whoever_is_killed(tmp_path: Path) -> None:
    """Cases and their children are killed at random, and the worker once, among ten slots."""
    count, chance = 60, random.Random(7)
    with started_emulated(cpus=SLOTS, requeue_delay_s=0.2) as cluster:
        project = Project(
            cluster,
            tmp_path,
            count,
            target=TELLING,
            chunk=count,
            slots=SLOTS,
            slurm={"time": "00:10:00", "mem": "1G"},
            retry={"max_attempts": 9, "on": ["signal", "lost", "node_fail", "terminated"]},
        )
        project.hold(*range(0, count, 6))  # so that all slots have a case when they are killed
        project.submit()
        project.wait_begun(0, 6, 12)
        for _ in range(5):
            kill(project, chance.choice(pids(project))[1])
            kill(project, chance.choice(pids(project))[0])
        kill(project, pids(project)[0][2])
        project.release(*range(0, count, 6))
        wait_until(
            lambda: (seen := project.status())["counts"]["complete"] == count or str(seen),
            240,
            "all complete",
            poll_s=0.5,
        )
        check_whole(project, count)


def pids(project: Project) -> list[list[int]]:
    """The process ids of each begun case: its own, its child's and its worker's."""
    lines = (project.root / "pids").read_text().splitlines()
    return [[int(pid) for pid in line.split()] for line in lines if line.count(" ") == 2]


def kill(project: Project, pid: int) -> None:
    """Kill a process of this sweep, if it still is one."""
    try:
        if str(project.root).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        return


# Two cases that end only if both run at once.
MEETING = """\
import os, time
from pathlib import Path

HERE = Path(__file__).parent

def run(x):
    (HERE / f"begun.{x}").touch()
    deadline = time.monotonic() + 60
    while not (HERE / f"begun.{1 - x}").exists():
        assert time.monotonic() < deadline, "it is alone"
        time.sleep(0.02)
    return {
        "gpus": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "threads": os.environ["OMP_NUM_THREADS"],
        "cpus": sorted(os.sched_getaffinity(0)),
    }
"""


@pytest.mark.slurm
def test_two_slots_of_a_real_task(slurm: PrivateSlurm, tmp_path: Path) -> None:
    project = Project(RealCluster(slurm), tmp_path, 2, target=MEETING, chunk=2, slots=2)
    project.submit("--wait")
    rows = project.collect()
    assert [row["threads"] for row in rows] == ["1", "1"]
    first, second = (row["cpus"] for row in rows)
    assert first == second or not set(first) & set(second)  # bound where Slurm binds the task
    (task,) = {row["host"] for row in rows}
    assert task


def test_each_slot_has_a_gpu_of_its_own(tmp_path: Path) -> None:
    with started_emulated(gres="gpu:4") as cluster:
        project = Project(
            cluster,
            tmp_path,
            2,
            target=MEETING,
            slurm={"gres": "gpu:2", "cpus-per-task": 4, "time": "00:10:00", "mem": "1G"},
            gpus_per_case=1,
        )
        project.submit("--wait")
        rows = project.collect()
    assert sorted(row["gpus"] for row in rows) == ["0", "1"]
    assert [row["threads"] for row in rows] == ["2", "2"]


# As MEETING, for `sh -c`.
STEP = """\
touch begun.$1
for _ in $(seq 600); do [ -e begun.$((1 - $1)) ] && break; sleep 0.1; done
[ -e begun.$((1 - $1)) ] && echo "$SLURM_STEP_GPUS" > gpus.$1"""


@pytest.mark.slurm
def test_steps_of_slots_share_gpus_that_were_asked_for_by_type(
    private_slurm: MakeSlurm, tmp_path: Path
) -> None:
    """srun refuses a GPU without a type beside one with it, and starts the steps at once."""
    slurm = private_slurm(nodes=1, gpus=2, gpu_type="a100", accounting=False)
    project = Project(
        RealCluster(slurm),
        tmp_path,
        2,
        chunk=2,
        slurm={"gpus-per-node": "a100:2", "cpus-per-gpu": 1, "mem": "100M", "time": "00:10:00"},
        gpus_per_case=1,
    )
    del project.manifest["target"]
    project.write(command=["srun", "sh", "-c", STEP, "sh", "{x}"])
    project.submit("--wait")
    assert [row["status"] for row in project.collect()] == ["complete"] * 2
    assert {(project.root / f"gpus.{x}").read_text() for x in (0, 1)} == {"0\n", "1\n"}


# The first case of a task takes 4 s, so no other one begins in the last 6 s before the warning. The
# others take half a second, which leaves more than 5 s to a machine that stands still.
SLOW_FIRST = TARGET.replace(
    "    while",
    """\
    import os
    try:
        (HERE / f"task.{os.environ['SLURM_JOB_ID']}").mkdir()
        time.sleep(4.0)
    except FileExistsError:
        time.sleep(0.5)
    while""",
)


def test_no_case_runs_into_the_time_limit(tmp_path: Path) -> None:
    """The sweep needs several starts; each leaves what does not fit to the next."""
    count = 24
    with started_emulated(cpus=2, time_scale=0.2, requeue_delay_s=0.2) as cluster:
        project = Project(
            cluster,
            tmp_path,
            count,
            target=SLOW_FIRST,
            chunk=count,
            slots=2,
            slurm={"time": "00:01:00", "mem": "100M"},
            retry={"max_attempts": 2},
        )
        project.submit()
        wait_until(
            lambda: (seen := project.status())["counts"]["complete"] == count or str(seen),
            240,
            "all complete",
            poll_s=0.5,
        )
        assert len(list(project.sweep.glob("journal/*/*/*.jsonl"))) > 1, "one start ran all"
        assert set(project.executions().values()) == {1}
        check_whole(project, count)


# A third of the time of three minutes, since Slurm's limits are minutes.
SCALE = 1 / 3
UNEVEN = TARGET.replace(
    "    while",
    f"    import random\n    time.sleep({SCALE} * random.Random(x).uniform(0.1, 20.0))\n    while",
)


@pytest.mark.soak
def test_a_thousand_uneven_cases_in_tasks_of_three_minutes(tmp_path: Path) -> None:
    """Of 0.1 to 20 s each: the limit ends none, and the slots are busy most of their time."""
    count, slots = 1000, 8
    with started_emulated(cpus=2 * slots, requeue_delay_s=0.2) as cluster:
        project = Project(
            cluster,
            tmp_path,
            count,
            target=UNEVEN,
            chunk=150,  # more than a task has time for
            slots=slots,
            slurm={"time": "00:01:00", "mem": "100M"},
            retry={"max_attempts": 2},
        )
        project.submit()
        wait_until(
            lambda: (seen := project.status())["counts"]["complete"] == count or str(seen),
            900,
            "all complete",
            poll_s=2.0,
        )
        assert set(project.executions().values()) == {1}
        check_whole(project, count)
    busy_s = elapsed_s = 0.0
    journals = list(project.sweep.glob("journal/*/*/*.jsonl"))
    assert len(journals) > -(-count // 150), "no task had to leave cases to a later start"
    for path in journals:
        records = [cast("Record", record) for reading in read(path) for record in reading.records]
        busy_s += sum(record.get("wall_seconds", 0.0) for record in records)
        # A start that has itself requeued leaves no end of its own.
        moments = [record.get("time") or record.get("ended") for record in records]
        begun, *_, ended = (datetime.fromisoformat(moment) for moment in moments if moment)
        elapsed_s += slots * (ended - begun).total_seconds()
    assert busy_s > 0.85 * elapsed_s, f"{busy_s:.0f} of {elapsed_s:.0f} slot seconds were used"
