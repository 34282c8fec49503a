"""Asynchronous successive halving: which configurations of a search get a larger budget.

The rule of ASHA (Li et al. 2020, "A System for Massively Parallel Hyperparameter Tuning",
algorithm 2), asked for a whole batch at once: what is promoted follows from the results alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any

from hpcsweep import ids
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import MINIMIZE, Halving, Policies
from hpcsweep.sweepdir.version import Version


@dataclass(frozen=True, kw_only=True, slots=True)
class Configuration:
    """The trials of a search that differ in their budget alone."""

    # By budget: the params of each trial, and its position among all trials.
    params: Mapping[int, Mapping[str, Any]]
    positions: Mapping[int, int]
    # Values by budget; of a trial that failed, None.
    values: Mapping[int, float | None]

    @property
    def last(self) -> int:
        """The largest budget that it was given."""
        return max(self.values)

    @property
    def reports(self) -> dict[int, float]:
        """The values that it has, by budget."""
        return {budget: value for budget, value in self.values.items() if value is not None}


def configurations(
    halving: Halving, cases: Sequence[Mapping[str, Any]], values: Sequence[float | None]
) -> list[Configuration]:
    """The configurations of these trials, in the order of their first one.

    A sampler may propose one again: it is the same case, and counts once.
    """
    found: dict[str, dict[int, int]] = {}
    for position, params in enumerate(cases):
        rest = {name: value for name, value in params.items() if name != halving.resource}
        found.setdefault(ids.canonical(rest), {}).setdefault(halving.budget_of(params), position)
    return [
        Configuration(
            params={budget: cases[position] for budget, position in positions.items()},
            positions=positions,
            values={budget: values[position] for budget, position in positions.items()},
        )
        for positions in found.values()
    ]


def promotions(
    halving: Halving, direction: str, found: Sequence[Configuration]
) -> list[dict[str, Any]]:
    """The params of the trials that are promoted now, the largest budget before others.

    Of each rung, of the n trials with a value the best floor(n / factor), as far as they were not
    promoted before; of equal ones the earlier.
    """
    sign = 1.0 if direction == MINIMIZE else -1.0
    promoted = []
    for budget, larger in reversed(list(pairwise(halving.budgets))):
        rung = [
            (sign * one.reports[budget], one.positions[budget], one)
            for one in found
            if budget in one.reports
        ]
        best = sorted(rung, key=itemgetter(0, 1))[: len(rung) // halving.factor]
        promoted += [
            {**one.params[budget], halving.resource: larger}
            for _, _, one in best
            if larger not in one.values
        ]
    return promoted


def awaited_checkpoints(version: Version, complete: IndexSet) -> frozenset[str]:
    """The ids of the cases from whose checkpoints another trial may begin, also a later one.

    `complete` has the indices that need none.
    """
    search = Policies.from_json(version.manifest.policies).search
    if search is None or search.halving is None:
        return frozenset()
    cases = {case.case_id: case for case in version.source}
    awaited = set()
    for case in cases.values():
        after = search.halving.after(case.params)
        following = None if after is None else cases.get(ids.case_id(after, case.replicate))
        if following is not None:
            is_awaited = following.index not in complete
        else:
            is_awaited = after is not None and version.cases_to_come > 0
        if is_awaited:
            awaited.add(case.case_id)
    return frozenset(awaited)


def may_be_promoted(halving: Halving | None, found: Configuration) -> bool:
    """Whether a later batch may have a trial that continues it."""
    return (
        halving is not None
        and found.last < halving.largest
        and found.values[found.last] is not None
    )
