"""The contract of `SweepIndex`, on every database that may be behind it."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hpcsweep.errors import StoreError
from hpcsweep.indexset import IndexSet
from hpcsweep.store import SweepIndex, blocks, schema
from hpcsweep.store.measured import Measured
from hpcsweep.store.upsert import RowBatch
from tests.support.backends import Backend, backend
from tests.support.fixtures import Scale
from tests.support.postgres import Place, database, postgres
from tests.support.rows import MANIFEST, batch, better, case, indices
from tests.support.statements import statements
from tests.support.wait import wait_until

__all__ = ["backend", "database", "postgres", "statements"]

MakeIndex = Callable[..., SweepIndex]

# Whether a first ingest says that all rows should be new: that is a hint, not a promise.
BULK = pytest.mark.parametrize("is_first", [False, True])


@pytest.fixture
def make_index(backend: Backend) -> MakeIndex:
    """`make_index(sweep="k")` opens the one database of this test for a sweep."""

    def make(sweep: str = "k") -> SweepIndex:
        return backend.sweep_index(sweep)

    return make


@pytest.fixture
def sweep_index(make_index: MakeIndex) -> SweepIndex:
    found = make_index()
    found.create("s", MANIFEST)
    return found


def rows(sweep_index: SweepIndex) -> list[dict[str, Any]]:
    return list(sweep_index.rows())


# --- the tables ----------------------------------------------------------------------------------


def test_an_index_does_not_exist_until_it_is_created(make_index: MakeIndex) -> None:
    sweep_index = make_index()
    assert not sweep_index.exists()
    sweep_index.create("s", MANIFEST)
    sweep_index.create("s", "another, which is not taken over")
    assert sweep_index.exists()
    assert sweep_index.manifest() == MANIFEST
    assert (rows(sweep_index), sweep_index.positions(), sweep_index.tasks()) == ([], {}, [])
    assert (sweep_index.closed(), sweep_index.task_groups()) == (frozenset(), [])


def test_only_commands_make_tables(sweep_index: SweepIndex, statements: list[str]) -> None:
    sweep_index.merge(batch(case(1), journals=[("j", 0, 10, 1)]))
    sweep_index.merge(batch(better(case(1)), journals=[("j", 10, 20, 0)]))
    for read in (
        "positions",
        "counts",
        "case_groups",
        "tasks",
        "torn",
        "max_generation",
        "manifest",
        "exists",
    ):
        getattr(sweep_index, read)()
    list(sweep_index.rows())
    sweep_index.find("1")
    ddl = ("CREATE", "ALTER", "DROP")
    made = [text for text in statements if text.strip().upper().startswith(ddl)]
    assert [text for text in made if "TEMPORARY" not in text and "temp." not in text] == []
    assert len(statements) > 10


def test_sweeps_do_not_see_each_other(make_index: MakeIndex) -> None:
    first, second = make_index("k"), make_index("l")
    first.create("s", MANIFEST)
    assert not second.exists()
    second.create("t", MANIFEST)
    first.merge(batch(case(1), journals=[("j", 0, 10, 1)]))
    second.merge(batch(case(1, params='{"x": "other"}', status="complete")))
    assert [row["status"] for row in first.rows()] == ["running"]
    assert [row["status"] for row in second.rows()] == ["complete"]
    assert (first.positions(), second.positions()) == ({"j": 10}, {})
    first.clear()
    assert rows(first) == []
    assert len(rows(second)) == 1


def test_clear_forgets_everything_of_a_sweep(sweep_index: SweepIndex) -> None:
    start = {
        "submission": 1,
        "chunk": 0,
        "start_rank": "000000.a",
        "host": "n",
        "job_id": "1",
        "time": "t",
        "verdict_rank": "",
        "status": None,
        "reason": None,
    }
    sweep_index.merge(batch(case(1), journals=[("j", 0, 10, 3)], starts=[start]))
    sweep_index.clear()
    assert (
        rows(sweep_index),
        sweep_index.positions(),
        sweep_index.tasks(),
        sweep_index.torn(),
    ) == ([], {}, [], {})
    assert sweep_index.max_generation() == 0
    sweep_index.create("s", MANIFEST)
    assert sweep_index.merge(batch(case(1)))


# --- merging -------------------------------------------------------------------------------------


@BULK
def test_the_higher_record_is_the_row(sweep_index: SweepIndex, is_first: bool) -> None:
    low, high = case(1), better(case(1), status="complete", metrics='{"a":1}', host="n2")
    for order in ((low, high), (high, low), (high, high, low)):
        sweep_index.clear()
        sweep_index.create("s", MANIFEST)
        for row in order:
            assert sweep_index.merge(batch(row, is_first=is_first))
        (found,) = rows(sweep_index)
        assert {name: found[name] for name in high} == high
        assert found["idx"] == 1


@BULK
def test_batches_commute_and_may_come_twice(
    make_index: MakeIndex, is_first: bool, scale: Scale
) -> None:
    """Batches in any order and repetition give the rows of one batch with everything."""
    source = random.Random(1)
    versions = [
        better(case(number), by, status=status, metrics=json.dumps({"by": by}), submission=by + 1)
        for number in range(4)
        for by, status in enumerate(("running", "failed", "complete"))
    ]
    starts = [
        {
            "submission": 1,
            "chunk": chunk,
            "start_rank": f"{restart:06d}.a",
            "host": f"n{restart}",
            "job_id": "1",
            "time": f"t{restart}",
            "verdict_rank": "",
            "status": None,
            "reason": None,
        }
        for chunk in range(2)
        for restart in range(3)
    ]
    verdicts = [
        {
            "submission": 1,
            "chunk": chunk,
            "start_rank": "",
            "host": None,
            "job_id": None,
            "time": None,
            "verdict_rank": f"{restart:06d}.t.c",
            "status": "interrupted",
            "reason": reason,
        }
        for chunk in range(2)
        for restart, reason in enumerate(("lost", "timeout"))
    ]
    pieces = [batch(row, is_first=is_first) for row in versions]
    pieces += [batch(starts=[row]) for row in starts]
    pieces += [batch(verdicts=[row]) for row in verdicts]
    found = set()
    for round_number in range(scale(2, 20)):
        sweep_index = make_index(f"sweep{round_number}")
        sweep_index.create("s", MANIFEST)
        order = pieces * (round_number % 2 + 1)
        source.shuffle(order)
        for piece in order:
            assert sweep_index.merge(piece)
        own = [
            {name: value for name, value in row.items() if name != "sweep"}
            for row in (
                *sweep_index.rows(),
                *sorted(sweep_index.tasks(), key=lambda task: task["chunk"]),
            )
        ]
        found.add(json.dumps(own, sort_keys=True))
    assert len(found) == 1
    by_chunk = {task["chunk"]: task for task in sweep_index.tasks()}
    assert (by_chunk[0]["host"], by_chunk[0]["time"], by_chunk[0]["reason"]) == (
        "n2",
        "t2",
        "timeout",
    )


def test_array_tasks_are_grouped_by_what_is_known(sweep_index: SweepIndex) -> None:
    """Chunks 0..3 ran to their end, 4 was lost, 5 was requeued since, 6 waits with a verdict."""
    blank = dict.fromkeys(("host", "job_id", "time", "status", "reason"))
    common = {"submission": 1, "start_rank": "", "verdict_rank": ""} | blank
    ended = [(chunk, None) for chunk in range(4)] + [(4, "lost"), (5, None), (6, "cancelled")]
    restarts = dict.fromkeys(range(5), 0) | {5: 1}
    starts = [
        common | {"chunk": chunk, "start_rank": f"{restart:06d}.{'a' * 16}"}
        for chunk, restart in restarts.items()
    ]
    verdicts = [
        common | {"chunk": chunk, "verdict_rank": "000000.t.c", "status": "x", "reason": reason}
        for chunk, reason in ended
    ]
    sweep_index.merge(batch(starts=starts, verdicts=verdicts))
    assert {
        (str(group.chunks), group.is_started, group.is_closed, group.reason)
        for group in sweep_index.task_groups()
    } == {
        ("0-3", True, True, None),
        ("4", True, True, "lost"),
        ("5", True, False, None),
        ("6", False, True, "cancelled"),
    }


@BULK
def test_params_and_metrics_come_back_as_they_were(sweep_index: SweepIndex, is_first: bool) -> None:
    texts = [
        '{"b":1e16,"a":1.0}',
        '{"a":"\\u0000\\ud800"}',
        '{"é😀":"\\n"}',
        '{"n":123456789012345678901}',
    ]
    for number, text in enumerate(texts):
        row = case(number, params=text, metrics=text, error=text)
        sweep_index.merge(batch(row, is_first=is_first))
    assert [row["params"] for row in sweep_index.rows()] == texts
    assert [row["metrics"] for row in sweep_index.rows()] == texts
    assert [row["error"] for row in sweep_index.rows()] == texts


def test_a_batch_of_another_order_is_not_merged(sweep_index: SweepIndex) -> None:
    assert not sweep_index.merge(batch(case(1), manifest="0" * 16, journals=[("j", 0, 10, 0)]))
    assert (rows(sweep_index), sweep_index.positions()) == ([], {})


@BULK
def test_a_batch_is_merged_whole_or_not_at_all(sweep_index: SweepIndex, is_first: bool) -> None:
    sweep_index.merge(batch(case(2)))
    collision = better(case(2), params='{"x": 3}')
    with pytest.raises(StoreError, match="two cases share the id 0000000000000002"):
        sweep_index.merge(batch(case(1), collision, journals=[("j", 0, 10, 0)], is_first=is_first))
    assert [row["idx"] for row in sweep_index.rows()] == [2]
    assert sweep_index.positions() == {}


def test_the_same_params_may_be_written_differently(sweep_index: SweepIndex) -> None:
    sweep_index.merge(batch(case(1, params='{"x": 1, "y": 2}')))
    assert sweep_index.merge(batch(better(case(1), params='{"y":2.0,"x":1.0}')))


@BULK
def test_a_large_batch(sweep_index: SweepIndex, is_first: bool) -> None:
    many = [case(number, status="complete") for number in range(3000)]
    sweep_index.merge(batch(*many, is_first=is_first))
    sweep_index.merge(batch(*(better(row) for row in many[::2]), is_first=is_first))
    assert sweep_index.counts() == {("complete", None): 3000}
    assert sweep_index.max_generation() == 1


# --- positions -----------------------------------------------------------------------------------


def test_positions_grow_over_what_was_merged(sweep_index: SweepIndex) -> None:
    sweep_index.merge(batch(journals=[("a", 0, 10, 1), ("b", 0, 5, 0), ("a", 10, 30, 2)]))
    assert sweep_index.positions() == {"a": 30, "b": 5}
    assert sweep_index.positions(["a", "none"]) == {"a": 30}
    assert sweep_index.torn() == {"a": 3}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_processes_that_read_the_same_bytes(
    sweep_index: SweepIndex, order: tuple[int, ...]
) -> None:
    """Each damaged line is counted once, and no byte is passed over."""
    pieces = [("a", 0, 10, 1), ("a", 0, 30, 3), ("a", 10, 30, 2)]
    for number in order:
        sweep_index.merge(batch(journals=[pieces[number]]))
    position, torn = sweep_index.positions()["a"], sweep_index.torn()["a"]
    assert (position, torn) in ((10, 1), (30, 3))
    sweep_index.merge(batch(journals=[("a", position, 30, 3 - torn)] if position < 30 else []))
    assert (sweep_index.positions(), sweep_index.torn()) == ({"a": 30}, {"a": 3})


def test_an_index_cleared_by_another_process_is_ingested_from_the_start(
    sweep_index: SweepIndex,
) -> None:
    """A task read on while a command rebuilt: its position would skip the beginning."""
    sweep_index.merge(batch(case(1), journals=[("a", 0, 10, 0)]))
    sweep_index.clear()
    sweep_index.create("s", MANIFEST)
    sweep_index.merge(batch(case(2), journals=[("a", 10, 30, 0)]))
    assert sweep_index.positions() == {}


# --- reading -------------------------------------------------------------------------------------


def test_rows_come_in_the_order_of_indices(sweep_index: SweepIndex) -> None:
    numbers = [5, 300, 2, 17, 4]
    for number in numbers:
        sweep_index.merge(batch(case(number)))
    for size in (1, 2, 5, 100):
        assert [row["idx"] for row in sweep_index.rows(batch=size)] == sorted(numbers)


def test_a_slow_reader_does_not_block_writers(
    sweep_index: SweepIndex, make_index: MakeIndex
) -> None:
    """`collect | less` must not stop the tasks' results on their way into the index."""
    sweep_index.merge(batch(*(case(number) for number in range(10))))
    reading = sweep_index.rows(batch=2)
    next(reading)
    assert make_index().merge(batch(better(case(9), status="complete"), case(11)))
    rest = list(reading)
    assert [row["idx"] for row in rest] == [*range(1, 10), 11]
    assert rest[8]["status"] == "complete"


def test_a_case_at_several_indices(sweep_index: SweepIndex) -> None:
    row = case(1, status="complete")
    places = dict.fromkeys((1, 4, 9), row["case_id"])
    sweep_index.merge(batch(row, places=places))
    assert [found["idx"] for found in sweep_index.rows()] == [1, 4, 9]
    assert sweep_index.counts() == {("complete", None): 3}
    assert [group.indices for group in sweep_index.case_groups()] == [IndexSet.of([1, 4, 9])]


def test_known_indices_are_ranges(sweep_index: SweepIndex) -> None:
    kinds = ["complete", "complete", "failed", "complete", "running", "running", "complete"]
    for number, status in enumerate(kinds):
        digest = "new" if number % 2 else "old"
        sweep_index.merge(batch(case(number, status=status, code_digest=digest)))
    known = {
        (one.status, one.code_digest): one.indices.to_json() for one in sweep_index.case_groups()
    }
    assert known == {
        ("complete", "old"): [[0, 1], [6, 7]],
        ("complete", "new"): [[1, 2], [3, 4]],
        ("failed", "old"): [[2, 3]],
        ("running", "old"): [[4, 5]],
        ("running", "new"): [[5, 6]],
    }
    assert sweep_index.counts() == {
        ("complete", None): 4,
        ("failed", None): 1,
        ("running", None): 2,
    }


def test_a_range_has_the_largest_values_of_its_cases(sweep_index: SweepIndex) -> None:
    """The largest values over all its ranges; None if no case recorded any."""
    for number, seconds in enumerate([2.0, 5.0, None, 3.0, 4.0]):
        status = "failed" if number == 2 else "complete"
        sweep_index.merge(
            batch(case(number, status=status, wall_seconds=seconds, max_rss_bytes=None))
        )
    found = {one.status: one for one in sweep_index.case_groups()}
    assert found["complete"].indices == IndexSet.of([0, 1, 3, 4])
    assert (found["complete"].wall_seconds, found["complete"].max_rss_bytes) == (5.0, None)
    assert found["failed"].wall_seconds is None
    assert {one.attempt for one in found.values()} == {1}


def test_what_complete_cases_took(sweep_index: SweepIndex) -> None:
    """Without failed ones, without those from a cache, and without other targets' submissions."""
    assert sweep_index.measured() is None
    rows: list[dict[str, Any]] = [
        {"wall_seconds": 2.0, "max_rss_bytes": 10},
        {"wall_seconds": 6.0, "max_rss_bytes": 30},
        {"wall_seconds": 90.0, "status": "failed"},
        {"wall_seconds": 0.0, "code_digest": None},
        {"wall_seconds": 50.0, "submission": 2},
        {"wall_seconds": None},
    ]
    for number, row in enumerate(rows):
        sweep_index.merge(batch(case(number, **({"status": "complete", "code_digest": "a"} | row))))
    found = Measured(cases=2, mean_s=4.0, longest_s=6.0, max_rss_bytes=30)
    assert sweep_index.measured(without=[2]) == found
    every = sweep_index.measured()
    assert every is not None
    assert (every.cases, every.longest_s) == (3, 50.0)


def test_the_times_of_a_task_are_those_of_its_attempts(sweep_index: SweepIndex) -> None:
    assert sweep_index.task_times() == []
    of_task = {
        "status": "complete",
        "job_id": "7",
        "started": "b",
        "ended": "c",
        "cpu_seconds": 2.0,
    }
    first = case(0, **of_task)
    sweep_index.merge(batch(first))
    sweep_index.merge(batch(case(1, **of_task | {"started": "a", "cpu_seconds": None})))
    sweep_index.merge(batch(case(2, **of_task | {"job_id": None})))
    sweep_index.merge(batch(case(3, **of_task | {"ended": None})))
    times = {(1, "a", "c", 2.0), (1, "b", "c", 2.0)}
    assert set(map(tuple, sweep_index.task_times())) == times


def test_what_is_known_follows_every_merge(
    sweep_index: SweepIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was kept of blocks says what the rows say: of all indices of a case, in any block."""
    monkeypatch.setattr(blocks, "BLOCK", 4)

    def known() -> dict[str, list[int]]:
        sweep_index.kinds()
        return {one.status: list(one.indices) for one in sweep_index.case_groups()}

    first, second = case(1), case(2)
    sweep_index.merge(batch(first, places=dict.fromkeys((1, 9, 40), first["case_id"])))
    assert known() == {"running": [1, 9, 40]}
    # By an index alone, as of a record of another manifest.
    sweep_index.merge(batch(better(first, status="failed", metrics='{"a":1}'), places={}))
    assert known() == {"failed": [1, 9, 40]}
    assert sweep_index.kinds() == ({("x",): "int"}, {("a",): "int"}, {})
    # A place of a case that has no row yet: `same` records come from other journals.
    sweep_index.merge(batch(places={20: second["case_id"]}))
    assert known() == {"failed": [1, 9, 40]}
    sweep_index.merge(batch(second, places={2: second["case_id"]}))
    assert known() == {"failed": [1, 9, 40], "running": [2, 20]}
    assert sweep_index.reorder(MANIFEST, MANIFEST, lambda row: row["idx"] + 100)
    assert known() == {"failed": [101], "running": [102]}


@pytest.mark.postgres
def test_nothing_is_kept_while_a_merge_is_under_way(database: Place) -> None:
    """What it has not committed is neither seen nor lost. SQLite has one writer at a time."""
    sweep_index = SweepIndex(database.url, "k")
    sweep_index.create("s", MANIFEST)
    sweep_index.merge(batch(case(1)))
    with psycopg.connect(database.url) as other:
        other.execute("SELECT manifest FROM sweeps FOR SHARE")  # as a merge begins
        assert indices(sweep_index) == IndexSet.of([1])
        assert database.execute("SELECT outcomes FROM blocks") == [(None,)]
    assert indices(sweep_index) == IndexSet.of([1])
    assert database.execute("SELECT outcomes IS NULL FROM blocks") == [(False,)]


@pytest.mark.postgres
def test_a_case_keeps_indices_that_come_at_once(database: Place) -> None:
    sweep_index = SweepIndex(database.url, "k")
    sweep_index.create("s", MANIFEST)
    row = case(7)
    sweep_index.merge(batch(row))
    first, second = (batch(places={index: row["case_id"]}) for index in (0, 5))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as pool:

        def meanwhile() -> Iterator[RowBatch]:
            yield first
            pool.submit(sweep_index.merge, second)
            wait_until(lambda: database.execute(waiting) != [(0,)], 30, "the other merge waits")

        sweep_index.merge_all(meanwhile())
    assert [found["idx"] for found in sweep_index.rows()] == [0, 5, 7]
    assert indices(sweep_index) == IndexSet.of([0, 5, 7])


def test_large_indices(sweep_index: SweepIndex) -> None:
    row = case(1)
    sweep_index.merge(batch(row, places={10**12: row["case_id"]}))
    assert [group.indices for group in sweep_index.case_groups()] == [IndexSet.of([10**12])]


def test_rows_of_some_indices(sweep_index: SweepIndex) -> None:
    sweep_index.merge(batch(*map(case, range(9))))
    for text in ("", "3", "0-8", "2-5", "0,2,4,6,8", "0-2,4-5,7", "5-99", "42"):
        wanted = IndexSet.parse(text)
        for size in (1, 3, 5000):
            rows = sweep_index.rows(within=wanted, batch=size)
            assert [row["idx"] for row in rows] == list(wanted & IndexSet.all(9))
    odd = schema.cases.c.case_id > f"{4:016x}"
    rows = sweep_index.rows(within=IndexSet.parse("3,5,8"), where=odd)
    assert [row["idx"] for row in rows] == [5, 8]
    assert str(sweep_index.indices(odd)) == "5-8"
    ids = [f"{number:016x}" for number in (4, 1, 77)]
    assert sweep_index.of_ids(ids) == {ids[1]: [1], ids[0]: [4]}


def test_a_case_is_found_by_its_index_or_its_id(sweep_index: SweepIndex) -> None:
    for number in (0x12, 0x120, 3):
        sweep_index.merge(batch(case(number)))
    assert [row["idx"] for row in sweep_index.find("3")] == [3]
    assert [row["idx"] for row in sweep_index.find("0000000000000012")] == [0x12]
    assert [row["idx"] for row in sweep_index.find("00000000000001")] == [0x120]
    assert [row["idx"] for row in sweep_index.find("0000000000")] == [3, 0x12, 0x120]
    for text in ("99", "%", "_", "", "x'; DROP TABLE cases; --"):
        assert [row["idx"] for row in sweep_index.find(text)] == (
            [3, 0x12, 0x120] if not text else []
        )


def test_silent_attempts(sweep_index: SweepIndex) -> None:
    kinds = [
        ("running", None),
        ("interrupted", "terminated"),
        ("interrupted", "lost"),
        ("complete", None),
        ("failed", "error"),
    ]
    for number, (status, reason) in enumerate(kinds):
        sweep_index.merge(batch(case(number, status=status, reason=reason)))
    sweep_index.merge(batch(case(9, submission=2)))
    assert [row["idx"] for row in sweep_index.silent(1)] == [0, 1]
    assert [row["idx"] for row in sweep_index.silent(2)] == [9]


# --- another order -------------------------------------------------------------------------------


def test_the_order_of_another_manifest(sweep_index: SweepIndex) -> None:
    sweep_index.merge(batch(*(case(number) for number in range(4))))

    def reversed_without_2(row: dict[str, Any]) -> int | None:
        number = int(row["case_id"], 16)
        assert json.loads(row["params"]) == {"x": number}
        assert row["idx"] == number
        return None if number == 2 else 10 - number

    assert sweep_index.reorder(MANIFEST, "0" * 16, reversed_without_2)
    assert [(row["idx"], row["case_id"][-1]) for row in sweep_index.rows()] == [
        (7, "3"),
        (9, "1"),
        (10, "0"),
    ]
    assert sweep_index.manifest() == "0" * 16
    assert not sweep_index.merge(batch(case(5)))
    before = {}

    def back(row: dict[str, Any]) -> int:
        number = int(row["case_id"], 16)
        before[number] = row["idx"]
        return number

    assert sweep_index.reorder("0" * 16, MANIFEST, back)
    assert indices(sweep_index) == IndexSet.all(4)  # the one that had no place was not forgotten
    assert before == {0: 10, 1: 9, 2: None, 3: 7}


def test_a_case_that_is_merged_while_places_are_found_has_one(
    sweep_index: SweepIndex, make_index: MakeIndex
) -> None:
    """Finding them keeps no other writer waiting: at a million cases it takes minutes."""
    sweep_index.merge(batch(case(1), case(2)))
    asked = []

    def place(row: dict[str, Any]) -> int:
        asked.append(row["case_id"])
        if len(asked) == 1:
            assert make_index().merge(batch(case(3), better(case(2))))
        return 10 - int(row["case_id"], 16)

    assert sweep_index.reorder(MANIFEST, "1" * 16, place)
    assert [row["idx"] for row in sweep_index.rows()] == [7, 8, 9]
    assert [int(case_id, 16) for case_id in asked] == [1, 2, 3]


def test_one_of_two_concurrent_reorders_is_rejected(sweep_index: SweepIndex) -> None:
    assert sweep_index.reorder(MANIFEST, "1" * 16, None)
    assert not sweep_index.reorder(MANIFEST, "2" * 16, None)
    assert sweep_index.manifest() == "1" * 16


def test_the_same_order_under_another_name(sweep_index: SweepIndex) -> None:
    row = case(1)
    sweep_index.merge(batch(row, places=dict.fromkeys((1, 7), row["case_id"])))
    sweep_index.reorder(MANIFEST, "1" * 16, None)
    assert indices(sweep_index) == IndexSet.of([1, 7])


def test_a_reorder_that_fails_changes_nothing(sweep_index: SweepIndex) -> None:
    sweep_index.merge(batch(case(1)))
    with pytest.raises(KeyError):
        sweep_index.reorder(MANIFEST, "1" * 16, lambda row: row["nothing"])
    assert (sweep_index.manifest(), indices(sweep_index)) == (MANIFEST, IndexSet.of([1]))


# --- many at once --------------------------------------------------------------------------------

WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from hpcsweep.store import SweepIndex
from tests.support.rows import batch, better, case
number = int(sys.argv[3])
sys.stdin.read()
for n in range(10):
    sweep_index = SweepIndex(Path(sys.argv[2]), "k")
    # As an ingest does: it reads, then it writes.
    known = sweep_index.positions().get(f"j{number}", 0)
    rows = [case(100 * number + n), better(case(7), 10 * number + n, status="complete")]
    assert sweep_index.merge(batch(*rows, journals=[(f"j{number}", known, known + 1, 1)]))
"""


def test_writers_of_sqlite_at_once_lose_nothing(tmp_path: Path) -> None:
    """With a deferred BEGIN most of them would be refused at once, whatever the timeout says."""
    sweep_index = SweepIndex(tmp_path / "store.sqlite3", "k")
    sweep_index.create("s", MANIFEST)
    root, count = str(Path(__file__).parents[2]), 8
    argv = [sys.executable, "-c", WRITER, root, str(tmp_path / "store.sqlite3")]
    started = [
        subprocess.Popen(
            [*argv, str(number)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for number in range(1, count + 1)
    ]
    for process in started:
        assert process.stdin
        process.stdin.close()
        process.stdin = None
    for process in started:
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
    wanted = {100 * number + n for number in range(1, count + 1) for n in range(10)} | {7}
    assert {row["idx"] for row in sweep_index.rows()} == wanted
    assert sweep_index.positions() == {f"j{number}": 10 for number in range(1, count + 1)}
    assert sum(sweep_index.torn().values()) == 10 * count
    (seven,) = sweep_index.find("7")
    assert seven["generation"] == 10 * count + 9
