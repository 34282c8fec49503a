"""Versions of a manifest that grow: each has the cases of the one before, and more at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.manifest.frozen import sealed
from hpcsweep.sources.caselines import format_line
from hpcsweep.sources.filecases import frozen_cases
from hpcsweep.sources.manual_source import ManualSource
from hpcsweep.sweepdir.version import Version

if TYPE_CHECKING:
    from hpcsweep.sources.caselines import CaseLines


class GrownCases(ManualSource):
    """The cases of a version that grows. A case may occur twice.

    `extends`: the digests of the files of cases that begin with fewer of these cases.
    """

    def __init__(self, cases: Iterable[Mapping[str, Any]], extends: Iterable[str] = ()) -> None:
        self._own_tags = ()
        self._cases: list[dict[str, Any]] = []
        # Of each case: a batch costs its own cases, and not those before it.
        self._lines: list[bytes] = []
        self._names = frozenset()
        self._extends = tuple(extends)
        self._append(cases)

    def _append(self, cases: Iterable[Mapping[str, Any]]) -> None:
        more = [ids.plain(dict(case)) for case in cases]
        self._cases = self._cases + more
        self._lines = self._lines + [format_line(case) for case in more]
        self._names |= {name for case in more for name in case}

    def grown(self, cases: Iterable[Mapping[str, Any]], digest: str | None) -> GrownCases:
        """These cases, whose file has this digest, and then those."""
        grown = GrownCases((), self._extends if digest is None else (*self._extends, digest))
        grown._cases, grown._lines, grown._names = self._cases, self._lines, self._names
        grown._append(cases)
        return grown

    def freeze(self, lines: CaseLines) -> dict[str, Any]:
        frozen = frozen_cases(self._own_tags, self._names, lines.add(self._lines), self.n_cases)
        return frozen | {"extends": list(self._extends)} if self._extends else frozen


def with_cases(version: Version, source: GrownCases) -> Version:
    """The version with these cases, each as often as its manifest repeats it."""
    described, digest = source.frozen()
    manifest = sealed(replace(version.manifest, source=described, cases_sha256=digest))
    return Version.of(manifest, source.repeat(manifest.replicates))
