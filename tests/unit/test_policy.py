"""What a submit sends: missing cases, and none that may still be running."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from hpcsweep.cluster.limits import Limits
from hpcsweep.errors import InputError, SweepError
from hpcsweep.indexset import IndexSet
from hpcsweep.journal import RANKED_MAX
from hpcsweep.records import Resources, Status
from hpcsweep.sources import grid
from hpcsweep.state.array_tasks import array_tasks
from hpcsweep.state.outlook import Group, Outlook, State, outlook_of
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission.plans import make_plan
from hpcsweep.submission.policy import UNASKED, Batch, Policy, decide, under_way
from hpcsweep.submission.request import SubmitRequest
from hpcsweep.sweepdir.version import Version
from hpcsweep.worker.start import Start
from tests.support.journals import write_journal
from tests.support.sweeps import MadeSweep

OLD, NEW = "0" * 16, "1" * 16


def journal(made: MadeSweep, submission: int, generation: int, **ends: str) -> None:
    """What a task left: by index ("i3"), status or "status: reason", and the code's digest."""
    common = {
        "v": 1,
        "manifest": made.directory.newest_manifest(),
        "chunk": 0,
        "attempt": [generation, submission, 0, "a" * 16],
    }
    records = []
    for name, said in ends.items():
        index = int(name[1:])
        status, _, digest = said.partition(" ")
        about = {"index": index, "case_id": made.source[index].case_id}
        if status == "begun":
            records.append(common | about | {"kind": "begin"})
            continue
        reason = {"failed": "error", "interrupted": "lost"}.get(status)
        records.append(
            common
            | about
            | {
                "kind": "end",
                "word": 2,
                "status": status,
                "reason": reason,
                "code_digest": None if digest == "none" else digest or NEW,
            }
        )
    write_journal(
        made.directory.journal_root / f"{submission:04d}" / "0" / f"0.0.{submission}.jsonl",
        *records,
    )


@dataclass
class Decided:
    """What a submit would do, of a cluster that holds every part that has a job and no end."""

    outlook: Outlook
    policy: Policy

    @property
    def batches(self) -> tuple[Batch, ...]:
        """What is sent: one batch at most."""
        found = decide(self.outlook, self.policy, UNASKED)
        assert len(found) <= 1
        return found

    @property
    def sent(self) -> IndexSet:
        """The indices that are sent."""
        return self.batches[0].indices if self.batches else IndexSet()

    @property
    def generation(self) -> int:
        """The generation of the batch that is sent."""
        (batch,) = self.batches
        return batch.generation

    @property
    def under_way(self) -> IndexSet:
        """The wanted indices that open tasks have already."""
        return under_way(self.outlook, self.policy)


def decided(made: MadeSweep, rerun: str | None = None, version: Version | None = None) -> Decided:
    with fresh_index(made.directory) as sweep_index:
        tasks = array_tasks(made.directory, sweep_index)
        found = outlook_of(made.directory, sweep_index, tasks, version, NEW)
    return Decided(found, Policy(rerun=rerun))


@pytest.fixture
def made(tmp_path: Path) -> MadeSweep:
    """A sweep whose only submission is over, with every kind of end."""
    found = MadeSweep(tmp_path, grid(x=list(range(8))))
    found.plan(IndexSet.all(7))
    journal(
        found, 1, 0, i0="complete", i1=f"complete {OLD}", i2="failed", i3="interrupted", i4="begun"
    )
    return found


def test_only_missing_cases_are_sent(made: MadeSweep) -> None:
    found = decided(made)
    assert found.sent == IndexSet.of([3, 4, 5, 6, 7])
    assert found.outlook.complete == IndexSet.of([0, 1])
    assert found.outlook.failed == IndexSet.of([2])
    assert found.outlook.indices(State.STALE) == IndexSet.of([1])
    assert (found.under_way, found.generation) == (IndexSet(), 0)


@pytest.mark.parametrize(("rerun", "again"), [("failed", [2]), ("stale", [1]), ("all", [0, 1, 2])])
def test_a_rerun_raises_the_generation(made: MadeSweep, rerun: str, again: list[int]) -> None:
    found = decided(made, rerun)
    assert found.sent == IndexSet.of([*again, 3, 4, 5, 6, 7])
    assert found.generation == 1


def test_a_rerun_of_nothing_raises_nothing(made: MadeSweep) -> None:
    journal(made, 2, 0, i1="complete", i2="complete")
    made.plan(IndexSet.all(3))
    assert decided(made, "failed").generation == 0
    journal(made, 3, 1, i1="complete")
    made.plan(IndexSet.all(3), generation=1)
    assert decided(made, "stale").generation == 1


def test_cases_on_the_cluster_are_not_sent_again(made: MadeSweep) -> None:
    made.handed_in()
    found = decided(made)
    assert found.sent == IndexSet.of([7])
    assert found.under_way == IndexSet.of([3, 4, 5, 6])
    again = decided(made, "all")
    assert again.sent == IndexSet.of([7])
    assert again.under_way == IndexSet.all(7)
    assert again.generation == 0


def test_a_part_without_an_answer_is_not_sent_again(made: MadeSweep) -> None:
    made.fact("intent", job_name="n", time=0.0)
    assert decided(made).sent == IndexSet.of([7])
    made.fact("void", why="refused", time=0.0)
    assert decided(made).sent == IndexSet.of([3, 4, 5, 6, 7])


def test_a_result_of_unknown_code_is_not_reported_as_other_code(made: MadeSweep) -> None:
    """A cache had it, so nothing was run."""
    journal(made, 2, 0, i3="complete none")
    made.plan(IndexSet.all(8))
    found = decided(made)
    assert found.outlook.complete == IndexSet.of([0, 1, 3])
    assert found.outlook.indices(State.STALE) == IndexSet.of([1])


def test_a_finished_sweep_misses_nothing(made: MadeSweep) -> None:
    journal(made, 2, 1, **{f"i{index}": "complete" for index in range(8)})
    made.plan(generation=1)
    found = decided(made)
    assert (found.batches, found.outlook.complete) == ((), IndexSet.all(8))


def test_a_manifest_that_grew(made: MadeSweep) -> None:
    """What is finished and still in the source stays; what is new is missing."""
    made.freeze(grid(x=[9, 0, 3, 2, 7, 8]))
    grown = Version.of(made.manifest, made.source)
    found = decided(made, version=grown)
    assert found.outlook.complete == IndexSet.of([1])  # x = 0; x = 1 is not in it any more
    assert found.outlook.failed == IndexSet.of([3])  # x = 2
    assert found.sent == IndexSet.of([0, 2, 4, 5])
    made.handed_in()
    found = decided(made, version=grown)
    assert found.under_way == IndexSet.of([2])  # x = 3
    assert found.sent == IndexSet.of([0, 4, 5])


def test_more_submissions_than_ranks_can_tell_apart(made: MadeSweep) -> None:
    """A seventh digit would sort before the sixth, and an older attempt win."""
    request = SubmitRequest(manifest=made.manifest, source=made.source, path=made.path)
    batch = Batch(
        indices=IndexSet.of([1]), generation=0, chunk_size=1, resources=made.manifest.resources
    )
    made.directory.submission_dir(1).rename(made.directory.submission_dir(RANKED_MAX - 1))
    assert make_plan(request, made.directory, batch, UNASKED).submission == RANKED_MAX
    last = made.directory.submission_dir(RANKED_MAX)
    made.directory.submission_dir(RANKED_MAX - 1).rename(last)
    with pytest.raises(SweepError, match="has 999999 submissions, and can have no more"):
        make_plan(request, made.directory, batch, UNASKED)
    again = replace(batch, generation=RANKED_MAX + 1)
    with pytest.raises(SweepError, match="can have no more"):
        make_plan(request, None, again, UNASKED)


def test_a_number_is_not_given_again_where_the_index_alone_knows_it(made: MadeSweep) -> None:
    """The generation of a removed submission is below its number."""
    request = SubmitRequest(manifest=made.manifest, source=made.source, path=made.path)
    outlook = Outlook.of_nothing(Version.of(made.manifest, made.source), generation=3)
    (batch,) = decide(outlook, request.policy, UNASKED)
    assert make_plan(request, made.directory, batch, UNASKED).submission == 4


def test_more_restarts_than_ranks_can_tell_apart() -> None:
    environment = {"SLURM_ARRAY_TASK_ID": "0", "SLURM_RESTART_COUNT": str(RANKED_MAX)}
    assert Start.from_environment(environment).restart == RANKED_MAX
    with pytest.raises(SweepError, match="has started this task 1000000 times"):
        Start.from_environment(environment | {"SLURM_RESTART_COUNT": str(RANKED_MAX + 1)})


# --- as a table, of an outlook that nothing is behind ---------------------------------------------

CLASSES = {
    State.COMPLETE: [0, 1],
    State.STALE: [2],
    State.LOST: [3],
    State.FAILED: [4, 5],
    State.RUNNING: [6],
    State.QUEUED: [7],
    State.HELD: [8],
    State.UNKNOWN: [9],
    State.INTERRUPTED: [10],
    State.UNSUBMITTED: [11, 12],
}


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Version:
    made = MadeSweep(tmp_path_factory.mktemp("table"), grid(x=list(range(13))))
    return Version.of(made.manifest, made.source)


def table_outlook(version: Version, in_flight: str) -> Outlook:
    """Cases of every class."""
    groups = (
        Group(indices=IndexSet.of(indices), state=state, status=Status.PENDING)
        for state, indices in CLASSES.items()
    )
    return Outlook(
        version=version, groups=tuple(groups), in_flight=IndexSet.parse(in_flight), generation=3
    )


@pytest.mark.parametrize(
    ("rerun", "in_flight", "sent", "left", "generations"),
    [
        (None, "6-9", "10-12", "6-9", [3]),
        # A begun case that no open task has is sent again.
        (None, "7-9", "6,10-12", "7-9", [3]),
        # A complete case may lie in an open task beside others that are not.
        (None, "0,4,6-10", "11-12", "6-10", [3]),
        ("stale", "6-9", "2,10-12", "6-9", [4]),
        ("failed", "6-9", "4-5,10-12", "6-9", [4]),
        ("failed", "4-9", "10-12", "4-9", [3]),
        ("lost", "6-9", "3,10-12", "6-9", [4]),
        ("all", "6-9", "0-5,10-12", "6-9", [4]),
        ("all", "0-12", "", "0-12", []),
    ],
)
def test_the_policy_sends_the_wanted_states(
    version: Version,
    rerun: str | None,
    in_flight: str,
    *,
    sent: str,
    left: str,
    generations: list[int],
) -> None:
    found = Decided(table_outlook(version, in_flight), Policy(rerun=rerun))
    assert (str(found.sent), str(found.under_way)) == (sent, left)
    assert [batch.generation for batch in found.batches] == generations


@pytest.mark.parametrize(
    ("rerun", "selection", "sent", "left", "generations"),
    [
        (None, "0-12", "10-12", "6-9", [3]),
        # What is neither missing nor named by --rerun is not sent because it is selected.
        (None, "0,4,7,11", "11", "7", [3]),
        ("failed", "4,11", "4,11", "", [4]),
        # A failed case that is not selected raises no generation.
        ("failed", "10", "10", "", [3]),
        ("lost", "2-4", "3", "", [4]),
        ("all", "2-4,6", "2-4", "6", [4]),
        (None, "0-5", "", "", []),
        (None, "", "", "", []),
    ],
)
def test_a_selection_limits_what_is_sent(
    version: Version,
    rerun: str | None,
    selection: str,
    *,
    sent: str,
    left: str,
    generations: list[int],
) -> None:
    policy = Policy(rerun=rerun, selection=IndexSet.parse(selection))
    found = Decided(table_outlook(version, "6-9"), policy)
    assert (str(found.sent), str(found.under_way)) == (sent, left)
    assert [batch.generation for batch in found.batches] == generations


def test_a_selection_larger_than_the_room_leaves_the_rest_of_it_alone(version: Version) -> None:
    policy = Policy(selection=IndexSet.parse("0-4"))
    limits = replace(UNASKED, max_jobs=4, jobs=0)
    (batch,) = decide(Outlook.of_nothing(version), policy, limits)
    assert (str(batch.indices), str(batch.rest), batch.closes) == ("0-2", "3-4", True)


@pytest.mark.parametrize(
    ("chunk", "limits", "size"),
    [
        (None, UNASKED, 1),
        (5, UNASKED, 5),
        (None, replace(UNASKED, max_tasks=4), 4),
        (7, replace(UNASKED, max_tasks=4), 7),
    ],
)
def test_the_chunk_size_follows_policy_and_limits(
    version: Version, chunk: int | None, limits: Limits, size: int
) -> None:
    resources = Resources(options={"mem": "1G"})
    (batch,) = decide(Outlook.of_nothing(version), Policy(chunk=chunk, resources=resources), limits)
    assert (batch.chunk_size, batch.resources) == (size, resources)


def test_more_tasks_than_the_cluster_takes(version: Version) -> None:
    with pytest.raises(InputError, match="13 array tasks are more than the 4"):
        decide(Outlook.of_nothing(version), Policy(chunk=1), replace(UNASKED, max_tasks=4))
