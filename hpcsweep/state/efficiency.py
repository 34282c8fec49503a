"""What a sweep used of what it asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hpcsweep.indexset import IndexSet
from hpcsweep.records import Resources
from hpcsweep.state.advice import advice_for
from hpcsweep.state.resource_use import Gathered, ResourceUse
from hpcsweep.store import SweepIndex
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import SweepDirectory


@dataclass(frozen=True, kw_only=True, slots=True)
class Efficiency:
    """What a sweep used of what it asked for."""

    name: str
    # By what tasks asked for, those with most CPU seconds first.
    uses: list[ResourceUse]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "schema": "hpcsweep.efficiency/1",
            "name": self.name,
            "uses": [
                use.to_json() | {"advice": [advice.to_json() for advice in advice_for(use)]}
                for use in self.uses
            ],
        }


def efficiency(sweep: SweepDirectory) -> Efficiency:
    """Bring the index up to date, and compare what was asked for with what was used.

    It needs no accounting of Slurm: workers measure what their cases use.
    *Raises* SweepError, StoreError. *Writes* the index. *Safe to repeat.*
    """
    asked = {number: sweep.resources(sweep.plan(number)[0]) for number in sweep.submissions()}
    with fresh_index(sweep) as sweep_index:
        uses = _uses(sweep_index, asked)
    return Efficiency(name=sweep.path.name, uses=sorted(uses, key=lambda use: -use.cpu_asked_s))


def _uses(sweep_index: SweepIndex, asked: Mapping[int, Resources]) -> list[ResourceUse]:
    """What attempts used, by what their tasks asked for, in one walk over all of them."""
    gathered: dict[frozenset[tuple[str, str]], Gathered] = {}
    by_submission = {
        number: gathered.setdefault(frozenset(resources.options.items()), Gathered(resources))
        for number, resources in asked.items()
    }
    begun = IndexSet.union(group.indices for group in sweep_index.case_groups())
    for attempt in sweep_index.attempts(begun):
        if attempt["submission"] in by_submission and attempt["started"] and attempt["ended"]:
            by_submission[attempt["submission"]].add(attempt)
    return [of_class.made() for of_class in gathered.values() if of_class.attempts]


def histogram(values: Sequence[float], bins: int) -> list[tuple[float, float, int]]:
    """From, to and count of equal intervals over these sorted values; one where all are equal."""
    low, high = values[0], values[-1]
    if low == high:
        return [(low, high, len(values))]
    width = (high - low) / bins
    counts = Counter(min(int((value - low) / width), bins - 1) for value in values)
    return [(low + at * width, low + (at + 1) * width, counts[at]) for at in range(bins)]
