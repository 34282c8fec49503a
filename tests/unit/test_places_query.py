"""The indices of some cases are looked up by their ids, whatever the size of the index."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.dialects import sqlite

from hpcsweep.store import SweepIndex
from hpcsweep.store.pages import NAMES_AT_ONCE
from hpcsweep.store.placed import indices_of
from tests.support.rows import MANIFEST


@pytest.mark.parametrize("count", [1, 250, NAMES_AT_ONCE])
def test_no_index_of_other_cases_is_read(tmp_path: Path, count: int) -> None:
    path = tmp_path / "index.sqlite3"
    SweepIndex(path, "s").create("s", MANIFEST)
    query = indices_of("s", [f"{number:016x}" for number in range(count)])
    text = query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    with closing(sqlite3.connect(path)) as connection:
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}")]
    searches = [step for step in plan if "SEARCH" in step or "SCAN" in step]
    assert len(searches) == 3
    assert all("(sweep=? AND case_id=?)" in step for step in searches), plan
