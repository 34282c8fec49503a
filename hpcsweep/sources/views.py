"""Views of a source: a slice, a set of indices, a shuffled order."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.errors import InputError, SourceError
from hpcsweep.indexset import IndexSet
from hpcsweep.quantities import counted
from hpcsweep.records import ParamCase
from hpcsweep.sources.base import ParameterSource, WrappedSource, reindexed
from hpcsweep.sources.keys import (
    COUNT,
    INTEGER,
    SEED,
    Key,
    KeyType,
    Kind,
    whole_number,
)
from hpcsweep.sources.numeric.permutation import Permutation
from hpcsweep.sources.registry import SOURCE

if TYPE_CHECKING:
    from hpcsweep.sources.numeric.vectors import Array


class SourceView(WrappedSource):
    """The base of views: cases of another source under new indices."""

    @abstractmethod
    def _view_index(self, index: int) -> int | None:
        """The index in the view of case `index` of the source; None if the view omits it."""

    def find_all(self, params: Mapping[str, Any], replicate: int) -> Iterator[int]:
        indices = map(self._view_index, self._source.find_all(params, replicate))
        return iter(sorted(index for index in indices if index is not None))

    def _case(self, index: int) -> ParamCase:
        return reindexed(self._source[self._source_index(index)], index)

    def _columns(self, start: int, stop: int) -> dict[str, Array]:
        from hpcsweep.sources import columns  # noqa: PLC0415  # numpy, for columns alone

        # An empty range first, for the types of the columns; then each contiguous run.
        pieces = [self._source.columns(0, 0)]
        pieces += [self._source.columns(*run) for run in self._runs(start, stop)]
        return columns.join_columns(pieces)

    def _runs(self, start: int, stop: int) -> list[tuple[int, int]]:
        runs: list[tuple[int, int]] = []
        for index in map(self._source_index, range(start, stop)):
            if runs and runs[-1][1] == index:
                runs[-1] = (runs[-1][0], index + 1)
            else:
                runs.append((index, index + 1))
        return runs


class SliceSource(SourceView):
    """The `count` cases first, first + step, … of a source; `source[a:b:c]` makes one.

    *Raises* SourceError.
    """

    KIND = Kind(
        "cases at equal steps of the index",
        (
            SOURCE,
            Key("first", INTEGER, "the index of the first case"),
            Key("step", INTEGER, "the difference between two indices"),
            Key("count", COUNT, "the number of cases"),
        ),
        python="source[a:b:c]",
    )

    def __init__(self, source: ParameterSource, first: int, step: int, count: int) -> None:
        super().__init__(source)
        self._first = whole_number(first, "slice.first", at_least=0)
        self._step = whole_number(step, "slice.step")
        self._count = whole_number(count, "slice.count", at_least=0)
        last = self._first + (self._count - 1) * self._step
        inside = self._step and last >= 0 and max(self._first, last) < source.n_cases
        if self._count and not inside:
            raise SourceError(
                f"{counted(self._count, 'case')} in steps of {self._step} from {self._first} "
                f"exceed the source, which has {counted(source.n_cases, 'case')}",
                where="slice",
                next_step="Keep every index from 0 to the last one of the source.",
            )

    @property
    def n_cases(self) -> int:
        return self._count

    def _rule(self) -> dict[str, Any]:
        return {"first": self._first, "step": self._step, "count": self._count}

    def _source_index(self, index: int) -> int:
        return self._first + index * self._step

    def _view_index(self, index: int) -> int | None:
        position, rest = divmod(index - self._first, self._step) if self._count else (0, 1)
        return position if rest == 0 and 0 <= position < self._count else None

    def _runs(self, start: int, stop: int) -> list[tuple[int, int]]:
        if self._step == 1:
            return [(self._first + start, self._first + stop)]
        return super()._runs(start, stop)


_INDICES = KeyType(
    'indices like `"0-99,200"`, an integer, or a list of them',
    {
        "anyOf": [
            {"type": "string", "pattern": r"^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$"},
            {"type": "integer", "minimum": 0},
            {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
        ]
    },
)


class TakeSource(SourceView):
    """The cases of a set of indices, in ascending order. *Raises* SourceError."""

    KIND = Kind(
        "the cases with the given indices",
        (SOURCE, Key("indices", _INDICES, "the indices of the cases")),
        form="take",
        alone="indices",
        python="source.take(indices)",
        example='"0-99,200"',
    )

    def __init__(
        self, source: ParameterSource, indices: IndexSet | Iterable[int] | str | int
    ) -> None:
        super().__init__(source)
        indices = _index_set(indices)
        if not indices or indices.ranges[-1][1] > source.n_cases:
            raise SourceError(
                f"the indices {ids.shown(str(indices))} are empty or exceed the source, which has "
                f"{counted(source.n_cases, 'case')}",
                where="take.indices",
                next_step="Write them like 0-9,12; the first case has index 0.",
            )
        self._indices = indices

    @property
    def n_cases(self) -> int:
        return self._indices.count

    def _rule(self) -> dict[str, Any]:
        return {"indices": str(self._indices)}

    def _source_index(self, index: int) -> int:
        return self._indices.select(index)

    def _view_index(self, index: int) -> int | None:
        return self._indices.rank(index) if index in self._indices else None

    def _runs(self, start: int, stop: int) -> list[tuple[int, int]]:
        return list(self._indices.slice(start, stop).ranges)


class ShuffleSource(SourceView):
    """The same cases in an order that `seed` permutes; the position is computed per index."""

    KIND = Kind(
        "all cases in random order; the first n are a random sample",
        (SOURCE, SEED),
        form="shuffle",
        alone="seed",
        python="source.shuffle(seed)",
        example="7",
    )

    def __init__(self, source: ParameterSource, seed: int) -> None:
        super().__init__(source)
        self._seed = whole_number(seed, "shuffle.seed")
        text = f"hpcsweep shuffle 1\n{self._seed:x}"
        self._permutation = Permutation(
            source.n_cases, hashlib.blake2b(text.encode(), digest_size=32).digest()
        )

    @property
    def n_cases(self) -> int:
        return self._source.n_cases

    def _rule(self) -> dict[str, Any]:
        return {"seed": self._seed}

    def _source_index(self, index: int) -> int:
        return self._permutation.at(index)

    def _view_index(self, index: int) -> int | None:
        return self._permutation.index_of(index)


def _index_set(indices: IndexSet | Iterable[int] | str | int) -> IndexSet:
    """The indices as a set. *Raises* SourceError."""
    try:
        if isinstance(indices, (str, int)):
            return IndexSet.parse(str(indices))
        return indices if isinstance(indices, IndexSet) else IndexSet.of(indices)
    except (InputError, TypeError) as error:
        raise SourceError(
            f"{ids.shown(indices)} is not a set of indices: {error}",
            where="take.indices",
            next_step="Write them like 0-9,12, or give a list of integers.",
        ) from error
