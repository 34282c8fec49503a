"""Verdicts: what follows from the answers of a cluster, and above all what does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsweep.errors import SweepError
from hpcsweep.indexset import IndexSet
from hpcsweep.state import cluster_memory, lost_tasks
from hpcsweep.state.array_tasks import SentPart
from hpcsweep.state.outlook import outlook_of
from hpcsweep.state.summary import summarise
from hpcsweep.store.ingest import fresh_index
from tests.support.scripted import INTERVAL_S, Scripted, World, by_chunk


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


# --- what is alive, and what could not be asked --------------------------------------------------


def test_states_have_the_names_of_slurm(world: World) -> None:
    world.cluster.queue = {0: "RUNNING", 1: "COMPLETING"}
    view = world.poll()
    assert by_chunk(view.in_state) == {(1, 0): "RUNNING", (1, 1): "COMPLETING"}
    assert (view.polled_at, view.problem) == (world.now, None)


def test_an_unknown_state_is_alive(world: World) -> None:
    world.cluster.queue = {0: "TELEPORTING", 1: ""}
    assert world.verdict_after(5) == {}
    assert by_chunk(world.poll().in_state) == {(1, 0): "TELEPORTING", (1, 1): ""}


def test_a_failed_query_changes_nothing(world: World) -> None:
    world.cluster.queue = {0: "RUNNING"}  # the other one left
    first = world.poll()
    world.cluster.down = True
    for number in range(1, 10):
        view = world.poll(INTERVAL_S)
        assert by_chunk(view.in_state) == by_chunk(first.in_state)
        # The age of what is known stays that of the last answer.
        assert view.polled_at == first.polled_at == world.now - number * INTERVAL_S
        assert "Unable to contact" in (view.problem or "")
    assert world.tasks() == {}
    world.cluster.down = False
    assert world.poll(INTERVAL_S).problem is None


def test_without_a_cluster_the_known_state_stays(world: World) -> None:
    first = world.poll()
    view = world.poll(10 * INTERVAL_S, cluster=None)
    assert (by_chunk(view.in_state), view.polled_at) == (by_chunk(first.in_state), first.polled_at)
    assert [list(chunks) for _, chunks in view.open_chunks] == [[0, 1]]


def test_a_case_is_unknown_before_the_first_answer(world: World) -> None:
    world.cluster.down = True
    view = world.poll()
    assert (view.polled_at, by_chunk(view.in_state)) == (None, {})
    assert view.problem
    assert {status for status, _ in world.cases().values()} == {"unknown"}


# --- lost ----------------------------------------------------------------------------------------


def test_a_task_absent_once_is_not_lost(world: World) -> None:
    world.begin(1, 2)
    world.poll()
    world.vanish(1)
    assert world.verdict_after(1) == {}
    assert world.cases()[2] == ("running", None)


def test_a_task_absent_twice_is_lost_after_two_scans(world: World) -> None:
    """Without accounting: absent, (sacct), absent again, and a scan of the journals later."""
    world.begin(1, 2)
    world.poll()
    world.vanish(1)
    seen = [world.verdict_after(1) for _ in range(5)]
    assert seen[:3] == [{}, {}, {}]
    assert seen[-1] == {1: "lost"}
    assert world.cluster.asked[2:5] == ["squeue", "sacct", "squeue"]
    assert world.cases() == {
        0: ("pending", None),
        1: ("pending", None),
        2: ("interrupted", "lost"),
        3: ("interrupted", "lost"),
    }


def test_two_polls_within_the_grace_period_prove_nothing(world: World) -> None:
    world.poll()
    world.vanish(1)
    for _ in range(30):
        world.poll(1.0)
    assert world.tasks() == {}


def test_a_worker_that_reports_during_the_grace_period_counts(world: World) -> None:
    """Its journal came late over a network file system."""
    world.poll()
    world.vanish(1)
    world.verdict_after(3)
    world.made.run(1)
    assert world.verdict_after(5)[1] is None  # the worker's own end of the task
    assert world.cases()[2] == ("complete", None)


def test_a_worker_record_after_the_verdict_counts(world: World) -> None:
    world.poll()
    world.vanish(1)
    assert world.verdict_after(6) == {1: "lost"}
    world.made.run(1)
    assert world.cases()[3] == ("complete", None)


def test_a_task_that_reappears_is_not_lost(world: World) -> None:
    world.poll()
    for _ in range(4):
        world.vanish(1)
        assert world.verdict_after(2) == {}
        world.cluster.queue[1] = "PENDING"
        assert world.verdict_after(2) == {}


# --- why -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("TIMEOUT", "timeout"),
        ("PREEMPTED", "preempted"),
        ("NODE_FAIL", "node_fail"),
        ("OUT_OF_MEMORY", "out_of_memory"),
        ("CANCELLED by 1000", "cancelled"),
        ("FAILED", "lost"),
        ("COMPLETED", "lost"),
    ],
)
def test_a_final_row_of_the_accounting_gives_the_reason(
    world: World, state: str, reason: str
) -> None:
    world.begin(1, 2)
    world.poll()
    world.vanish(1)
    world.cluster.rows = [(0, "RUNNING", False), (1, state, True)]
    assert world.verdict_after(2) == {}  # absent; then the row: but the journals want a grace
    assert world.verdict_after(1) == {1: reason}
    assert world.cases()[2][1] == reason
    status = "failed" if state == "OUT_OF_MEMORY" else "interrupted"
    assert {world.cases()[2][0], world.cases()[3][0]} == {status}


@pytest.mark.parametrize(
    "row",
    [(1, "COMPLETED", False), (1, "FAILED", False), (1, "REQUEUED", True), (1, "NEW_STATE", True)],
)
def test_rows_that_are_not_final(world: World, row: tuple[int, str, bool]) -> None:
    """Phantoms, rows that are being replayed, a requeue, and words that nobody knows."""
    world.poll()
    world.vanish(1)
    world.cluster.rows = [row]
    assert world.verdict_after(3) == {}
    assert world.memory["over"] == {}


def test_a_row_about_a_task_that_is_in_the_queue_is_an_older_start(world: World) -> None:
    """A requeued task: the accounting still tells how its last start ended."""
    world.cluster.rows = [(0, "NODE_FAIL", True), (1, "NODE_FAIL", True)]
    world.poll()
    world.vanish(1)
    world.verdict_after(1)
    world.cluster.queue[1] = "PENDING"
    assert world.verdict_after(6) == {}


def test_a_stale_row_is_not_remembered(world: World) -> None:
    world.cluster.rows = [(0, "NODE_FAIL", True)]
    world.poll()
    world.vanish(1)
    world.poll(INTERVAL_S)
    world.poll(INTERVAL_S)
    assert world.cluster.asked[-1] == "sacct"
    world.vanish(0)
    world.cluster.rows = []
    assert world.verdict_after(6) == {0: "lost", 1: "lost"}


def test_our_own_cancel_is_known(world: World) -> None:
    world.begin(1, 2)
    world.poll()
    world.made.fact("cancel", time=world.now + 1)
    world.vanish(0, 1)
    assert world.verdict_after(1) == {}
    assert world.verdict_after(1) == {0: "cancelled", 1: "cancelled"}
    assert world.cases()[2] == ("interrupted", "cancelled")


def test_a_cancel_does_not_explain_what_ended_before(world: World) -> None:
    world.poll()
    world.vanish(1)
    world.poll(INTERVAL_S)
    world.made.fact("cancel", time=world.now + 1)
    assert world.verdict_after(6)[1] == "lost"


def test_a_queue_row_of_an_ended_task_is_a_hint(world: World) -> None:
    """Within MinJobAge, where a site keeps no accounting."""
    world.poll()
    world.cluster.queue[1] = "PREEMPTED"
    assert world.verdict_after(2) == {}
    assert world.verdict_after(4) == {1: "preempted"}


def test_a_hint_is_dropped_when_the_task_reappears(world: World) -> None:
    world.poll()
    world.cluster.queue[1] = "PREEMPTED"
    world.poll(INTERVAL_S)
    world.cluster.queue[1] = "RUNNING"
    world.verdict_after(2)
    world.vanish(1)
    assert world.verdict_after(6) == {1: "lost"}


@pytest.mark.parametrize(
    ("said", "state", "reason"),
    [
        ("terminated", "TIMEOUT", "timeout"),
        ("timeout", "TIMEOUT", "timeout"),
        ("timeout", "CANCELLED", "cancelled"),  # shortly before the limit
        ("timeout", "PREEMPTED", "preempted"),
    ],
)
def test_the_scheduler_refines_the_reason_of_a_signalled_worker(
    world: World, said: str, state: str, reason: str
) -> None:
    world.begin(1, 2)
    world.terminated(1, 2, said)
    world.poll()
    assert world.cases()[2] == ("interrupted", said)
    world.vanish(1)
    world.cluster.rows = [(1, state, True)]
    world.verdict_after(4)
    assert world.cases()[2] == ("interrupted", reason)
    with fresh_index(world.made.directory) as sweep_index:
        (row,) = sweep_index.rows()
    assert (row["wall_seconds"], row["token"]) == (2.5, "a" * 16)  # what the worker knew stays


@pytest.mark.parametrize("said", ["terminated", "timeout"])
def test_lost_refines_nothing(world: World, said: str) -> None:
    world.begin(1, 2)
    world.terminated(1, 2, said)
    world.poll()
    world.vanish(1)
    assert world.verdict_after(6) == {1: "lost"}
    assert world.cases()[2] == ("interrupted", said)


OOM = (
    "slurmstepd-n1: error: Detected 1 oom-kill event(s) in StepId=100.batch. "
    "Some of your processes may have been killed by the cgroup out-of-memory handler.\n"
)


def log_of(world: World, task: int, text: str) -> None:
    """The output of an array task of job 100."""
    directory = world.made.directory.log_dir(1)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"0.100_{task}.log").write_text(text)


def test_the_output_of_a_lost_task_says_that_its_memory_was_exhausted(world: World) -> None:
    """Without accounting, and after MinJobAge: no state names the reason any more."""
    world.begin(1, 2)
    log_of(world, 1, "x" * lost_tasks.OUTPUT_END + f"\n{OOM}")
    world.poll()
    world.vanish(1)
    assert world.verdict_after(6) == {1: "out_of_memory"}
    assert (world.cases()[2], world.cases()[3]) == (("failed", "out_of_memory"),) * 2


@pytest.mark.parametrize("state", ["PREEMPTED", "CANCELLED", "NODE_FAIL"])
def test_a_state_that_names_the_reason_counts_more_than_the_output(
    world: World, state: str
) -> None:
    world.begin(1, 2)
    log_of(world, 1, OOM)
    world.poll()
    world.vanish(1)
    world.cluster.rows = [(1, state, True)]
    world.verdict_after(4)
    assert world.cases()[2][1] == state.lower()


def test_output_that_says_nothing_of_this_end(world: World) -> None:
    """A task that left no case running, another task's output, and a line too far from the end."""
    log_of(world, 1, OOM)
    world.begin(0, 0)
    log_of(world, 0, OOM + "x" * lost_tasks.OUTPUT_END)
    world.poll()
    world.vanish(0, 1)
    assert world.verdict_after(6) == {0: "lost", 1: "lost"}
    assert world.cases()[0] == ("interrupted", "lost")


# --- requeue -------------------------------------------------------------------------------------


def test_a_start_after_the_verdict_opens_the_task_again(world: World) -> None:
    world.begin(1, 2)
    world.poll()
    world.vanish(1)
    assert world.verdict_after(6) == {1: "lost"}
    world.begin(1, 2, restart=1, token="c" * 16)
    world.cluster.queue[1] = "RUNNING"
    view = world.poll(INTERVAL_S)
    assert [list(chunks) for _, chunks in view.open_chunks] == [[0, 1]]
    assert by_chunk(view.in_state)[1, 1] == "RUNNING"
    assert world.cases()[2] == ("running", None)


# --- how often, and whom -------------------------------------------------------------------------


def test_one_poll_per_interval(world: World) -> None:
    for _ in range(20):
        world.poll(INTERVAL_S / 12)
    assert world.cluster.asked == ["config", "squeue", "squeue"]


def test_failed_polls_count_for_the_interval(world: World) -> None:
    world.cluster.down = True
    for _ in range(20):
        world.poll(INTERVAL_S / 12)
    assert world.cluster.asked == ["config", "config"]


def test_several_processes_share_the_interval(world: World) -> None:
    world.poll()
    again = World.__new__(World)
    again.__dict__.update(world.__dict__)
    again.cluster = Scripted(queue=world.cluster.queue)
    view = again.poll(INTERVAL_S / 2)
    assert again.cluster.asked == []
    assert by_chunk(view.in_state) == by_chunk(world.poll().in_state) != {}


def test_during_a_poll_other_processes_see_the_last_known_state(world: World) -> None:
    """Another process holds the lock: it is in the middle of a question."""
    first = world.poll()
    script = (
        "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX);"
        "print('locked', flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", script, str(world.made.path / ".cluster.lock")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "locked\n"
        asked = list(world.cluster.asked)
        view = world.poll(10 * INTERVAL_S)
        assert (by_chunk(view.in_state), world.cluster.asked) == (by_chunk(first.in_state), asked)
        assert holder.stdin
        holder.stdin.close()


@pytest.mark.parametrize("back_s", [1.0, 1e6])
def test_a_clock_that_went_back_does_not_stop_polling(world: World, back_s: float) -> None:
    world.poll()
    asked = len(world.cluster.asked)
    world.poll(-back_s)
    assert len(world.cluster.asked) == asked + 1


def test_a_cluster_of_another_name_is_not_polled(world: World) -> None:
    """Its job 100 belongs to another user."""
    world.cluster.name = "other"
    view = world.poll()
    assert world.cluster.asked == ["config"]
    assert (by_chunk(view.in_state), view.polled_at) == ({}, None)
    assert view.problem == "this is the cluster other, the tasks are on test"
    assert world.verdict_after(6) == {}


def test_a_cluster_of_another_kind_is_not_polled(world: World) -> None:
    world.cluster.kind = "emulated"
    assert by_chunk(world.poll().in_state) == {}
    assert world.cluster.asked == []


def test_a_finished_sweep_does_not_poll(world: World) -> None:
    for task in (0, 1):
        world.made.run(task)
    world.poll()
    assert world.cluster.asked == []


def test_parts_without_a_job_are_not_polled(world: World) -> None:
    world.made.plan(chunk_size=4)  # never handed in
    world.made.plan(chunk_size=4)
    world.made.fact("intent", 3, job_name="n", time=0.0)  # no answer yet: held all the same
    view = world.poll()
    assert [(plan.submission, list(chunks)) for plan, chunks in view.open_chunks] == [
        (1, [0, 1]),
        (3, [0]),
    ]
    assert by_chunk(view.in_state).keys() == {(1, 0), (1, 1)}
    world.made.fact("void", 3, why="refused", time=0.0)
    assert {plan.submission for plan, _ in world.poll().open_chunks} == {1}


# --- knowledge and the facts that it is about ----------------------------------------------------


def handed_in(world: World, job_id: str = "101") -> None:
    """A second submission, accepted just now."""
    world.made.plan(chunk_size=2)
    world.made.handed_in(2, job_id=job_id)


def test_a_task_submitted_after_the_poll_is_not_gone(world: World) -> None:
    world.poll()
    handed_in(world)
    assert world.poll(1.0).states() == {"PENDING": 2, "sent": 2}
    # Nor after the next one, which is to the accounting and says nothing of the queue.
    world.vanish(1)
    world.poll(INTERVAL_S)
    assert world.poll(1.0).states() == {"PENDING": 1, "gone": 3}


def test_a_query_to_the_accounting_does_not_count_as_a_queue_poll(world: World) -> None:
    world.poll()
    world.vanish(1)
    world.poll(INTERVAL_S)
    handed_in(world)
    world.poll(INTERVAL_S)
    assert world.cluster.asked[-1] == "sacct"
    assert world.poll(1.0).states() == {"PENDING": 1, "gone": 1, "sent": 2}


def test_a_poll_that_failed_before_the_submission_does_not_concern_it(world: World) -> None:
    world.cluster.down = True
    world.poll()
    world.cluster.down = False
    world.made.fact("void", why="refused", time=0.0)  # the first submission is nobody's any more
    handed_in(world)
    view = world.poll(1.0)
    assert (view.problem, list(view.unknown_chunks)) == (None, [])
    assert view.states() == {"sent": 2}


def test_no_poll_succeeded_since_the_submission(world: World) -> None:
    world.poll()
    handed_in(world)
    world.cluster.down = True
    view = world.poll(INTERVAL_S)
    assert {plan.submission for plan, _ in view.unknown_chunks} == {2}
    assert view.problem
    world.cluster.down = False
    assert not list(world.poll(INTERVAL_S).unknown_chunks)


def test_a_part_without_an_answer_is_not_reported_as_sent(world: World) -> None:
    world.poll()
    world.made.plan(chunk_size=4)
    world.made.fact("intent", 2, job_name="n", time=0.0)
    view = world.poll(1.0)
    assert view.states() == {"PENDING": 2, "unanswered": 1}
    assert {plan.submission for plan, _ in view.unknown_chunks} == {2}


def test_a_task_cancelled_after_the_poll_does_not_run(world: World) -> None:
    world.cluster.queue = {0: "RUNNING", 1: "RUNNING"}
    world.poll()
    world.made.fact("cancel", time=world.now + 1)
    assert world.poll(2.0).states() == {"cancelled": 2}


# --- what tasks wait for -------------------------------------------------------------------------


def test_the_queues_reason_is_that_of_tasks_that_wait(world: World) -> None:
    world.cluster.queue = {0: "RUNNING", 1: "PENDING"}
    world.cluster.reasons = {0: "JobHeldUser", 1: "Priority"}
    assert by_chunk(world.poll().waiting_for) == {(1, 1): "Priority"}
    world.cluster.reasons[1] = "None"
    assert by_chunk(world.poll(INTERVAL_S).waiting_for) == {}


# --- the memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff"])
def test_a_damaged_memory_is_forgotten(world: World, content: bytes) -> None:
    world.poll()
    (world.made.path / cluster_memory.FILE).write_bytes(content)
    assert by_chunk(world.poll(INTERVAL_S).in_state) == {(1, 0): "PENDING", (1, 1): "PENDING"}


def test_the_memory_holds_open_tasks_only(world: World) -> None:
    world.poll()
    world.vanish(0, 1)
    world.poll(INTERVAL_S)
    world.made.run(0)
    world.poll(INTERVAL_S)
    for kind in ("absent", "scans", "over", "hints", "words"):
        assert set(world.memory.get(kind, {})) <= {"100_1"}, kind
    assert world.memory["in_queue"] == {}


def test_the_memory_forgets_a_task_that_ended_since_the_poll(world: World) -> None:
    world.cluster.reasons = {0: "Priority", 1: "Priority"}
    world.poll()
    assert world.memory["waits"] == {"Priority": {"100": "0-1"}}
    world.made.run(0)
    world.poll(1.0)
    assert (world.memory["in_queue"], world.memory["waits"]) == (
        {"PENDING": {"100": "1"}},
        {"Priority": {"100": "1"}},
    )


def test_an_older_program_at_work_on_the_same_memory(world: World) -> None:
    """It has the queue by element; the rest of the memory is common."""
    world.cluster.reasons = {0: "Priority"}
    world.poll()
    world.vanish(1)
    world.poll(INTERVAL_S)
    path, before = world.made.path / cluster_memory.FILE, dict(world.memory)
    shared = ("tried", "asked", "last", "names", "absent", "scans")
    written = {"alive": {"100_0": "PENDING"}, "waiting": {"100_0": "Priority"}, "heard": ["100"]}
    alone = {name: before[name] for name in shared} | written
    for memory in (before | written, alone):
        path.write_text(json.dumps(memory))
        assert world.poll(0.0).states() == {"sent": 2}  # unknown, as before an answer; never gone
        assert {name: world.memory[name] for name in shared} == {
            name: before[name] for name in shared
        }
        assert not set(written) & set(world.memory)  # nor for the older one
        path.write_text(json.dumps(memory))
    for _ in ("sacct", "squeue"):
        tasks = world.poll(INTERVAL_S)
    assert by_chunk(tasks.in_state) == {(1, 0): "PENDING"}
    assert set(world.memory["absent"]) == {"100_1"}


def test_a_look_between_two_polls_goes_through_no_task_of_the_queue(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.poll()
    monkeypatch.delattr(SentPart, "element")
    monkeypatch.setattr(
        IndexSet, "__iter__", lambda indices: iter(()) if not indices else pytest.fail(str(indices))
    )
    tasks = world.poll(1.0)
    assert tasks.states() == {"PENDING": 2}
    with fresh_index(world.made.directory) as sweep_index:
        outlook = outlook_of(world.made.directory, sweep_index, tasks)
    assert summarise(world.made.directory, outlook, {}).tasks == {"PENDING": 2}


def test_a_sweep_that_cannot_be_written_is_an_error(world: World) -> None:
    world.poll()
    lock = world.made.path / ".cluster.lock"
    lock.unlink()
    lock.mkdir()  # root may write anywhere, but not into a directory as if it were a file
    with pytest.raises(SweepError, match="cannot be written") as caught:
        world.poll()
    assert os.fspath(lock) == caught.value.where


def test_tasks_on_another_cluster_are_named_beside_those_on_this_one(world: World) -> None:
    world.made.plan(cluster={"kind": "slurm", "name": "alpha", "state_dir": ""})
    world.made.handed_in(2, job_id="200")
    for _ in range(2):
        view = world.poll(INTERVAL_S)
        assert by_chunk(view.in_state)
        assert view.problem == "this is the cluster test, the tasks are on alpha"
    # What may pass by itself comes first.
    world.cluster.down = True
    assert "Unable to contact" in (world.poll(INTERVAL_S).problem or "")
