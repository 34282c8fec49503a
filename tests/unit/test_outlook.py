"""The outlook: its classes, groups and age; the partition itself is a property test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from hpcsweep.indexset import IndexSet
from hpcsweep.records import Reason, Status
from hpcsweep.settings import Settings
from hpcsweep.sources import ParameterSource, grid, manual
from hpcsweep.state.array_tasks import ArrayTasks, array_tasks
from hpcsweep.state.outlook import Outlook, State, outlook_of, with_lost
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission.request import SubmitRequest
from hpcsweep.submission.submit import outlook_for
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.growing import GrownCases, with_cases
from hpcsweep.sweepdir.version import Version
from tests.support.scripted import INTERVAL_S, World
from tests.support.sweeps import MadeSweep


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A sweep of two tasks of two cases each, both waiting."""
    return World(tmp_path, monkeypatch)


def cases_of(x: Sequence[int]) -> ParameterSource:
    """Explicit cases, which can only be found by a pass over all of them."""
    return manual([{"x": value} for value in x])


def classes(made: MadeSweep, tasks: ArrayTasks | None = None) -> dict[State, list[int]]:
    """The indices of each class that has some."""
    with fresh_index(made.directory) as sweep_index:
        known = tasks or array_tasks(made.directory, sweep_index)
        found = outlook_of(made.directory, sweep_index, known)
    return {state: list(found.indices(state)) for state in State if found.indices(state)}


def test_a_held_task_differs_from_a_queued_one(world: World) -> None:
    world.cluster.reasons = {0: "JobHeldUser", 1: "Priority"}
    assert classes(world.made, world.poll()) == {State.HELD: [0, 1], State.QUEUED: [2, 3]}
    world.cluster.reasons = {1: "JobHeldAdmin"}
    held = world.poll(INTERVAL_S)
    assert classes(world.made, held) == {State.QUEUED: [0, 1], State.HELD: [2, 3]}


def test_the_earlier_outcome_is_shown_until_the_case_begins_again(world: World) -> None:
    """It waits again, so it is not sent; people see what became of it the last time."""
    world.begin(0, 0)
    world.terminated(0, 0)
    with fresh_index(world.made.directory) as sweep_index:
        found = outlook_of(world.made.directory, sweep_index, world.poll())
    (group,) = (group for group in found.groups if 0 in group.indices)
    assert (group.state, group.status) == (State.QUEUED, Status.INTERRUPTED)
    assert (group.reason, group.attempt, group.submission) == (Reason.TERMINATED, 1, 1)
    assert group.wall_seconds == 2.5
    assert found.tasks.polled_at == world.now


def test_files_that_are_gone_are_looked_for_on_request(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[0, 1, 2]))
    made.plan(IndexSet.all(2))
    made.handed_in()
    made.run()
    shutil.rmtree(made.run_dir(1))
    assert classes(made) == {State.COMPLETE: [0, 1], State.UNSUBMITTED: [2]}
    with fresh_index(made.directory) as sweep_index:
        plain = outlook_of(made.directory, sweep_index, array_tasks(made.directory, sweep_index))
        found = with_lost(plain, made.directory, sweep_index)
    assert (found.indices(State.COMPLETE), found.indices(State.LOST)) == (
        IndexSet.of([0]),
        IndexSet.of([1]),
    )
    assert found.complete == plain.complete == IndexSet.all(2)


def test_an_outlook_does_not_visit_each_case(tmp_path: Path) -> None:
    """10^12 cases, of which a third was submitted and a few have run."""
    axis = range(10**6)
    made = MadeSweep(tmp_path, grid(x=axis, y=axis))
    made.plan(IndexSet.all(3 * 10**11), chunk_size=10**9)
    made.handed_in()
    with fresh_index(made.directory) as sweep_index:
        found: Outlook = outlook_of(
            made.directory, sweep_index, array_tasks(made.directory, sweep_index)
        )
    assert found.indices(State.QUEUED) == IndexSet.all(3 * 10**11)
    assert found.indices(State.UNSUBMITTED).ranges == ((3 * 10**11, 10**12),)
    assert len(found.groups) == 2


@pytest.mark.parametrize("kind", [grid, cases_of])
def test_a_case_that_a_manifest_lacked_comes_back_with_its_outcome(
    tmp_path: Path, kind: Callable[..., ParameterSource]
) -> None:
    """A sheet that loses a row and gets it again, or two branches of git in turn."""
    made = MadeSweep(tmp_path, kind(x=[0, 1, 2]), runs="none")
    made.plan(runs="none")
    made.handed_in()
    made.run()
    made.freeze(kind(x=[0, 2]))
    made.plan(IndexSet())
    assert classes(made) == {State.COMPLETE: [0, 1]}
    made.freeze(kind(x=[0, 2, 1, 3]))
    version = Version.of(made.manifest, made.source)
    with fresh_index(made.directory) as sweep_index:
        tasks = array_tasks(made.directory, sweep_index)
        found = outlook_of(made.directory, sweep_index, tasks, version)
    assert (list(found.complete), list(found.begun)) == ([0, 1, 2], [0, 1, 2])
    made.plan(IndexSet())
    assert classes(made) == {State.COMPLETE: [0, 1, 2], State.UNSUBMITTED: [3]}


def test_a_case_that_is_appended_again_has_its_outcome(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[0]), runs="none")

    def submitted(cases: GrownCases, indices: IndexSet | None = None) -> Version:
        version = with_cases(Version.of(made.manifest, made.source), cases)
        made.directory.freeze(version)
        made.manifest, made.source = version.manifest, version.source
        made.plan(indices, runs="none")
        return version

    submitted(GrownCases([{"x": 0}, {"x": 1}]))
    made.handed_in()
    made.run()
    fewer = submitted(GrownCases([{"x": 0}]), IndexSet())
    assert classes(made) == {State.COMPLETE: [0]}
    grown = submitted(GrownCases([{"x": 1}], made.directory.newest()), IndexSet())
    assert grown.manifest.extends(fewer.manifest)
    assert classes(made) == {State.COMPLETE: [0, 1]}


def test_a_submission_whose_files_were_removed_is_unknown(tmp_path: Path) -> None:
    """The index and the journals have its outcomes; its number is not given again."""
    made = MadeSweep(tmp_path, grid(x=[0, 1]))
    made.plan()
    made.run()
    shutil.rmtree(made.directory.submission_dir(1))
    assert made.directory.last_number() == 1
    made.plan()
    made.path.joinpath("submissions/0001").rename(made.path / "submissions/0002")
    plan = made.path / "submissions/0002/plan.json"
    plan.write_text(plan.read_text().replace('"submission": 1', '"submission": 2'))
    with fresh_index(made.directory) as sweep_index:
        tasks = array_tasks(made.directory, sweep_index)
        # As the index says it of a task whose journal is gone, too.
        tasks.ended = {(1, Reason.LOST): IndexSet.of([0])}
        groups = outlook_of(made.directory, sweep_index, tasks).groups
    assert {group.submission for group in groups if group.status is Status.COMPLETE} == {None}
    assert made.logs(0).attempts[0].startswith("attempt 1 (submission 1): complete; used ")


def test_generations_go_on_where_submissions_were_removed(tmp_path: Path) -> None:
    """A result that is computed again is not outranked by one of a submission that is unknown."""
    made = MadeSweep(tmp_path, grid(x=[0, 1]))
    request = SubmitRequest(manifest=made.manifest, source=made.source, path=made.path)
    assert outlook_for(request, made.directory, None, Settings()).generation == 0
    made.plan()
    made.plan(generation=1)
    made.run(submission=2)
    shutil.rmtree(made.directory.submission_root)
    found = outlook_for(request, SweepDirectory.open(made.path), None, Settings())
    assert found.indices(State.UNSUBMITTED) == IndexSet.all(2)
    assert found.generation > 1


def test_generations_go_on_above_the_index_where_journals_were_removed_too(tmp_path: Path) -> None:
    """Rows of the index whose submissions and journals are gone still outrank lower generations."""
    made = MadeSweep(tmp_path, grid(x=[0, 1]))
    request = SubmitRequest(manifest=made.manifest, source=made.source, path=made.path)
    made.plan()
    made.plan(generation=1)
    made.run(submission=2)
    with fresh_index(made.directory) as sweep_index:
        assert sweep_index.max_generation() == 1
    shutil.rmtree(made.directory.submission_root)
    shutil.rmtree(made.directory.journal_root)
    assert outlook_for(request, SweepDirectory.open(made.path), None, Settings()).generation > 1
