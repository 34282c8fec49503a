"""Compare two grids by their axes, without making a case.

A grid here is any source whose cases are all combinations of the values on some axes: a grid, a
product of grids, and these with fixed or derived parameters, shuffled, or with replicates. The
trials of random draws count as one axis, and so do the points of a design that keeps its points
when it grows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

from hpcsweep import ids
from hpcsweep.indexset import IndexSet
from hpcsweep.older_python import dataclass
from hpcsweep.sources.base import ParameterSource
from hpcsweep.sources.compose import ProductSource
from hpcsweep.sources.derived import DerivedSource
from hpcsweep.sources.designs import DesignSource
from hpcsweep.sources.fixed import FixedSource
from hpcsweep.sources.grid_source import Axis, GridSource
from hpcsweep.sources.random_source import RandomSource
from hpcsweep.sources.ranges import LinearRange, LogRange, Range
from hpcsweep.sources.replicate import ReplicatedSource
from hpcsweep.sources.views import ShuffleSource

# Most values of an axis to look up one by one when no formula compares two axes.
LOOKED_UP_MAX = 2_000_000
# Most separate ranges of new indices in one translation.
RUNS_MAX = 2_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Lattice:
    """The axes of a grid: its cases are all combinations of their values."""

    # By name; the last varies fastest if `in_order`.
    axes: dict[str, Axis]
    replicates: int = 1
    # Whether the positions on the axes are the digits of the index; false after a shuffle.
    in_order: bool = True
    # Whether all cases differ; two trials may be equal.
    is_distinct: bool = True
    # References of the functions that derive parameters; they are part of the case id.
    derived: tuple[str, ...] = ()

    @classmethod
    def of(cls, source: ParameterSource) -> Lattice | None:
        """The axes of a source; None if it is not a grid."""
        if isinstance(source, GridSource):
            return cls(axes=dict(source.axes))
        if isinstance(source, RandomSource) or (
            isinstance(source, DesignSource) and source.keeps_points
        ):
            return cls._of_trials(source)
        if isinstance(source, ProductSource):
            return cls._joined([cls.of(part) for part in source.sources])
        if isinstance(source, FixedSource):
            fixed = {name: Axis(name, [value]) for name, value in source.fixed.items()}
            return cls._joined([cls.of(source.source), cls(axes=fixed)])
        if isinstance(source, (ReplicatedSource, ShuffleSource, DerivedSource)):
            inner = cls.of(source.source)
            return None if inner is None else inner.inside(source)
        return None

    def inside(self, source: ReplicatedSource | ShuffleSource | DerivedSource) -> Lattice:
        """The axes of `source`, which wraps a source with these axes."""
        if isinstance(source, ReplicatedSource):
            return replace(self, replicates=source.replicates)
        if isinstance(source, ShuffleSource):
            return replace(self, in_order=False)
        return replace(self, derived=(*self.derived, source.reference))

    @classmethod
    def _of_trials(cls, source: RandomSource | DesignSource) -> Lattice:
        """One axis; its name is a hash of everything that determines trial i."""
        counts = ("n_trials", "total_cases")
        rule = {k: v for k, v in source.to_manifest_dict().items() if k not in counts}
        trials = GridSource.from_axes({f"trials {ids.fingerprint(rule)}": range(source.n_cases)})
        return cls(axes=dict(trials.axes), is_distinct=False)

    @classmethod
    def _joined(cls, parts: Iterable[Lattice | None]) -> Lattice | None:
        axes: dict[str, Axis] = {}
        in_order = is_distinct = True
        for part in parts:
            if part is None or part.replicates > 1 or part.derived:
                return None
            axes |= part.axes
            in_order = in_order and part.in_order
            is_distinct = is_distinct and part.is_distinct
        return cls(axes=axes, in_order=in_order, is_distinct=is_distinct)

    def is_comparable(self, other: Lattice) -> bool:
        """Whether the axes tell which cases are equal; trials require the same axes in both."""
        if self.is_distinct and other.is_distinct:
            return True
        return self.axes.keys() == other.axes.keys()


def is_same(one: Axis, other: Axis) -> bool:
    """Whether two axes have the same values in the same order."""
    return one.count == other.count and _runs(one, other) == [(0, 0, one.count)]


def shared(one: Axis, other: Axis) -> int | None:
    """The count of values that two axes have in common; None if counting takes too long."""
    offset = _offset(one, other)
    if offset is not None:
        return max(0, min(one.count, other.count - offset) - max(0, -offset))
    exact = _progressions(one.values, other.values)
    if exact is not None:
        return exact
    few, many = sorted((one, other), key=lambda axis: axis.count)
    if few.count > LOOKED_UP_MAX:
        return None
    return sum(many.find(value) is not None for value in few.values)


@dataclass(frozen=True, slots=True)
class Rule:
    """Translates the indices of an old grid into those of a new one.

    The cost is one step for each contiguous range of the result, at most `RUNS_MAX`.
    """

    # From the slowest axis to the fastest; empty if no case is kept.
    levels: Sequence[_Level]

    @classmethod
    def of(cls, old: Lattice | None, new: Lattice | None) -> Rule | None:
        """The rule from `old` to `new`; None if the axes give none, or only a slow one."""
        if old is None or new is None or not old.is_comparable(new):
            return None
        if old.derived != new.derived or old.axes.keys() != new.axes.keys():
            return cls(())
        if not (old.in_order and new.in_order and list(old.axes) == list(new.axes)):
            return None
        levels = []
        for one, other in zip(old.axes.values(), new.axes.values()):
            runs = _runs(one, other)
            if runs is None:
                return None
            levels.append(_Level(runs, one.count, other.count))
        if not all(level.runs for level in levels):
            return cls(())
        kept = min(old.replicates, new.replicates)
        levels.append(_Level([(0, 0, kept)], old.replicates, new.replicates))
        return cls(_collapsed(levels))

    def moved(self, indices: IndexSet) -> IndexSet | None:
        """Old indices as new ones; None if they fall into more than `RUNS_MAX` ranges."""
        ranges = []
        for start, stop in indices.ranges if self.levels else ():
            for piece in _pieces(self.levels, start, stop, 0):
                ranges.append(piece)
                if len(ranges) > RUNS_MAX:
                    return None
        return IndexSet(ranges)

    def place(self, index: int) -> int | None:
        """The new index of an old one, if its case is kept."""
        pieces = _pieces(self.levels, index, index + 1, 0) if self.levels else iter(())
        return next((start for start, _ in pieces), None)


@dataclass(frozen=True, slots=True)
class _Level:
    """One axis as a digit of the index, with the new position of each old one."""

    # (first old position, first new position, count) of each run of positions that stay adjacent.
    runs: list[tuple[int, int, int]]
    # Counts of positions.
    old: int
    new: int
    # Count of indices for each position.
    old_stride: int = 1
    new_stride: int = 1

    @property
    def is_same(self) -> bool:
        return self.runs == [(0, 0, self.old)] and self.old == self.new


def _collapsed(levels: list[_Level]) -> list[_Level]:
    """The levels with their strides, without the unchanged ones at the fast end."""
    old_stride = new_stride = 1
    kept: list[_Level] = []
    for level in reversed(levels):
        if kept or not level.is_same:
            kept.append(_Level(level.runs, level.old, level.new, old_stride, new_stride))
        old_stride *= level.old
        new_stride *= level.new
    kept.append(_Level([(0, 0, 1)], 1, 1, old_stride, new_stride))
    return kept[::-1]


def _pieces(
    levels: Sequence[_Level], start: int, stop: int, base: int
) -> Iterator[tuple[int, int]]:
    """The new ranges of `start .. stop-1`, counted from one position of the level above.

    `base` is the new index of that position.
    """
    level, *below = levels
    old, new = level.old_stride, level.new_stride
    for first, new_first, count in level.runs:
        begin, end = max(start, first * old), min(stop, (first + count) * old)
        if begin >= end:
            continue
        if not below:  # the strides are equal: the run stays contiguous
            shift = base + new_first * new - first * old
            yield begin + shift, end + shift
            continue
        for position in range(begin // old, -(-end // old)):
            inside = position * old
            yield from _pieces(
                below,
                max(begin - inside, 0),
                min(end - inside, old),
                base + (new_first + position - first) * new,
            )


def _runs(one: Axis, other: Axis) -> list[tuple[int, int, int]] | None:
    offset = _offset(one, other)
    if offset is not None:
        first = max(0, -offset)
        count = min(one.count, other.count - offset) - first
        return [(first, first + offset, count)] if count > 0 else []
    if min(one.count, other.count) > LOOKED_UP_MAX:
        return None
    runs: list[tuple[int, int, int]] = []
    for i, j in _positions(one, other):
        if runs and (i, j) == (
            runs[-1][0] + runs[-1][2],
            runs[-1][1] + runs[-1][2],
        ):
            runs[-1] = (*runs[-1][:2], runs[-1][2] + 1)
        else:
            runs.append((i, j, 1))
    return runs


def _positions(one: Axis, other: Axis) -> list[tuple[int, int]]:
    """The positions of each common value on both axes, in the order of the first axis."""
    if one.count <= other.count:
        by_one = ((i, other.find(value)) for i, value in enumerate(one.values))
        return [(i, j) for i, j in by_one if j is not None]
    by_other = ((one.find(value), j) for j, value in enumerate(other.values))
    return sorted((i, j) for i, j in by_other if i is not None)


def _offset(one: Axis, other: Axis) -> int | None:
    """The constant from the position of a value on `one` to that on `other`, if there is one."""
    a, b = _linear(one.values), _linear(other.values)
    if a is None or b is None:
        return 0 if _are_lists(one, other) and one.members == other.members else None
    if _base(one.values) != _base(other.values) or 1 in (one.count, other.count):
        return None
    step = a.exactly(1) - a.exactly(0)
    if step != b.exactly(1) - b.exactly(0):
        return None
    offset: Fraction = (a.exactly(0) - b.exactly(0)) / step
    return int(offset) if offset.denominator == 1 else None


def _are_lists(*axes: Axis) -> bool:
    return not any(isinstance(axis.values, Range) for axis in axes)


def _linear(values: object) -> LinearRange | None:
    """The progression of a linear range, or of the exponents of a logspace; else None."""
    if isinstance(values, LogRange):
        return values.exponents
    return values if isinstance(values, LinearRange) else None


def _base(values: object) -> Fraction | None:
    return values.base if isinstance(values, LogRange) else None


def _progressions(one: object, other: object) -> int | None:
    """The count of numbers that two progressions share; None if rounding may decide it."""
    if not (isinstance(one, LinearRange) and isinstance(other, LinearRange)):
        return None
    if not (one.step and other.step):
        return None
    scale = math.lcm(one.denominator, other.denominator)
    a, b = _scaled(one, scale), _scaled(other, scale)
    apart = math.gcd(a.step, b.step, a.start - b.start)
    largest = max(abs(end) for span in (a, b) for end in (span[0], span[-1]))
    whole = one.whole and other.whole
    # Numbers farther apart than an ulp never round to the same float.
    if not whole and Fraction(apart, scale) <= Fraction(math.ulp(float(Fraction(largest, scale)))):
        return None
    both = math.gcd(a.step, b.step)
    if (b.start - a.start) % both:
        return 0
    turns = b.step // both
    steps = (b.start - a.start) // both * pow(a.step // both, -1, turns) % turns
    period = a.step * turns
    low = max(a.start, b.start)
    first = a.start + steps * a.step
    first += -((first - low) // period) * period if first < low else 0
    last = min(a[-1], b[-1])
    return max(0, (last - first) // period + 1)


def _scaled(values: LinearRange, scale: int) -> range:
    """The progression in units of 1/scale, ascending."""
    factor = scale // values.denominator
    scaled = range(
        values.first * factor,
        (values.first + values.step * len(values)) * factor,
        values.step * factor,
    )
    return scaled if scaled.step > 0 else scaled[::-1]
