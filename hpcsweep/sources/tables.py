"""Cases in a table: a CSV, TSV, XLSX, JSON Lines or Parquet file.

The file is streamed into JSON lines in a temporary file, with the offset of each line in memory:
reading a case costs one seek. The frozen manifest contains those lines, so a task reads the rows
that the file had at submission.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import weakref
from array import array
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.errors import IdentityError, SourceError
from hpcsweep.sources.base import ParameterSource
from hpcsweep.sources.caselines import format_line, parse_line
from hpcsweep.sources.filecases import TAGS_KEY, frozen_cases
from hpcsweep.sources.keys import Key, Kind, check_names, checked_tags
from hpcsweep.sources.sheets import FileRow
from hpcsweep.sources.table_keys import COLUMN_TYPES, FILE, FORMAT_KEYS, read_format
from hpcsweep.sources.tablefiles import read_rows

if TYPE_CHECKING:
    from hpcsweep.sources.caselines import CaseLines


class TableSource(ParameterSource):
    """One case for each row of a file; the columns are the parameters.

    All cells of a CSV column have one type, see `cells`; a command gets the text of the cell.
    *Raises* SourceError for an unreadable file or two equal rows, IdentityError for a value
    without canonical form; both name the row.
    """

    KIND = Kind(
        "one case for each row of a file",
        (Key("file", FILE, "the [table](sources.md#tables)"), TAGS_KEY, *FORMAT_KEYS),
        form="table",
        alone="file",
        python="table(file, tags, …)",
        example="cases.csv",
    )

    def __init__(self, file: str | Path, tags: Sequence[str] | None = None, **options: Any) -> None:
        """`options` are the other keys of a table in a manifest."""
        self._file = Path(file)
        self._own_tags = checked_tags(tags)
        self._options = {name: value for name, value in options.items() if value is not None}
        self._format = read_format(self._options)
        # The types of the values in each column.
        self._types: dict[str, set[type]] = {}
        # Unnamed; closed when this object is collected.
        self._lines: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, self._lines.close)
        self._offsets = array("Q", [0])
        # Whether a line keeps the text of a cell, because JSON writes the value differently.
        self._has_written = False
        self._names = self._copy_rows(self._rows())
        if not self.n_cases:
            raise SourceError("the table has no cases", where=str(file), next_step="Add a row.")

    @classmethod
    def resolve_paths(cls, value: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
        file = value.get("file")
        return {**value, "file": str(root / file)} if isinstance(file, str) else value

    def _rows(self) -> Iterator[FileRow]:
        return read_rows(self._file, self._format)

    def _copy_rows(self, rows: Iterator[FileRow]) -> frozenset[str]:
        """Write the rows to the temporary file; returns the parameter names."""
        types = self._types
        # 8 bytes per row: 8 MB for a million rows.
        hashes = array("Q")
        end = 0
        for where, row, written in rows:
            params = _check_row(row, where)
            for name, value in params.items():
                types.setdefault(name, set()).add(type(value))
            digest = hashlib.blake2b(ids.canonical(params).encode(), digest_size=8).digest()
            hashes.append(int.from_bytes(digest, "big"))
            end += self._lines.write(format_line(params, written))
            self._has_written |= bool(written)
            self._offsets.append(end)
        self._lines.flush()
        self._refuse_equal(hashes)
        return frozenset(types)

    def _refuse_equal(self, hashes: Sequence[int]) -> None:
        """*Raises* SourceError for the first row that equals an earlier one."""
        in_order = sorted(hashes)
        twice = {a for a, b in zip(in_order, in_order[1:]) if a == b}
        seen: dict[str, int] = {}
        for index, digest in enumerate(hashes if twice else ()):
            if digest not in twice:
                continue
            first = seen.setdefault(ids.canonical(self._params(index)), index)
            if first == index:
                continue
            rows = self._rows()
            raise SourceError(
                f"the cases at {first} and {index} are the same: {ids.shown(self._params(index))}",
                where=next(islice((where for where, _, _ in rows), index, None), str(self._file)),
                next_step="Leave one of them out; repetitions of a case are `replicates`.",
            )

    def to_manifest_dict(self) -> dict[str, Any]:
        return {
            "type": "TableSource",
            # The reader of the manifest may have another working directory.
            "file": str(self._file.resolve()),
            "tags": list(self._own_tags),
            **self._options,
            "total_cases": self.n_cases,
        }

    @property
    def column_types(self) -> dict[str, str]:
        """The type of each column, in the order of the file, for people."""
        return {
            name: COLUMN_TYPES.get(frozenset(types - {type(None)}), "mixed")
            for name, types in self._types.items()
        }

    def column_notes(self) -> list[str]:
        types = (f"{name} {type_}" for name, type_ in self.column_types.items())
        return [f"{self._file.name}: {', '.join(types)}"]

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
        return parse_line(self._line(index))[0]

    def _written(self, index: int) -> dict[str, str]:
        return parse_line(self._line(index))[1] if self._has_written else {}

    def _tags(self, index: int) -> tuple[str, ...]:
        return (*self._own_tags, f"manual_{index}")

    def _line(self, index: int) -> bytes:
        start, stop = self._offsets[index], self._offsets[index + 1]
        # pread: the position of the file is shared between threads.
        return os.pread(self._lines.fileno(), stop - start, start)


def table(file: str | Path, tags: Sequence[str] | None = None, **options: Any) -> TableSource:
    """The rows of a file: `table("cases.csv")`, `table("plate.xlsx", sheet="day 2")`."""
    return TableSource(file, tags, **options)


def _check_row(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise SourceError(
            f"{ids.shown(row)} has the type {type(row).__name__}, not object",
            where=where,
            next_step="Write an object with a value for each parameter name.",
        )
    check_names(row, where)
    try:
        params: dict[str, Any] = ids.plain(row, "row")
    except IdentityError as error:
        raise SourceError(
            f"{error.where}: {error.what}", where=where, next_step=error.next_step
        ) from error
    return params
