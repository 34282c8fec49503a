"""Cases in a table: a CSV, JSON Lines or Parquet file.

A file is read from beginning to end and never whole, into lines of JSON in a temporary file
with the offset of each: a case costs one seek. The frozen manifest has those lines, so a task
reads what was there when the sweep was submitted.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO

from hpcsweep import ids
from hpcsweep.errors import IdentityError, SourceError
from hpcsweep.sources import cells
from hpcsweep.sources.base import ParameterSource
from hpcsweep.sources.caselines import line_of, parsed
from hpcsweep.sources.filecases import TAGS_KEY, frozen_cases
from hpcsweep.sources.keys import Key, KeyType, Kind, check_names, checked_tags

if TYPE_CHECKING:
    from hpcsweep.sources.caselines import CaseLines

# Where a row stands, itself, and what the file has in other characters than JSON.
_Row = tuple[str, Any, dict[str, str]]


def _file(value: Any, where: str, directory: Path | None) -> str:  # noqa: ARG001  # it is frozen
    if not isinstance(value, str) or not value:
        raise SourceError(
            f"{ids.shown(value)} is not the name of a file",
            where=where,
            next_step="Write its path, relative to the manifest.",
        )
    return value


_FILE = KeyType(
    "a .csv, .jsonl or .parquet file, relative to the manifest",
    {"type": "string", "minLength": 1},
    read=_file,
    shape=str,
)


class TableSource(ParameterSource):
    """The rows of a file, each a case; columns are parameters.

    In CSV all cells of a column have one type, see `cells`; a command gets them as they are
    written. *Raises* SourceError for a file that cannot be read or has two equal rows,
    IdentityError for a value without canonical form, both with the row.
    """

    KIND = Kind(
        "the rows of a file",
        (Key("file", _FILE, "the [table](sources.md#tables)"), TAGS_KEY),
        form="table",
        alone="file",
        python="table(file, tags)",
        example="cases.csv",
    )

    def __init__(self, file: str | Path, tags: Sequence[str] | None = None) -> None:
        self._file = Path(file)
        self._own_tags = checked_tags(tags)
        rows = _reader(self._file)(self._file)
        # Without a name, and gone with the object.
        self._lines: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, self._lines.close)
        self._offsets = array("Q", [0])
        # Whether a line has what the file writes otherwise.
        self._has_written = False
        self._names = self._copied(rows)
        if not self.n_cases:
            raise SourceError("it has no cases", where=str(file), next_step="Give it a row.")

    @classmethod
    def placed(cls, value: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
        file = value.get("file")
        return {**value, "file": str(root / file)} if isinstance(file, str) else value

    def _copied(self, rows: Iterator[_Row]) -> frozenset[str]:
        """Write the rows down; the names in them."""
        names: set[str] = set()
        # 8 bytes a row: those of a million rows are no burden.
        hashes = array("Q")
        end = 0
        for where, row, written in rows:
            params = _checked(row, where)
            names.update(params)
            digest = hashlib.blake2b(ids.canonical(params).encode(), digest_size=8).digest()
            hashes.append(int.from_bytes(digest))
            end += self._lines.write(line_of(params, written))
            self._has_written |= bool(written)
            self._offsets.append(end)
        self._lines.flush()
        self._refuse_equal(hashes)
        return frozenset(names)

    def _refuse_equal(self, hashes: Sequence[int]) -> None:
        """*Raises* SourceError for the first row that is the same as one before it."""
        twice = {one for one, other in pairwise(sorted(hashes)) if one == other}
        seen: dict[str, int] = {}
        for index, digest in enumerate(hashes if twice else ()):
            if digest not in twice:
                continue
            first = seen.setdefault(ids.canonical(self._params(index)), index)
            if first == index:
                continue
            rows = _reader(self._file)(self._file)
            raise SourceError(
                f"the cases at {first} and {index} are the same: {ids.shown(self._params(index))}",
                where=next(islice((where for where, _, _ in rows), index, None), str(self._file)),
                next_step="Leave one of them out; repetitions of a case are `replicates`.",
            )

    def to_manifest_dict(self) -> dict[str, Any]:
        return {
            "type": "TableSource",
            # The program that reads this may stand elsewhere.
            "file": str(self._file.resolve()),
            "tags": list(self._own_tags),
            "total_cases": self.n_cases,
        }

    def freeze(self, lines: CaseLines) -> dict[str, Any]:
        first = lines.add(self._line(index) for index in range(self.n_cases))
        return frozen_cases(
            self._own_tags, self._names, first, self.n_cases, written=self._has_written
        )

    @property
    def n_cases(self) -> int:
        return len(self._offsets) - 1

    @property
    def names(self) -> frozenset[str]:
        return self._names

    def _params(self, index: int) -> dict[str, Any]:
        return parsed(self._line(index))[0]

    def _written(self, index: int) -> dict[str, str]:
        return parsed(self._line(index))[1] if self._has_written else {}

    def _tags(self, index: int) -> tuple[str, ...]:
        return (*self._own_tags, f"manual_{index}")

    def _line(self, index: int) -> bytes:
        start, stop = self._offsets[index], self._offsets[index + 1]
        # Without the file's one position, which threads would share.
        return os.pread(self._lines.fileno(), stop - start, start)


def table(file: str | Path, tags: Sequence[str] | None = None) -> TableSource:
    """The rows of a .csv, .jsonl or .parquet file: `table("cases.csv")`."""
    return TableSource(file, tags)


def _reader(path: Path) -> Any:
    readers = {".csv": _csv, ".jsonl": _jsonl, ".ndjson": _jsonl, ".parquet": _parquet}
    if path.suffix.lower() not in readers:
        raise SourceError(
            f"a table in a {path.suffix or 'file without ending'!r}",
            where=str(path),
            next_step=f"Known are {', '.join(readers)}.",
        )
    return readers[path.suffix.lower()]


def _csv(path: Path) -> Iterator[_Row]:
    try:
        # As the csv module wants it: line ends inside quotes stay what they are.
        with path.open(encoding="utf-8-sig", newline="") as stream:
            header = _header(stream, path)
            types = cells.kinds((row for _, row in _rows(stream, path)), len(header))
            stream.seek(0)
            for where, row in _rows(stream, path):
                found = {
                    name: cells.value(text, kind, where)
                    for name, text, kind in zip(header, row, types, strict=True)
                }
                written = {
                    name: text
                    for (name, value), text in zip(found.items(), row, strict=True)
                    if cells.is_written_otherwise(text, value)
                }
                yield where, found, written
    except UnicodeDecodeError as error:
        raise SourceError(
            f"is not UTF-8: {error.reason}",
            where=str(path),
            next_step="Save it as UTF-8; spreadsheets call that 'CSV UTF-8'.",
        ) from error
    except (OSError, csv.Error) as error:
        raise _unreadable(path, error) from error


def _header(stream: TextIO, path: Path) -> list[str]:
    """The names of the columns. *Raises* SourceError for what cannot be names."""
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
    if len(header) == 1 and (found := {";", "\t"}.intersection(header[0])):
        raise SourceError(
            f"the columns are separated by {found.pop()!r}",
            where=f"{path}:1",
            next_step="Save it with commas between the cells.",
        )
    return header


def _rows(stream: TextIO, path: Path) -> Iterator[tuple[str, list[str]]]:
    """The rows below the header, each as long as that. *Raises* SourceError."""
    rows = csv.reader(stream, strict=True)
    columns = len(next(rows, []))
    for row in rows:
        where = f"{path}:{rows.line_num}"
        if len(row) == columns:
            yield where, row
        elif row:  # else an empty line
            raise SourceError(
                f"{len(row)} cells under {columns} columns",
                where=where,
                next_step="Quote cells that hold a comma.",
            )


def _jsonl(path: Path) -> Iterator[_Row]:
    try:
        with path.open(encoding="utf-8-sig") as stream:
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                where = f"{path}:{number}"
                try:
                    yield where, json.loads(line, object_pairs_hook=_once), {}
                except ValueError as error:
                    raise SourceError(
                        f"not JSON: {error}", where=where, next_step="One object per line."
                    ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON. *Raises* ValueError for a key that is there twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {ids.shown(twice)} is there twice")
    return found


def _parquet(path: Path) -> Iterator[_Row]:
    try:
        import pyarrow  # noqa: PLC0415  # an extra, for those who have such files
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
                        f"the column {field.name!r} is of {field.type}: 0.1 there is no 0.1",
                        where=str(path),
                        next_step="Write it as float64, of the numbers that are meant.",
                    )
            index = 0
            for batch in file.iter_batches():
                for row in batch.to_pylist():
                    yield f"{path}: row {index}", row, {}
                    index += 1
    except (OSError, pyarrow.ArrowException) as error:
        raise _unreadable(path, error) from error


def _checked(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise SourceError(
            f"{ids.shown(row)} is a {type(row).__name__}",
            where=where,
            next_step="Give an object by parameter name.",
        )
    check_names(row, where)
    try:
        params: dict[str, Any] = ids.plain(row, "row")
    except IdentityError as error:
        raise SourceError(
            f"{error.where}: {error.what}", where=where, next_step=error.next_step
        ) from error
    return params


def _unreadable(path: Path, error: Exception) -> SourceError:
    what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return SourceError(f"cannot be read: {what}", where=str(path), next_step="Check the file.")
