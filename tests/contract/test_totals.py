"""What an index keeps of a whole sweep, on every database that may be behind it."""

from __future__ import annotations

import json
import random
import shutil
from hashlib import blake2b
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hpcsweep.store import SweepIndex, blocks, closed_journals, task_groups, totals
from tests.support.backends import Backend, backend
from tests.support.postgres import Place, database, postgres
from tests.support.rows import MANIFEST, batch, better, case
from tests.support.statements import statements

__all__ = ["backend", "database", "postgres", "statements"]

NAMES = ["0.0.a.jsonl", "1.0.b.jsonl"]


@pytest.fixture(autouse=True)
def _small_totals(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (blocks, task_groups, closed_journals):
        monkeypatch.setattr(module, "TOTAL_MIN", 1)


@pytest.fixture
def sweep_index(backend: Backend) -> SweepIndex:
    found = backend.sweep_index("k")
    found.create("s", MANIFEST)
    return found


def start(chunk: int, *, ends: bool = False) -> dict[str, Any]:
    """The row of an array task that started, or of the verdict on it."""
    ranks = {"start_rank": "", "verdict_rank": "000000.z"} if ends else {"verdict_rank": ""}
    row = {"submission": 1, "chunk": chunk, "start_rank": "000000.a", "status": None}
    return row | dict.fromkeys(("host", "job_id", "time", "reason")) | ranks


def known(sweep_index: SweepIndex) -> Any:
    groups = sorted(map(str, sweep_index.case_groups()))
    return groups, sweep_index.kinds(), sorted(map(str, sweep_index.task_groups()))


def test_a_sweep_at_rest_is_read_from_one_row(sweep_index: SweepIndex, backend: Backend) -> None:
    rows = [case(number, metrics='{"a":1}', status="complete") for number in (3, 9000, 9001)]
    sweep_index.merge(batch(*rows, starts=[start(0), start(1)], verdicts=[start(0, ends=True)]))
    first = known(sweep_index)
    for table in ("cases", "blocks", "tasks"):
        backend.raw(f"DELETE FROM {table}")  # noqa: S608  # names of ours
    assert known(sweep_index) == first
    assert "[3, 4], [9000, 9002]" in str(
        [one.indices.to_json() for one in sweep_index.case_groups()]
    )


KEPT = "SELECT outcomes IS NOT NULL, kinds IS NOT NULL, tasks IS NOT NULL FROM totals"


def kept(backend: Backend) -> list[tuple[bool, ...]]:
    return [tuple(map(bool, row)) for row in backend.raw(KEPT)]


def test_a_merge_resets_what_it_does_not_change(sweep_index: SweepIndex, backend: Backend) -> None:
    is_changed = backend.kind == "sqlite"
    sweep_index.merge(batch(case(1), starts=[start(0)]))
    before = known(sweep_index)
    assert kept(backend) == [(True, True, True)]
    sweep_index.merge(batch(verdicts=[start(0, ends=True)]))
    assert kept(backend) == [(True, True, is_changed)]
    sweep_index.merge(batch(better(case(1), submission=2, status="failed", metrics='{"a":1}')))
    assert kept(backend) == [(False, False, is_changed)]  # a case with several attempts
    after = known(sweep_index)
    assert [one != other for one, other in zip(before, after, strict=True)] == [True] * 3
    assert sweep_index.reorder(MANIFEST, "0" * 16, lambda _: None)
    assert sweep_index.case_groups() == []


def test_a_running_sweep_is_read_from_one_row(
    tmp_path: Path, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Merges change it with their rows, to what the blocks and the tasks say."""
    monkeypatch.setattr(blocks, "BLOCK", 4)
    backend = Backend("sqlite", tmp_path / "index.sqlite3")
    made_again = Backend("sqlite", tmp_path / "copy.sqlite3")
    sweep_index = backend.sweep_index("k")
    sweep_index.create("s", MANIFEST)
    sweep_index.merge(batch(case(99), starts=[start(99)]))
    known(sweep_index)
    for number in random.Random(1).sample(range(24), 24):  # the same each time
        begun = case(number, started="2026-11-20T12:00:00.000+00:00")
        end = begun | {"rank": f"{begun['rank'][:-10]}3.{number:08x}", "wall_seconds": 1.0 + number}
        end |= {"status": ("complete", "failed")[number % 3 == 2], "metrics": '{"a":1.5}'}
        for one in (
            batch(begun, starts=[start(number)]),
            batch(end, case(100 + number), verdicts=[start(number, ends=True)]),
            batch(starts=[start(number - number % 2) | {"start_rank": "000001.a"}]),
        ):
            sweep_index.merge(one)
            statements.clear()
            looked = known(sweep_index)
            read = [text for text in statements if "FROM" in text and "FROM totals" not in text]
            assert read == []
            shutil.copyfile(backend.location, made_again.location)
            made_again.raw("DELETE FROM totals")
            assert known(made_again.sweep_index("k")) == looked


def test_a_long_total_is_reset(
    sweep_index: SweepIndex, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To change it takes as long as to make it again, and some merges come before the next look."""
    monkeypatch.setattr(totals, "CHANGED_MAX", 10)
    sweep_index.merge(batch(case(1), starts=[start(0)]))
    known(sweep_index)
    sweep_index.merge(batch(case(3), starts=[start(1)]))
    assert kept(backend) == [(False, False, False)]


@pytest.mark.postgres
def test_no_total_is_kept_while_a_merge_is_under_way(database: Place) -> None:
    sweep_index = SweepIndex(database.url, "k")
    sweep_index.create("s", MANIFEST)
    sweep_index.merge(batch(case(1), starts=[start(0)]))
    with psycopg.connect(database.url) as other:
        other.execute("SELECT manifest FROM sweeps FOR SHARE")  # as a merge begins
        known(sweep_index)
        assert database.execute("SELECT * FROM totals") == []
    known(sweep_index)
    assert database.execute("SELECT tasks IS NULL FROM totals") == [(False,)]


# --- directories of journals ---------------------------------------------------------------------


def close(sweep_index: SweepIndex, *names: str) -> None:
    paths = [f"0001/0/{name}" for name in names]
    ends = dict.fromkeys(paths, 5)
    sweep_index.merge(batch(journals=[(path, 0, 5, 0) for path in paths], closed=ends))


def looked_at(sweep_index: SweepIndex, *names: str) -> list[str]:
    closed = sweep_index.closed_journals()
    found = sorted(closed.open_among("0001/0", names))
    closed.keep()
    return found


def test_closed_directories_are_known_by_their_names(
    sweep_index: SweepIndex, backend: Backend
) -> None:
    close(sweep_index, NAMES[0])
    assert looked_at(sweep_index, *NAMES) == [NAMES[1]]
    close(sweep_index, NAMES[1])
    assert looked_at(sweep_index, *NAMES) == []
    backend.raw("DELETE FROM journals")
    assert looked_at(sweep_index, *reversed(NAMES)) == []
    # A requeued task has a new journal.
    assert looked_at(sweep_index, *NAMES, "1.1.c.jsonl") == [*NAMES, "1.1.c.jsonl"]


def test_open_journals_of_a_known_directory_are_looked_at_alone(
    sweep_index: SweepIndex, backend: Backend
) -> None:
    close(sweep_index, NAMES[0])
    # A journal without a record is not known yet.
    assert looked_at(sweep_index, *NAMES) == [NAMES[1]]
    sweep_index.merge(batch(journals=[(f"0001/0/{NAMES[1]}", 0, 3, 0)]))
    assert looked_at(sweep_index, *NAMES) == [NAMES[1]]
    backend.raw("DELETE FROM journals WHERE closed = 1")
    assert looked_at(sweep_index, *NAMES) == [NAMES[1]]
    sweep_index.merge(
        batch(journals=[(f"0001/0/{NAMES[1]}", 3, 5, 0)], closed={f"0001/0/{NAMES[1]}": 5})
    )
    assert looked_at(sweep_index, *NAMES) == []


def test_older_programs_read_the_open_journals_of_a_known_directory(
    sweep_index: SweepIndex, backend: Backend
) -> None:
    close(sweep_index, NAMES[0])
    sweep_index.merge(batch(journals=[(f"0001/0/{NAMES[1]}", 0, 3, 0)]))
    assert looked_at(sweep_index, *NAMES) == [NAMES[1]]
    ((kept,),) = backend.raw("SELECT closed FROM totals")
    # They read nothing of a directory that has this digest.
    older = blake2b("/".join(NAMES).encode(), digest_size=8).hexdigest()
    assert list(json.loads(kept)) == ["0001/0"]
    assert older not in kept


def test_a_directory_that_was_cleared_meanwhile_is_read_again(sweep_index: SweepIndex) -> None:
    close(sweep_index, *NAMES)
    closed = sweep_index.closed_journals()
    assert list(closed.open_among("0001/0", NAMES)) == []
    sweep_index.clear()
    sweep_index.create("s", MANIFEST)
    closed.keep()
    assert looked_at(sweep_index, *NAMES) == NAMES


def test_a_look_from_before_a_clear_brings_nothing_back(sweep_index: SweepIndex) -> None:
    close(sweep_index, *NAMES)
    assert looked_at(sweep_index, *NAMES) == []
    closed = sweep_index.closed_journals()
    path = "0002/0/0.0.d.jsonl"
    sweep_index.merge(batch(journals=[(path, 0, 5, 0)], closed={path: 5}))
    assert list(closed.open_among("0002/0", ["0.0.d.jsonl"])) == []
    sweep_index.clear()
    sweep_index.create("s", MANIFEST)
    closed.keep()
    assert looked_at(sweep_index, *NAMES) == NAMES
