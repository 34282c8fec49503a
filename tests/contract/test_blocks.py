"""What an index keeps of each block of indices, on every database that may be behind it."""

from __future__ import annotations

import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from operator import itemgetter
from typing import Any

import psycopg
import pytest

from hpcsweep.store import SweepIndex, blocks
from hpcsweep.store.record_rows import ATTEMPT_COLUMNS
from tests.support.backends import Backend, backend
from tests.support.postgres import Place, database, postgres
from tests.support.rows import MANIFEST, batch, better, case
from tests.support.wait import wait_until

__all__ = ["backend", "database", "postgres"]

MARKED = "SELECT block FROM blocks WHERE outcomes IS NULL AND kinds IS NULL ORDER BY block"
METRICS = ('{"a":1}', '{"a":2.5,"b":{"c":"x"}}', "{}")
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "BLOCK", 4)


@pytest.fixture
def sweep_index(backend: Backend) -> SweepIndex:
    found = backend.sweep_index("k")
    found.create("s", MANIFEST)
    return found


def known(sweep_index: SweepIndex) -> Any:
    """What is kept of all blocks."""
    return sorted(map(str, sweep_index.case_groups())), sweep_index.kinds()


def test_a_first_ingest_keeps_what_its_rows_say(sweep_index: SweepIndex, backend: Backend) -> None:
    """The first command after it reads no row again, and what was kept is what it would make."""
    numbers = random.Random(1).sample(range(30), 30)  # the same each time
    rows = [
        case(number, status=status, metrics=metrics, wall_seconds=seconds)
        for number, status, metrics, seconds in zip(
            numbers,
            itertools.cycle(["complete", "complete", "failed", "running"]),
            itertools.cycle(METRICS),
            itertools.cycle([None, 2.0, 1.0]),
            strict=False,
        )
    ]
    for start in range(0, len(rows), 10):
        sweep_index.merge(batch(*rows[start : start + 10], is_first=True))
    assert backend.raw(MARKED) == []
    kept = known(sweep_index)
    assert kept[1].metrics == {("a",): "float", ("b", "c"): "str"}
    backend.raw("UPDATE blocks SET outcomes = NULL, kinds = NULL")
    assert known(sweep_index) == kept


def test_a_first_ingest_marks_what_its_rows_do_not_say(
    sweep_index: SweepIndex, backend: Backend
) -> None:
    """Cases with several attempts, places without a row, and rows that were there."""
    retried = better(case(1), submission=2)
    attempts = [itemgetter(*ATTEMPT_COLUMNS)(row) for row in (case(1), retried)]
    new = batch(retried, case(5), is_first=True, attempts=attempts)
    new.places[9] = case(30)["case_id"]
    sweep_index.merge(new)
    assert backend.raw(MARKED) == [(0,), (2,)]
    sweep_index.merge(batch(better(case(5), status="failed"), case(13), is_first=True))
    assert backend.raw(MARKED) == [(0,), (1,), (2,)]
    groups = {(one.status, one.attempt): list(one.indices) for one in sweep_index.case_groups()}
    assert groups == {("running", 2): [1], ("running", 1): [13], ("failed", 2): [5]}


def test_a_case_that_ends_is_moved_in_what_is_kept(
    sweep_index: SweepIndex, backend: Backend
) -> None:
    """At all its indices, without reading the others of their blocks."""
    begun = [case(number, started="2026-11-20T12:00:00.000+00:00") for number in range(8)]
    places = {int(row["case_id"], 16): row["case_id"] for row in begun} | {20: begun[3]["case_id"]}
    sweep_index.merge(batch(*begun, is_first=True, places=places))
    ended = [
        row | {"rank": f"{row['rank'][:-10]}3.{number:08x}", "status": status, "metrics": metrics}
        for number, (row, status, metrics) in enumerate(
            zip(begun[2:5], ["complete", "failed", "complete"], METRICS, strict=True)
        )
    ]
    sweep_index.merge(batch(*ended, case(9), is_first=True))
    assert backend.raw(MARKED) == []
    groups = {one.status: list(one.indices) for one in sweep_index.case_groups()}
    assert groups == {"running": [0, 1, 5, 6, 7, 9], "complete": [2, 4], "failed": [3, 20]}
    kept = known(sweep_index)
    backend.raw("UPDATE blocks SET outcomes = NULL, kinds = NULL")
    assert known(sweep_index) == kept


@pytest.mark.postgres
@pytest.mark.parametrize("adds_first", [False, True])
def test_a_block_that_one_merge_marks_and_another_adds_to_stays_marked(
    database: Place, *, adds_first: bool
) -> None:
    """In any order of their commits. SQLite has one writer at a time."""
    sweep_index = SweepIndex(database.url, "k")
    sweep_index.create("s", MANIFEST)
    digests = ("[]", "[[],[],[]]") if adds_first else (None, None)
    with psycopg.connect(database.url) as other, ThreadPoolExecutor(1) as pool:
        # As another process that has merged its rows, and has not committed.
        other.execute("INSERT INTO blocks VALUES ('k', 0, %s, %s)", digests)
        merge = pool.submit(sweep_index.merge, batch(case(1), is_first=not adds_first))
        wait_until(lambda: database.execute(WAITING) != [(0,)], 30, "the merge waits")
        other.commit()
        assert merge.result()
    assert database.execute(MARKED) == [(0,)]
