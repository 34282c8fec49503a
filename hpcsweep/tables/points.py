"""The data of a figure: the points of its lines, and which cases are left out."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, pairwise
from statistics import fmean
from typing import Any

from hpcsweep.errors import InputError
from hpcsweep.quantities import counted
from hpcsweep.records import Status
from hpcsweep.tables.value_marks import mark_of

# An axis whose values are positive and span at least this ratio gets a logarithmic scale; on a
# linear one most points would overlap.
DECADES = 1000.0
# Magnitudes that are drawn: matplotlib adds margins to them, and computes powers of ten around
# them, which have to be floats, too.
LEAST, MOST = 1e-300, 1e300
# The column that tells repetitions of a case apart; it is no param.
REPLICATE = "replicate"
# What a band may show.
BANDS = ("none", "sd", "sem", "iqr")
# The columns that each kind of figure needs.
NEEDED = {
    "line": ("x", "y"),
    "scatter": ("x", "y"),
    "heat": ("x", "y", "by"),
    "box": ("x", "y"),
    "ecdf": ("x",),
    "hist": ("x",),
    "parallel": ("y",),
}
# The columns that it has no place for, and why.
REFUSED = {
    "ecdf": {"y": "it counts the values of --x"},
    "hist": {"y": "it counts the values of --x"},
    "parallel": {"x": "it has an axis for each parameter", "by": "its colour is that of --y"},
}
# The scales that may be logarithmic; the others have a place for each value.
SCALES = {
    "line": ("x", "y", "by"),
    "scatter": ("x", "y", "by"),
    "heat": ("y",),
    "box": ("y", "by"),
    "ecdf": ("x", "y", "by"),
    "hist": ("x", "y", "by"),
    "parallel": ("y",),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Axes:
    """What to draw: columns of the table."""

    # A key of `NEEDED`.
    kind: str = "line"
    # Empty where each parameter has an axis.
    x: str = ""
    # None where the numbers are those of x, and their count is drawn upwards.
    y: str | None = None
    by: str | None = None
    # The logarithmic axes, of "x", "y" and "by"; None selects them by their values.
    log: tuple[str, ...] | None = None
    # One of `BANDS`; None is "sd" of cases that differ only in their replicate, else "none".
    band: str | None = None
    title: str = ""

    def __post_init__(self) -> None:
        """*Raises* InputError for a column that is missing, or that has no place."""
        for which in NEEDED[self.kind]:
            if not getattr(self, which):
                raise InputError(f"--kind {self.kind} needs --{which} COLUMN", where=f"--{which}")
        for which, why in REFUSED.get(self.kind, {}).items():
            if getattr(self, which):
                what = f"--kind {self.kind} has no --{which}: {why}"
                raise InputError(what, where=f"--{which}", next_step="Leave it out.")
        for which in set(self.log or ()) - {"none", *SCALES[self.kind]}:
            what = f"--kind {self.kind} has a place for each value of {which}, no scale"
            raise InputError(what, where="--log", next_step=f"Leave {which} out.")
        if self.band and self.kind != "line":
            raise InputError("only --kind line has bands", where="--band")

    @property
    def numbers(self) -> str:
        """The column of the numbers that are drawn."""
        return self.y or self.x

    @property
    def columns(self) -> tuple[str, ...]:
        """The required columns."""
        return tuple(dict.fromkeys(name for name in (self.x, self.y, self.by) if name))


@dataclass(kw_only=True, slots=True)
class Point:
    """The cases at one x of one line."""

    # The y value of each case.
    values: list[float] = field(default_factory=list)
    # The other params of the first case, by column, and their marks.
    others: dict[str, Any] = field(default_factory=dict)
    marks: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True, slots=True)
class Line:
    """The points of one value of `by`, in order of x."""

    points: dict[Any, Point] = field(default_factory=dict)
    # Params, or `REPLICATE`, that differ between cases at the same point.
    pooled: set[str] = field(default_factory=set)
    # Params that differ from point to point, and are not monotone in x.
    scattered: set[str] = field(default_factory=set)

    @property
    def has_params_pooled(self) -> bool:
        """Whether cases at the same point differ in more than their replicate."""
        return bool(self.pooled - {REPLICATE})

    def band(self, asked: str | None) -> str:
        """Which of `BANDS` it gets; "none" if each point is one case."""
        if all(len(point.values) == 1 for point in self.points.values()):
            return "none"
        return asked or ("none" if self.has_params_pooled else "sd")


@dataclass(kw_only=True, slots=True)
class Points:
    """The complete data of a figure."""

    lines: dict[Any, Line]
    drawn: int
    # Count of left-out cases, by reason.
    left_out: Counter[str]
    # The params of each case, by column, of a figure with an axis for each of them.
    cases: list[dict[str, Any]] = field(default_factory=list)

    def params_named(self, kind: str) -> list[str]:
        """The params that are `pooled` or `scattered` in any line."""
        return sorted(set().union(*(getattr(line, kind) for line in self.lines.values())))

    def xs(self) -> list[Any]:
        """All values of x."""
        return list(chain.from_iterable(line.points for line in self.lines.values()))

    def places(self) -> dict[Any, int]:
        """The place of each x among all, in order."""
        return {x: place for place, x in enumerate(sorted_values(set(self.xs())))}

    def tick_positions(self) -> dict[Any, int]:
        """The tick position of each x on a text axis; empty for a numeric axis."""
        return self.places() if any(isinstance(x, str) for x in self.xs()) else {}

    def ys(self) -> list[float]:
        """All values of y."""
        points = chain.from_iterable(line.points.values() for line in self.lines.values())
        return list(chain.from_iterable(point.values for point in points))

    def means(self) -> list[float]:
        """The mean of each point."""
        points = chain.from_iterable(line.points.values() for line in self.lines.values())
        return [fmean(point.values) for point in points]

    def bands(self, asked: str | None) -> set[str]:
        """Which of `BANDS` are drawn."""
        return {line.band(asked) for line in self.lines.values()} - {"none"}

    def cases_per_point(self, what: str = "point") -> str:
        """How many cases the points have, like `2 to 4 cases a point`."""
        points = chain.from_iterable(line.points.values() for line in self.lines.values())
        counts = {len(point.values) for point in points}
        most = f"{counted(max(counts), 'case')} a {what}"
        return most if len(counts) == 1 else f"{min(counts)} to {most}"


def points(rows: Iterable[Mapping[str, Any]], axes: Axes, params: Iterable[str] = ()) -> Points:
    """Group rows into lines and points; `params` are the columns that distinguish cases.

    *Raises* InputError if nothing can be drawn, or if y is not a number.
    """
    names = list(params)
    others = [name for name in (*names, REPLICATE) if name not in axes.columns]
    cases: list[dict[str, Any]] = []
    lines: dict[Any, Line] = {}
    left_out: Counter[str] = Counter()
    drawn = 0
    for row in rows:
        why = _exclusion_reason(row, axes)
        if why:
            left_out[why] += 1
            continue
        drawn += 1
        line = lines.setdefault(_plain(row[axes.by]) if axes.by else None, Line())
        point = line.points.setdefault(_plain(row[axes.x]) if axes.x and axes.y else None, Point())
        marks = {name: mark_of(row.get(name)) for name in others}
        if point.values:
            line.pooled |= {name for name in others if point.marks[name] != marks[name]}
        else:
            point.others, point.marks = {name: row.get(name) for name in others}, marks
        point.values.append(float(row[axes.numbers]))
        if axes.kind == "parallel":
            cases.append({name: _plain(row.get(name)) for name in names})
    if not drawn:
        reasons = left_out_text(left_out) or "there is no case"
        raise InputError(
            f"no complete case has {' and '.join(axes.columns)}: {reasons}",
            next_step="`hpcsweep collect SWEEP` shows what there is.",
        )
    return Points(lines=_sorted_lines(lines), drawn=drawn, left_out=left_out, cases=cases)


def left_out_text(left_out: Counter[str]) -> str:
    """How many cases are left out, and why."""
    return ", ".join(f"{number} {why}" for why, number in sorted(left_out.items()))


def _exclusion_reason(row: Mapping[str, Any], axes: Axes) -> str:
    """Why a case is left out; empty if it can be drawn. *Raises* InputError."""
    status = row.get("status", Status.COMPLETE)
    if status != Status.COMPLETE:
        return str(status)
    for name in axes.columns:
        if row.get(name) is None:
            return f"without {name}"
    number = row[axes.numbers]
    # A truth value is 1 or 0: a mean is the share of the cases where it is true.
    if not isinstance(number, int | float):
        where = "--y" if axes.y else "--x"
        raise InputError(
            f"{axes.numbers} is not a number: {number!r:.60}",
            where=where,
            # What toJSON of R's jsonlite makes of a number.
            next_step="Write the number without the list around it; in R: `auto_unbox = TRUE`."
            if isinstance(number, list) and len(number) == 1
            else "",
        )
    for name in axes.columns:
        if isinstance(row[name], int | float):
            if not is_finite(row[name]):
                return f"whose {name} is not a finite number"
            if row[name] and not LEAST <= abs(row[name]) <= MOST:
                return f"whose {name} is beyond {LEAST:g} or {MOST:g}"
    return ""


def is_finite(value: float) -> bool:
    """Whether a float can hold the number, and it is neither NaN nor infinite."""
    try:
        return math.isfinite(value)
    except OverflowError:  # an int that exceeds the floats
        return False


def _plain(value: Any) -> Any:
    """A value as a number or a text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return json.dumps(value, ensure_ascii=False)
    return value


def _sorted_lines(lines: dict[Any, Line]) -> dict[Any, Line]:
    """Sort lines by `by`, and points by x."""
    ordered = {by: lines[by] for by in sorted_values(lines)}
    for line in ordered.values():
        line.points = {x: line.points[x] for x in sorted_values(line.points)}
        line.scattered = set(_scattered(line))
    return ordered


def sorted_values(values: Iterable[Any]) -> list[Any]:
    """Sort numbers by size, then texts by name."""
    return sorted(
        values, key=lambda value: (isinstance(value, str), "" if value is None else value)
    )


def _scattered(line: Line) -> Iterator[str]:
    """Params that differ between points, except those monotone in x, like derived ones."""
    points = list(line.points.values())
    for name in points[0].others.keys() - {REPLICATE} if points else ():
        if name in line.pooled or len({point.marks[name] for point in points}) == 1:
            continue
        if not _is_monotone([point.others[name] for point in points]):
            yield name


def _is_monotone(values: list[Any]) -> bool:
    if not all(isinstance(value, int | float) for value in values):
        return False
    steps = [after > before for before, after in pairwise(values)]
    return len(set(values)) == len(values) and len(set(steps)) == 1


def is_logarithmic(values: Iterable[Any]) -> bool:
    """Whether the values call for a logarithmic scale."""
    items = list(values)
    are_positive = all(isinstance(value, int | float) and value > 0 for value in items)
    return are_positive and bool(items) and max(items) >= DECADES * min(items)


def logarithmic_scales(data: Points, axes: Axes) -> list[str]:
    """The logarithmic ones of x, y and by: those asked for, or those whose values call for it.

    *Raises* InputError for values that have no logarithm.
    """
    if axes.y is None:
        values: dict[str, list[Any]] = {"x": data.ys(), "y": [1]}  # a count is positive
    else:
        values = {"x": data.xs(), "y": data.means() if axes.kind == "heat" else data.ys()}
    values["by"] = list(data.lines) if axes.by else []
    chosen = []
    for which in SCALES[axes.kind]:
        if not (which in axes.log if axes.log is not None else is_logarithmic(values[which])):
            continue
        texts = any(isinstance(value, str) for value in values[which])
        if texts or any(value <= 0 for value in values[which]):
            what = "texts" if texts else "values of 0 or less"
            raise InputError(
                f"{getattr(axes, which)} has {what}, which have no logarithm", where="--log"
            )
        chosen.append(which)
    return chosen
