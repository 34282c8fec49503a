"""Explicit cases in the files of a frozen manifest, from any kind of source."""

from __future__ import annotations

import contextlib
import re
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.files import names, remove_tree, token
from hpcsweep.records import ParamCase
from hpcsweep.sources.base import Factor, ParameterSource
from hpcsweep.sources.caselines import CASES_FILE, CaseLine, parse_line
from hpcsweep.sources.keys import ONLY_COPY, TAGS, Key, checked_keys, checked_tags, whole_number
from hpcsweep.sources.linefiles import LineFiles

if TYPE_CHECKING:
    from hpcsweep.sources.caselines import CaseLines

# A key of the sources that a frozen manifest has as explicit cases.
TAGS_KEY = Key("tags", TAGS, "labels of every case", default="none")

FINGERPRINT = re.compile("[0-9a-f]{16}")


class Segment(NamedTuple):
    """Cases whose lines are in the files of an earlier version, which is never changed."""

    # The name of its directory.
    manifest: str
    # Index behind the last of the cases.
    end: int
    # The first digits of the SHA-256 of the lines; see `FrozenManifest.extends`.
    digest: str


class LineCases(ParameterSource):
    """Explicit cases, each in a line of `caselines.format_line`."""

    _own_tags: tuple[str, ...]
    _names: frozenset[str]
    # See `ParameterSource`; both only of tables.
    _key: frozenset[str] | None = None
    _carried_names: frozenset[str] = frozenset()
    # Whether lines also have the original text of table cells; those of older sweeps do not.
    _has_written: bool
    # The earlier versions that this one continues, the oldest first.
    segments: tuple[Segment, ...] = ()
    # The same as digests of files that had all cases so far; versions before 2026-11-30 say so.
    extends: tuple[str, ...] = ()
    # The directory of the versions, which segments name; None without segments.
    home: Path | None = None

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

    def _copy_segments(self, target: Path) -> None:
        """Copy the versions of its segments to a directory of versions, where they are not there.

        A version is written into another sweep directory to be checked, or for a run of one case.
        """
        import shutil  # noqa: PLC0415  # no task needs it

        home = self.home
        if home is None:
            return
        for name in {segment.manifest for segment in self.segments}.difference(names(target)):
            temporary = target / f".{name}.{token()}"
            try:
                shutil.copytree(home / name, temporary)
                with contextlib.suppress(OSError):  # another process has copied it
                    temporary.rename(target / name)
            finally:
                remove_tree(temporary)

    def _frozen(self, first: int) -> dict[str, Any]:
        """The frozen dict of the cases, whose own lines begin at `first`."""
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
        if self.segments:
            frozen["segments"] = [list(segment) for segment in self.segments]
        return frozen


class FileCases(LineCases):
    """Explicit cases in the files of a frozen manifest; a case costs two short reads.

    The first ones may be in the files of earlier versions: see `Segment`.
    *Raises* SourceError for an invalid dict; SweepError, also when a case is read, if the files
    are missing or damaged.
    """

    def __init__(self, directory: Path, frozen: Mapping[str, Any], where: str = "source") -> None:
        required = ("type", "file", "names", "total_cases")
        optional = ("tags", "first", "written", "key", "carried", "extends", "segments")
        fields = checked_keys(frozen, required, optional, where)
        if fields["file"] != CASES_FILE:
            raise SourceError(
                f"{ids.shown(fields['file'])} is not the file of the cases",
                where=f"{where}.file",
                next_step=f"It is always {CASES_FILE!r}.",
            )
        # Where the versions of the sweep are.
        self.home = directory.parent
        self._own_tags = checked_tags(fields.get("tags"))
        self._names = frozenset(checked_tags(fields["names"], f"{where}.names"))
        # Line of the first case: one file can contain the cases of several sources.
        first = whole_number(fields.get("first", 0), f"{where}.first", at_least=0)
        self._n_cases = whole_number(fields["total_cases"], f"{where}.total_cases", at_least=1)
        self._has_written = fields.get("written") is True
        self._key = None if "key" not in fields else frozenset(checked_tags(fields["key"]))
        self._carried_names = frozenset(checked_tags(fields.get("carried")))
        self.extends = checked_tags(fields.get("extends"))
        self.segments = _checked_segments(fields.get("segments"), f"{where}.segments")
        self._ends = [segment.end for segment in self.segments]
        self._files = [
            LineFiles(
                self.home / segment.manifest,
                0,
                start,
                segment.end,
                is_grown=bool(start or self.extends),
            )
            for segment, start in zip(self.segments, (0, *self._ends))
        ]
        is_grown = bool(self.segments or self.extends)
        start = self._ends[-1] if self._ends else 0
        own = LineFiles(directory, first, start, self._n_cases, is_grown=is_grown)
        self._files.append(own)
        # Those of others when they are read: a task has cases of few versions.
        own.check_sizes()

    def to_manifest_dict(self) -> dict[str, Any]:
        return {
            "type": "ManualSource",
            "cases": [self._params(index) for index in range(self._n_cases)],
            "tags": list(self._own_tags),
            "total_cases": self._n_cases,
        }

    def freeze(self, lines: CaseLines) -> dict[str, Any]:
        if lines.directory is not None:
            self._copy_segments(lines.directory.parent)
        return self._frozen(lines.add(self._files[-1].lines()))

    @property
    def n_cases(self) -> int:
        return self._n_cases

    def __iter__(self) -> Iterator[ParamCase]:
        for files in self._files:
            for index, line in enumerate(files.lines(), files.start):
                yield self._case_of(index, _parsed(files, index, line))

    def _line(self, index: int) -> CaseLine:
        files = self._files[bisect_right(self._ends, index)]
        return _parsed(files, index, files.line(index))


def _parsed(files: LineFiles, index: int, line: bytes) -> CaseLine:
    try:
        return parse_line(line)
    except ValueError as error:
        raise files.damaged(files.path, f"case {index} cannot be read: {error}") from error


def _checked_segments(value: Any, where: str) -> tuple[Segment, ...]:
    """The segments of a frozen dict, whose names are paths beside it. *Raises* SourceError."""
    try:
        segments = tuple(Segment(*each) for each in value or ())
        ends = [0, *(whole_number(segment.end, where, at_least=1) for segment in segments)]
        is_sound = all(FINGERPRINT.fullmatch(segment.manifest) for segment in segments)
    except TypeError:
        is_sound, ends = False, []
    if not is_sound or ends != sorted(set(ends)):
        raise SourceError(
            f"{ids.shown(value)} are no segments",
            where=where,
            next_step=ONLY_COPY,
        )
    return segments


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
