"""A record with a valid checksum and wrong content costs its line; every command names it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcsweep.files import make_directory
from hpcsweep.sources import grid
from hpcsweep.state.status import status
from hpcsweep.store.ingest import fresh_index, known_index
from hpcsweep.store.record_mapper import skipped_lines
from hpcsweep.tables import arrow, formats
from hpcsweep.tables.collect import collect
from hpcsweep.tables.columns import TableColumns
from tests.support.damage import spoiled, text_of
from tests.support.journals import Record
from tests.support.postgres import PrivatePostgres, postgres
from tests.support.scripted import SETTINGS
from tests.support.sweeps import MadeSweep

__all__ = ["postgres"]

# A local directory in memory: no test waits for a disk.
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
# A worker's journal, and a command's.
NAMES = ("0001/0/0.7.cccccccccccccccc.jsonl", "0001/commands/dddddddddddddddd.jsonl")


@dataclass(frozen=True)
class World:
    """A sweep of three tasks that have run, and what they left."""

    made: MadeSweep
    # Of the first case, and of its array task.
    records: list[Record]
    # The rows of the other cases.
    others: list[dict[str, Any]]

    def rows(self, output: Path) -> list[dict[str, Any]]:
        """The rows of `collect`, which is called with every format."""
        found: list[dict[str, Any]] = []

        def take(columns: TableColumns, rows: Iterator[dict[str, Any]]) -> None:
            found.extend(rows)
            formats.write(formats.csv_lines(columns, found), output, None)  # type: ignore[arg-type]
            formats.write(formats.jsonl_lines(columns, found), output, None)  # type: ignore[arg-type]
            arrow.write_parquet(columns, iter(found), output)

        collect(self.made.directory, None, SETTINGS, take)
        return found


def made_world(root: Path, **fields: Any) -> World:
    python = "def run(x): return {'y': 10 // x}\n"
    made = MadeSweep(root, grid(x=[0, 1, 2, 3, 4]), python=python, **fields)
    made.plan(chunk_size=2)
    made.handed_in()
    for task in range(3):
        made.run(task)
    every = made.records("task", "begin", "end")
    first = [one for one in every if one["chunk"] == 0 and one.get("index", 0) == 0]
    first += [one | {"kind": kind} for one in first if "index" in one for kind in ("same", "beat")]
    for one in first:
        del one["crc"]
    found = World(made, first, [])
    found.others.extend(found.rows(root / "out")[1:])
    return found


@pytest.fixture(scope="module")
def on_sqlite() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="hr-", dir=MEMORY) as root:
        yield made_world(Path(root))


@pytest.fixture(scope="module")
def on_postgresql(postgres: PrivatePostgres) -> Iterator[World]:
    place = postgres.database()
    with tempfile.TemporaryDirectory(prefix="hr-", dir=MEMORY) as root:
        yield made_world(Path(root), store=place.url)
    postgres.drop(place)


def check(world: World, lines: list[bytes], name: str) -> None:
    root = world.made.directory.journal_root
    make_directory((root / name).parent)
    (root / name).write_bytes(b"".join(lines))
    output = world.made.root / "out"
    try:
        for rebuild in (True, False):
            with fresh_index(world.made.directory, rebuild=rebuild) as sweep_index:
                torn = sweep_index.torn()
            assert status(world.made.directory, None, SETTINGS).torn == torn
            assert world.rows(output)[1:] == world.others
            why = list(skipped_lines(world.made.directory, torn))
            assert len(why) == sum(torn.values()) <= len(lines)
            assert all(one.startswith(f"{root / name}, line ") for one in why)
    finally:
        (root / name).unlink()
        # A rebuild refuses to forget a journal.
        known = known_index(world.made.directory)
        assert known is not None
        known.clear()


@st.composite
def wrong_lines(draw: st.DrawFn, records: list[Record]) -> list[bytes]:
    """Some records spoiled, with their right checksums."""
    lines = []
    for _ in range(draw(st.integers(1, 4))):
        payload = text_of(draw(st.sampled_from(records).flatmap(spoiled)))
        lines.append(b"%08x %s\n" % (crc32(payload), payload))
    return lines


# A rebuild and three commands each; PostgreSQL makes new connections for all of them.
@settings(max_examples=settings().max_examples // 5)
@given(data=st.data())
def test_a_wrong_record_costs_its_own_line(on_sqlite: World, data: st.DataObject) -> None:
    lines = data.draw(wrong_lines(on_sqlite.records))
    check(on_sqlite, lines, data.draw(st.sampled_from(NAMES)))


@pytest.mark.postgres
@settings(max_examples=settings().max_examples // 12)
@given(data=st.data())
def test_a_sweep_completes_on_postgresql(on_postgresql: World, data: st.DataObject) -> None:
    lines = data.draw(wrong_lines(on_postgresql.records))
    check(on_postgresql, lines, data.draw(st.sampled_from(NAMES)))
