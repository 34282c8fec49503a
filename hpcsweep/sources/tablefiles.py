"""Stream the rows of the files of tables, each with its location."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from hpcsweep import ids
from hpcsweep.errors import IdentityError, SourceError
from hpcsweep.sources.cells import Note
from hpcsweep.sources.sheets import FileRow, SheetFormat, separated_rows
from hpcsweep.sources.textfiles import (
    encoding_error,
    is_gzip,
    numbered_lines,
    open_text,
    refuse_damaged,
    unreadable,
)

Reader = Callable[[Path, SheetFormat, Note], Iterator[FileRow]]


def read_rows(path: Path, form: SheetFormat, note: Note) -> Iterator[FileRow]:
    """The rows of a file, by its suffix. *Raises* SourceError, also for an unknown suffix."""
    suffix = _suffixes(path).removesuffix(".gz")
    if suffix not in _READERS or (is_gzip(path) and suffix not in _TEXTS):
        raise SourceError(
            f"unknown format of a table: {_suffixes(path) or 'no suffix'}",
            where=str(path),
            next_step=f"Known are {', '.join(_READERS)}, and {', '.join(_TEXTS)} with .gz; "
            "spreadsheets save a sheet as CSV.",
        )
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise SourceError(
            "is a pipe or a device, and a table is read twice",
            where=str(path),
            next_step="Write it to a file first.",
        )
    read, understood = _READERS[suffix]
    for key in ("delimiter", "decimal", "sheet", "missing", "types"):
        if getattr(form, key) and key not in understood:
            raise SourceError(
                f"`{key}` says nothing of a {suffix} file",
                where=str(path),
                next_step="Remove it.",
            )
    if is_gzip(path):
        refuse_damaged(path)
    return read(path, form, note)


def _suffixes(path: Path) -> str:
    """The suffix of a file in lower case; of one that gzip compresses both: `.csv.gz`."""
    inner = path.with_suffix("").suffix if is_gzip(path) else ""
    return f"{inner}{path.suffix}".lower()


def _workbook(path: Path, form: SheetFormat, note: Note) -> Iterator[FileRow]:
    # The only module that reads them, with a library that no other format needs.
    rows: Iterator[FileRow] = import_module("hpcsweep.sources.workbooks").rows(path, form, note)
    return rows


def _jsonl(path: Path, _form: SheetFormat, _note: Note) -> Iterator[FileRow]:
    try:
        with open_text(path) as stream:
            for number, line in numbered_lines(path, stream):
                if not line.strip():
                    continue
                where = f"{path}:{number}"
                try:
                    row = json.loads(line, object_pairs_hook=_refuse_double_keys)
                except (ValueError, RecursionError) as error:
                    raise SourceError(
                        f"not JSON: {error}", where=where, next_step="One object per line."
                    ) from error
                yield where, _plain_row(row, where), {}
    except UnicodeDecodeError as error:
        raise encoding_error(path, error) from error
    except OSError as error:
        raise unreadable(path, error) from error


def _plain_row(row: Any, where: str) -> dict[str, Any]:
    """A row with plain values. *Raises* SourceError."""
    if not isinstance(row, Mapping):
        raise SourceError(
            f"{ids.shown(row)} has the type {type(row).__name__}, not object",
            where=where,
            next_step="Write an object with a value for each parameter name.",
        )
    try:
        params: dict[str, Any] = ids.plain(row, "row")
    except IdentityError as error:
        raise SourceError(
            f"{error.where}: {error.what}", where=where, next_step=error.next_step
        ) from error
    return params


def _refuse_double_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of a JSON object. *Raises* ValueError for a repeated key."""
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {ids.shown(twice)} is there twice")
    return members


def _parquet(path: Path, _form: SheetFormat, _note: Note) -> Iterator[FileRow]:
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
            _refuse_equal_names(file.schema_arrow.names, path)
            short = (pyarrow.float16(), pyarrow.float32())
            for field in file.schema_arrow:
                if _contains(field.type, short):
                    raise SourceError(
                        f"the column {field.name!r} has the type {field.type}, which changes "
                        "decimal numbers such as 0.1",
                        where=str(path),
                        next_step="Write it as float64, from the original numbers.",
                    )
            index = 0
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    where = f"{path}: row {index}"
                    yield where, _plain_row(row, where), {}
                    index += 1
    except (OSError, pyarrow.ArrowException) as error:
        raise unreadable(path, error) from error


def _refuse_equal_names(names: Sequence[str], path: Path) -> None:
    """*Raises* SourceError: a row can have one value of a name."""
    if len({*names}) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise SourceError(
            f"two columns have the same name: {ids.shown(twice)}",
            where=str(path),
            next_step="Rename one.",
        )


def _contains(type_: Any, wanted: Sequence[Any]) -> bool:
    """Whether an Arrow type is one of these, or has one inside: a list, a struct."""
    return type_ in wanted or any(
        _contains(type_.field(at).type, wanted) for at in range(type_.num_fields)
    )


_OF_CELLS = ("missing", "types")
_SEPARATED = ("delimiter", "decimal", *_OF_CELLS)
# By suffix: the reader, and the keys of a manifest that it understands.
_READERS: dict[str, tuple[Reader, tuple[str, ...]]] = {
    ".csv": (partial(separated_rows, delimiter=","), _SEPARATED),
    ".tsv": (partial(separated_rows, delimiter="\t"), _SEPARATED),
    ".tab": (partial(separated_rows, delimiter="\t"), _SEPARATED),
    ".xlsx": (_workbook, ("sheet", *_OF_CELLS)),
    ".xlsm": (_workbook, ("sheet", *_OF_CELLS)),
    ".jsonl": (_jsonl, ()),
    ".ndjson": (_jsonl, ()),
    ".parquet": (_parquet, ()),
}
# The suffixes of texts, which gzip may compress: cases.csv.gz.
_TEXTS = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson")
