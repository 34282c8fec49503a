"""The same journals give the same bytes, whichever database is between them and the table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcsweep import sources
from hpcsweep.files import make_directory
from hpcsweep.journal import VERSION, encode
from hpcsweep.settings import Settings
from hpcsweep.store.ingest import fresh_index
from hpcsweep.tables.collect import collect
from hpcsweep.tables.columns import TableColumns, TableRow
from hpcsweep.tables.formats import csv_lines, jsonl_lines
from hpcsweep.tables.request import TableRequest
from hpcsweep.tables.selection import Selection
from hpcsweep.tables.sorting import RowOrder
from tests.support.journals import Record
from tests.support.postgres import Place, PrivatePostgres, database, postgres
from tests.support.sweeps import MadeSweep

__all__ = ["database", "postgres"]

pytestmark = pytest.mark.postgres

SOURCE = sources.grid(x=[0.1, 1e16, 1, True, "ä\0\u2028", None], y=[{"a": [1, 2.50]}, -0.0, ""])
TOKENS = ("00000000000000aa", "00000000000000bb", "00000000000000cc")


def journalled(root: Path, store: str) -> MadeSweep:
    """A sweep with all that may happen to its cases; the last ones were never begun."""
    root.mkdir()
    made = MadeSweep(root, SOURCE, store=store, seed=5, replicates=2)
    made.plan(chunk_size=10)
    made.handed_in()
    lines: dict[str, list[bytes]] = {token: [] for token in TOKENS}
    for index in range(30):
        token = TOKENS[index % 2]
        for record in _history(made, index, token):
            lines[token].append(encode(record))
        if index % 7 == 0:  # again, in a later attempt
            for record in _history(made, index, TOKENS[2], restart=1):
                lines[TOKENS[2]].append(encode(record))
    lines[TOKENS[0]].insert(3, b"torn\n")
    folder = make_directory(made.directory.journal_dir(1) / "0")
    for chunk, (token, some) in enumerate(lines.items()):
        (folder / f"{chunk}.0.{token}.jsonl").write_bytes(b"".join(some))
    return made


def _history(made: MadeSweep, index: int, token: str, restart: int = 0) -> Iterator[Record]:
    common: Record = {
        "v": VERSION,
        "manifest": made.manifest.fingerprint,
        "attempt": [0, 1, restart, token],
        "chunk": index // 10,
        "index": index,
        "case_id": made.source[index].case_id,
    }
    moment = f"2026-01-01T00:00:{index:02d}.125+00:00"
    yield {"kind": "begin"} | common | {"started": moment}
    if index % 5 == 4:
        return  # its worker was killed
    outcome: dict[str, Any] = {"status": "complete", "metrics": _metrics(index)}
    if index % 5 == 3:
        message = 'no "good",\n\0 %s ä'
        outcome = {"status": "failed", "reason": "error", "error": {"message": message}}
    times = {"started": moment, "ended": moment, "wall_seconds": index / 7, "cpu_seconds": 1e-9}
    place = {"max_rss_bytes": 2**33 + index, "host": "n1", "job_id": "7", "run_dir": "runs/log_ä"}
    yield {"kind": "end"} | common | {"word": 2} | outcome | times | place


def _metrics(index: int) -> dict[str, Any]:
    values: list[Any] = [index / 3, 10**30, 5e-324, 1e300, "\ud800", "NUL \0", None, [1, {"b": 2}]]
    return {"energy": values[index % len(values)], "n": {"deep": {"er": index}}}


def table(made: MadeSweep, wanted: TableRequest, form: Any) -> bytes:
    """What collect writes."""
    found: list[str] = []

    def take(columns: TableColumns, rows: Iterator[TableRow]) -> None:
        found.extend(form(columns, rows))

    collect(made.directory, None, Settings(), take, wanted)
    return "".join(found).encode(errors="surrogatepass")


@pytest.mark.parametrize(
    "wanted",
    [
        TableRequest(),
        TableRequest(selection=Selection(where="energy < 5 or x == True")),
        TableRequest(
            selection=Selection(status=("failed", "running")), columns=("index", "error", "x")
        ),
        TableRequest(
            selection=Selection(where="n.deep.er < 20 or x == True"),
            order=RowOrder(columns=("n.deep.er",), descending=True, limit=5),
        ),
        TableRequest(
            order=RowOrder(columns=("wall_seconds", "index"), limit=10), columns=("x", "y")
        ),
    ],
    ids=["everything", "where", "columns", "sorted", "sorted by a column of its own"],
)
def test_the_same_bytes(
    postgres: PrivatePostgres,
    database: Place,
    tmp_path: Path,
    wanted: TableRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SWEEP_DATABASE", database.url)
    monkeypatch.setenv("SWEEP_BOUNCER", postgres.through_bouncer(database).url)
    stores = ("sqlite", "SWEEP_DATABASE", "SWEEP_BOUNCER")
    sweeps = [journalled(tmp_path / store, store) for store in stores]
    kinds = []
    for made in sweeps:
        with fresh_index(made.directory) as sweep_index:
            kinds.append(sweep_index.dialect)
            assert sum(sweep_index.torn().values()) == 1
    assert kinds == ["sqlite", "postgresql", "postgresql"]
    for form in (csv_lines, jsonl_lines):
        tables = [table(made, wanted, form) for made in sweeps]
        assert tables[0] == tables[1] == tables[2]
        assert tables[0].count(b"\n") > 4
