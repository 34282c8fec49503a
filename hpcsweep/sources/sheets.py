"""Sheets whose cells are text (CSV, TSV, XLSX): a header, rows below it, one type per column."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.older_python import dataclass
from hpcsweep.quantities import counted
from hpcsweep.sources.cells import CellRules, Line, Note, is_written_otherwise
from hpcsweep.sources.textfiles import (
    AS_UTF_8,
    encoding_error,
    numbered_lines,
    open_text,
    unreadable,
)

# (location, row of plain values, text of the cells that JSON writes differently, by column).
FileRow = tuple[str, dict[str, Any], dict[str, str]]
# Reads a file from its beginning: the header, then the rows.
Lines = Callable[[], Iterator[Line]]
_NAME_IT = "Name it in the first line, or remove it."
_TITLE = "A title is no header: remove it from above the names of the columns."
_ROW_NAMES = "R leaves it out with row.names = FALSE, pandas with index=False."
# Byte order marks of joined files, and what web pages have between letters.
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060\u00ad"
# What people put between cells.
_SEPARATORS = (",", ";", "\t", "|")


@dataclass(frozen=True, kw_only=True, slots=True)
class SheetFormat:
    """How a sheet is written, as far as the file does not say it; None where it does."""

    # Between the cells of a line.
    delimiter: str | None = None
    # In numbers: "." or ",".
    decimal: str | None = None
    # The name of a sheet in a workbook; None for the first that is not hidden.
    sheet: str | None = None
    # Texts that mean no value, in every column.
    missing: tuple[str, ...] | None = None
    # By column: one of `cells.TYPES`.
    types: Mapping[str, str] = field(default_factory=dict)


def typed_rows(
    lines: Lines, form: SheetFormat, path: Path, hint: str, note: Note
) -> Iterator[FileRow]:
    """The rows of a sheet, which is read twice: for the types of its columns, then for its values.

    `hint`: what to do about a row with more cells than the header.
    *Raises* SourceError with the place of the mistake.
    """
    rules = CellRules(form.decimal or ".", form.missing)
    reading = lines()
    where, first = next(reading, (f"{path}:1", ()))
    header = _named_columns(first)
    _check_header(header, where)
    even = partial(_even, named=len(header), columns=len(first), hint=hint)
    for name in form.types:
        if name not in header:
            raise SourceError(
                f"`types` names {name!r}, which is not a column",
                where=where,
                next_step=f"Columns: {', '.join(header)}.",
            )
    kinds = rules.column_kinds(even(reading), header, form.types, note)
    columns = [(name, rules.parser(kind)) for name, kind in zip(header, kinds)]
    reading = lines()
    next(reading, None)
    for where, row in even(reading):
        values = {name: parse(text, where) for (name, parse), text in zip(columns, row)}
        written = {
            name: str(text)
            for (name, value), text in zip(values.items(), row)
            if type(value) is not str and is_written_otherwise(text, value)
        }
        yield where, values, written


def _named_columns(first: Sequence[str]) -> Sequence[str]:
    """The names in a header, without the empty ones at its end, which spreadsheets leave there."""
    named = max((at for at, name in enumerate(first, 1) if name.strip()), default=0)
    return first[:named]


def _even(lines: Iterator[Line], *, named: int, columns: int, hint: str) -> Iterator[Line]:
    """The lines with a cell for each of the `named` columns; empty cells behind them are left out.

    `columns`: all of the header, named or not. *Raises* SourceError for more or fewer cells.
    """
    for number, (where, row) in enumerate(lines):
        if len(row) > named and not any(map(str.strip, row[named:])):
            row = row[:named]  # noqa: PLW2901  # the same row
        if len(row) != named:
            if named < len(row) <= columns:
                at = next(at for at in range(named, len(row)) if row[at].strip())
                raise _unnamed(at, where, _TITLE if named == 1 else "")
            raise SourceError(
                f"{counted(len(row), 'cell')} under {counted(named, 'column')}",
                where=where,
                next_step=_more_cells(len(row), named, hint, is_first=number == 0)
                if len(row) > named
                else f"Write {named} in each row; an empty one is a missing value.",
            )
        yield where, row


def _more_cells(cells: int, named: int, hint: str, *, is_first: bool) -> str:
    """What to do about a row with more cells than the header."""
    if named == 1:
        return f"{hint} {_TITLE}"
    if cells == named + 1 and is_first:  # R names every row
        return f"{hint} R writes row names, which have no column: row.names = FALSE."
    return hint


def _check_header(header: Sequence[str], where: str) -> None:
    """*Raises* SourceError for a comment, and for missing, repeated or padded names."""
    if header and header[0].startswith("#") and (len(header) == 1 or header[0][1:2] == " "):
        raise SourceError(
            f"the first line begins with `#`, as a comment does: {ids.shown(header[0])}",
            where=where,
            next_step="Remove it: the first line has the names of the columns, without `#`.",
        )
    for position, name in enumerate(header):
        if not name:
            raise _unnamed(position, where)
        if name in header[:position]:
            raise SourceError(
                f"two columns have the same name: {name!r}, the columns "
                f"{header.index(name) + 1} and {position + 1}",
                where=where,
                next_step="Rename one.",
            )
        if name != name.strip().strip(_INVISIBLE):
            raise SourceError(
                f"the name {ids.shown(name)} has a space beside it, or an invisible character",
                where=where,
                next_step="Remove it: it belongs to the name.",
            )


def _unnamed(position: int, where: str, advice: str = "") -> SourceError:
    """The error of a column without a name."""
    return SourceError(
        f"column {position + 1} has no name: '' is not a parameter name",
        where=where,
        next_step=f"{_NAME_IT} {advice if position else _ROW_NAMES}".rstrip(),
    )


# --- CSV and TSV ----------------------------------------------------------------------------------


def separated_rows(
    path: Path, form: SheetFormat, note: Note, *, delimiter: str
) -> Iterator[FileRow]:
    """The rows of a file with a delimiter between cells. *Raises* SourceError."""
    above, between = 0, form.delimiter or delimiter
    if named := _named_separator(path):
        above, between = 1, form.delimiter or named
    what = "a comma" if between == "," else f"a {between!r}"
    hint = f"Quote cells that hold {what}."
    return typed_rows(lambda: _separated_lines(path, between, above), form, path, hint, note)


def _named_separator(path: Path) -> str:
    """What the first line names as the separator, `sep=;` as Excel reads it; else nothing."""
    with suppress(OSError, UnicodeDecodeError), open_text(path) as stream:
        match = re.fullmatch(r'"?sep=([^\w"\n\0])"?\n?', stream.readline(len('"sep=,"\n')))
        return match[1] if match else ""
    return ""


def _separated_lines(path: Path, delimiter: str, above: int) -> Iterator[Line]:
    """The header and the rows below it. `above`: lines before the header."""
    read_to = above
    try:
        # newline="", as the csv module requires: line ends inside quotes stay as they are.
        with open_text(path, newline="") as stream:
            texts = islice(_texts(path, stream), above, None)
            rows = csv.reader(texts, strict=True, delimiter=delimiter)
            # Lines without a value above the header are none, as below it.
            header = next((row for row in rows if any(map(str.strip, row))), [])
            where = f"{path}:{above + max(rows.line_num, 1)}"
            _refuse_other_separator(header, delimiter, where)
            yield where, header
            read_to = above + rows.line_num
            for row in rows:
                read_to = above + rows.line_num
                # Skip empty lines; spreadsheets write one of empty cells for a cleared row.
                if any(row) or len(row) == 1:
                    yield f"{path}:{read_to}", row
    except UnicodeDecodeError as error:
        raise encoding_error(path, error) from error
    except csv.Error as error:
        raise SourceError(
            f"cannot be read as CSV: {error}",
            where=f"{path}:{read_to + 1}",
            next_step="A cell that begins with a quote ends with one, and has each quote inside "
            "it twice.",
        ) from error
    except OSError as error:
        raise unreadable(path, error) from error


def _texts(path: Path, stream: IO[str]) -> Iterator[str]:
    """The lines of a file. *Raises* SourceError for a NUL, which no command can get either."""
    for number, line in numbered_lines(path, stream):
        if "\0" in line:
            raise SourceError(
                "has a NUL character: the file is UTF-16, or damaged",
                where=f"{path}:{number}",
                next_step=AS_UTF_8,
            )
        yield line


def _refuse_other_separator(header: Sequence[str], delimiter: str, where: str) -> None:
    if len(header) != 1:
        return
    for other in _SEPARATORS:
        if other != delimiter and other in header[0]:
            raise SourceError(
                f"the columns are separated by {other!r}",
                where=where,
                next_step=f"Write `delimiter: {_in_yaml(other)}` beside `file:`; where numbers "
                "have a decimal comma, also `decimal: ','`.",
            )


def _in_yaml(delimiter: str) -> str:
    return '"\\t"' if delimiter == "\t" else f"'{delimiter}'"
