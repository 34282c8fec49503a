"""When a closing job runs again, and when `advance` knows which tasks are over."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import pytest

from hpcsweep.cluster.base import Cluster, Defaults
from hpcsweep.cluster.jobs import OwnJob, SingleJob
from hpcsweep.cluster.slurm.client import Slurm
from hpcsweep.errors import ClusterError, ClusterUnavailable
from hpcsweep.files import json_bytes, write_new
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.frozen import Target
from hpcsweep.manifest.policies import Policies, Reduce
from hpcsweep.records import Resources
from hpcsweep.settings import Settings
from hpcsweep.sources import grid
from hpcsweep.state.array_tasks import ArrayTasks, SentPart
from hpcsweep.state.outlook import Outlook
from hpcsweep.state.paused import paused
from hpcsweep.submission import closing_run
from hpcsweep.submission.arrays import job_name
from hpcsweep.submission.closing import (
    CLOSING_SUFFIX,
    closing_job,
    closing_options,
    submit_closing_job,
)
from hpcsweep.submission.closing_run import advance_or_run_again, must_return, own_closing_job
from hpcsweep.submission.hourly_calls import HourlyCalls
from hpcsweep.submission.reduce import reduce_version
from hpcsweep.submission.request import Submitted
from hpcsweep.submission.settling import is_settled
from hpcsweep.sweepdir.plan import Plan
from tests.support.sweeps import MadeSweep

OWN, OTHER = "11", "12"
SLURM = Slurm(kind="slurm", timeout_s=1.0, sbatch_timeout_s=1.0)


@pytest.fixture
def made(tmp_path: Path) -> MadeSweep:
    """A sweep with one submission of two array tasks."""
    sweep = MadeSweep(tmp_path, grid(x=[0, 1]))
    sweep.plan(chunk_size=1)
    return sweep


def sent(made: MadeSweep, *, closes: bool = True) -> SentPart:
    """The only part of the only submission, with both of its tasks open, as job 10."""
    plan, document = made.directory.plan(1)
    return SentPart(
        plan=replace(plan, closes=closes),
        part=plan.parts[0],
        job_id="10",
        cancelled=None,
        cluster=document["cluster"],
        open_chunks=IndexSet.all(2),
    )


def submitted(
    made: MadeSweep, *parts: SentPart, rest: int = 0, plans: tuple[Plan, ...] = (), alive: int = 0
) -> Submitted:
    """The result of an `advance` with these arrays open, `alive` of their tasks in the queue."""
    tasks = ArrayTasks(
        parts=list(parts),
        answered=frozenset({"10"}),
        in_state={"RUNNING": {1: IndexSet.all(alive)}},
    )
    outlook = replace(Outlook.of_nothing(made.directory.newest()), tasks=tasks)
    return Submitted(
        sweep=made.directory, outlook=outlook, without_room=IndexSet.all(rest), plans=plans
    )


def close(made: MadeSweep, job_id: str) -> None:
    """Record the closing job of the only part."""
    fact = {"job_id": job_id, "time": 1.0}
    write_new(made.directory.part_file(1, 0, "closing"), json_bytes(fact))


@pytest.mark.parametrize(
    ("closing", "rest", "alive", "expected"),
    [
        ("", 0, 2, True),  # its array has no closing job: it was refused
        (OTHER, 2, 2, False),  # another one goes on behind it
        (OTHER, 2, 0, True),  # its tasks are gone, so the other one has run
        (OWN, 0, 0, True),  # nobody knows yet what became of its own array
    ],
)
def test_a_closing_job_returns_unless_another_one_goes_on(
    made: MadeSweep, closing: str, rest: int, alive: int, expected: bool
) -> None:
    if closing:
        close(made, closing)
    done = submitted(made, sent(made), rest=rest, alive=alive)
    assert must_return(made.directory, done, OWN) is expected


def test_it_returns_while_the_disk_is_full(made: MadeSweep) -> None:
    why = paused(made.directory, IndexSet.all(2))
    assert must_return(made.directory, replace(submitted(made), paused=why), OWN)


def test_it_returns_for_cases_without_room_alone(made: MadeSweep) -> None:
    assert must_return(made.directory, submitted(made, rest=2), OWN)
    assert not must_return(made.directory, submitted(made), OWN)
    without_closing = submitted(made, sent(made, closes=False), alive=2)
    assert not must_return(made.directory, without_closing, OWN)


def test_it_returns_for_what_it_sent_if_that_has_no_closing_job(made: MadeSweep) -> None:
    last, _ = made.directory.plan(1)
    assert not must_return(made.directory, submitted(made, plans=(last,)), OWN)
    plan = replace(last, closes=True)
    assert must_return(made.directory, submitted(made, plans=(plan,)), OWN)
    close(made, OTHER)
    assert not must_return(made.directory, submitted(made, plans=(plan,)), OWN)


def test_a_closing_job_knows_itself_by_its_name(
    made: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = made.directory
    name = job_name(sweep.newest().manifest.name, sweep.key, 1, 0)
    monkeypatch.setenv("SLURM_JOB_ID", OWN)
    for other in ("", "interactive", name):
        monkeypatch.setenv("SLURM_JOB_NAME", other)
        assert own_closing_job(sweep, SLURM) is None
    monkeypatch.setenv("SLURM_JOB_NAME", f"{name}.closing")
    closing = own_closing_job(sweep, SLURM)
    assert closing is not None
    assert closing.own == (OWN, f"{name}.closing", 0)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "3")
    assert own_closing_job(sweep, SLURM) == ((OWN, f"{name}.closing", 3), 1, closing.part)


@dataclass
class RunsAgain(Defaults):
    """A cluster on which a job runs again under another id, once the queue has room."""

    own: OwnJob
    kind: str = "pbs"
    refusals: int = 1
    jobs: list[SingleJob] = field(default_factory=list)

    def own_job(self) -> OwnJob:
        return self.own

    def run_again(self, own: OwnJob, job: SingleJob) -> str:
        if not self.refusals:
            self.jobs.append(job)
            return f"{own.job_id}{own.restarts + 1}"
        self.refusals -= 1
        error = ClusterError("would exceed limit")
        error.transient = True
        raise error


def test_the_job_that_goes_on_under_another_id_is_known(
    made: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As with PBS, where only operators may requeue a job."""
    sweep, settings = made.directory, Settings()
    name = job_name(sweep.newest().manifest.name, sweep.key, 1, 0) + CLOSING_SUFFIX
    close(made, OWN)
    monkeypatch.setattr(closing_run, "advance", lambda *_: submitted(made, rest=2))
    monkeypatch.setattr(closing_run, "PAUSE_S", 0.0)
    for restarts in (0, 9):
        cluster = RunsAgain(OwnJob(OWN, name, restarts))
        advance_or_run_again(sweep, cast("Cluster", cluster), settings, lambda _: None, print)
        (job,) = cluster.jobs
        assert (job.name, job.after) == (name, None)
        assert sweep.part_facts(1)[0]["closing"]["job_id"] == f"{OWN}{restarts + 1}"
    assert sweep.part_facts(1)[0]["closing"]["job_id"] == f"{OWN}10"


@pytest.mark.parametrize(
    ("asked", "alive", "expected"),
    [(None, 0, False), (9.0, 2, False), (10.0, 1, False), (10.0, 2, True)],
)
def test_settled_is_what_the_queue_said_since(
    made: MadeSweep, asked: float | None, alive: int, expected: bool
) -> None:
    tasks = submitted(made, sent(made), alive=alive).outlook.tasks
    tasks.polled_at = asked
    assert is_settled(tasks, 10.0) is expected


def test_nothing_open_is_settled() -> None:
    assert is_settled(ArrayTasks(), 10.0)


def test_it_has_the_account_and_the_place_of_its_array(made: MadeSweep) -> None:
    """The account of a PBS is `project`; other resources of a site are in `closing:`."""
    plan, _ = made.directory.plan(1)
    options = {"partition": "p", "project": "ab12", "storage": "gdata/ab12", "time": "99:00:00"}
    manifest = replace(made.directory.newest().manifest, resources=Resources(options=options))
    manifest = replace(manifest, policies=Policies(closing={"storage": "gdata/x"}).to_json())
    asked = closing_job(made.directory, manifest, plan, plan.parts[0], "10").options
    assert {name: asked[name] for name in options} == {
        "partition": "p",
        "project": "ab12",
        "storage": "gdata/x",
        "time": "00:20:00",
    }


# --- what it asks for ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("array", "own", "expected"),
    [
        ({"partition": "gpu", "mem": "8G"}, {}, {"partition": "gpu", "mem": "1G"}),
        ({"propagate": "NONE"}, {}, {"propagate": "NONE", "mem": "1G"}),
        # As sites want it that refuse an amount for the node.
        ({"mem-per-cpu": "2G", "cpus-per-task": "4"}, {}, {"mem-per-cpu": "1G"}),
        # What the key says replaces the options that it excludes.
        ({"mem": "8G"}, {"mem-per-cpu": "500M"}, {"mem-per-cpu": "500M"}),
        ({"mem-per-cpu": "2G"}, {"mem": "2G", "qos": "tiny"}, {"mem": "2G", "qos": "tiny"}),
    ],
)
def test_it_shares_options_of_its_array_and_asks_for_memory_once(
    array: dict[str, str], own: dict[str, str], expected: dict[str, str]
) -> None:
    options = closing_options(array, own)
    others = {"cpus-per-task": "1", "ntasks": "1", "requeue": "", "time": "00:20:00"}
    assert options == {**others, **expected}


@dataclass
class WithoutMemory(Defaults):
    """A cluster whose nodes have no memory configured, so that it refuses any amount."""

    kind: str = "slurm"
    error: ClusterError = field(default_factory=lambda: ClusterError("cannot be satisfied"))
    # To a job without memory.
    then: ClusterError | None = None
    jobs: list[SingleJob] = field(default_factory=list)

    def submit_job(self, job: SingleJob) -> str:
        self.jobs.append(job)
        if "mem" in job.options:
            raise self.error
        if self.then is not None:
            raise self.then
        return "7"


CLOSING = SingleJob(name="n", script="s", output="o", options={"mem": "1G", "time": "5"}, after="1")


@pytest.fixture
def calls() -> HourlyCalls:
    """Five calls of sbatch an hour."""
    return HourlyCalls.on("c", "", most=5)


def test_a_site_without_memory_gets_it_without(made: MadeSweep, calls: HourlyCalls) -> None:
    plan, manifest = made.directory.plan(1)[0], made.directory.newest().manifest
    bare = replace(manifest, resources=Resources())
    cluster = WithoutMemory()
    assert submit_closing_job(cast("Cluster", cluster), CLOSING, bare, plan, calls) == "7"
    assert [one.options for one in cluster.jobs] == [CLOSING.options, {"time": "5"}]
    assert calls.left() == 4  # the first one is counted with its array
    invalid = "Batch job submission failed: Invalid qos specification"
    for error in (ClusterUnavailable("timed out"), ClusterError("full"), ClusterError(invalid)):
        error.transient = "full" in error.what
        asked = WithoutMemory(error=error)
        with pytest.raises(ClusterError):
            submit_closing_job(cast("Cluster", asked), CLOSING, bare, plan, calls)
        assert len(asked.jobs) == 1
    named = replace(manifest, resources=Resources(options={"mem": "2G"}))
    asked = WithoutMemory()
    with pytest.raises(ClusterError):
        submit_closing_job(cast("Cluster", asked), CLOSING, named, plan, calls)
    assert len(asked.jobs) == 1
    assert calls.left() == 4


@pytest.mark.parametrize(
    ("second", "expected"),
    [(ClusterError("no 2"), "cannot be"), (ClusterUnavailable("timed out"), "timed out")],
)
def test_a_second_refusal_does_not_hide_the_first(
    made: MadeSweep, calls: HourlyCalls, second: ClusterError, expected: str
) -> None:
    """An answer in doubt is no refusal: the job may be there."""
    plan, manifest = made.directory.plan(1)[0], made.directory.newest().manifest
    cluster = cast("Cluster", WithoutMemory(then=second))
    with pytest.raises(ClusterError, match=expected):
        submit_closing_job(cluster, CLOSING, replace(manifest, resources=Resources()), plan, calls)


def test_the_options_of_a_reduce_replace_those_that_they_exclude(made: MadeSweep) -> None:
    manifest = made.directory.newest().manifest
    manifest = replace(manifest, resources=Resources(options={"mem": "8G", "gres": "gpu:1"}))
    reduce = Reduce(target=Target(argv=("true",)), options={"mem-per-cpu": "2G", "time": "5"})
    version = reduce_version(manifest, reduce, made.directory)
    options = version.manifest.resources.options
    assert options == {"mem-per-cpu": "2G", "gres": "gpu:1", "time": "5"}
