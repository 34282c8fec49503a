"""The value of a trial, and what a search without values says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.frozen import Target
from hpcsweep.manifest.policies import Search
from hpcsweep.state.outlook import Outlook
from hpcsweep.state.trials import search_progress, trial_values
from hpcsweep.store import SweepIndex
from hpcsweep.sweepdir.directory import SweepDirectory

SEARCH = Search(
    objective="e", space={}, n=4, batch=2, sampler="", target=Target(module="m", function="f")
)


class Index:
    """A sweep index with two complete cases of these metrics."""

    def __init__(self, metrics: str) -> None:
        self._page: dict[str, list[Any]] = {
            "idx": [0, 1],
            "status": ["complete"] * 2,
            "metrics": [metrics] * 2,
        }

    def columns(self, names: tuple[str, ...], within: IndexSet | None = None) -> Any:
        """The one page; `idx` stands before the columns that are asked for."""
        count = 2 if within is None else within.count
        return [{name: self._page[name][:count] for name in ("idx", *names)}]


@pytest.mark.parametrize(
    ("metrics", "value", "why"),
    [
        ('{"e": 0.5}', 0.5, ""),
        ('{"E": 0.5, "steps": 3}', None, "case 0 has E, steps"),
        ("{}", None, "case 0 has no metric"),
        ('{"e": {"$float": "nan"}}', None, "that of case 0 is nan"),
        ('{"e": {"$float": "-inf"}}', None, "that of case 0 is -inf"),
        ('{"e": "low"}', None, "that of case 0 is 'low'"),
        ('{"e": null}', None, "that of case 0 is None"),
        ('{"e": true}', None, "that of case 0 is True"),
    ],
)
def test_an_objective_without_a_finite_number_is_said(
    metrics: str, value: float | None, why: str
) -> None:
    index = cast("SweepIndex", Index(metrics))
    values = trial_values(index, SEARCH, 2, 1)
    assert values == [value, value]
    both = IndexSet([(0, 2)])
    version = SimpleNamespace(manifest=SimpleNamespace(replicates=1), source=None)
    version.source = SimpleNamespace(n_cases=2)
    outlook = cast("Outlook", SimpleNamespace(version=version, ended=both, complete=both))
    found = search_progress(SEARCH, cast("SweepDirectory", None), outlook, index, values)
    what = "none of the last 2 trials has a finite number as 'e': "
    assert found.problem == (f"{what}{why}" if why else "")
