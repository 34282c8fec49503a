"""The versions of a manifest with a `search`: each has the trials asked so far as its cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hpcsweep import ids
from hpcsweep.errors import SweepError
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.manifest.policies import Halving, Policies, Search
from hpcsweep.search.study import ToldTrial, ask
from hpcsweep.sweepdir.growing import GrownCases, with_cases, with_cases_of
from hpcsweep.sweepdir.version import Version


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
        asked = ask(search, described.manifest, (), search.batch)
        return with_cases(described, GrownCases(asked))
    refuse_other_space(search, earlier, described.manifest.name)
    cases = trial_params(newest)
    if len(cases) > search.n:
        raise SweepError(
            f"has {len(cases)} trials already, and n is {search.n}",
            where=described.manifest.name,
            next_step=f"Write n: {len(cases)} or more; what is there stays.",
        )
    return with_cases_of(described, newest)


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
    return with_cases(version, GrownCases(asked, version))


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
