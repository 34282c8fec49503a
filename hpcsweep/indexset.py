"""A set of indices as ranges; its cost depends on the number of ranges, not of indices."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from operator import index as exact_index
from typing import Any

from hpcsweep.errors import InputError

_RANGE = re.compile(r"([0-9]{1,600})(?:-([0-9]{1,600}))?", re.ASCII)
# Larger than the end of any range.
_BEYOND = float("inf")


class IndexSet:
    """An immutable set of indices >= 0, in ascending order.

    The *rank* of an index is its 0-based position in this order.
    """

    __slots__ = ("_first_ranks", "_ranges")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        """Half-open `(start, stop)` ranges in any order; they may overlap or be empty.

        *Raises* InputError for a range that is not `0 <= start <= stop`.
        """
        self._set(_merge(sorted(_validated(ranges))))

    def _set(self, merged: tuple[tuple[int, int], ...]) -> None:
        self._ranges = merged
        # The rank of the first index of each range, then the count of all indices.
        lengths = (stop - start for start, stop in self._ranges)
        self._first_ranks = tuple(accumulate(lengths, initial=0))

    @classmethod
    def _of_merged(cls, merged: tuple[tuple[int, int], ...]) -> IndexSet:
        """Without the checks of a set that others made: ascending ranges apart from each other."""
        index_set = cls.__new__(cls)
        index_set._set(merged)  # noqa: SLF001  # of this class
        return index_set

    @classmethod
    def union(cls, sets: Iterable[IndexSet]) -> IndexSet:
        """All indices of several sets."""
        return cls._of_merged(_merge(sorted(pair for part in sets for pair in part.ranges)))

    @classmethod
    def all(cls, count: int) -> IndexSet:
        """The indices `0 .. count-1`."""
        return cls([(0, count)])

    @classmethod
    def of(cls, indices: Iterable[int]) -> IndexSet:
        """The given indices, in any order; ascending order needs the least memory."""
        if isinstance(indices, IndexSet):
            return indices
        runs: list[tuple[int, int]] = []
        start = stop = 0
        for index in indices:
            number = index if type(index) is int else _whole(index)
            if number != stop:
                runs.append((start, stop))
                start = number
            stop = number + 1
        runs.append((start, stop))
        return cls(runs)

    @classmethod
    def parse(cls, text: str) -> IndexSet:
        """Parse the format of `str()`: `0-9,12`, ends included; an empty text is the empty set.

        *Raises* InputError.
        """
        return cls(_parse_piece(piece, text) for piece in text.split(",")) if text else cls()

    @classmethod
    def from_json(cls, value: Any) -> IndexSet:
        """The set in the format of `to_json`. *Raises* InputError."""
        if not isinstance(value, list):
            raise _range_error(value)
        return cls(tuple(pair) if isinstance(pair, list) else pair for pair in value)

    def to_json(self) -> list[list[int]]:
        """The ranges as half-open lists `[start, stop]`."""
        return [[start, stop] for start, stop in self._ranges]

    @property
    def ranges(self) -> tuple[tuple[int, int], ...]:
        """Ascending half-open ranges, not empty and not adjacent."""
        return self._ranges

    @property
    def count(self) -> int:
        """Count of indices; `len()` is limited to `sys.maxsize`."""
        return self._first_ranks[-1]

    def __len__(self) -> int:
        return self.count

    def __bool__(self) -> bool:
        return bool(self._ranges)

    def __iter__(self) -> Iterator[int]:
        for start, stop in self._ranges:
            yield from range(start, stop)

    def __contains__(self, index: object) -> bool:
        if not isinstance(index, int):
            return False
        place = self._begun_by(index) - 1
        return place >= 0 and index < self._ranges[place][1]

    def _begun_by(self, index: int) -> int:
        """How many ranges start at an index or before it; without a key, as in Python 3.9."""
        return bisect_right(self._ranges, (index, _BEYOND))

    def select(self, rank: int) -> int:
        """The index of a rank. *Raises* IndexError outside `0 .. count-1`."""
        if not 0 <= rank < self.count:
            from hpcsweep.quantities import counted  # noqa: PLC0415  # no task needs it

            of_indices = counted(self.count, "index", "indices")
            raise IndexError(f"rank {rank} is not in 0..{self.count - 1} ({of_indices})")
        place = bisect_right(self._first_ranks, rank) - 1
        return self._ranges[place][0] + rank - self._first_ranks[place]

    def rank(self, index: int) -> int:
        """The rank of an index. *Raises* InputError if it is not in the set."""
        if index not in self:
            raise InputError(f"the index {index} is not in {self._shown()}", where="index set")
        place = self._begun_by(index) - 1
        return self._first_ranks[place] + index - self._ranges[place][0]

    def slice(self, start_rank: int, stop_rank: int) -> IndexSet:
        """The indices of ranks `start_rank .. stop_rank-1`; ranks beyond the end are ignored.

        *Raises* InputError for a negative rank.
        """
        if start_rank < 0 or stop_rank < 0:
            raise InputError(f"a negative rank: {min(start_rank, stop_rank)}", where="index set")
        stop_rank = min(stop_rank, self.count)
        if start_rank >= stop_rank:
            return IndexSet()
        # By bisection: the cost is that of the slice, not of the set.
        first = bisect_right(self._first_ranks, start_rank) - 1
        last = bisect_right(self._first_ranks, stop_rank - 1) - 1
        pieces = list(self._ranges[first : last + 1])
        pieces[-1] = (pieces[-1][0], pieces[-1][0] + stop_rank - self._first_ranks[last])
        pieces[0] = (self._ranges[first][0] + start_rank - self._first_ranks[first], pieces[0][1])
        return IndexSet._of_merged(tuple(pieces))

    def __or__(self, other: IndexSet) -> IndexSet:
        if not isinstance(other, IndexSet):
            return NotImplemented
        return IndexSet.union((self, other))

    def __and__(self, other: IndexSet) -> IndexSet:
        if not isinstance(other, IndexSet):
            return NotImplemented
        return IndexSet._of_merged(tuple(_intersect(self._ranges, other.ranges)))

    def __sub__(self, other: IndexSet) -> IndexSet:
        if not isinstance(other, IndexSet):
            return NotImplemented
        if not self or not other:
            return self
        # The gaps of `other`, up to the end of `self`.
        ends = [0, *(end for pair in other.ranges for end in pair), self._ranges[-1][1]]
        gaps = [(ends[i], ends[i + 1]) for i in range(0, len(ends), 2) if ends[i] < ends[i + 1]]
        return IndexSet._of_merged(tuple(_intersect(self._ranges, tuple(gaps))))

    def isdisjoint(self, other: IndexSet) -> bool:
        """Whether no index is in both; costs a look-up for each range of this one."""
        for start, stop in self._ranges:
            after = other._begun_by(start)
            if after and other._ranges[after - 1][1] > start:
                return False
            if after < len(other._ranges) and other._ranges[after][0] < stop:
                return False
        return True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IndexSet) and self._ranges == other.ranges

    def __hash__(self) -> int:
        return hash(self._ranges)

    def __str__(self) -> str:
        return ",".join(
            f"{start}" if stop == start + 1 else f"{start}-{stop - 1}"
            for start, stop in self._ranges
        )

    def __repr__(self) -> str:
        from hpcsweep.quantities import counted  # noqa: PLC0415  # no task needs it

        return f"IndexSet({self._shown()}; {counted(self.count, 'index', 'indices')})"

    def _shown(self) -> str:
        shown = str(self) or "the empty set"
        return shown if len(shown) <= 60 else f"{shown[:57]}..."


def _validated(ranges: Iterable[Any]) -> Iterator[tuple[int, int]]:
    for pair in ranges:
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise _range_error(pair)
        start, stop = map(_whole, pair)
        if not 0 <= start <= stop:
            raise _range_error(pair)
        if start < stop:
            yield start, stop


def _whole(value: Any) -> int:
    try:
        if not isinstance(value, bool):
            return exact_index(value)
    except TypeError:
        pass
    raise InputError(
        f"{value!a:.60} is not an integer",
        where="index set",
        next_step="Indices are 0, 1, 2 …",
    )


def _merge(ordered: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    merged: list[tuple[int, int]] = []
    for start, stop in ordered:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(stop, merged[-1][1]))
        else:
            merged.append((start, stop))
    return tuple(merged)


def _intersect(
    ours: tuple[tuple[int, int], ...], theirs: tuple[tuple[int, int], ...]
) -> Iterator[tuple[int, int]]:
    i = j = 0
    while i < len(ours) and j < len(theirs):
        start, stop = max(ours[i][0], theirs[j][0]), min(ours[i][1], theirs[j][1])
        if start < stop:
            yield start, stop
        if ours[i][1] < theirs[j][1]:
            i += 1
        else:
            j += 1


def _parse_piece(piece: str, text: str) -> tuple[int, int]:
    match = _RANGE.fullmatch(piece)
    if match is not None:
        first, last = int(match[1]), int(match[2] or match[1])
        if first <= last:
            return first, last + 1
    raise InputError(
        f"{piece!a:.60} is neither an index nor an ascending range",
        where=f"index set {text!a:.60}",
        next_step="Write it like 0-9,12: indices from 0, both ends included, no spaces.",
    )


def _range_error(value: object) -> InputError:
    return InputError(
        f"{value!a:.60} is not a range of indices",
        where="index set",
        next_step="A range is (start, stop) with integers 0 <= start <= stop.",
    )
