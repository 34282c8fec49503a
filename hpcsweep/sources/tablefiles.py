"""Stream the rows of CSV, JSON Lines and Parquet files, each with its location."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.sources import cells

# (location, row, text of the cells that JSON writes differently, by column).
FileRow = tuple[str, Any, dict[str, str]]


def reader_of(path: Path) -> Callable[[Path], Iterator[FileRow]]:
    """The reader of a file, by its suffix. *Raises* SourceError for an unknown suffix."""
    readers = {".csv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".parquet": _parquet}
    if path.suffix.lower() not in readers:
        raise SourceError(
            f"unknown format of a table: {path.suffix or 'no suffix'}",
            where=str(path),
            next_step=f"Known are {', '.join(readers)}.",
        )
    return readers[path.suffix.lower()]


def _csv(path: Path) -> Iterator[FileRow]:
    try:
        # newline="", as the csv module requires: line ends inside quotes stay as they are.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = _header(stream, path)
            types = cells.column_kinds((row for _, row in _rows(stream, path)), len(header))
            stream.seek(0)
            for where, row in _rows(stream, path):
                values = {
                    name: cells.parse_cell(text, kind, where)
                    for name, text, kind in zip(header, row, types, strict=True)
                }
                written = {
                    name: text
                    for (name, value), text in zip(values.items(), row, strict=True)
                    if cells.is_written_otherwise(text, value)
                }
                yield where, values, written
    except UnicodeDecodeError as error:
        raise SourceError(
            f"is not UTF-8: {error.reason}",
            where=str(path),
            next_step="Save it as UTF-8; spreadsheets call that 'CSV UTF-8'.",
        ) from error
    except (OSError, csv.Error) as error:
        raise _unreadable(path, error) from error


def _header(stream: TextIO, path: Path) -> list[str]:
    """The column names. *Raises* SourceError for repeated, padded or wrongly separated names."""
    header = next(csv.reader(stream, strict=True), [])
    stream.seek(0)
    if len(set(header)) != len(header):
        raise SourceError(
            "two columns have the same name", where=f"{path}:1", next_step="Rename one."
        )
    for name in header:
        if name != name.strip():
            raise SourceError(
                f"the name {ids.shown(name)} has a space beside it",
                where=f"{path}:1",
                next_step="Remove it: in CSV a space belongs to the cell.",
            )
    if len(header) == 1 and (separators := {";", "\t"}.intersection(header[0])):
        raise SourceError(
            f"the columns are separated by {separators.pop()!r}",
            where=f"{path}:1",
            next_step="Save it with commas between the cells.",
        )
    return header


def _rows(stream: TextIO, path: Path) -> Iterator[tuple[str, list[str]]]:
    """The rows below the header. *Raises* SourceError for one that is shorter or longer."""
    rows = csv.reader(stream, strict=True)
    columns = len(next(rows, []))
    for row in rows:
        where = f"{path}:{rows.line_num}"
        if len(row) == columns:
            yield where, row
        elif row:  # skip empty lines
            raise SourceError(
                f"{len(row)} cells under {columns} columns",
                where=where,
                next_step="Quote cells that hold a comma.",
            )


def _jsonl(path: Path) -> Iterator[FileRow]:
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                where = f"{path}:{number}"
                try:
                    yield where, json.loads(line, object_pairs_hook=_refuse_double_keys), {}
                except ValueError as error:
                    raise SourceError(
                        f"not JSON: {error}", where=where, next_step="One object per line."
                    ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _refuse_double_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of a JSON object. *Raises* ValueError for a repeated key."""
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {ids.shown(twice)} is there twice")
    return members


def _parquet(path: Path) -> Iterator[FileRow]:
    try:
        import pyarrow  # noqa: PLC0415  # an optional dependency
        from pyarrow import parquet  # noqa: PLC0415  # the same
    except ImportError as error:
        raise SourceError(
            "Parquet needs pyarrow, which is not installed",
            where=str(path),
            next_step='pip install "hpcsweep[parquet]"',
        ) from error
    try:
        with parquet.ParquetFile(path) as file:
            for field in file.schema_arrow:
                if field.type in (pyarrow.float16(), pyarrow.float32()):
                    raise SourceError(
                        f"the column {field.name!r} has the type {field.type}, which changes "
                        "decimal numbers such as 0.1",
                        where=str(path),
                        next_step="Write it as float64, from the original numbers.",
                    )
            index = 0
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    yield f"{path}: row {index}", row, {}
                    index += 1
    except (OSError, pyarrow.ArrowException) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> SourceError:
    what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return SourceError(f"cannot be read: {what}", where=str(path), next_step="Check the file.")
