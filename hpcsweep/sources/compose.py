"""Sources made of several sources: product, concatenation, zip."""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, product
from operator import mul
from typing import TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.records import ParamCase
from hpcsweep.sources.base import Factor, ParameterSource, reindexed, within_key
from hpcsweep.sources.keys import Kind
from hpcsweep.sources.registry import PARTS

if TYPE_CHECKING:
    from hpcsweep.sources.caselines import CaseLines
    from hpcsweep.sources.numeric.vectors import Array


class Composed(ParameterSource):
    """The base of sources made of several sources."""

    def __init__(self, sources: Sequence[ParameterSource], where: str) -> None:
        self._sources = tuple(_check_parts(sources, where))

    @property
    def sources(self) -> tuple[ParameterSource, ...]:
        """The parts, in the given order."""
        return self._sources

    @property
    def parts(self) -> tuple[ParameterSource, ...]:
        return self._sources

    @property
    def names(self) -> frozenset[str]:
        return frozenset().union(*(source.names for source in self._sources))

    @property
    def is_derived(self) -> bool:
        return any(source.is_derived for source in self._sources)

    def to_manifest_dict(self) -> dict[str, Any]:
        return self._describe(lambda source: source.to_manifest_dict())

    def freeze(self, lines: CaseLines) -> dict[str, Any]:
        return self._describe(lambda source: source.freeze(lines))

    def _describe(self, describe: Callable[[ParameterSource], dict[str, Any]]) -> dict[str, Any]:
        return {
            "type": type(self).__name__,
            "sources": [describe(source) for source in self._sources],
            "total_cases": self.n_cases,
        }


class _Joined(Composed):
    """Each case merges one case of every part; no two parts share a name."""

    def __init__(self, sources: Sequence[ParameterSource], where: str) -> None:
        super().__init__(sources, where)
        seen: dict[str, int] = {}
        for position, source in enumerate(self._sources):
            for name in ids.in_order(source.names):
                first = seen.setdefault(name, position)
                if first != position:
                    raise SourceError(
                        f"the parameter {name!r} is in the sources {first} and {position}",
                        where=where,
                        next_step="Rename it in one of them, or leave it out there.",
                    )
            if source.replicates > 1:
                raise SourceError(
                    f"the source {position} has replicates",
                    where=where,
                    next_step="Join first, then repeat: (a * b).repeat(n).",
                )

    @abstractmethod
    def _places(self, index: int) -> Iterator[tuple[ParameterSource, int]]:
        """Each part, and the index of its case."""

    def _params(self, index: int) -> dict[str, Any]:
        params: dict[str, Any] = {}
        for source, position in self._places(index):
            params.update(source.params(position))
        return params

    @property
    def key(self) -> frozenset[str] | None:
        if all(source.key is None for source in self._sources):
            return None
        keys = (source.names if source.key is None else source.key for source in self._sources)
        return frozenset().union(*keys)

    def identity(self, index: int) -> dict[str, Any]:
        if not self.is_derived:
            return within_key(self._params(index), self.key)
        plain: dict[str, Any] = {}
        derived = []
        for source, position in self._places(index):
            if source.is_derived:
                derived.append(source.identity(position))
            else:
                plain |= within_key(source.params(position), source.key)
        # Sorted: a * b and b * a have the same cases.
        return {"params": [plain, *sorted(derived, key=ids.canonical)]}

    def _tags(self, index: int) -> tuple[str, ...]:
        return tuple(tag for source, at in self._places(index) for tag in source.tags(at))

    def _written(self, index: int) -> dict[str, str]:
        written: dict[str, str] = {}
        for source, position in self._places(index):
            written.update(source.written(position))
        return written

    def _carried(self, index: int) -> dict[str, Any]:
        carried: dict[str, Any] = {}
        for source, position in self._places(index):
            carried.update(source.carried(position))
        return carried

    def _select_part(self, params: Mapping[str, Any], source: ParameterSource) -> dict[str, Any]:
        return {name: value for name, value in params.items() if name in source.names}


class ProductSource(_Joined):
    """Every combination of a case of each part; the last part varies fastest.

    *Raises* SourceError where two parts have a parameter of the same name.
    """

    KIND = Kind(
        "every combination of a case of each part; the last part varies fastest",
        (PARTS,),
        form="product",
        alone="sources",
        python="a * b",
        example="[{grid: {a: [1, 2]}}, {table: cases.csv}]",
    )

    def __init__(self, sources: Sequence[ParameterSource]) -> None:
        super().__init__(_flatten(sources, ProductSource), "product")
        self._n_cases = math.prod(source.n_cases for source in self._sources)
        # Count of indices from one case of a part to its next.
        lengths = [source.n_cases for source in self._sources[:0:-1]]
        self._strides = [*accumulate(lengths, int.__mul__, initial=1)][::-1]

    @property
    def n_cases(self) -> int:
        return self._n_cases

    @property
    def factors(self) -> list[Factor]:
        return [factor for source in self._sources for factor in source.factors]

    @property
    def can_find(self) -> bool:
        return all(source.can_find for source in self._sources)

    def find_all(self, params: Mapping[str, Any], replicate: int) -> Iterator[int]:
        if replicate != 0 or not params.keys() <= self.names:
            return
        per_source = (
            source.find_all(self._select_part(params, source), 0) for source in self._sources
        )
        for positions in product(*per_source):
            yield sum(map(mul, positions, self._strides))

    def _places(self, index: int) -> Iterator[tuple[ParameterSource, int]]:
        for source, stride in zip(self._sources, self._strides):
            position, index = divmod(index, stride)
            yield source, position

    def _columns(self, start: int, stop: int) -> dict[str, Array]:
        from hpcsweep.sources import columns  # noqa: PLC0415  # numpy, for columns alone

        result: dict[str, Array] = {}
        for source, stride in zip(self._sources, self._strides):
            # The cases of the part that are passed, counted on over its end.
            first, last = start // stride, -(-stop // stride)
            positions = columns.stretch_positions(start - first * stride, stop - start, stride)
            count = source.n_cases
            if last - first >= count:
                inner = source.columns()
                positions = (positions + first % count) % count
            else:
                begin = first % count
                pieces = [source.columns(begin, min(count, begin + last - first))]
                if begin + last - first > count:
                    pieces.append(source.columns(0, begin + last - first - count))
                inner = columns.join_columns(pieces)
            result |= columns.rows(inner, positions)
        return result


class ZipSource(_Joined):
    """Case i of every part together; all parts are equally long.

    *Raises* SourceError where they are not, or have a parameter of the same name.
    """

    KIND = Kind(
        "case i has the parameters of case i of every part",
        (PARTS,),
        form="zip",
        alone="sources",
        python="zip_(a, b)",
        example="[{grid: {a: [1, 2]}}, {grid: {b: [3, 4]}}]",
    )

    def __init__(self, sources: Sequence[ParameterSource]) -> None:
        super().__init__(sources, "zip")
        counts = [source.n_cases for source in self._sources]
        if len(set(counts)) > 1:
            raise SourceError(
                f"the sources have {', '.join(map(str, counts))} cases",
                where="zip",
                next_step="Make them equally long, e.g. by a slice: source[:n].",
            )

    @property
    def n_cases(self) -> int:
        return self._sources[0].n_cases

    @property
    def can_find(self) -> bool:
        return any(source.can_find for source in self._sources)

    def find_all(self, params: Mapping[str, Any], replicate: int) -> Iterator[int]:
        if replicate != 0 or not params.keys() <= self.names:
            return
        quick = next((source for source in self._sources if source.can_find), self._sources[0])
        text = ids.canonical_of_plain(params)
        for position in quick.find_all(self._select_part(params, quick), 0):
            # What the other parts have there decides.
            if ids.canonical(self._params(position)) == text:
                yield position

    def _places(self, index: int) -> Iterator[tuple[ParameterSource, int]]:
        return ((source, index) for source in self._sources)

    def _columns(self, start: int, stop: int) -> dict[str, Array]:
        result: dict[str, Array] = {}
        for source in self._sources:
            result |= source.columns(start, stop)
        return result


class ConcatSource(Composed):
    """The cases of each part, one part after another; a case may occur in several."""

    KIND = Kind(
        "the cases of all parts, one part after the other; a case may be in several parts",
        (PARTS,),
        form="concat",
        alone="sources",
        python="a + b",
        example="[{grid: {a: [1, 2]}}, {grid: {a: [5]}}]",
    )

    def __init__(self, sources: Sequence[ParameterSource]) -> None:
        super().__init__(_flatten(sources, ConcatSource), "concat")
        if len({source.key for source in self._sources}) > 1:
            raise SourceError(
                "the parts have different keys, so equal cases would have different ids",
                where="concat",
                next_step="Give each table the same `key`, or none.",
            )
        # Index of the first case of each part, and the count of all at the end.
        self._firsts = [*accumulate((source.n_cases for source in self._sources), initial=0)]

    @property
    def n_cases(self) -> int:
        return self._firsts[-1]

    @property
    def can_find(self) -> bool:
        return all(source.can_find for source in self._sources)

    @property
    def replicates(self) -> int:
        return max(source.replicates for source in self._sources)

    def find_all(self, params: Mapping[str, Any], replicate: int) -> Iterator[int]:
        for first, source in zip(self._firsts, self._sources):
            for position in source.find_all(params, replicate):
                yield first + position

    def __iter__(self) -> Iterator[ParamCase]:
        for first, source in zip(self._firsts, self._sources):
            for case in source:
                yield reindexed(case, first + case.index)

    def _case(self, index: int) -> ParamCase:
        source, position = self._place(index)
        return reindexed(source[position], index)

    @property
    def key(self) -> frozenset[str] | None:
        return self._sources[0].key

    def identity(self, index: int) -> dict[str, Any]:
        source, position = self._place(index)
        return source.identity(position)

    def _params(self, index: int) -> dict[str, Any]:
        source, position = self._place(index)
        return source.params(position)

    def _tags(self, index: int) -> tuple[str, ...]:
        source, position = self._place(index)
        return source.tags(position)

    def _written(self, index: int) -> dict[str, str]:
        source, position = self._place(index)
        return source.written(position)

    def _carried(self, index: int) -> dict[str, Any]:
        source, position = self._place(index)
        return source.carried(position)

    def _place(self, index: int) -> tuple[ParameterSource, int]:
        part = bisect_right(self._firsts, index) - 1
        return self._sources[part], index - self._firsts[part]

    def _columns(self, start: int, stop: int) -> dict[str, Array]:
        from hpcsweep.sources import columns  # noqa: PLC0415  # numpy, for columns alone

        pieces = []
        for first, source in zip(self._firsts, self._sources):
            begin, end = (min(max(at - first, 0), source.n_cases) for at in (start, stop))
            if source.names == self.names:
                # Also of a part that is not touched, for the type of its columns.
                pieces.append(source.columns(begin, end))
            elif begin < end:
                raise SourceError(
                    "not every part has the same parameters",
                    where="source.columns",
                    next_step="Read the columns of each part, or the cases one by one.",
                )
        return columns.join_columns(pieces)


def zip_(*sources: ParameterSource) -> ZipSource:
    """Merge case i of all sources: `zip_(grid(x=[1, 2]), grid(y=[3, 4]))` has 2 cases.

    Examples:
        >>> hs.zip_(hs.grid(a=[1, 2]), hs.grid(b=[3, 4]))[1].params
        {'a': 2, 'b': 4}
    """
    return ZipSource(sources)


def _check_parts(sources: Any, where: str) -> Sequence[ParameterSource]:
    if not isinstance(sources, (list, tuple)) or not sources:
        raise SourceError(
            f"{ids.shown(sources)} is not a list of sources",
            where=where,
            next_step="Give at least one source.",
        )
    for source in sources:
        if not isinstance(source, ParameterSource):
            raise SourceError(
                f"{ids.shown(source)} is not a source",
                where=where,
                next_step="Use grid, random, manual and so on.",
            )
    return sources


def _flatten(sources: Sequence[ParameterSource], kind: type[Composed]) -> list[ParameterSource]:
    """The sources, with those of the same kind flattened: a * b * c is one product of three."""
    parts: list[ParameterSource] = []
    for source in _check_parts(sources, "sources"):
        parts += source.sources if type(source) is kind else [source]
    return parts
