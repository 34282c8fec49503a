"""The versions of a manifest with a `search`: each has the trials asked so far as its cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.errors import SweepError
from hpcsweep.manifest.frozen import FrozenManifest, sealed
from hpcsweep.manifest.policies import Halving, Policies, Search
from hpcsweep.search.study import ToldTrial, ask
from hpcsweep.sources import ManualSource
from hpcsweep.sweepdir.version import Version

if TYPE_CHECKING:
    from hpcsweep.sources.caselines import CaseLines


class TrialCases(ManualSource):
    """The cases of trials. A case may occur twice: a sampler may propose what it proposed before.

    `extends`: the digests of the files of cases that begin with fewer of these cases.
    """

    def __init__(self, cases: Sequence[Mapping[str, Any]], extends: Sequence[str] = ()) -> None:
        self._cases = [ids.plain(dict(case)) for case in cases]
        self._names = frozenset(name for case in self._cases for name in case)
        self._own_tags = ()
        self._extends = tuple(extends)

    def freeze(self, lines: CaseLines) -> dict[str, Any]:
        frozen = super().freeze(lines)
        return frozen | {"extends": list(self._extends)} if self._extends else frozen


def search_of(manifest: FrozenManifest) -> Search | None:
    """The search of a manifest; None without one."""
    return Policies.from_json(manifest.policies).search


def current_version(described: Version, newest: Version | None) -> Version:
    """What the user describes, with the trials of the newest version; of none, the first batch.

    *Raises* SweepError if the newest one searches another space, or has more trials; as `ask`.
    """
    search = search_of(described.manifest)
    if search is None:
        return described
    earlier = None if newest is None else search_of(newest.manifest)
    if newest is None or earlier is None:
        return _with_cases(described, ask(search, described.manifest, (), search.batch))
    refuse_other_space(search, earlier, described.manifest.name)
    cases = trial_params(newest)
    if len(cases) > search.n:
        raise SweepError(
            f"has {len(cases)} trials already, and n is {search.n}",
            where=described.manifest.name,
            next_step=f"Write n: {len(cases)} or more; what is there stays.",
        )
    return _with_cases(described, cases, newest.manifest.source.get("extends", ()))


def next_version(version: Version, values: Sequence[float | None]) -> Version:
    """The version with one more batch; `values` are those of the trials of `version`.

    *Raises* as `ask`.
    """
    search = search_of(version.manifest)
    assert search is not None  # noqa: S101  # for mypy: callers have a search
    cases = trial_params(version)
    told = [
        ToldTrial(params=params, value=value) for params, value in zip(cases, values, strict=True)
    ]
    count = min(search.batch, search.n - len(cases))
    asked = ask(search, version.manifest, told, count)
    before = version.manifest.source.get("extends", ())
    digest = version.manifest.cases_sha256
    return _with_cases(version, [*cases, *asked], (*before, digest))


def trial_params(version: Version) -> list[dict[str, Any]]:
    """The params of each trial, in the order of indices."""
    step = version.manifest.replicates
    return [version.source.params(index) for index in range(0, version.source.n_cases, step)]


def refuse_other_space(search: Search, earlier: Search, name: str) -> None:
    """*Raises* SweepError for a study of another space: its trials could not be told."""
    old, new = (dict(one.space) for one in (earlier, search))
    changed = [
        parameter
        for parameter in ids.in_order(old.keys() | new.keys())
        if ids.canonical(old.get(parameter)) != ids.canonical(new.get(parameter))
    ]
    if changed:
        raise SweepError(
            f"the space was another one for its earlier trials: {', '.join(changed)}",
            where=name,
            next_step="Give the manifest another name, or write the space as it was; "
            "what is there stays.",
        )
    _refuse_other_rungs(search.halving, earlier.halving, name)


def _refuse_other_rungs(halving: Halving | None, earlier: Halving | None, name: str) -> None:
    """*Raises* SweepError where trials that are there would be of no rung; `max` may grow."""
    if halving is None or earlier is None:
        is_other = halving is not earlier
    else:
        known = replace(halving, largest=earlier.largest)
        is_other = known != earlier or halving.largest < earlier.largest
    if is_other:
        raise SweepError(
            "halving was another one for its earlier trials",
            where=name,
            next_step="Give the manifest another name, or write `halving` as it was; only its max "
            "may grow. What is there stays.",
        )


def _with_cases(
    version: Version, cases: Sequence[Mapping[str, Any]], extends: Sequence[str | None] = ()
) -> Version:
    source = TrialCases(cases, [digest for digest in extends if digest is not None])
    described, digest = source.frozen()
    manifest = sealed(replace(version.manifest, source=described, cases_sha256=digest))
    return Version.of(manifest, source.repeat(manifest.replicates))
