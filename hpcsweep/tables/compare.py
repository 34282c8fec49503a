"""Compare two sweeps: their cases, states, metrics, code and environments."""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import InputError, SweepError
from hpcsweep.files import read_json
from hpcsweep.records import Status
from hpcsweep.settings import Settings
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import provenance_of
from hpcsweep.tables.batches import batches_of
from hpcsweep.tables.collect import opened
from hpcsweep.tables.columns import TableColumns, TableRow, check_columns
from hpcsweep.tables.kept_cases import ComparedCase, KeptCases, KeysBeside
from hpcsweep.tables.request import TableRequest
from hpcsweep.tables.selection import Selection
from hpcsweep.tables.several import labels_of, union
from hpcsweep.tables.value_marks import mark_of, marks_of

# The case of each key.
Seen = dict[Any, int | None] | KeysBeside
# The value of `--on` that stands for the identity of a case: its params and replicate.
PARAMS = "params"


@dataclass(frozen=True, kw_only=True, slots=True)
class MetricDifference:
    """A metric that a case has with two values."""

    metric: str
    # Indices of the case in the first and in the second sweep.
    index_a: int
    index_b: int
    a: Any
    b: Any

    @property
    def absolute(self) -> float | None:
        """`b - a`; None unless both are numbers, or if an integer is too large for a float."""
        if not (_is_number(self.a) and _is_number(self.b)):
            return None
        try:
            difference: float = self.b - self.a
        except OverflowError:
            return None
        return difference

    @property
    def relative(self) -> float | None:
        """`(b - a) / |a|`; None without `absolute`, or if `a` is zero or the quotient no float."""
        absolute = self.absolute
        if absolute is None or not self.a:
            return None
        try:
            return float(absolute / abs(self.a))
        except OverflowError:
            return None

    @property
    def size(self) -> float:
        """By what differences are ordered: the relative one; infinite without one."""
        relative = self.relative
        return math.inf if relative is None or math.isnan(relative) else abs(relative)

    def to_json(self) -> dict[str, Any]:
        """As `compare --json` has it."""
        values = {name: getattr(self, name) for name in ("metric", "index_a", "index_b", "a", "b")}
        return values | {"absolute": self.absolute, "relative": self.relative}


@dataclass(kw_only=True, slots=True)
class MetricCounts:
    """How a metric compares, over the cases that are complete in both sweeps."""

    equal: int = 0
    different: int = 0
    # Counts of cases that have it in one sweep alone.
    only_a: int = 0
    only_b: int = 0
    # The largest difference, as `MetricDifference.size` orders them, and absolutely.
    largest: MetricDifference | None = None
    largest_absolute: float | None = None

    def add(self, difference: MetricDifference) -> None:
        """Count a difference."""
        self.different += 1
        if self.largest is None or difference.size > self.largest.size:
            self.largest = difference
        absolute = difference.absolute
        if absolute is not None:
            self.largest_absolute = max(abs(absolute), self.largest_absolute or 0.0)

    def to_json(self) -> dict[str, Any]:
        """As `compare --json` has it."""
        return {
            "equal": self.equal,
            "different": self.different,
            "only_a": self.only_a,
            "only_b": self.only_b,
            "largest_absolute": self.largest_absolute,
            "largest_relative": self.largest.relative if self.largest else None,
        }


@dataclass(kw_only=True, slots=True)
class Side:
    """One of the two sweeps."""

    label: str
    path: str
    # Count of its selected cases.
    cases: int = 0
    # Counts of complete cases by digest of their code.
    code: Counter[str] = field(default_factory=Counter)
    # What its last submission ran with: `python`, `commit`, and packages by name.
    environment: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As `compare --json` has it."""
        return {
            "sweep": self.label,
            "path": self.path,
            "cases": self.cases,
            "code": dict(self.code),
            "environment": self.environment,
        }


@dataclass(kw_only=True, slots=True)
class SweepComparison:
    """What two sweeps have in common, and in what they differ.

    Examples:
        >>> found = sweep.compare(hs.Sweep(sweep.copy("compared")))
        >>> isinstance(found, hs.SweepComparison), found.both
        (True, 3)
    """

    a: Side
    b: Side
    both: int = 0
    # Counts of the cases in both, by status in each.
    statuses: Counter[tuple[str, str]] = field(default_factory=Counter)
    metrics: dict[str, MetricCounts] = field(default_factory=dict)
    differences: list[MetricDifference] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, tuple[str | None, str | None]]:
        """What differs between the environments, by name.

        Examples:
            >>> sweep.compare(hs.Sweep(sweep.copy("elsewhere"))).environment
            {}
        """
        a, b = self.a.environment, self.b.environment
        names = sorted(a.keys() | b.keys())
        return {name: (a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)}

    def to_json(self) -> dict[str, Any]:
        """The document of `compare --json`.

        Examples:
            >>> sweep.compare(hs.Sweep(sweep.copy("again"))).to_json()["both"]
            3
        """
        return {
            "schema": "hpcsweep.compare/1",
            "a": self.a.to_json(),
            "b": self.b.to_json(),
            "both": self.both,
            "only_a": self.a.cases - self.both,
            "only_b": self.b.cases - self.both,
            "statuses": [
                {"a": a, "b": b, "cases": count} for (a, b), count in sorted(self.statuses.items())
            ],
            "metrics": {name: counts.to_json() for name, counts in self.metrics.items()},
            "environment": {name: list(pair) for name, pair in self.environment.items()},
            "differences": [difference.to_json() for difference in self.differences],
        }


def compare(
    sweeps: Sequence[tuple[SweepDirectory, Cluster | None]],
    settings: Settings,
    on: Sequence[str] = (PARAMS,),
    selection: Selection | None = None,
) -> SweepComparison:
    """Compare the cases of two sweeps that have the same values in the columns `on`.

    Metrics are compared where both are complete. *Raises* InputError for columns that are none,
    or by which several cases of one sweep are the same. *Safe to repeat.*
    """
    labels = labels_of([sweep for sweep, _ in sweeps])
    request = TableRequest(selection=selection or Selection())
    with ExitStack() as stack:
        both = [stack.enter_context(opened(*one, settings)) for one in sweeps]
        columns = union([one.columns for one in both])
        names = ["case_id" if name == PARAMS else name for name in on]
        check_columns(names, columns.kinds, "--on")
        sides = [
            Side(label=label, path=str(one.sweep.path), environment=_newest_environment(one.sweep))
            for label, one in zip(labels, both, strict=True)
        ]
        rows = [one.rows(columns, columns, request) for one in both]
        first = KeptCases(_cases(sides[0], columns, rows[0], names, {}))
        seen: Seen = KeysBeside(first) if names == ["case_id"] else {}
        second = _cases(sides[1], columns, rows[1], names, seen)
        return compare_cases(sides, list(columns.metrics.values()), first, second)


def compare_cases(
    sides: Sequence[Side],
    metrics: Sequence[str],
    first: KeptCases,
    second: Iterable[Sequence[tuple[Any, ComparedCase]]],
) -> SweepComparison:
    """Compare the cases of two sides that have the same key; each side has a key once."""
    comparison = SweepComparison(a=sides[0], b=sides[1])
    for batch in second:
        for key, case in batch:
            of_first = first.get(key)
            if of_first is not None:
                _compare(comparison, metrics, of_first, case)
    # One after the other: a tuple of all keys takes more memory than a difference.
    for key in ("metric", "index_a"):
        comparison.differences.sort(key=attrgetter(key))
    comparison.differences.sort(key=attrgetter("size"), reverse=True)
    return comparison


def _cases(
    side: Side,
    columns: TableColumns,
    rows: Iterable[TableRow],
    on: Sequence[str],
    seen: Seen,
) -> Iterator[list[tuple[Any, ComparedCase]]]:
    """The cases of a sweep with what identifies them, in batches; of equal ones the first.

    `seen` gets the case of each key.
    """
    metrics = list(columns.metrics.values())
    names = list(dict.fromkeys([*on, "index", "case_id", "status", "code_digest", *metrics]))
    for batch in batches_of(replace(columns, names=names), rows):
        values = batch.values
        case_ids = list(map(_number_of, values["case_id"]))
        marks = (case_ids if name == "case_id" else marks_of(batch, name) for name in on)
        keys = zip(*marks, strict=True)
        # One text for all cases of a status: the index returns another one for each.
        statuses = map(sys.intern, values["status"])
        compared = zip(values["index"], statuses, *map(values.get, metrics), strict=True)
        cases = []
        for at, (of_columns, case) in enumerate(zip(keys, compared, strict=True)):
            # Of a million cases every tuple counts.
            key = of_columns[0] if len(of_columns) == 1 else of_columns
            case_id = case_ids[at]
            first = seen.setdefault(key, case_id)
            if first != case_id:
                raise InputError(
                    f"several cases of {side.label} are the same in {', '.join(on)}",
                    where="--on",
                    next_step=f"Name more columns, or --on {PARAMS}; or select cases by --where.",
                )
            if len(seen) == side.cases:  # an equal case, at another index
                continue
            side.cases += 1
            if case[1] == Status.COMPLETE.value:
                side.code[values["code_digest"][at] or "unknown"] += 1
            cases.append((key, case))
        yield cases


def _number_of(case_id: str | None) -> int | None:
    """A case id in less memory; None of a case that cannot be made."""
    return None if case_id is None else int(case_id, 16)


def _compare(
    comparison: SweepComparison, metrics: Iterable[str], a: ComparedCase, b: ComparedCase
) -> None:
    """Compare a case in both sweeps."""
    (index_a, status_a, *values_a), (index_b, status_b, *values_b) = a, b
    if index_a == index_b:  # one object for both: a million differences may be kept
        index_b = index_a
    comparison.both += 1
    comparison.statuses[status_a, status_b] += 1
    if {status_a, status_b} != {Status.COMPLETE.value}:
        return
    for name, in_a, in_b in zip(metrics, values_a, values_b, strict=True):
        if in_a is None and in_b is None:
            continue
        counts = comparison.metrics.get(name)
        if counts is None:
            counts = comparison.metrics[name] = MetricCounts()
        if in_b is None:
            counts.only_a += 1
        elif in_a is None:
            counts.only_b += 1
        elif _is_same(in_a, in_b):
            counts.equal += 1
        else:
            difference = MetricDifference(
                metric=name, index_a=index_a, index_b=index_b, a=in_a, b=in_b
            )
            counts.add(difference)
            comparison.differences.append(difference)


def _is_same(a: Any, b: Any) -> bool:
    if type(a) is type(b) is float and a == b:  # nearly all
        return True
    return bool(mark_of(a) == mark_of(b))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _newest_environment(sweep: SweepDirectory) -> dict[str, str]:
    numbers = sweep.submissions()
    return environment(sweep, numbers[-1]) if numbers else {}


def environment(sweep: SweepDirectory, submission: int) -> dict[str, str]:
    """What a submission ran with; empty if it is not known."""
    try:
        origin = read_json(sweep.path / provenance_of(submission))
        facts = {"python": origin["python"]["version"], "system": origin["system"]}
        git, packages = origin["git"] or {}, origin["packages"]
        if git.get("commit"):
            facts["commit"] = git["commit"][:12] + (" and changes" if git.get("dirty") else "")
        pairs = (title.partition(" ") for title in packages)
        return facts | {name: version for name, _, version in pairs}
    except (SweepError, KeyError, TypeError, AttributeError):  # damaged, or copied without it
        return {}
