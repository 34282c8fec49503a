"""The rows of a sheet in an XLSX workbook; needs openpyxl.

A workbook says of each cell whether it is a number, a text or a formula. A formula has the value
that the spreadsheet computed last; a program that writes workbooks computes none.
"""

from __future__ import annotations

import json
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import date, datetime, time, timedelta
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import Element, ParseError, parse

from hpcsweep.errors import SourceError
from hpcsweep.sources.cells import Line, Note, TextCell
from hpcsweep.sources.sheets import FileRow, SheetFormat, typed_rows

try:
    import openpyxl
    from openpyxl.utils import get_column_letter, range_boundaries
    from openpyxl.utils.exceptions import InvalidFileException
except ImportError:
    openpyxl = None

_AS_CSV = "Save the sheet as 'CSV UTF-8' in the spreadsheet, and name that file."
_HINT = "Give each column a name, and each row no more cells."
# What a damaged workbook raises in openpyxl 3.1, besides its own error, and one with a sheet for a
# chart that has none.
_DAMAGED = (
    *(OSError, zipfile.BadZipFile, ParseError, EOFError),
    *(KeyError, ValueError, TypeError, AttributeError),
)
_BYTES_AT_ONCE = 1 << 20
_MERGE = re.compile(rb'<(?:\w+:)?mergeCell\b[^>]*\bref="([A-Z]+[0-9]+:[A-Z]+[0-9]+)"')
# More than a tag of merged cells has.
_TAG_BYTES = 200
# The files that name the sheets, and the files of these.
_BOOK = ("xl/workbook.xml", "xl/_rels/workbook.xml.rels")
# Names of XML in a workbook.
_MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def rows(path: Path, form: SheetFormat, note: Note) -> Iterator[FileRow]:
    """The rows of the named sheet, or of the first that is not hidden. *Raises* SourceError."""
    if openpyxl is None:
        raise SourceError(
            "XLSX needs openpyxl, which is not installed",
            where=str(path),
            next_step=f'pip install "hpcsweep[excel]"; or: {_AS_CSV}',
        )
    # Parsing a workbook takes most of the time, and the rows are read twice.
    with tempfile.TemporaryFile("w+", encoding="utf-8") as copy:
        try:
            _copy_sheet(path, form.sheet, copy)
        except SourceError:
            raise
        except (InvalidFileException, *_DAMAGED) as error:
            what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise SourceError(
                f"cannot be read as a workbook: {what}", where=str(path), next_step=_AS_CSV
            ) from error
        yield from typed_rows(lambda: _copied_lines(copy), form, path, _HINT, note)


def _copy_sheet(path: Path, name: str | None, copy: IO[str]) -> None:
    """Write a line of JSON for each row with a value: where it is, and its cells as texts."""
    with ExitStack() as stack:
        title, values = _open_sheet(stack, path, name, data_only=True)
        formulas: Iterator[Any] = repeat(())
        if _has_formulas(path):
            _, formulas = _open_sheet(stack, path, name, data_only=False)
        where = f"{path}: sheet {title!r}"
        columns = 0
        for number, row in enumerate(values, 1):
            _refuse_uncomputed(next(formulas), row, f"{where}, cell ", number)
            if not columns:
                if all(value is None or not str(value).strip() for value in row):
                    continue  # above the header
                columns = max(at for at, value in enumerate(row, 1) if value is not None)
                _refuse_merged(path, title, number, columns)
            if any(value is not None for value in row):
                # A row ends at its last value; what stands beyond the header has no column.
                ends = max(at for at, value in enumerate(row, 1) if value is not None)
                cells = [*row[: max(columns, ends)], *repeat(None, columns - len(row))]
                line = [f"{where}, row {number}", [_encoded(value) for value in cells]]
                copy.write(json.dumps(line) + "\n")


def _open_sheet(
    stack: ExitStack, path: Path, name: str | None, *, data_only: bool
) -> tuple[str, Iterator[Sequence[Any]]]:
    """The name of one sheet of a workbook, and a stream of its rows, until `stack` is closed."""
    book = openpyxl.load_workbook(path, read_only=True, data_only=data_only, keep_links=False)
    stack.callback(book.close)
    sheets = {sheet.title: sheet for sheet in book.worksheets}
    if not sheets or (name is not None and name not in sheets):
        raise SourceError(
            "has no sheet" if name is None else f"has no sheet {name!r}",
            where=str(path),
            next_step=f"Sheets: {', '.join(sheets)}.",
        )
    shown = [title for title, sheet in sheets.items() if sheet.sheet_state == "visible"]
    sheet = sheets[name if name is not None else (shown or [*sheets])[0]]
    # Programs write a wrong size of the sheet; without one, all cells are read.
    sheet.reset_dimensions()
    rows = sheet.iter_rows(values_only=True)
    stack.callback(rows.close)  # before the workbook, whose file stays open otherwise
    return sheet.title, rows


def _has_formulas(path: Path) -> bool:
    """Whether any sheet has a formula; without one, there is nothing to compare with."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name.startswith("xl/worksheets/") and name.endswith(".xml"):
                with archive.open(name) as stream:
                    end = b""
                    while data := stream.read(_BYTES_AT_ONCE):
                        if b"<f" in end + data:
                            return True
                        end = data[-1:]
    return False


def _refuse_merged(path: Path, title: str, header: int, columns: int) -> None:
    """*Raises* SourceError for merged cells below the header: the first alone has the value."""
    with zipfile.ZipFile(path) as archive, archive.open(_file_of(archive, title)) as stream:
        for cells in _merged(stream):
            left, _, _, bottom = range_boundaries(cells)
            if left <= columns and bottom > header:
                raise SourceError(
                    f"the cells {cells} are merged, and only the first one has their value",
                    where=f"{path}: sheet {title!r}",
                    next_step="Unmerge them in the spreadsheet, and fill each.",
                )


def _merged(stream: IO[bytes]) -> Iterator[str]:
    """The ranges of merged cells in the file of a sheet, such as `B2:B3`.

    openpyxl does not read them from a stream of rows. They stand behind all rows, so no XML is
    parsed; in a text a `<` is written otherwise.
    """
    end = b""
    while data := stream.read(_BYTES_AT_ONCE):
        text = end + data
        yield from (found[1].decode() for found in _MERGE.finditer(text))
        # A tag may stand in two pieces.
        end = text[-_TAG_BYTES:]


def _file_of(archive: zipfile.ZipFile, title: str) -> str:
    """The file of a sheet in its workbook."""
    sheets, relations = map(partial(_parsed, archive), _BOOK)
    ids = {one.get("name"): one.get(_ID) for one in sheets.iter(f"{_MAIN}sheet")}
    targets = {one.get("Id"): one.get("Target", "") for one in relations}
    target = targets[ids[title]]
    return target.removeprefix("/") if target.startswith("/") else f"xl/{target}"


def _parsed(archive: zipfile.ZipFile, name: str) -> Element:
    """The XML of a file, which openpyxl parsed in the same way before."""
    with archive.open(name) as stream:
        return parse(stream).getroot()  # noqa: S314


def _refuse_uncomputed(
    formulas: Sequence[Any], values: Sequence[Any], where: str, number: int
) -> None:
    """*Raises* SourceError for a formula without a value."""
    for at, (formula, value) in enumerate(zip(formulas, values), 1):
        if value is None and formula is not None:
            raise SourceError(
                f"{getattr(formula, 'text', formula)!s:.60} is a formula without a value",
                where=f"{where}{get_column_letter(at)}{number}",
                next_step="Open the workbook in a spreadsheet and save it, which computes it; or "
                "write the value.",
            )


def _encoded(value: Any) -> str:
    """The text of a cell, behind `t` where the workbook calls it a text, else behind `v`."""
    if isinstance(value, bool):
        return f"v{'TRUE' if value else 'FALSE'}"
    if isinstance(value, (int, float)):
        # A workbook has floats only: 3.0 was written as 3.
        return f"v{int(value) if float(value).is_integer() and abs(value) < 1e15 else value!r}"
    if isinstance(value, datetime) and value.time() == time():
        value = value.date()
    if isinstance(value, (date, time)):
        return f"t{value.isoformat()}"
    if isinstance(value, timedelta):
        return f"t{_duration(value)}"
    return "v" if value is None else f"t{value}"


def _duration(value: timedelta) -> str:
    """`30:00:00`, as a sheet shows a duration; Python's own text is `1 day, 6:00:00`."""
    minutes, rest = divmod(abs(value), timedelta(minutes=1))
    seconds = f"{rest.seconds:02}" + (f".{rest.microseconds:06}" if rest.microseconds else "")
    return f"{'-' if value < timedelta() else ''}{minutes // 60}:{minutes % 60:02}:{seconds}"


def _copied_lines(copy: IO[str]) -> Iterator[Line]:
    copy.seek(0)
    for line in copy:
        where, cells = json.loads(line)
        yield where, [TextCell(cell[1:]) if cell[0] == "t" else cell[1:] for cell in cells]
