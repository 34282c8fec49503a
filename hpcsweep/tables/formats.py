"""Tables as CSV, JSON lines and Parquet, streamed."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from hpcsweep.errors import ExtraMissing
from hpcsweep.files import atomic_output
from hpcsweep.tables.columns import TableColumns, TableRow

# Rows of a Parquet row group, and characters of CSV, to buffer.
ROWS_AT_ONCE = 10_000
CHARACTERS_AT_ONCE = 1 << 16


def csv_lines(columns: TableColumns, rows: Iterable[TableRow]) -> Iterator[str]:
    """RFC 4180 lines ending in LF: shortest exact numbers, empty fields for missing values."""
    buffer = StringIO()
    # Before Python 3.13, csv quotes only the line terminator; readers also split lines at CR.
    writer = csv.writer(_EndingInLf(buffer), lineterminator="\r\n")
    writer.writerow(columns.names)
    for row in rows:
        writer.writerow([cell(row.get(name)) for name in columns.names])
        if buffer.tell() > CHARACTERS_AT_ONCE:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


class _EndingInLf:
    """A file-like object for csv.writer that replaces the CR LF of each row by LF."""

    def __init__(self, buffer: StringIO) -> None:
        self._buffer = buffer

    def write(self, line: str) -> None:
        """Append a line to the buffer."""
        self._buffer.write(line.removesuffix("\r\n") + "\n")


def jsonl_lines(columns: TableColumns, rows: Iterable[TableRow]) -> Iterator[str]:
    """One JSON object per line, without the keys of missing values."""
    for row in rows:
        ordered = {name: row[name] for name in columns.names if name in row}
        yield json.dumps(ordered, ensure_ascii=False) + "\n"


def cell(value: Any) -> str:
    """A value as text: strings unchanged, None empty, everything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def write(lines: Iterable[str], output: Path | None, stdout: TextIO) -> None:
    """Write lines to standard output, or atomically to a file.

    *Raises* SweepError if the file cannot be written.
    """
    if output is None:
        stdout.writelines(lines)
    else:
        write_file(lines, output)


def write_file(lines: Iterable[str], output: Path) -> None:
    """Write lines atomically to a file. *Raises* SweepError if it cannot be written."""
    with atomic_output(output) as path, path.open("w", encoding="utf-8", newline="") as stream:
        stream.writelines(lines)


def write_parquet(columns: TableColumns, rows: Iterator[TableRow], output: Path) -> None:
    """Write a Parquet file atomically, one row group at a time.

    *Raises* ExtraMissing without pyarrow, SweepError if the file cannot be written.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415  # an extra, and slow to import
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise ExtraMissing(
            "Parquet needs pyarrow", next_step="Install it: pip install 'hpcsweep[parquet]'"
        ) from error
    types = {"int": pa.int64(), "float": pa.float64(), "bool": pa.bool_()}
    kinds = [(name, columns.kinds[name]) for name in columns.names]
    schema = pa.schema([(name, types.get(kind, pa.string())) for name, kind in kinds])
    with atomic_output(output) as path, pq.ParquetWriter(path, schema) as writer:
        while some := list(islice(rows, ROWS_AT_ONCE)):
            values = [[_typed(row.get(name), kind) for row in some] for name, kind in kinds]
            writer.write_table(pa.table(values, schema=schema))


def _typed(value: Any, kind: str) -> Any:
    match kind:
        case "json" if value is not None:
            return cell(value)  # like CSV: strings without quotes, beside numbers
        case "float" if value is not None:
            return float(value)  # pyarrow refuses an int that float64 cannot represent
    return value
