"""Cases that a user cancelled: tasks skip them, and the outlook shows them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hpcsweep.errors import ClusterError, Damaged
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import Policies, Retry
from hpcsweep.records import Reason
from hpcsweep.sources import grid
from hpcsweep.state.array_tasks import RANGES_NAMED, SentPart, array_tasks
from hpcsweep.state.outlook import Outlook, State, outlook_of
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission import cancel_cases as cancel_module
from hpcsweep.submission.cancel import cancel as cancel_all
from hpcsweep.submission.cancel_cases import cancel_cases, cancellable
from hpcsweep.sweepdir.cancelled import add_fact
from tests.support.documents import checked
from tests.support.scripted import SETTINGS, World
from tests.support.sweeps import MadeSweep

PYTHON = "def run(x):\n    if x == 2: raise ValueError\n    return {'y': x}\n"


def swept(tmp_path: Path, **fields: Any) -> MadeSweep:
    """Six cases in two tasks, both in the queue."""
    made = MadeSweep(tmp_path, grid(x=list(range(6))), python=PYTHON, **fields)
    made.plan(chunk_size=3)
    made.handed_in()
    return made


def cancel(made: MadeSweep, indices: str, submission: int = 1) -> None:
    found = IndexSet.parse(indices).to_json()
    add_fact(
        made.directory,
        {
            "time": time.time(),
            "submission": submission,
            "manifest": made.manifest.fingerprint,
            "indices": found,
            "tasks": {str(submission): found},
            "chunks": {},
        },
    )


def looked_at(made: MadeSweep) -> Outlook:
    with fresh_index(made.directory) as sweep_index:
        return outlook_of(made.directory, sweep_index, array_tasks(made.directory, sweep_index))


def test_a_task_passes_over_them(tmp_path: Path) -> None:
    made = swept(tmp_path)
    cancel(made, "1,3-4")
    cancel(made, "5")
    for task in (0, 1):
        made.run(task)
    assert set(made.ends()) == {0, 2}
    found = looked_at(made)
    assert str(found.withdrawn) == "1,3-5"
    assert str(found.indices(State.INTERRUPTED)) == "1,3-5"
    reasons = {(group.status.value, group.reason) for group in found.groups}
    assert reasons == {("complete", None), ("failed", "error"), ("interrupted", "cancelled")}
    assert not found.in_flight


def test_a_later_submission_sends_them_again(tmp_path: Path) -> None:
    made = swept(tmp_path)
    cancel(made, "0-1,3-5")
    made.plan(IndexSet.parse("1,4"), chunk_size=1)
    made.handed_in(submission=2)
    assert str(looked_at(made).withdrawn) == "0,3,5"
    made.run(0, submission=2)
    made.run(0)
    assert set(made.ends()) == {1, 2}
    made.freeze(grid(x=[5, 4, 3, 2, 1, 0]))
    made.plan(IndexSet.parse("2"))
    assert str(looked_at(made).withdrawn) == "0,5"


def test_they_are_in_flight_until_their_task_is_over(tmp_path: Path) -> None:
    made = swept(tmp_path)
    cancel(made, "0-1")
    found = looked_at(made)
    assert (str(found.in_flight), str(found.cancelled)) == ("0-5", "0-1")
    made.run(0)
    found = looked_at(made)
    assert (str(found.in_flight), str(found.cancelled)) == ("3-5", "")


def test_what_may_be_cancelled(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=list(range(8))), python=PYTHON)
    made.plan(IndexSet.all(6), chunk_size=3)
    made.handed_in()
    assert str(cancellable(looked_at(made))) == "0-5"
    made.run(0)
    assert str(cancellable(looked_at(made))) == "3-5"


def test_a_failed_case_that_a_retry_repeats_may_be_cancelled(tmp_path: Path) -> None:
    made = swept(tmp_path, policies=Policies(retry=Retry(on=frozenset({Reason.ERROR}))).to_json())
    made.run(0)
    assert str(cancellable(looked_at(made))) == "2-5"


def test_what_is_owed_may_be_cancelled(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=list(range(8))), python=PYTHON)
    made.plan(IndexSet.all(3), chunk_size=3, goal=IndexSet.all(6), closes=True)
    made.handed_in()
    assert str(looked_at(made).owed) == "3-5"
    assert str(cancellable(looked_at(made))) == "0-5"
    cancel(made, "1,4")
    assert str(looked_at(made).owed) == "3,5"
    made.plan(IndexSet.of([4]))
    made.handed_in(submission=2)
    assert str(looked_at(made).withdrawn) == "1"


def test_an_order_that_failed_is_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Task 0 has the cases 0 and 1, task 1 has 2 and 3; both wait."""
    world = World(tmp_path, monkeypatch)
    monkeypatch.setattr(cancel_module, "time", SimpleNamespace(time=lambda: world.now))
    orders: list[Sequence[str]] = []

    def cancel_tasks(tasks: Sequence[str]) -> None:
        orders.append(tasks)
        if len(orders) == 1:
            raise ClusterError("scancel: the controller is away")

    cluster: Any = world.cluster
    cluster.cancel_tasks = cancel_tasks
    said: list[str] = []
    selected = IndexSet.of([0, 1, 2])
    done = cancel_cases(world.made.directory, cluster, SETTINGS, selected, said.append)
    assert (str(done.indices), done.tasks, str(done.shared)) == ("0-2", ("100_[0]",), "2")
    assert checked("cancel", done.to_json())["passed_over"] == "2"
    assert said == [
        "Array tasks stay where they are, and begin none of them: scancel: the controller is away"
    ]
    assert str(looked_at(world.made).withdrawn) == "0-2"
    again = cancel_cases(world.made.directory, cluster, SETTINGS, selected, said.append)
    assert (again.indices.count, again.lines) == (0, ("cancelled array tasks: 100_[0]",))
    assert orders == [["100_[0]"]] * 2
    assert len(said) == 1
    # Without accounting, too, it was cancelled and not lost.
    del world.cluster.queue[0]
    for _ in range(3):
        world.poll(61.0)
    assert world.tasks() == {0: "cancelled"}


def test_jobs_on_another_cluster_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One submission went to each of two clusters; from here one can be cancelled."""
    world = World(tmp_path, monkeypatch)
    made = world.made
    made.plan(cluster={"kind": "slurm", "name": "far", "state_dir": ""})
    made.handed_in(submission=2, job_id="7")
    cancelled: list[Sequence[str]] = []
    cluster: Any = world.cluster
    cluster.cancel = cancelled.append
    said: list[str] = []
    assert cancel_all(made.directory, cluster, SETTINGS, said.append).jobs == ("100",)
    assert cancelled == [["100"]]
    assert said == ["Not cancelled: job 7 on the cluster far. Cancel on a host of that one, too."]
    assert not made.directory.part_file(2, 0, "cancel").exists()


def test_a_damaged_fact_is_told_and_ends_no_task(tmp_path: Path) -> None:
    made = swept(tmp_path)
    made.directory.cancel_root.mkdir()
    (made.directory.cancel_root / "0001.json").write_text("{}")
    made.run(0)
    assert set(made.ends()) == {0, 1, 2}
    with pytest.raises(Damaged, match=r"0001\.json: is damaged"):
        looked_at(made)


def test_array_tasks_are_named_in_pieces(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=list(range(3000))))
    plan = made.plan(chunk_size=1, max_array_size=4001)
    record = made.directory.plan(1)[1]["cluster"]
    sent = SentPart(
        plan=plan,
        part=plan.parts[0],
        job_id="7",
        cancelled=None,
        cluster=record,
        open_chunks=IndexSet.all(3000),
    )
    assert sent.names_of([]) == []
    assert sent.names_of([0, 1, 2, 5]) == ["7_[0-2,5]"]
    pieces = sent.names_of(range(0, 3000, 2))
    assert len(pieces) == -(-1500 // RANGES_NAMED)
    assert all(len(piece) < 2000 for piece in pieces)
    assert sum(piece.count(",") + 1 for piece in pieces) == 1500
