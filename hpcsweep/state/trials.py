"""The trials of a search: the value of each, from the sweep index, and how far the search is."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from hpcsweep.indexset import IndexSet
from hpcsweep.logbook.json_values import with_floats
from hpcsweep.manifest.policies import MINIMIZE, Search
from hpcsweep.quantities import counted
from hpcsweep.records import Status
from hpcsweep.state.outlook import Outlook
from hpcsweep.state.rungs import HalvingProgress, halving_progress
from hpcsweep.store import SweepIndex
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.version import Version


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchProgress:
    """How far a search is."""

    objective: str
    # One of `policies.DIRECTIONS`.
    direction: str
    # Counts of trials: of all, of those that are cases already, are over, and have a value.
    n: int
    asked: int
    over: int
    valued: int
    # The best value and the index of its case; None without any.
    best: float | None = None
    best_case: int | None = None
    # Why no further trial is asked for; "" if nothing prevents it.
    problem: str = ""
    # None without `halving`. With it the best value is one of the largest budget that has any.
    halving: HalvingProgress | None = None

    @property
    def is_over(self) -> bool:
        """Whether no further trial is asked for."""
        return self.asked >= self.n or bool(self.problem)

    @property
    def line(self) -> str:
        """The progress for people: `160 of 300 trials, best energy 0.123 at case 57`."""
        text = f"{self.over} of {counted(self.n, 'trial')}"
        if self.best is not None:
            text += f", best {self.objective} {self.best!r} at case {self.best_case}"
        without = self.over - self.valued
        texts = [text, f"{without} without a value" if without else ""]
        texts += [] if self.halving is None else self.halving.texts
        return "; ".join(filter(None, [*texts, self.problem]))

    def to_json(self) -> dict[str, Any]:
        """The part of `status --json`."""
        return asdict(self)


def trial_values(
    sweep_index: SweepIndex, search: Search, n_cases: int, replicates: int
) -> list[float | None]:
    """The value of each trial in the order of indices, the mean over its replicates.

    None while a replicate is not complete, or has no finite number as the objective.
    """
    of_cases: dict[int, float] = {}
    for page in sweep_index.columns(("status", "metrics")):
        for index, status, metrics in zip(*(page[name] for name in page), strict=True):
            value = _number(metrics, search.objective) if status == Status.COMPLETE else None
            if value is not None:
                of_cases[index] = value
    return [
        fmean(values) if len(values) == replicates else None
        for values in _by_trial(of_cases, n_cases, replicates)
    ]


def _by_trial(
    of_cases: Mapping[int, float], n_cases: int, replicates: int
) -> Iterator[list[float]]:
    for first in range(0, n_cases, replicates):
        cases = range(first, first + replicates)
        yield [of_cases[index] for index in cases if index in of_cases]


def _number(metrics: str | None, objective: str) -> float | None:
    """A metric of a case as a finite number; None if it has none."""
    value = json.loads(metrics or "{}").get(objective)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # an integer beyond all floats
        return None
    return number if math.isfinite(number) else None


def trial_budgets(search: Search, version: Version) -> list[int]:
    """The budget of each trial; without `halving` all have the same."""
    firsts = range(0, version.source.n_cases, version.manifest.replicates)
    halving = search.halving
    if halving is None:
        return [0 for _ in firsts]
    return [halving.budget_of(version.source.params(first)) for first in firsts]


def best_trials(
    search: Search, budgets: Sequence[int], values: Sequence[float | None]
) -> list[int | None]:
    """Of the trials up to each one the position of the best; None as long as none has a value.

    It is one of the largest budget that has any; of equal ones the first.
    """
    sign = 1.0 if search.direction == MINIMIZE else -1.0
    best: list[int | None] = []
    least = (math.inf, math.inf)
    for number, (budget, value) in enumerate(zip(budgets, values, strict=True)):
        best.append(best[-1] if best else None)
        if value is not None and (-budget, sign * value) < least:
            least, best[-1] = (-budget, sign * value), number
    return best


def search_progress(
    search: Search,
    sweep: SweepDirectory,
    outlook: Outlook,
    sweep_index: SweepIndex,
    values: Sequence[float | None],
) -> SearchProgress:
    """How far a search is; `values` are those of `trial_values`."""
    replicates, halving = outlook.version.manifest.replicates, search.halving
    budgets = trial_budgets(search, outlook.version)
    number = next(reversed(best_trials(search, budgets, values)), None)
    over = outlook.ended.count // replicates
    return SearchProgress(
        objective=search.objective,
        direction=search.direction,
        n=search.n,
        asked=len(values),
        over=over,
        valued=sum(value is not None for value in values),
        best=None if number is None else values[number],
        best_case=None if number is None else number * replicates,
        problem=_problem(search, outlook, sweep_index, values) if over == len(values) else "",
        halving=None if halving is None else halving_progress(halving, sweep, budgets, values),
    )


def _problem(
    search: Search, outlook: Outlook, sweep_index: SweepIndex, values: Sequence[float | None]
) -> str:
    """Why it would be of no use to ask for more: the last batch has no value at all."""
    last = values[-search.batch :]
    if not last or any(value is not None for value in last) or len(values) >= search.n:
        return ""
    replicates = outlook.version.manifest.replicates
    first = (len(values) - len(last)) * replicates
    complete = outlook.complete & IndexSet([(first, len(values) * replicates)])
    what = f"none of the last {len(last)} trials has a finite number as {search.objective!r}"
    if not complete:
        return f"{what}: all of them failed"
    (index,) = complete.slice(0, 1)
    (page,) = sweep_index.columns(("metrics",), within=complete.slice(0, 1))
    metrics = json.loads(page["metrics"][0] or "{}")
    if search.objective in metrics:
        return f"{what}: that of case {index} is {with_floats(metrics[search.objective])!r}"
    names = ", ".join(sorted(metrics)) or "no metric"
    return f"{what}: case {index} has {names}"
