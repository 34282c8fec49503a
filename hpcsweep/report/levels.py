"""The levels of a parameter: the values, or ranges of values, by which cases are compared. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hpcsweep.report.case_table import CaseColumn
from hpcsweep.state.executions import Floats

Codes = npt.NDArray[np.int64]

# A parameter has at most so many levels, and a range of values so many cases on average: the mean
# of fewer says little.
LEVELS_MAX, CASES_PER_RANGE = 20, 10
# Characters of a label.
LABEL_MAX = 60
NO_VALUE, OTHERS = "no value", "other values"


@dataclass(frozen=True, kw_only=True, slots=True)
class Param:
    """A parameter of the cases of a sample."""

    name: str
    # The number of the value of each case.
    codes: Codes
    # By that number: the numbers, ascending, NaN for no value; None unless all values are numbers.
    numbers: Floats | None
    # By that number: the values as texts; empty where there are numbers.
    texts: list[str]

    @property
    def distinct(self) -> int:
        """Count of different values."""
        return len(self.texts if self.numbers is None else self.numbers)


@dataclass(frozen=True, kw_only=True, slots=True)
class Levels:
    """The groups of cases that are compared for a parameter."""

    param: str
    # The number of the level of each case.
    codes: Codes
    labels: list[str]
    # The value, or the mean of the values of a range; None for what is no number.
    places: list[float | None]
    # Whether a level is a range of values.
    are_ranges: bool = False

    @property
    def count(self) -> int:
        """How many levels there are."""
        return len(self.labels)


def param_of(column: CaseColumn, chosen: npt.NDArray[Any]) -> Param | None:
    """A parameter in some of the cases; None if it has one value in all of them."""
    present, codes = np.unique(column.values[chosen], return_inverse=True)
    if len(present) < 2:
        return None
    if column.levels is None:
        return Param(name=column.name, codes=codes, numbers=present, texts=[])
    texts = [NO_VALUE if number < 0 else column.levels[number] for number in present]
    return Param(name=column.name, codes=codes, numbers=None, texts=texts)


def levels_of(param: Param, *, is_gridded: bool) -> Levels:
    """The values of a parameter, or ranges of them where they are many.

    `is_gridded`: nothing differs by chance, so that a level of a single case says something.
    """
    counts = np.bincount(param.codes, minlength=param.distinct)
    if param.numbers is None:
        return _of_texts(param, counts)
    per_value = len(param.codes) / max(1, param.distinct)
    if param.distinct <= LEVELS_MAX and (is_gridded or per_value >= 2):
        labels = [NO_VALUE if np.isnan(one) else f"{one:.6g}" for one in param.numbers]
        if len(set(labels)) < len(labels):  # they differ in a later digit
            labels = [NO_VALUE if np.isnan(one) else repr(float(one)) for one in param.numbers]
        places = [None if np.isnan(one) else float(one) for one in param.numbers]
        return Levels(param=param.name, codes=param.codes, labels=labels, places=places)
    return _ranges(param, param.numbers, counts)


def _of_texts(param: Param, counts: Codes) -> Levels:
    """The most frequent texts, and one level for all others."""
    order = np.argsort(-counts, kind="stable")
    kept = np.sort(order if len(order) <= LEVELS_MAX else order[: LEVELS_MAX - 1])
    texts = (param.texts[at] for at in kept)
    labels = [text if len(text) <= LABEL_MAX else f"{text[:LABEL_MAX]}…" for text in texts]
    level = np.full(param.distinct, len(labels), dtype=np.int64)
    level[kept] = np.arange(len(kept))
    if len(kept) < param.distinct:
        labels.append(OTHERS)
    places: list[float | None] = [None] * len(labels)
    return Levels(param=param.name, codes=level[param.codes], labels=labels, places=places)


def _ranges(param: Param, numbers: Floats, counts: Codes) -> Levels:
    """Ranges with about the same count of cases; cases without a value are a level of their own."""
    known = numbers[~np.isnan(numbers)]
    of_known = counts[: len(known)]
    n_ranges = int(np.clip(of_known.sum() // CASES_PER_RANGE, 2, LEVELS_MAX))
    # The range of a value by how many cases have smaller ones, half of its own included.
    before = np.cumsum(of_known) - of_known / 2
    level = (before * n_ranges / max(1, of_known.sum())).astype(np.int64)
    _, level = np.unique(np.minimum(level, n_ranges - 1), return_inverse=True)
    labels, places = [], list[float | None]()
    for number in range(level.max(initial=-1) + 1):
        inside = level == number
        low, high = known[inside][[0, -1]]
        labels.append(f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}")
        places.append(float(np.average(known[inside], weights=of_known[inside])))
    if len(known) < len(numbers):
        labels.append(NO_VALUE)
        places.append(None)
        level = np.append(level, len(labels) - 1)
    return Levels(
        param=param.name, codes=level[param.codes], labels=labels, places=places, are_ranges=True
    )
