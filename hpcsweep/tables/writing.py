"""Write a table to a file, in a format by its name or by the suffix of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from hpcsweep.errors import InputError
from hpcsweep.sources.textfiles import is_gzip
from hpcsweep.tables import arrow, formats
from hpcsweep.tables.columns import TableColumns, TableRow

FORMATS = ("csv", "jsonl", "parquet")


def format_of(path: Path) -> str:
    """The format that the suffix of a file says; CSV without one. *Raises* InputError."""
    name = path.with_suffix("") if is_gzip(path) else path
    suffix = name.suffix.lower().lstrip(".") or "csv"
    if suffix not in FORMATS or (suffix == "parquet" and name != path):
        raise InputError(
            f"no format is known for {path.name}",
            where="output",
            next_step="Name it .csv, .jsonl, .csv.gz, .jsonl.gz or .parquet, or give the format.",
        )
    return suffix


def table_writer(
    path: Path, form: str = "", *, safe_csv: bool = False
) -> Callable[[TableColumns, Iterator[TableRow]], None]:
    """The function that writes a table to a file. *Raises* InputError for an unknown format."""
    form = form or format_of(path)
    if form not in FORMATS:
        known = ", ".join(FORMATS)
        raise InputError(f"{form!r} is no format", where="format", next_step=f"Known are {known}.")
    if form == "parquet":
        if is_gzip(path):
            raise InputError(
                f"{path.name} is a name for gzip, and Parquet compresses its columns itself",
                where="output",
                next_step="Name it .parquet.",
            )
        return partial(_write_parquet, path)
    return partial(_write_text, path, form, safe_csv)


def _write_parquet(path: Path, columns: TableColumns, rows: Iterator[TableRow]) -> None:
    arrow.write_parquet(columns, rows, path)


def _write_text(
    path: Path, form: str, safe_csv: bool, columns: TableColumns, rows: Iterator[TableRow]
) -> None:
    lines = formats.jsonl_lines(columns, rows)
    if form == "csv":
        lines = formats.csv_lines(columns, rows, for_spreadsheets=safe_csv)
    formats.write_file(lines, path)
