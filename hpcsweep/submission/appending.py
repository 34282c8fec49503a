"""Append cases to a sweep: those that the newest version lacks, behind all of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from hpcsweep import ids
from hpcsweep.errors import SweepError
from hpcsweep.records import ParamCase
from hpcsweep.sources import ManualSource, ParameterSource, manual
from hpcsweep.submission.request import SubmitRequest
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.growing import (
    GrownCases,
    can_grow,
    distinct_cases,
    with_cases,
    with_cases_of,
)
from hpcsweep.sweepdir.version import Version


def with_appended(request: SubmitRequest, sweep: SweepDirectory) -> SubmitRequest:
    """The request with the cases of the newest version, and behind them those that it appends.

    The caller holds the sweep's lock, so that no case which another process appends is lost.
    *Raises* SourceError, IdentityError for what is no case; SweepError where none can be appended.
    """
    if request.appended is None:
        return request
    newest = sweep.newest() if sweep.submissions() else None
    more = manual(request.appended) if request.appended else ()
    version = _appended(request.version, newest, more)
    return replace(request, manifest=version.manifest, source=version.source)


def _appended(described: Version, newest: Version | None, more: Iterable[ParamCase]) -> Version:
    source = distinct_cases(newest or described)
    listed = isinstance(source, ManualSource) if newest is None else can_grow(newest)
    if not listed or "search" in described.manifest.policies:
        raise SweepError(
            "its cases are not listed one by one, so none can be appended",
            where=described.manifest.name,
            next_step="Submit it with a longer source: hs.grid(…) + hs.manual([…]), a table with "
            "more rows, or a larger `n` of a search.",
        )
    new = _missing(source, more)
    if newest is not None:
        if new:
            return with_cases(described, GrownCases(new, newest))
        return with_cases_of(described, newest)
    assert isinstance(source, ManualSource)  # noqa: S101  # for mypy: `listed` says so
    return with_cases(described, source.append(new) if new else source)


def _missing(source: ParameterSource, more: Iterable[ParamCase]) -> list[Mapping[str, Any]]:
    """The params of `more` that a source does not have. Each case of it is read once."""
    there = {ids.canonical(case.params) for case in source}
    return [case.params for case in more if ids.canonical(case.params) not in there]
