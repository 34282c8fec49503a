"""What the page *Run* shows of a search: the value of each trial, and the best so far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hpcsweep.manifest.policies import Policies, Search
from hpcsweep.report.source import ReportSource
from hpcsweep.state.trials import best_trials, trial_budgets, trial_values

# Trials in the figure: of more, the last ones.
TRIALS_MAX = 2000


def search_data(source: ReportSource) -> dict[str, Any] | None:
    """The trials of a search in the order of indices; None for a sweep without one."""
    opened = source.open_sweep
    version = opened.outlook.version
    search = Policies.from_json(version.manifest.policies).search
    if search is None:
        return None
    step = version.manifest.replicates
    values = trial_values(opened.sweep_index, search, version.source.n_cases, step)
    return curve(search, trial_budgets(search, version), values, step)


def curve(
    search: Search, budgets: Sequence[int], values: Sequence[float | None], step: int
) -> dict[str, Any]:
    """See `search_data`; `step` is the count of cases of a trial. Pure."""
    first = max(0, len(values) - TRIALS_MAX)
    best = [None if at is None else values[at] for at in best_trials(search, budgets, values)]
    return {
        "objective": search.objective,
        "direction": search.direction,
        "resource": "" if search.halving is None else search.halving.resource,
        "trials": len(values),
        "index": [number * step for number in range(first, len(values))],
        "budget": list(budgets[first:]),
        "value": list(values[first:]),
        "best": best[first:],
    }
