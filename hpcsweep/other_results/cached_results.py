"""Tables of results by parameters: SQLite of `Store` and entropic, TinyDB of entropic 2.1."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hpcsweep.errors import Damaged
from hpcsweep.files import names, read_json
from hpcsweep.other_results.run import OtherRun
from hpcsweep.records import Status

SQLITE = b"SQLite format 3\0"
# The columns that tell a table of results from others; all further ones are parameters.
OWN = ("id", "result_file", "created_at", "custom_data")
# Keys of a record in TinyDB; all others are parameters.
TINYDB_OWN = ("params_hash", "result_path", "created_at", "metadata")


def runs(path: Path) -> Iterator[OtherRun] | None:
    """The results in a database, or of the databases of a directory; None if there are none.

    *Raises* Damaged.
    """
    files = [path] if path.is_file() else []
    if path.is_dir():
        files = [path / name for name in names(path) if (path / name).is_file()]
    found = [read for file in files if (read := _read(file)) is not None]
    return (run for read in found for run in read) if found else None


def _read(file: Path) -> list[OtherRun] | None:
    with file.open("rb") as stream:
        is_sqlite = stream.read(len(SQLITE)) == SQLITE
    if is_sqlite:
        return _of_sqlite(file)
    return _of_tinydb(file) if file.suffix == ".json" else None


def _of_sqlite(file: Path) -> list[OtherRun] | None:
    uri = f"file:{quote(str(file))}?mode=ro"
    try:
        with closing(sqlite3.connect(uri, uri=True)) as connection:
            connection.row_factory = sqlite3.Row
            tables = [
                table
                for (table,) in connection.execute(
                    "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
                )
                if set(OWN) <= {row["name"] for row in _columns(connection, table)}
            ]
            return [run for table in tables for run in _rows(connection, table)] if tables else None
    except sqlite3.DatabaseError as error:
        raise Damaged(f"cannot be read: {error}", where=str(file)) from error


def _columns(connection: sqlite3.Connection, table: str) -> list[sqlite3.Row]:
    return connection.execute("SELECT * FROM pragma_table_info(?)", (table,)).fetchall()


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[OtherRun]:
    quoted = table.replace('"', '""')
    for row in connection.execute(f'SELECT * FROM "{quoted}" ORDER BY created_at, id'):  # noqa: S608
        values = dict(row)
        own = {name: values.pop(name) for name in OWN}
        yield OtherRun(
            run_id=str(own["id"]),
            group=table,
            status=Status.COMPLETE,
            params=values,
            metrics=_object(own["custom_data"]),
            ended=own["created_at"],
            path=own["result_file"],
        )


def _object(text: Any) -> dict[str, Any]:
    """A JSON object in a column; empty for anything else."""
    try:
        value = json.loads(text or "{}")
    except (TypeError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _of_tinydb(file: Path) -> list[OtherRun] | None:
    document = read_json(file)
    tables = document if isinstance(document, dict) else {}
    return [
        _of_record(record, table)
        for table, records in tables.items()
        if isinstance(records, dict)
        for record in records.values()
        if isinstance(record, dict) and set(TINYDB_OWN[:2]) <= set(record)
    ] or None


def _of_record(record: dict[str, Any], table: str) -> OtherRun:
    values = dict(record)
    own = {name: values.pop(name, None) for name in TINYDB_OWN}
    return OtherRun(
        run_id=str(own["params_hash"]),
        group=table,
        status=Status.COMPLETE,
        params=values,
        metrics=own["metadata"] if isinstance(own["metadata"], dict) else {},
        ended=own["created_at"],
        path=own["result_path"],
    )
