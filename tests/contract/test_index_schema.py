"""What differs between the databases: versions, collations, locks, JSONB."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.errors import StoreError
from hpcsweep.indexset import IndexSet
from hpcsweep.store import SweepIndex, schema
from hpcsweep.store.record_rows import ATTEMPT_COLUMNS
from tests.support.backends import KEY, KINDS, Backend, backend
from tests.support.postgres import PrivatePostgres, database, postgres
from tests.support.rows import MANIFEST, batch, case

__all__ = ["backend", "database", "postgres"]

ALL = IndexSet.all(40)
PAGE = Path(__file__).parents[2] / "docs/reference/sweep-index.md"


@pytest.fixture
def sweep_index(backend: Backend) -> SweepIndex:
    """An index whose tables exist."""
    found = backend.sweep_index()
    found.create("s", MANIFEST)
    return found


def attempt(number: int, **more: Any) -> dict[str, Any]:
    """A row of an attempt of the case, complete unless it is said, with its rank."""
    row = case(number, **{"status": "complete"} | more)
    row["rank"] = (
        f"{row['generation']:06d}.{int(row['status'] == 'complete')}.{row['submission']:06d}."
        f"{row['restart']:06d}.{row['token']}.3.00000000"
    )
    return row


def of_attempt(row: dict[str, Any]) -> tuple[Any, ...]:
    """The values of a row that describe its attempt."""
    return tuple(row[name] for name in ATTEMPT_COLUMNS)


def task(submission: int, chunk: int, **more: Any) -> dict[str, Any]:
    """Make a row of an array task; without `more` nothing is known of it."""
    empty = dict.fromkeys(("host", "job_id", "time", "status", "reason"))
    ranks = {"start_rank": "", "verdict_rank": ""}
    return {"submission": submission, "chunk": chunk} | empty | ranks | more


def at_once(number: int, work: Callable[[int], object]) -> None:
    """Call `work` in so many threads, all beginning together; what one raises is raised."""
    gate, problems = threading.Barrier(number), []

    def run(which: int) -> None:
        gate.wait()
        try:
            work(which)
        except (StoreError, AssertionError) as error:
            problems.append(error)

    threads = [threading.Thread(target=run, args=(which,)) for which in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


# --- which database it is ------------------------------------------------------------------------


def test_each_run_really_uses_its_database(
    backend: Backend, request: pytest.FixtureRequest
) -> None:
    found = backend.sweep_index()
    found.create("s", MANIFEST)
    assert found.merge(batch(case(1)))
    assert backend.raw("SELECT case_id FROM cases") == [(f"{1:016x}",)]
    if backend.is_file:
        assert backend.ask("SELECT sqlite_version()").startswith("3.")
        assert isinstance(backend.location, Path)
        assert backend.location.read_bytes().startswith(b"SQLite format 3\0")
        return
    assert backend.ask("SELECT version()").startswith("PostgreSQL 15.")
    # PgBouncer counts what goes through it, and the URL in the index is the one that was meant.
    server: PrivatePostgres = request.getfixturevalue("postgres")
    assert server.bouncer_says("SHOW VERSION")[0][0].startswith("PgBouncer 1.18")
    assert backend.direct is not None
    passed = {row[0]: row[1] for row in server.bouncer_says("SHOW STATS_TOTALS")}
    through = passed.get(backend.direct.name, 0)
    assert through >= 3 if backend.kind == "pgbouncer" else through == 0
    port = server.bouncer_port if backend.kind == "pgbouncer" else server.port
    assert f"127.0.0.1:{port}/{backend.direct.name}" in found.where
    modes = {row[0]: row for row in server.bouncer_says("SHOW CONFIG")}
    assert modes["pool_mode"][1] == "transaction"


# --- making it -----------------------------------------------------------------------------------


def test_nothing_but_create_makes_tables(backend: Backend) -> None:
    found = backend.sweep_index()
    calls: list[Callable[[], object]] = [
        lambda: found.merge(batch(case(1))),
        lambda: list(found.rows()),
        found.positions,
        found.tasks,
    ]
    for call in calls:
        with pytest.raises(StoreError, match=r"no such table|a table is missing|was removed"):
            call()
    assert not found.exists()


def test_many_processes_create_the_tables(backend: Backend) -> None:
    at_once(8, lambda which: backend.sweep_index(f"sweep {which % 4}").create("s", MANIFEST))
    names = backend.raw("SELECT sweep FROM sweeps ORDER BY sweep")
    assert names == [(f"sweep {number}",) for number in range(4)]
    values = dict(backend.raw("SELECT name, value FROM meta"))
    assert values == {"program": "hpcsweep", "schema_version": str(schema.VERSION)}


# --- merging -------------------------------------------------------------------------------------


def test_rows_come_back_as_they_were(sweep_index: SweepIndex) -> None:
    exact = {
        "params": '{"b":1e16,"a":1e+16,"n":1.0,"m":-0.0,"big":123456789012345678901234567890}',
        "metrics": '{"z":{"y":[1,2.50,null,true]},"a":"ä\\u0000\U0001f600\\\\u0000"}',
        "error": '{"message":"no\\u0000 \'good\' %s :x \\\\"}',
        "tags": '["trial 1","\\t"]',
        "wall_seconds": 0.1 + 0.2,
        "cpu_seconds": 5e-324,
        "max_rss_bytes": 2**62,
        "run_dir": "runs/log_ä=1",
        "reason": None,
    }
    row = case(7, **exact)
    assert sweep_index.merge(batch(row))
    (found,) = sweep_index.rows()
    assert found == row | {"idx": 7, "sweep": KEY, "attempt": 1}
    assert {name: type(found[name]) for name in row} == {name: type(row[name]) for name in row}


def test_ranks_are_compared_byte_by_byte(sweep_index: SweepIndex) -> None:
    # A collation of a language sorts `a` before `B`, and may ignore `-`.
    low, high = case(1, rank="000000.B", host="low"), case(1, rank="000000.a", host="high")
    for row in (low, high, low):
        assert sweep_index.merge(batch(row))
    assert [row["host"] for row in sweep_index.rows()] == ["high"]
    starts = [task(1, 0, start_rank=rank, host=rank) for rank in ("0.a", "0.B", "0.-")]
    assert sweep_index.merge(batch(starts=starts))
    assert [row["host"] for row in sweep_index.tasks()] == ["0.a"]


def test_attempts_are_counted(sweep_index: SweepIndex) -> None:
    first = attempt(1, status="interrupted", reason="terminated")
    second = attempt(1, restart=1, token="b" * 16)
    assert sweep_index.merge(batch(first))
    assert [row["attempt"] for row in sweep_index.rows()] == [1]
    assert sweep_index.merge(batch(second))
    assert [row["attempt"] for row in sweep_index.rows()] == [2]
    # Earlier ones that are heard of later, one of them in the same batch as a higher one.
    several = [of_attempt(second | {"token": token}) for token in ("a" * 16, "0" * 16)]
    assert sweep_index.merge(batch(attempt(1, status="failed", reason="error"), attempts=several))
    assert [(row["attempt"], row["token"]) for row in sweep_index.rows()] == [(4, "b" * 16)]
    assert sweep_index.merge(batch(second, first | {"case_id": f"{2:016x}"}))
    assert [(row["idx"], row["attempt"]) for row in sweep_index.rows()] == [(1, 4), (2, 1)]


def test_an_attempt_that_a_full_disk_ended_is_no_try(sweep_index: SweepIndex) -> None:
    """In whatever order its records and those of a later attempt arrive: each case has another."""
    full, later = {"restart": 0, "token": "a" * 16}, {"restart": 1, "token": "b" * 16}
    records: list[dict[str, Any]] = [
        {**full, "status": "running"},
        {**full, "status": "interrupted", "reason": "quota"},
        {**later, "status": "interrupted", "reason": "timeout"},
    ]
    for step in zip(*permutations(records), strict=True):
        rows = [attempt(number, **fields) for number, fields in enumerate(step)]
        for row, fields in zip(rows, step, strict=True):
            row["rank"] = row["rank"].replace(".3.", f".{3 * ('reason' in fields)}.")
        assert sweep_index.merge(batch(*rows))
    found = [(group.reason, group.attempt, group.tries) for group in sweep_index.case_groups()]
    assert found == [("timeout", 2, 1)]


def test_each_attempt_has_its_outcome(sweep_index: SweepIndex) -> None:
    """In whatever order its records arrive: each case has another one."""
    first = {"restart": 0, "token": "a" * 16, "wall_seconds": 1.5}
    later = {"restart": 1, "token": "b" * 16, "max_rss_bytes": 7}
    records: list[dict[str, Any]] = [
        {**first, "status": "running", "host": "n1"},
        {**first, "status": "failed", "reason": "out_of_memory", "host": "n1"},
        {**later, "status": "running"},
        {**later, "status": "complete", "wall_seconds": 2.5},
    ]
    for step in zip(*permutations(records), strict=True):
        rows = [attempt(number, **fields) for number, fields in enumerate(step)]
        for row, fields in zip(rows, step, strict=True):
            row["rank"] = row["rank"].replace(".3.", f".{3 * (fields['status'] != 'running')}.")
        assert sweep_index.merge(batch(*rows))
    some = ("number", "status", "reason", "host", "wall_seconds", "max_rss_bytes")
    found = [tuple(row[name] for name in ("idx", *some)) for row in sweep_index.attempts(ALL)]
    assert found == [
        line
        for index in range(24)
        for line in (
            (index, 1, "failed", "out_of_memory", "n1", 1.5, None),
            (index, 2, "complete", None, None, 2.5, 7),
        )
    ]
    assert sweep_index.merge(batch(attempt(50, wall_seconds=3.0)))
    (only,) = sweep_index.attempts(IndexSet.of([50, 99]))
    assert (only["number"], only["wall_seconds"], only["status"]) == (1, 3.0, "complete")
    chosen = sweep_index.attempts(IndexSet.of([1, 3, 50]))
    assert [row["idx"] for row in chosen] == [1, 1, 3, 3, 50]


def test_attempts_that_have_ended(sweep_index: SweepIndex) -> None:
    """Of cases with one attempt and with several, those asked for alone."""
    failed = attempt(1, status="failed", reason="error")
    running = attempt(1, restart=1, token="b" * 16, status="running")
    running["rank"] = running["rank"].replace(".3.", ".0.")
    assert sweep_index.merge(batch(failed, running, attempt(2), attempt(3)))
    alone = attempt(4, status="running")
    assert sweep_index.merge(batch(alone | {"rank": alone["rank"].replace(".3.", ".0.")}))
    ids = [f"{number:016x}" for number in (1, 2, 4, 5)]
    first = (ids[0], failed["generation"], 1, failed["restart"], failed["token"])
    assert sweep_index.ended_attempts(ids) == {first, (ids[1], *first[1:])}
    assert sweep_index.ended_attempts([]) == set()


def test_merges_at_once_lose_nothing(backend: Backend) -> None:
    """Overlapping rows of eight writers, in orders that would deadlock if each kept its own."""
    backend.sweep_index().create("s", MANIFEST)
    count = 300

    def write(which: int) -> None:
        found = backend.sweep_index()
        order = range(count) if which % 2 else reversed(range(count))
        mine = [attempt(n, restart=which, token=f"{which:016x}") for n in order]
        starts = [task(1, n, start_rank=f"{which:06d}", host=str(which)) for n in range(20)]
        verdicts = [task(1, 19 - n, verdict_rank=f"{which:06d}") for n in range(20)]
        for part in range(0, count, 100):
            assert found.merge(
                batch(
                    *mine[part : part + 100],
                    starts=starts,
                    verdicts=verdicts,
                    journals=[(f"{which}", 0, 1, 0), ("all", 0, 1, 0)],
                )
            )

    at_once(8, write)
    found = list(backend.sweep_index().rows())
    assert [row["idx"] for row in found] == list(range(count))
    assert {(row["restart"], row["attempt"]) for row in found} == {(7, 8)}
    assert {row["host"] for row in backend.sweep_index().tasks()} == {"7"}
    assert len(backend.sweep_index().positions()) == 9


def test_submissions_are_kept(sweep_index: SweepIndex) -> None:
    row = {
        "submission": 1,
        "manifest": MANIFEST,
        "generation": 0,
        "cases": 10**10,
        "chunks": 5,
        "time": None,
        "cluster": "x",
        "code_digest": None,
    }
    sweep_index.note_submissions([row, row | {"submission": 2}])
    sweep_index.note_submissions([row | {"chunks": 9}])
    assert sweep_index.submissions() == [1, 2]


# --- tables that are not as they should be -------------------------------------------------------


def test_a_newer_schema_is_refused(backend: Backend, sweep_index: SweepIndex) -> None:
    backend.raw("UPDATE meta SET value = '999' WHERE name = 'schema_version'")
    expected = f"has schema version 999, this program knows {schema.VERSION}\n"
    for call in (sweep_index.exists, lambda: sweep_index.create("s", MANIFEST), sweep_index.clear):
        with pytest.raises(StoreError, match="Use the newer hpcsweep") as caught:
            call()
        assert expected in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE cases DROP COLUMN host",
        "ALTER TABLE cases RENAME COLUMN rank TO r",
        "DROP TABLE journals",
        "ALTER TABLE submissions DROP COLUMN time",
        "UPDATE meta SET value = 'two' WHERE name = 'schema_version'",
    ],
)
def test_a_table_that_was_changed_is_made_again(
    backend: Backend, sweep_index: SweepIndex, change: str
) -> None:
    other = backend.sweep_index("other")
    other.create("s", MANIFEST)
    assert other.merge(batch(case(1), journals=[("j", 0, 5, 0)]))
    backend.raw(change)
    with pytest.raises(StoreError, match=r"changed|missing|by hand") as caught:
        sweep_index.create("s", MANIFEST)
    assert "un `hpcsweep ingest SWEEP --rebuild`" in caught.value.next_step
    sweep_index.clear()
    sweep_index.create("s", MANIFEST)
    assert sweep_index.merge(batch(case(1)))
    # The other sweep in the tables is read from its journals again.
    other.create("s", MANIFEST)
    assert (list(other.rows()), other.positions()) == ([], {})


def test_tables_of_another_program_are_left_alone(backend: Backend) -> None:
    backend.raw("CREATE TABLE cases (a INTEGER)")
    backend.raw("INSERT INTO cases VALUES (1)")
    for table in ("", "meta (name TEXT, value TEXT)"):
        if table:
            backend.raw(f"CREATE TABLE {table}")
        with pytest.raises(StoreError, match="are another program's"):
            backend.sweep_index().create("s", MANIFEST)
        backend.sweep_index().clear()
    assert backend.raw("SELECT a FROM cases") == [(1,)]


# --- JSONB ---------------------------------------------------------------------------------------


def test_postgresql_has_params_and_metrics_to_search(
    backend: Backend, sweep_index: SweepIndex
) -> None:
    if backend.is_file:
        names = [row[1] for row in backend.raw("PRAGMA table_info(cases)")]
        assert not any(name.endswith("_jsonb") for name in names)
        return
    refused = ['"\\u0000"', '"\\ud800"', '{"k\\u0000":1}']
    fine = ['{"a":{"b":[1,2]}}', f'{{"a":{10**300},"f":1e308}}', '"ä\\\\n"']
    made = [case(n, metrics=text) for n, text in enumerate((*refused, *fine))]
    assert sweep_index.merge(batch(*made))
    nulls = backend.raw("SELECT metrics_jsonb IS NULL FROM cases ORDER BY case_id")
    assert nulls == [(True,)] * 3 + [(False,)] * 3
    query = "SELECT count(*) FROM cases WHERE params_jsonb @> '{\"x\": 3}'"
    assert backend.raw(query) == [(1,)]
    query = "SELECT metrics_jsonb #> '{a,b,1}' FROM cases WHERE case_id LIKE '%3'"
    assert backend.raw(query) == [(2,)]
    assert [row["metrics"] for row in sweep_index.rows()] == [*refused, *fine]


# --- the documentation ---------------------------------------------------------------------------


def test_the_page_names_every_table() -> None:
    text = PAGE.read_text()
    told = re.findall(r"^\| `(\w+)` \|", text.partition("| table | one row for |")[2], re.MULTILINE)
    assert sorted(told) == sorted(schema.metadata.tables)


@pytest.mark.parametrize("backend", KINDS[1:], indirect=True)
def test_the_query_of_the_page(backend: Backend) -> None:
    sweep_index = backend.sweep_index()
    sweep_index.create("oscillator", MANIFEST)
    row = attempt(3, params='{"omega":2.0}', metrics='{"energy":1.5}')
    assert sweep_index.merge(batch(row, attempt(4, status="failed")))
    (query,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert backend.raw(query) == [(3, "2.0", 1.5)]
