"""Tables as CSV and JSON lines, streamed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from gzip import GzipFile
from io import StringIO, TextIOWrapper
from math import isfinite
from pathlib import Path
from typing import IO, Any, TextIO, cast

from hpcsweep.files import atomic_output
from hpcsweep.logbook.json_values import ESCAPED, with_words
from hpcsweep.sources.textfiles import is_gzip
from hpcsweep.tables.batches import batches_of
from hpcsweep.tables.columns import TableColumns, TableRow

# Of zlib; 9, the default of Python, takes three times as long for one percent less.
GZIP_LEVEL = 6
# How a text begins that a spreadsheet takes for a formula (OWASP, CSV injection): after a tab or a
# line end, too, and in Asian locales with full-width characters.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_lines(
    columns: TableColumns, rows: Iterable[TableRow], *, for_spreadsheets: bool = False
) -> Iterator[str]:
    """RFC 4180 lines ending in LF: shortest exact numbers, empty fields for missing values.

    `for_spreadsheets` puts an apostrophe before texts that these would take for a formula.
    """
    names = _without_formulas(columns.names) if for_spreadsheets else columns.names
    yield _csv_text([[name] for name in names])
    for batch in batches_of(columns, rows):
        values: Iterable[Sequence[Any]] = (batch.values[name] for name in columns.names)
        if for_spreadsheets:
            values = map(_without_formulas, values)
        yield _csv_text(list(map(_csv_cells, values)))


def _csv_text(cells: Sequence[Sequence[Any]]) -> str:
    """The lines of rows, which come column by column."""
    buffer = StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(zip(*cells, strict=True))
    text = buffer.getvalue()
    if "\r" in text:
        # Before Python 3.13, csv quotes only the line terminator; readers also split lines at CR.
        buffer = StringIO()
        lines = csv.writer(_EndingInLf(buffer), lineterminator="\r\n")
        lines.writerows(zip(*cells, strict=True))
        text = buffer.getvalue()
    return text


def _csv_cells(values: Sequence[Any]) -> Sequence[Any]:
    """Values that csv writes as `cell` does: it knows None, str, int and finite floats."""
    types = set(map(type, values))
    if types <= {type(None), str, int}:
        return values
    if types <= {type(None), float} and all(map(isfinite, filter(None, values))):
        return values
    return list(map(cell, values))


def _without_formulas(values: Sequence[Any]) -> list[Any]:
    """Values whose texts are no formula; numbers stay numbers."""
    return [
        f"'{value}" if isinstance(value, str) and value.startswith(FORMULA_STARTS) else value
        for value in values
    ]


class _EndingInLf:
    """A file-like object for csv.writer that replaces the CR LF of each row by LF."""

    def __init__(self, buffer: StringIO) -> None:
        self._buffer = buffer

    def write(self, line: str) -> None:
        """Append a line to the buffer."""
        self._buffer.write(line.removesuffix("\r\n") + "\n")


def jsonl_lines(columns: TableColumns, rows: Iterable[TableRow]) -> Iterator[str]:
    """One JSON object per line, without the keys of missing values."""
    keys = {name: f"{_json(name)}: " for name in columns.names}
    for batch in batches_of(columns, rows):
        # One form for all rows of a batch: to join the members of each row takes longer.
        form = ""
        members: list[Iterable[str]] = []
        for name, key in keys.items():
            values, nulls = batch.values[name], batch.nulls.get(name, ())
            types = set(map(type, values))
            encode = _encoder_of(values, types)
            if type(None) in types:
                form += "%s"
                members.append(_with_keys(key, encode, values, nulls))
            else:
                form += f"{key.replace('%', '%%')}%s, "
                members.append(map(encode, values))
        for line in zip(*members, strict=True):
            yield f"{{{(form % line)[:-2]}}}\n"


# What `_json` does with values of one type, without its tests of types.
_ENCODERS: dict[type, Callable[[Any], str]] = {
    str: json.encoder.encode_basestring,
    int: int.__repr__,
    float: float.__repr__,
}


def _encoder_of(values: Sequence[Any], types: set[type]) -> Callable[[Any], str]:
    """What makes JSON of all these values, of these types, but None."""
    some = types - {type(None)}
    encode = _ENCODERS.get(next(iter(some)), _json) if len(some) == 1 else _json
    if encode is float.__repr__ and not all(map(isfinite, filter(None, values))):
        return _json
    return encode


def _with_keys(
    key: str, encode: Callable[[Any], str], values: Sequence[Any], nulls: Sequence[int]
) -> list[str]:
    """A member of a JSON object for each value, with the comma after it; "" for a missing one."""
    texts = ["" if value is None else f"{key}{encode(value)}, " for value in values]
    for at in nulls:
        texts[at] = f"{key}null, "
    return texts


def cell(value: Any) -> str:
    """A value as text: strings unchanged, None empty, `nan`, `inf`, everything else as JSON."""
    if value is None:
        return ""
    if isinstance(value, float) and not isfinite(value):
        return repr(float(value))
    return value if isinstance(value, str) else _json(value)


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def _json(value: Any) -> str:
    """A value as JSON; NaN and infinities, which JSON lacks, as texts."""
    try:
        return _encode(value)
    except ValueError:
        return _encode(with_words(value))


def write(lines: Iterable[str], output: Path | None, stdout: TextIO) -> None:
    """Write lines to standard output, or atomically to a file.

    *Raises* SweepError if the file cannot be written.
    """
    if output is None:
        stdout.writelines(lines)
    else:
        write_file(lines, output)


def write_file(lines: Iterable[str], output: Path) -> None:
    """Write lines atomically to a file, which its name may say to compress.

    *Raises* SweepError if it cannot be written.
    """
    with atomic_output(output) as path, ExitStack() as opened:
        stream: IO[bytes] = opened.enter_context(path.open("wb"))
        if is_gzip(output):
            # Neither name nor time: equal tables are equal files.
            packed = GzipFile("", "wb", GZIP_LEVEL, stream, mtime=0)
            stream = cast("IO[bytes]", opened.enter_context(packed))
        text = TextIOWrapper(stream, encoding="utf-8", errors=ESCAPED, newline="")
        opened.enter_context(text).writelines(lines)
