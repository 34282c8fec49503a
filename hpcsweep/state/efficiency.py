"""What a sweep used of what it asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcsweep.records import Resources
from hpcsweep.state.advice import advice_for
from hpcsweep.state.executions import Executions, Floats, chosen, read_executions
from hpcsweep.state.resource_use import ResourceUse, resource_use
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import SweepDirectory


@dataclass(frozen=True, kw_only=True, slots=True)
class Efficiency:
    """What a sweep used of what it asked for.

    Examples:
        >>> used = sweep.efficiency()
        >>> isinstance(used, hs.Efficiency), used.to_json()["schema"]
        (True, 'hpcsweep.efficiency/1')
    """

    name: str
    # By what tasks asked for, those with most CPU seconds first.
    uses: list[ResourceUse]

    def to_json(self) -> dict[str, Any]:
        """For `--json`.

        Examples:
            >>> sweep.efficiency().to_json()["name"]
            'swing'
        """
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
    with fresh_index(sweep) as sweep_index:
        executions = read_executions(sweep_index)
    return Efficiency(name=sweep.path.name, uses=resource_uses(sweep, executions))


def resource_uses(sweep: SweepDirectory, executions: Executions) -> list[ResourceUse]:
    """What executions used, by what their tasks asked for; those with most CPU seconds first."""
    classes: dict[frozenset[tuple[str, str]], tuple[Resources, list[int]]] = {}
    for number in sweep.submissions():
        resources = sweep.resources(sweep.plan(number)[0])
        of_class = classes.setdefault(frozenset(resources.options.items()), (resources, []))
        of_class[1].append(number)
    uses = []
    for resources, numbers in classes.values():
        ended = np.isin(executions.submission, numbers) & ~np.isnan(executions.end)
        if ended.any():
            uses.append(resource_use(resources, chosen(executions, ended)))
    return sorted(uses, key=lambda use: -use.cpu_asked_s)


def histogram(values: Floats, bins: int) -> list[tuple[float, float, int]]:
    """From, to and count of equal intervals over these sorted values; one if all are equal."""
    low, high = float(values[0]), float(values[-1])
    if low == high:
        return [(low, high, len(values))]
    width = (high - low) / bins
    places = np.minimum(((values - low) / width).astype(np.int64), bins - 1)
    counts = np.bincount(places, minlength=bins).tolist()
    return [(low + at * width, low + (at + 1) * width, counts[at]) for at in range(bins)]
