"""A sweep leaves a shared database without a row, and has its new name there after a rename."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcsweep.errors import StoreError
from hpcsweep.project.archiving import archive
from hpcsweep.project.copying import copy
from hpcsweep.project.remove import finish_removals, remove
from hpcsweep.project.rename import rename
from hpcsweep.settings import Settings
from hpcsweep.sources import grid
from hpcsweep.store import ingest, schema
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.locate import locate
from hpcsweep.sweepdir.removed import removed_path
from tests.support.backends import Backend, backend
from tests.support.postgres import database, postgres
from tests.support.rows import MANIFEST, batch, case
from tests.support.sweeps import MadeSweep

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


@pytest.mark.parametrize(
    "backend", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)
def test_a_sweep_whose_index_is_shared(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHARED_INDEX", str(backend.location))
    made = MadeSweep(tmp_path, grid(x=[1, 2]), store="SHARED_INDEX")
    made.plan()
    made.handed_in()
    made.run()
    with fresh_index(made.directory) as sweep_index:
        assert sweep_index.dialect == "postgresql"
    renamed = rename(made.directory, "t", Settings())
    assert backend.raw("SELECT name FROM sweeps") == [("t",)]
    copied = Path(copy(renamed, str(tmp_path / "there"), Settings()))
    with fresh_index(SweepDirectory.open(copied)):
        assert len(backend.raw("SELECT sweep FROM sweeps")) == 2
    archive(renamed, tmp_path / "x.tar", Settings())
    remove(renamed, Settings())
    assert backend.raw("SELECT sweep FROM cases") == [(SweepDirectory.open(copied).key,)] * 2
    # The archive needs no database.
    monkeypatch.delenv("SHARED_INDEX")
    with fresh_index(locate(str(tmp_path / "x.tar"))) as sweep_index:
        assert sum(sweep_index.counts().values()) == 2


def test_a_sweep_is_not_removed_while_its_rows_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was begun is finished when the database is there again."""
    made = MadeSweep(tmp_path, grid(x=[1, 2]), store="postgresql://nobody@127.0.0.1:1/no")
    made.plan()
    monkeypatch.setattr(ingest, "GLANCE_PATIENCE_S", 0.0)
    trash = removed_path(made.path)
    made.path.rename(trash)
    with pytest.raises(StoreError):
        finish_removals(tmp_path, "s")
    assert (trash / "sweep.json").is_file()
    assert finish_removals(tmp_path, "s", force=True) == 1
    assert not trash.exists()
