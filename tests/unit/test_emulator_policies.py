"""The decisions of the emulated scheduler: tables of jobs in, decisions out."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.emulator import EmulatorConfig, Partition, Qos, from_json
from hpcsweep.emulator.daemon import associations, preemption, scheduling, timelimit
from hpcsweep.emulator.daemon.pool import Pool
from hpcsweep.emulator.daemon.scheduling import KeepPending, PreemptJob, StartJob
from hpcsweep.emulator.daemon.table import JobTable
from hpcsweep.emulator.events import EventLog
from hpcsweep.emulator.jobs import Job, JobRequest
from hpcsweep.emulator.logged_state import LoggedState
from hpcsweep.errors import InputError

TIERS = (
    Partition(name="low", preempt_mode="REQUEUE", grace_s=5.0),
    Partition(name="kept"),
    Partition(name="high", priority_tier=2),
)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"partitions": [{"name": "main", "max_time": "00:30:00"}]},
            "max_time: is '00:30:00', not an integer\n  It counts minutes, as in 90.",
        ),
        ({"nodes": "4"}, "nodes: is '4', not an integer"),
        ({"strict": "no"}, "strict: is 'no', not true or false"),
        ({"kill_wait_s": "1"}, "kill_wait_s: is '1', not a number"),
        ({"qos": [{"name": 7}]}, "name: is 7, not a text"),
        ({"nodes": True}, "nodes: is True, not an integer"),
    ],
)
def test_a_value_of_another_type_is_refused(values: dict[str, Any], message: str) -> None:
    """A time as sbatch has it was taken, and ended the scheduler at the first question."""
    with pytest.raises(InputError) as caught:
        from_json(values, where="cluster.yaml")
    assert str(caught.value) == message


def make_job(number: int, *, options: dict[str, Any] | None = None, **fields: Any) -> Job:
    values = {"partition": "main", "uid": 7, **(options or {})}
    request = JobRequest(
        id=number, token=f"{number:016x}", submitted=1.0, name="n", user="u", gid=7, **values
    )
    priority = fields.pop("priority", 1000 - number)
    return Job(id=number, request=request, submitted=1.0, priority=priority, **fields)


def running(number: int, node: str = "n1", *, cpus: int = 1, **more: Any) -> Job:
    return make_job(number, state="RUNNING", node=node, places={node: cpus}, **more)


class World:
    """A table and a pool of jobs, in which decisions are carried out as the controller does."""

    def __init__(self, directory: Path, settings: EmulatorConfig, *jobs: Job) -> None:
        log = EventLog(directory / "events.jsonl")
        self.settings = settings
        self.table = JobTable(LoggedState(), log, first_job_id=1)
        self.pool = Pool(settings)
        for job in jobs:
            self.table.insert(job)
            self.table.last_id = max(self.table.last_id, job.id)
            if job.state != "PENDING":
                self.pool.allocate(job)

    def decide(self) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        for decision in scheduling.decisions(self.table, self.pool, self.settings, ()):
            match decision:
                case StartJob(job, task, places):
                    found.append(("start", job.request.id, task, places))
                    job = job if task is None else self.table.split(job, task)
                    job.state, job.places = "RUNNING", places
                    self.pool.allocate(job)
                case PreemptJob(job):
                    found.append(("preempt", job.id))
                case KeepPending(job, reason):
                    found.append(("wait", job.id, reason))
        return found


def test_jobs_start_in_order_until_one_finds_no_room(tmp_path: Path) -> None:
    settings = EmulatorConfig(nodes=1, cpus=2)
    wide = {"cpus_per_task": 2}
    world = World(tmp_path, settings, make_job(1), make_job(2, options=wide), make_job(3))
    assert world.decide() == [
        ("start", 1, None, {"n1": 1}),
        ("wait", 1, "None"),
        ("wait", 2, "Resources"),
        ("wait", 3, "Priority"),
    ]


def test_a_throttle_holds_back_the_rest_of_an_array(tmp_path: Path) -> None:
    array = make_job(1, options={"array": "0-3%2"}, waiting=deque(range(4)), throttle=2)
    world = World(tmp_path, EmulatorConfig(nodes=1, cpus=4), array)
    assert world.decide() == [
        ("start", 1, 0, {"n1": 1}),
        ("start", 1, 1, {"n1": 1}),
        ("wait", 1, "JobArrayTaskLimit"),
    ]
    assert list(array.waiting) == [2, 3]


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        (make_job(2, held="JobHeldUser"), "JobHeldUser"),
        (make_job(2, begin=time.time() + 1e6), "BeginTime"),
        (make_job(2, options={"dependency": "afterany:1"}), "Dependency"),
        (make_job(2, options={"partition": "closed"}), "PartitionDown"),
        (make_job(2, options={"partition": "short"}), "PartitionTimeLimit"),
        (make_job(2, options={"nodes": 9}), "PartitionNodeLimit"),
        (make_job(2, options={"mem_mb": 10**9}), "BadConstraints"),
        (make_job(2, options={"qos": "few"}), "QOSMaxJobsPerUserLimit"),
    ],
)
def test_each_reason_to_wait(tmp_path: Path, job: Job, reason: str) -> None:
    partitions = (
        Partition(name="main"),
        Partition(name="closed", state="DOWN"),
        Partition(name="short", max_time=5),
    )
    qos = (Qos(name="normal"), Qos(name="few", max_jobs_per_user=1))
    settings = EmulatorConfig(nodes=2, partitions=partitions, qos=qos)
    world = World(tmp_path, settings, running(1, options={"qos": "few"}), job)
    assert world.decide() == [("wait", 2, reason)]


def test_a_job_of_a_higher_tier_preempts_the_youngest_that_help(tmp_path: Path) -> None:
    settings = EmulatorConfig(nodes=1, cpus=3, partitions=TIERS)
    jobs = [
        running(1, options={"partition": "low"}, started=1.0),
        running(2, options={"partition": "low"}, started=2.0),
        running(3, options={"partition": "kept"}, started=3.0),
        make_job(4, options={"partition": "high"}),
    ]
    assert World(tmp_path, settings, *jobs).decide() == [("preempt", 2), ("wait", 4, "Resources")]


def test_no_job_is_preempted_without_effect() -> None:
    settings = EmulatorConfig(nodes=1, cpus=3, partitions=TIERS)
    pool, low = Pool(settings), running(1, options={"partition": "low"}, cpus=1)
    kept = running(2, options={"partition": "kept"}, cpus=2)
    pool.allocate(low)
    pool.allocate(kept)
    wide = make_job(3, options={"partition": "high", "cpus_per_task": 2})
    assert preemption.choose_victims(wide, [low, kept], (), pool, settings) == []
    # One that leaves already makes the room that is needed.
    narrow = make_job(4, options={"partition": "high"})
    assert preemption.choose_victims(narrow, [low, kept], {1}, pool, settings) == []
    assert preemption.choose_victims(narrow, [low, kept], (), pool, settings) == [low]
    assert preemption.grace_s(low, settings) == 5.0
    assert preemption.is_queued_again(low, settings)


def test_deadlines_follow_limit_pauses_and_scale() -> None:
    job = running(1, started=100.0, options={"time_limit": 2, "signal": 10, "signal_lead": 30})
    found = timelimit.deadlines(job, EmulatorConfig())
    assert found == timelimit.Deadlines(warn_at=190.0, end_at=220.0)
    before = timelimit.version(job)
    job.suspended_s, job.new_limit = 5.0, 1
    assert timelimit.version(job) != before
    found = timelimit.deadlines(job, EmulatorConfig(time_scale=0.5))
    assert found == timelimit.Deadlines(warn_at=120.0, end_at=135.0)
    found = timelimit.deadlines(job, EmulatorConfig(time_scale=0.5, over_time_limit=2))
    assert found == timelimit.Deadlines(warn_at=120.0, end_at=195.0)
    job.new_limit = 0
    assert timelimit.deadlines(job, EmulatorConfig()) is None


def test_submit_limits_count_elements() -> None:
    qos = (Qos(name="normal", max_submit_per_user=5), Qos(name="free"))
    settings = EmulatorConfig(qos=qos, max_submit_jobs=9)
    array = make_job(1, options={"array": "0-3"}, waiting=deque(range(4)))

    def obstacle(uid: int, elements: int, *more: Job, qos: str = "") -> str:
        return associations.submit_obstacle(settings, [array, *more], uid, qos, elements)

    assert obstacle(7, 1) == ""
    assert obstacle(7, 2) == "QOSMaxSubmitJobPerUserLimit"
    assert obstacle(8, 5) == ""
    other = make_job(2, options={"array": "0-8", "uid": 8, "qos": "x"}, waiting=deque(range(9)))
    assert obstacle(8, 1, other, qos="free") == "AssocMaxSubmitJobLimit"
    assert obstacle(8, 1, other) == ""  # the limit of the QOS counts in its place
