"""What two grids have in common, by the algebra of their axes: no case is made.

A grid here is any source whose cases are all combinations of the values on some axes: a grid,
products of grids, with further fixed parameters, derived, shuffled, with replicates. The trials of
random draws are an axis, too, and so are the points of a design that stay when it grows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from hpcsweep import ids
from hpcsweep.indexset import IndexSet
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

# Values that are looked up one by one where no rule counts what two axes share.
LOOKED_UP_MAX = 2_000_000
# Pieces of a range of indices that lie apart in another grid.
RUNS_MAX = 2_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Lattice:
    """The axes of a source whose cases are all combinations of their values."""

    # By name; the last varies fastest where `in_order`.
    axes: dict[str, Axis]
    replicates: int = 1
    # Whether an index is made of the positions on the axes.
    in_order: bool = True
    # Whether no two cases can be the same: two trials can.
    is_distinct: bool = True
    # References of the functions that make the params; a case id hashes them.
    derived: tuple[str, ...] = ()

    @classmethod
    def of(cls, source: ParameterSource) -> Lattice | None:
        """The axes of a source; None where it is no grid."""
        match source:
            case GridSource():
                return cls(axes=dict(source.axes))
            case RandomSource() | DesignSource(keeps_points=True):
                return cls._of_trials(source)
            case ProductSource():
                return cls._joined([cls.of(part) for part in source.sources])
            case FixedSource():
                fixed = {name: Axis(name, [value]) for name, value in source.fixed.items()}
                return cls._joined([cls.of(source.source), cls(axes=fixed)])
            case ReplicatedSource() | ShuffleSource() | DerivedSource():
                inner = cls.of(source.source)
                return None if inner is None else inner.inside(source)
        return None

    def inside(self, source: ReplicatedSource | ShuffleSource | DerivedSource) -> Lattice:
        """The axes of a source around one with these."""
        match source:
            case ReplicatedSource():
                return replace(self, replicates=source.replicates)
            case ShuffleSource():
                return replace(self, in_order=False)
            case DerivedSource():
                return replace(self, derived=(*self.derived, source.reference))

    @classmethod
    def _of_trials(cls, source: RandomSource | DesignSource) -> Lattice:
        """One axis, whose name says by which rule trial i is made."""
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
        """Whether axes say which cases are the same; those of trials only where they are alike."""
        if self.is_distinct and other.is_distinct:
            return True
        return self.axes.keys() == other.axes.keys()


def is_same(one: Axis, other: Axis) -> bool:
    """Whether two axes have the same values in the same order."""
    return one.count == other.count and _runs(one, other) == [(0, 0, one.count)]


def shared(one: Axis, other: Axis) -> int | None:
    """How many values two axes have in common; None where that would take too long."""
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
    """Which index of one grid is which of another.

    It costs a step for each piece that stays together, of which there are at most `RUNS_MAX`.
    """

    # From the slowest axis to the fastest; none where no case is kept.
    levels: Sequence[_Level]

    @classmethod
    def of(cls, old: Lattice | None, new: Lattice | None) -> Rule | None:
        """None where there is no rule, or none that is quickly made."""
        if old is None or new is None or not old.is_comparable(new):
            return None
        if old.derived != new.derived or old.axes.keys() != new.axes.keys():
            return cls(())
        if not (old.in_order and new.in_order and list(old.axes) == list(new.axes)):
            return None
        levels = []
        for one, other in zip(old.axes.values(), new.axes.values(), strict=True):
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
        """Old indices as new ones; None where they would lie too far apart."""
        found = []
        for start, stop in indices.ranges if self.levels else ():
            for piece in _pieces(self.levels, start, stop, 0):
                found.append(piece)
                if len(found) > RUNS_MAX:
                    return None
        return IndexSet(found)

    def place(self, index: int) -> int | None:
        """The new index of an old one, if its case is kept."""
        pieces = _pieces(self.levels, index, index + 1, 0) if self.levels else iter(())
        return next((start for start, _ in pieces), None)


@dataclass(frozen=True, slots=True)
class _Level:
    """One digit of an index: which positions go where."""

    # (first old position, first new position, how many) of positions that stay side by side.
    runs: list[tuple[int, int, int]]
    # Count of positions.
    old: int
    new: int
    # Indices below one position.
    old_stride: int = 1
    new_stride: int = 1

    @property
    def is_same(self) -> bool:
        return self.runs == [(0, 0, self.old)] and self.old == self.new


def _collapsed(levels: list[_Level]) -> list[_Level]:
    """The levels with their strides, without those at the end in which nothing changes."""
    old_stride = new_stride = 1
    found: list[_Level] = []
    for level in reversed(levels):
        if found or not level.is_same:
            found.append(_Level(level.runs, level.old, level.new, old_stride, new_stride))
        old_stride *= level.old
        new_stride *= level.new
    found.append(_Level([(0, 0, 1)], 1, 1, old_stride, new_stride))
    return found[::-1]


def _pieces(
    levels: Sequence[_Level], start: int, stop: int, base: int
) -> Iterator[tuple[int, int]]:
    """The ranges in the new grid of `start .. stop-1`, which lie below one position above."""
    level, *below = levels
    old, new = level.old_stride, level.new_stride
    for first, there, count in level.runs:
        begin, end = max(start, first * old), min(stop, (first + count) * old)
        if begin >= end:
            continue
        if not below:  # strides are the same: the run stays in one piece
            shift = base + there * new - first * old
            yield begin + shift, end + shift
            continue
        for position in range(begin // old, -(-end // old)):
            inside = position * old
            yield from _pieces(
                below,
                max(begin - inside, 0),
                min(end - inside, old),
                base + (there + position - first) * new,
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
    for here, there in _positions(one, other):
        if runs and (here, there) == (runs[-1][0] + runs[-1][2], runs[-1][1] + runs[-1][2]):
            runs[-1] = (*runs[-1][:2], runs[-1][2] + 1)
        else:
            runs.append((here, there, 1))
    return runs


def _positions(one: Axis, other: Axis) -> list[tuple[int, int]]:
    """The positions of each value that both have, in the order of the first."""
    if one.count <= other.count:
        found = ((here, other.find(value)) for here, value in enumerate(one.values))
        return [(here, there) for here, there in found if there is not None]
    turned = ((one.find(value), there) for there, value in enumerate(other.values))
    return sorted((here, there) for here, there in turned if here is not None)


def _offset(one: Axis, other: Axis) -> int | None:
    """What to add to a position for that of the same value; None where no number does."""
    mine, theirs = _linear(one.values), _linear(other.values)
    if mine is None or theirs is None:
        return 0 if _are_lists(one, other) and one.members == other.members else None
    if _base(one.values) != _base(other.values) or 1 in (one.count, other.count):
        return None
    step = mine.exactly(1) - mine.exactly(0)
    if step != theirs.exactly(1) - theirs.exactly(0):
        return None
    offset: Fraction = (mine.exactly(0) - theirs.exactly(0)) / step
    return int(offset) if offset.denominator == 1 else None


def _are_lists(*axes: Axis) -> bool:
    return not any(isinstance(axis.values, Range) for axis in axes)


def _linear(values: object) -> LinearRange | None:
    """The values, or the exponents of a logspace, as a progression."""
    if isinstance(values, LogRange):
        return values.exponents
    return values if isinstance(values, LinearRange) else None


def _base(values: object) -> Fraction | None:
    return values.base if isinstance(values, LogRange) else None


def _progressions(one: object, other: object) -> int | None:
    """How many numbers two arithmetic progressions share; None where rounding may decide."""
    if not (isinstance(one, LinearRange) and isinstance(other, LinearRange)):
        return None
    if not (one.step and other.step):
        return None
    scale = math.lcm(one.denominator, other.denominator)
    mine, theirs = _scaled(one, scale), _scaled(other, scale)
    apart = math.gcd(mine.step, theirs.step, mine.start - theirs.start)
    largest = max(abs(end) for span in (mine, theirs) for end in (span[0], span[-1]))
    whole = one.whole and other.whole
    # Numbers farther apart than floats of their size are never rounded to the same one.
    if not whole and Fraction(apart, scale) <= Fraction(math.ulp(float(Fraction(largest, scale)))):
        return None
    both = math.gcd(mine.step, theirs.step)
    if (theirs.start - mine.start) % both:
        return 0
    turns = theirs.step // both
    steps = (theirs.start - mine.start) // both * pow(mine.step // both, -1, turns) % turns
    period = mine.step * turns
    low = max(mine.start, theirs.start)
    first = mine.start + steps * mine.step
    first += -((first - low) // period) * period if first < low else 0
    last = min(mine[-1], theirs[-1])
    return max(0, (last - first) // period + 1)


def _scaled(values: LinearRange, scale: int) -> range:
    """The progression in units of 1/scale, ascending."""
    factor = scale // values.denominator
    found = range(
        values.first * factor,
        (values.first + values.step * len(values)) * factor,
        values.step * factor,
    )
    return found if found.step > 0 else found[::-1]
