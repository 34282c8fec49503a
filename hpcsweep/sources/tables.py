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
from hpcsweep.errors import SourceError
from hpcsweep.sources.base import within_key
from hpcsweep.sources.caselines import CaseLine, format_line, parse_line
from hpcsweep.sources.column_roles import ROLE_KEYS, ColumnRoles, read_roles
from hpcsweep.sources.filecases import TAGS_KEY, LineCases
from hpcsweep.sources.keys import Key, Kind, checked_tags
from hpcsweep.sources.sheets import FileRow
from hpcsweep.sources.table_keys import COLUMN_TYPES, FILE, FORMAT_KEYS, read_format
from hpcsweep.sources.tablefiles import read_rows

if TYPE_CHECKING:
    from hpcsweep.sources.caselines import CaseLines


class TableSource(LineCases):
    """One case for each row of a file; the columns are the parameters, but for those it carries.

    All cells of a CSV column have one type, see `cells`; a command gets the text of the cell.
    *Raises* SourceError for an unreadable file or two rows of one identity, IdentityError for a
    value without canonical form; both name the row.

    Examples:
        >>> source = hs.table("cases.csv")
        >>> isinstance(source, hs.TableSource), source[1].params
        (True, {'a': 2, 'b': 'y'})
    """

    KIND = Kind(
        "one case for each row of a file",
        (Key("file", FILE, "the [table](sources.md#tables)"), TAGS_KEY, *FORMAT_KEYS, *ROLE_KEYS),
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
        self._roles = ColumnRoles(**read_roles(self._options))
        self._key = self._roles.key
        # The types of the values in each column.
        self._types: dict[str, set[type]] = {}
        # By column of texts that may have been meant otherwise, a sentence that says so.
        self._odd_cells: dict[str, str] = {}
        # Unnamed; closed when this object is collected.
        self._lines: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, self._lines.close)
        self._offsets = array("Q", [0])
        # Whether a line keeps the text of a cell, because JSON writes the value differently.
        self._has_written = False
        self._copy_rows(self._rows())
        if not self.n_cases:
            raise SourceError("the table has no cases", where=str(file), next_step="Add a row.")

    @classmethod
    def resolve_paths(cls, value: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
        file = value.get("file")
        return {**value, "file": str(root / file)} if isinstance(file, str) else value

    def _rows(self) -> Iterator[FileRow]:
        return read_rows(self._file, self._format, self._odd_cells.__setitem__)

    def _copy_rows(self, rows: Iterator[FileRow]) -> None:
        """Write the rows to the temporary file."""
        types, roles = self._types, self._roles
        # 8 bytes per row: 8 MB for a million rows.
        hashes = array("Q")
        end = 0
        for where, row, texts in rows:
            params, carried = roles.split(row, where)
            for name, value in row.items():
                types.setdefault(name, set()).add(type(value))
            identity = within_key(params, self._key)
            text = ids.canonical_of_plain(identity)
            digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
            hashes.append(int.from_bytes(digest, "big"))
            written = {name: text for name, text in texts.items() if name in params}
            end += self._lines.write(format_line(params, written, carried))
            self._has_written |= bool(written)
            self._offsets.append(end)
        self._lines.flush()
        self._carried_names = roles.carried(types, str(self._file))
        self._names = frozenset(types) - self._carried_names
        self._refuse_equal(hashes)

    def _refuse_equal(self, hashes: Sequence[int]) -> None:
        """*Raises* SourceError for the first row that has the identity of an earlier one."""
        in_order = sorted(hashes)
        twice = {a for a, b in zip(in_order, in_order[1:]) if a == b}
        seen: dict[str, int] = {}
        for index, digest in enumerate(hashes if twice else ()):
            if digest not in twice:
                continue
            first = seen.setdefault(ids.canonical(self.identity(index)), index)
            if first != index:
                raise self._equal_error(first, index)

    def _equal_error(self, first: int, index: int) -> SourceError:
        """The error of two rows with one identity."""
        places = [where for where, _, _ in islice(self._rows(), index + 1)]
        where, place = (*places[index:], str(self._file))[0], places[first : first + 1]
        rows = [self._params(at) | self._carried(at) for at in (first, index)]
        names = rows[0] | rows[1]
        differ = [name for name in names if rows[0].get(name) != rows[1].get(name)]
        if not differ:
            return SourceError(
                f"the cases at {first} and {index} are the same: {ids.shown(self._params(index))}",
                where=where,
                next_step="Leave one of them out; repetitions of a case are `replicates`.",
            )
        what = f"the rows {first} and {index} ({', '.join(place)}) have the same "
        if self._key is not None:
            what += f"key {ids.shown(self.identity(index))}"
        else:
            what += f"parameters {ids.shown(self._params(index))}"
        return SourceError(
            f"{what}, and differ in {', '.join(differ)}",
            where=where,
            next_step="Correct one of them, or name the columns in `key` that tell them apart.",
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
        """The type of each column, in the order of the file, for people.

        Examples:
            >>> hs.table("cases.csv").column_types
            {'a': 'integer', 'b': 'text'}
        """
        return {
            name: COLUMN_TYPES.get(frozenset(types - {type(None)}), "mixed")
            for name, types in self._types.items()
        }

    def column_notes(self) -> list[str]:
        types = self.column_types
        parts = {
            "": [name for name in types if name in self._names],
            "; carried: ": [name for name in types if name in self._carried_names],
        }
        texts = (
            label + ", ".join(f"{name} {types[name]}" for name in names)
            for label, names in parts.items()
            if names
        )
        key = "" if self._key is None else f"; key: {', '.join(ids.in_order(self._key))}"
        return [f"{self._file.name}: {''.join(texts)}{key}", *self.cell_notes()]

    def cell_notes(self) -> list[str]:
        return list(self._odd_cells.values())

    def freeze(self, lines: CaseLines) -> dict[str, Any]:
        return self._frozen(lines.add(self._text(index) for index in range(self.n_cases)))

    @property
    def n_cases(self) -> int:
        return len(self._offsets) - 1

    def _line(self, index: int) -> CaseLine:
        return parse_line(self._text(index))

    def _text(self, index: int) -> bytes:
        start, stop = self._offsets[index], self._offsets[index + 1]
        # pread: the position of the file is shared between threads.
        return os.pread(self._lines.fileno(), stop - start, start)


def table(file: str | Path, tags: Sequence[str] | None = None, **options: Any) -> TableSource:
    """The rows of a file: `table("cases.csv")`, `table("plate.xlsx", sheet="day 2")`.

    Examples:
        >>> hs.table("cases.csv")[0].params
        {'a': 1, 'b': 'x'}
    """
    return TableSource(file, tags, **options)
