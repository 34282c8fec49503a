"""A sweep leaves a shared database without a row, and has its new name there after a rename."""

from __future__ import annotations

from hpcsweep.store import schema
from tests.support.backends import Backend, backend
from tests.support.postgres import database, postgres
from tests.support.rows import MANIFEST, batch, case

__all__ = ["backend", "database", "postgres"]

OTHER = "b" * 16


def test_a_forgotten_sweep_leaves_no_row_and_no_other_is_touched(backend: Backend) -> None:
    mine, other = backend.sweep_index(), backend.sweep_index(OTHER)
    for sweep_index in (mine, other):
        sweep_index.create("s", MANIFEST)
        sweep_index.merge(batch(case(0), case(1)))
        sweep_index.case_groups()
    mine.rename("t")
    assert sorted(backend.raw("SELECT name FROM sweeps")) == [("s",), ("t",)]
    mine.forget()
    mine.forget()
    assert not mine.exists()
    for table in schema.metadata.sorted_tables:
        if table is not schema.meta:
            found = backend.raw(f"SELECT DISTINCT sweep FROM {table.name}")  # noqa: S608  # ours
            assert found in ([], [(OTHER,)]), table.name
    assert len(list(other.rows())) == 2
