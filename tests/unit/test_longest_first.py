"""Cases whose times are known from earlier attempts: of a chunk, the longest begins first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hpcsweep.indexset import IndexSet
from hpcsweep.records import CaseNeeds
from hpcsweep.sources import grid
from hpcsweep.state import outlook as outlooks
from hpcsweep.state.array_tasks import array_tasks
from hpcsweep.state.outlook import Outlook, outlook_of, with_measured
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission.policy import UNASKED, Policy, decide
from hpcsweep.sweepdir.version import Version
from tests.support.sweeps import MadeSweep

SLEEPS = "import time\ndef run(x):\n    time.sleep(x / 20)\n"


def looked_at(made: MadeSweep) -> Outlook:
    """The outlook of a sweep with what a submit knows of its times."""
    with fresh_index(made.directory) as sweep_index:
        tasks = array_tasks(made.directory, sweep_index)
        found = outlook_of(
            made.directory, sweep_index, tasks, Version.of(made.manifest, made.source)
        )
        return with_measured(found, made.directory, sweep_index)


def test_a_rerun_in_several_slots_begins_the_longest_first(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[2, 9, 0, 5]), python=SLEEPS, needs=CaseNeeds(slots=4))
    made.plan()
    made.run(SLURM_CPUS_ON_NODE="4")
    found = looked_at(made)
    assert found.seconds.keys() == {0, 1, 2, 3}
    (batch,) = decide(found, Policy(rerun="all", slots=4), UNASKED)
    assert batch.longest_first == (1, 3, 0, 2)


def test_a_task_of_one_slot_needs_no_order(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[0, 1]), python=SLEEPS)
    made.plan()
    made.run()
    assert looked_at(made).seconds == {}


def test_a_large_sweep_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlooks, "TIMED_MAX", 1)
    made = MadeSweep(tmp_path, grid(x=[0, 1]), python=SLEEPS, needs=CaseNeeds(slots=2))
    made.plan()
    made.run()
    assert looked_at(made).seconds == {}


def test_only_what_is_sent_is_ordered(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=list(range(6))))
    nothing = Outlook.of_nothing(Version.of(made.manifest, made.source))
    found = replace(nothing, seconds={5: 1.0, 1: 1.0, 3: 7.0, 4: 9.0})
    policy = Policy(selection=IndexSet.of([0, 1, 3, 5]))
    (batch,) = decide(found, policy, UNASKED)
    assert batch.longest_first == (3, 1, 5)


@pytest.mark.parametrize(
    ("task", "expected"),
    [(0, [3, 1, 0, 2]), (1, [6, 7, 4, 5])],
)
def test_a_task_begins_its_cases_in_that_order(
    tmp_path: Path, task: int, expected: list[int]
) -> None:
    made = MadeSweep(tmp_path, grid(x=list(range(8))))
    # The task ignores the indices of other chunks, those of no chunk, and repeated ones.
    made.plan(chunk_size=4, longest_first=[6, 3, 99, 7, 1, 3])
    made.run(task)
    begun = [record["index"] for record in made.records("begin")]
    assert begun == expected


def test_an_order_survives_a_round_trip_and_is_absent_without_times(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 2]))
    made.plan()
    made.plan(longest_first=[1, 0])
    without, with_order = (made.directory.plan(number)[0] for number in (1, 2))
    assert "longest_first" not in without.to_json()
    assert with_order.longest_first == (1, 0)
