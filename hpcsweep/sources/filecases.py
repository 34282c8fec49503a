"""Explicit cases in the files of a frozen manifest, from any kind of source."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.errors import Damaged, SourceError, SweepError
from hpcsweep.files import open_regular
from hpcsweep.records import ParamCase
from hpcsweep.sources.base import Factor, ParameterSource
from hpcsweep.sources.caselines import CASES_FILE, OFFSET_BYTES, OFFSETS_FILE, CaseLine, parse_line
from hpcsweep.sources.keys import TAGS, Key, checked_keys, checked_tags, whole_number

if TYPE_CHECKING:
    from hpcsweep.sources.caselines import CaseLines

# A key of the sources that a frozen manifest has as explicit cases.
TAGS_KEY = Key("tags", TAGS, "labels of every case", default="none")

# Offsets per read, 32 KiB: on a network file system an open costs more than this read.
PAGE_OFFSETS = 4096


class LineCases(ParameterSource):
    """Explicit cases, each in a line of `caselines.format_line`."""

    _own_tags: tuple[str, ...]
    _names: frozenset[str]
    # See `ParameterSource`; both only of tables.
    _key: frozenset[str] | None = None
    _carried_names: frozenset[str] = frozenset()
    # Whether lines also have the original text of table cells; those of older sweeps do not.
    _has_written: bool
    # The digests of the files of cases of which this one is a continuation, the oldest first.
    extends: tuple[str, ...] = ()

    @abstractmethod
    def _line(self, index: int) -> CaseLine:
        """The line of the case at an index of `0 .. n_cases-1`."""

    @property
    def names(self) -> frozenset[str]:
        return self._names

    @property
    def key(self) -> frozenset[str] | None:
        return self._key

    @property
    def carried_names(self) -> frozenset[str]:
        return self._carried_names

    @property
    def factors(self) -> list[Factor]:
        # A condition can name carried cells, too.
        names = self._names | self._carried_names
        return [Factor(self.n_cases, names, self._cells)]

    def _cells(self, index: int) -> dict[str, Any]:
        line = self._line(index)
        return line.carried | line.params

    def _case(self, index: int) -> ParamCase:
        return self._case_of(index, self._line(index))

    def _case_of(self, index: int, line: CaseLine) -> ParamCase:
        return ParamCase(
            index=index,
            params=line.params,
            case_id=ids.case_id(self.identity_of(index, line.params)),
            tags=self._tags(index),
            written=line.written,
            carried=line.carried,
        )

    def _params(self, index: int) -> dict[str, Any]:
        return self._line(index).params

    def _written(self, index: int) -> dict[str, str]:
        return self._line(index).written if self._has_written else {}

    def _carried(self, index: int) -> dict[str, Any]:
        return self._line(index).carried if self._carried_names else {}

    def _tags(self, index: int) -> tuple[str, ...]:
        return (*self._own_tags, f"manual_{index}")

    def _frozen(self, first: int) -> dict[str, Any]:
        """The frozen dict of the cases, whose lines begin at `first`."""
        frozen = frozen_cases(self._own_tags, self._names, first, self.n_cases)
        # What is not there adds nothing, so that the fingerprints of older manifests stay valid.
        if self._has_written:
            frozen["written"] = True
        if self._key is not None:
            frozen["key"] = ids.in_order(self._key)
        if self._carried_names:
            frozen["carried"] = ids.in_order(self._carried_names)
        if self.extends:
            frozen["extends"] = list(self.extends)
        return frozen


class FileCases(LineCases):
    """Explicit cases in the files of a frozen manifest; a case costs two short reads.

    *Raises* SourceError for an invalid dict; SweepError, also when a case is read, if the files
    are missing or damaged.
    """

    def __init__(self, directory: Path, frozen: Mapping[str, Any], where: str = "source") -> None:
        required = ("type", "file", "names", "total_cases")
        optional = ("tags", "first", "written", "key", "carried", "extends")
        fields = checked_keys(frozen, required, optional, where)
        if fields["file"] != CASES_FILE:
            raise SourceError(
                f"{ids.shown(fields['file'])} is not the file of the cases",
                where=f"{where}.file",
                next_step=f"It is always {CASES_FILE!r}.",
            )
        self._path = directory / CASES_FILE
        self._offsets_path = directory / OFFSETS_FILE
        self._own_tags = checked_tags(fields.get("tags"))
        self._names = frozenset(checked_tags(fields["names"], f"{where}.names"))
        # Line of the first case: one file can contain the cases of several sources.
        self._first = whole_number(fields.get("first", 0), f"{where}.first", at_least=0)
        self._n_cases = whole_number(fields["total_cases"], f"{where}.total_cases", at_least=1)
        self._has_written = fields.get("written") is True
        self._key = None if "key" not in fields else frozenset(checked_tags(fields["key"]))
        self._carried_names = frozenset(checked_tags(fields.get("carried")))
        self.extends = checked_tags(fields.get("extends"))
        # Cache of one page of offsets, the one read last, by its number.
        self._page: dict[int, bytes] = {}
        self._check_sizes()

    def to_manifest_dict(self) -> dict[str, Any]:
        return {
            "type": "ManualSource",
            "cases": [self._params(index) for index in range(self._n_cases)],
            "tags": list(self._own_tags),
            "total_cases": self._n_cases,
        }

    def freeze(self, lines: CaseLines) -> dict[str, Any]:
        return self._frozen(lines.add(self._lines()))

    @property
    def n_cases(self) -> int:
        return self._n_cases

    def __iter__(self) -> Iterator[ParamCase]:
        for index, line in enumerate(self._lines()):
            yield self._case_of(index, self._parsed(index, line))

    def _lines(self) -> Iterator[bytes]:
        start = self._offsets(0, 1)[0]
        try:
            with open_regular(self._path) as lines:
                lines.seek(min(start, self._end))
                for _ in range(self._n_cases):
                    yield lines.readline()
        except OSError as error:
            raise _unreadable(self._path, error) from error

    def _line(self, index: int) -> CaseLine:
        start, stop = self._offsets(index, 2)
        if not start < stop <= self._end:
            raise _damaged(self._offsets_path, f"case {index} is from byte {start} to {stop}")
        return self._parsed(index, _read(self._path, start, stop - start))

    def _offsets(self, index: int, count: int) -> list[int]:
        return [self._offset(self._first + index + more) for more in range(count)]

    def _offset(self, line: int) -> int:
        """The offset of a line. Reads a whole page of offsets and caches it for the next call."""
        number, place = divmod(line, PAGE_OFFSETS)
        if number not in self._page:
            start = number * PAGE_OFFSETS * OFFSET_BYTES
            count = min(PAGE_OFFSETS * OFFSET_BYTES, self._offsets_size - start)
            data = _read(self._offsets_path, start, count)
            self._page = {number: data}
        at = place * OFFSET_BYTES
        return int.from_bytes(self._page[number][at : at + OFFSET_BYTES], "little")

    def _parsed(self, index: int, line: bytes) -> CaseLine:
        try:
            return parse_line(line)
        except ValueError as error:
            raise _damaged(self._path, f"case {index} cannot be read: {error}") from error

    def _check_sizes(self) -> None:
        """Check that the offsets are complete and that the last is the size of the cases file."""
        size = _size(self._offsets_path)
        expected = (self._first + self._n_cases + 1) * OFFSET_BYTES
        if size < expected or size % OFFSET_BYTES:
            raise _damaged(
                self._offsets_path,
                f"it has {size} bytes: fewer than {expected}, or a partial offset",
            )
        self._offsets_size = size
        # The end of the last line.
        self._end = end = self._offset(size // OFFSET_BYTES - 1)
        if (actual := _size(self._path)) != end:
            raise _damaged(self._path, f"it has {actual} bytes, but {end} were written")


def frozen_cases(
    tags: tuple[str, ...], names: frozenset[str], first: int, n_cases: int
) -> dict[str, Any]:
    """The frozen dict of the cases in the lines from `first` on."""
    return {
        "type": "ManualSource",
        "file": CASES_FILE,
        "first": first,
        "names": ids.in_order(names),
        "tags": list(tags),
        "total_cases": n_cases,
    }


def _read(path: Path, offset: int, count: int) -> bytes:
    """Read exactly `count` bytes from `offset`. *Raises* SweepError."""
    try:
        with open_regular(path) as file:
            data = os.pread(file.fileno(), count, offset)
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(data) != count:
        raise _damaged(path, f"it ends before byte {offset + count}")
    return data


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> SweepError:
    return SweepError(
        f"cannot be read: {error.strerror}",
        where=str(path),
        next_step="Submit again from the manifest; this writes the files again.",
    )


def _damaged(path: Path, what: str) -> Damaged:
    return Damaged(
        what,
        where=str(path),
        next_step="The file was changed after it was written; restore it, or submit again.",
    )
