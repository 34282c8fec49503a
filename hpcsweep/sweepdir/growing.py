"""Versions of a manifest that grow: each has the cases of the one before, and more at the end."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.manifest.frozen import DIGEST_DIGITS, sealed
from hpcsweep.manifest.target_spec import null_problem
from hpcsweep.records import ParamCase
from hpcsweep.sources.caselines import CaseLine, CaseLines, format_line
from hpcsweep.sources.filecases import LineCases, Segment
from hpcsweep.sweepdir.version import Version

if TYPE_CHECKING:
    from hpcsweep.sources.base import ParameterSource


class GrownCases(LineCases):
    """The cases of an earlier version, and then these, of which alone lines are written.

    A case may occur twice. The earlier version is, or will be, in the same sweep.
    """

    _has_written = False

    def __init__(self, cases: Iterable[Mapping[str, Any]], before: Version | None = None) -> None:
        self._cases = [ids.plain(dict(case)) for case in cases]
        self._names = frozenset(name for case in self._cases for name in case)
        self._own_tags = ()
        self._before = None if before is None else _line_cases(before)
        if before is None or self._before is None:
            return
        earlier = self._before
        digest = str(before.manifest.cases_sha256)[:DIGEST_DIGITS]
        segment = Segment(before.fingerprint, earlier.n_cases, digest)
        self.segments, self.home = (*earlier.segments, segment), earlier.home
        self.extends, self._own_tags = earlier.extends, earlier._own_tags  # noqa: SLF001  # of the same class
        self._names |= earlier.names

    @property
    def n_cases(self) -> int:
        return self._start + len(self._cases)

    @property
    def _start(self) -> int:
        return 0 if self._before is None else self._before.n_cases

    def __iter__(self) -> Iterator[ParamCase]:
        return chain(self._before or (), map(self._case, range(self._start, self.n_cases)))

    def _line(self, index: int) -> CaseLine:
        if self._before is not None and index < self._start:
            return self._before._line(index)  # noqa: SLF001  # as above
        return CaseLine(ids.plain(self._cases[index - self._start]), {}, {})

    def to_manifest_dict(self) -> dict[str, Any]:
        cases = [case.params for case in self]
        tags = list(self._own_tags)
        return {"type": "ManualSource", "cases": cases, "tags": tags, "total_cases": self.n_cases}

    def freeze(self, lines: CaseLines) -> dict[str, Any]:
        if lines.directory is not None:
            self._copy_segments(lines.directory.parent)
        return self._frozen(lines.add(map(format_line, self._cases)))


def can_grow(version: Version) -> bool:
    """Whether a version has explicit cases, which are not the rows of a table."""
    return _line_cases(version) is not None


def _line_cases(version: Version) -> LineCases | None:
    """The explicit cases of a version without replicates; None if it has others."""
    source = distinct_cases(version)
    if not isinstance(source, LineCases):
        return None
    # What the rows of a table have besides; those grow by rows in its file.
    of_table = source._has_written or source.key is not None or source.carried_names  # noqa: SLF001
    return None if of_table else source


def distinct_cases(version: Version) -> ParameterSource:
    """The cases of a version without their replicates."""
    (source,) = version.source.parts if version.manifest.replicates > 1 else (version.source,)
    return source


def with_cases(version: Version, source: ParameterSource) -> Version:
    """The version with these cases, each as often as its manifest repeats it.

    *Raises* SourceError for cases that cannot be given to its command.
    """
    lines = CaseLines()
    described = source.freeze(lines)
    problem = null_problem(lines.nulls, version.manifest.target.argv)
    if problem is not None:
        raise SourceError(problem[0], where=version.manifest.name, next_step=problem[1])
    manifest = sealed(replace(version.manifest, source=described, cases_sha256=lines.sha256))
    return Version.of(manifest, source.repeat(manifest.replicates))


def with_cases_of(version: Version, other: Version) -> Version:
    """The version with the cases of another one of its sweep."""
    found = other.manifest
    manifest = replace(version.manifest, source=found.source, cases_sha256=found.cases_sha256)
    return Version.of(sealed(manifest), distinct_cases(other).repeat(manifest.replicates))
