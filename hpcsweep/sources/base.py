"""The base class of all parameter sources."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import index as exact_index
from typing import TYPE_CHECKING, Any, ClassVar, SupportsIndex, overload

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.older_python import dataclass
from hpcsweep.records import CaseTexts, ParamCase
from hpcsweep.sources.keys import ManifestMethods
from hpcsweep.sources.registry import ViewMethods, make_source

if TYPE_CHECKING:
    from hpcsweep.sources.caselines import CaseLines
    from hpcsweep.sources.numeric.vectors import Array
    from hpcsweep.sources.positions import Positions


@dataclass(frozen=True, slots=True)
class Factor:
    """One digit of the index of a source whose cases are all combinations of several choices."""

    # Count of its choices.
    count: int
    # The parameters that it chooses.
    names: frozenset[str]
    # The params of a choice.
    params: Callable[[int], Mapping[str, Any]]

    def restricted(self, positions: Positions) -> Factor:
        """The same with these choices alone."""
        return Factor(positions.count, self.names, lambda rank: self.params(positions.select(rank)))


class ParameterSource(ViewMethods, ManifestMethods):
    """An immutable, lazy sequence of cases.

    `source[i]` is pure and gives fresh params each time; cases from the end have negative
    indices. No operation but iteration costs more for a longer source. What takes a source and
    gives another makes a view: no case is made for it.

    Examples:
        >>> source = hs.grid(a=[1, 2]) + hs.grid(a=[5])
        >>> isinstance(source, hs.ParameterSource), [case.params["a"] for case in source]
        (True, [1, 2, 5])
    """

    # Whether making the source, or one of its cases, runs the user's code.
    runs_user_code: ClassVar[bool] = False

    @property
    @abstractmethod
    def n_cases(self) -> int:
        """Count of cases, exact at any size; `len()` is limited to `sys.maxsize`.

        Examples:
            >>> hs.grid(a=[1, 2], b=[5, 6]).n_cases
            4
        """

    @property
    @abstractmethod
    def names(self) -> frozenset[str]:
        """The names of the parameters that a case can have.

        Examples:
            >>> sorted(hs.grid(a=[1, 2], b=[5, 6]).names)
            ['a', 'b']
        """

    @property
    def can_find(self) -> bool:
        """Whether `find` is immediate; otherwise it iterates over the cases.

        Examples:
            >>> hs.grid(a=[1, 2]).can_find
            True
        """
        return False

    @property
    def replicates(self) -> int:
        """Largest count of replicates of a case; more than 1 only with replicates.

        Examples:
            >>> hs.grid(a=[1, 2]).repeat(3).replicates
            3
        """
        return 1

    @property
    def factors(self) -> list[Factor]:  # where cases are no combinations
        """The digits of an index; the last varies fastest. Their counts multiply to `n_cases`.

        Frozen manifests name them by their places, so a kind of source keeps them for ever.

        Examples:
            >>> [factor.count for factor in hs.grid(a=[1, 2], b=[5, 6, 7]).factors]
            [2, 3]
        """
        return [Factor(self.n_cases, self.names, self._params)]

    @abstractmethod
    def _params(self, index: int) -> dict[str, Any]:
        """A new dict of the params at an index of `0 .. n_cases-1`."""

    def _tags(self, index: int) -> tuple[str, ...]:  # where a case has none
        """The labels of the case at an index of `0 .. n_cases-1`."""
        return ()

    def _written(self, index: int) -> dict[str, str]:  # where no table is
        """`ParamCase.written` of the case at an index of `0 .. n_cases-1`."""
        return {}

    @property
    def parts(self) -> tuple[ParameterSource, ...]:  # where it is made of no others
        """The sources that it is made of.

        Examples:
            >>> [part.n_cases for part in (hs.grid(a=[1, 2]) + hs.grid(a=[5])).parts]
            [2, 1]
        """
        return ()

    def column_notes(self) -> list[str]:
        """The columns of each table that is part of it, for people: `a.csv: x number, s text`.

        And `cell_notes`.

        Examples:
            >>> hs.table("cases.csv").column_notes()
            ['cases.csv: a integer, b text']
        """
        return [note for part in self.parts for note in part.column_notes()]

    def cell_notes(self) -> list[str]:
        """Cells and values of its tables and grids that are texts among numbers, for people.

        Examples:
            >>> hs.table("cases.csv").cell_notes()
            []
        """
        return [note for part in self.parts for note in part.cell_notes()]

    def filter_notes(self) -> list[str]:
        """How many cases each condition of a filter leaves, for people: `a < b: 3 of 9 cases`.

        Examples:
            >>> hs.grid(a=[1, 2, 3]).where("a > 1").filter_notes()
            ['a > 1: 2 of 3 cases']
        """
        return [note for part in self.parts for note in part.filter_notes()]

    def _carried(self, index: int) -> dict[str, Any]:  # where no table is
        """`ParamCase.carried` of the case at an index of `0 .. n_cases-1`."""
        return {}

    @property
    def carried_names(self) -> frozenset[str]:
        """The columns that a case can carry besides its parameters.

        Examples:
            >>> sorted(hs.table("cases.csv", carry=["b"]).carried_names)
            ['b']
        """
        return frozenset().union(*(part.carried_names for part in self.parts))

    @property
    def is_derived(self) -> bool:
        """Whether a function of the user's makes params, so that case ids hash what it is given.

        Examples:
            >>> hs.grid(a=[1, 2]).is_derived
            False
        """
        return False

    @property
    def key(self) -> frozenset[str] | None:  # where no table has one
        """The parameters that the id of a case hashes, if not all.

        Examples:
            >>> sorted(hs.table("cases.csv", key=["b"]).key)
            ['b']
        """
        return None

    def identity(self, index: int) -> dict[str, Any]:
        """What the id of the case at an index of `0 .. n_cases-1` hashes, besides the replicate.

        The params of the `key`; where `is_derived`, a dict with the key "params", which no
        parameter can have.

        Examples:
            >>> hs.table("cases.csv", key=["b"]).identity(0)
            {'b': 'x'}
        """
        return within_key(self._params(index), self.key)

    def identity_of(self, index: int, params: dict[str, Any]) -> dict[str, Any]:
        """`identity` of a case whose params are made already.

        Examples:
            >>> hs.table("cases.csv", key=["b"]).identity_of(0, {"a": 1, "b": "x"})
            {'b': 'x'}
        """
        return self.identity(index) if self.is_derived else within_key(params, self.key)

    def _case(self, index: int) -> ParamCase:
        """The case at an index of `0 .. n_cases-1`."""
        params = self._params(index)
        return ParamCase(
            index=index,
            params=params,
            case_id=ids.case_id(self.identity_of(index, params)),
            tags=self._tags(index),
            written=self._written(index),
            carried=self._carried(index),
        )

    def texts(self, encode: Callable[[Any], str]) -> Callable[[Sequence[int]], CaseTexts]:
        """What makes the cases at indices of `0 .. n_cases-1`, params as `encode` writes them.

        Examples:
            >>> hs.grid(a=[1, 2]).texts(str)([0, 1]).replicates
            [0, 0]
        """
        return lambda indices: CaseTexts.of(list(map(self._case, indices)), encode)

    def find(self, params: Mapping[str, Any], replicate: int = 0) -> int | None:
        """The first index of these params, or None where the source does not have them.

        Immediate where `can_find`. *Raises* SourceError, and IdentityError as `ids.canonical` does.

        Examples:
            >>> hs.grid(a=[1, 2], b=[5, 6]).find({"a": 2, "b": 5})
            2
        """
        if not isinstance(params, Mapping):
            raise SourceError(
                f"{ids.shown(params)} has the type {type(params).__name__}",
                where="source.find",
                next_step="Give a dict of parameters.",
            )
        return next(self.find_all(ids.plain(params), replicate), None)

    def find_all(self, params: Mapping[str, Any], replicate: int) -> Iterator[int]:
        """Every index of these plain params, in ascending order.

        Examples:
            >>> list((hs.grid(a=[1, 2]) + hs.grid(a=[2])).find_all({"a": 2}, replicate=0))
            [1, 2]
        """
        text = ids.canonical_of_plain(params)
        for case in self:
            if case.replicate == replicate and ids.canonical(case.params) == text:
                yield case.index

    def __len__(self) -> int:
        return self.n_cases

    def __bool__(self) -> bool:
        return self.n_cases > 0

    def __iter__(self) -> Iterator[ParamCase]:
        return (self._case(index) for index in range(self.n_cases))

    @overload
    def __getitem__(self, index: SupportsIndex) -> ParamCase: ...
    @overload
    def __getitem__(self, index: slice) -> ParameterSource: ...
    def __getitem__(self, index: SupportsIndex | slice) -> ParamCase | ParameterSource:
        if type(index) is int and 0 <= index < self.n_cases:  # the usual one, in half the time
            return self._case(index)
        if isinstance(index, slice):
            return self._sliced(index)
        return self._case(self._position(index))

    def params(self, index: SupportsIndex) -> dict[str, Any]:
        """The params of `source[index]`, without the cost of its case id.

        Examples:
            >>> hs.grid(a=[1, 2]).params(1)
            {'a': 2}
        """
        return self._params(self._position(index))

    def tags(self, index: SupportsIndex) -> tuple[str, ...]:
        """The tags of `source[index]`.

        Examples:
            >>> hs.manual([{"a": 1}], tags=["first"]).tags(0)
            ('first', 'manual_0')
        """
        return self._tags(self._position(index))

    def written(self, index: SupportsIndex) -> dict[str, str]:
        """The texts of the params of `source[index]` that a table writes unlike JSON.

        Examples:
            >>> hs.grid(a=[1, 2]).written(1)
            {}
        """
        return self._written(self._position(index))

    def carried(self, index: SupportsIndex) -> dict[str, Any]:
        """The cells that `source[index]` carries besides its params.

        Examples:
            >>> hs.table("cases.csv", carry=["b"]).carried(1)
            {'b': 'y'}
        """
        return self._carried(self._position(index))

    def columns(self, start: int = 0, stop: int | None = None) -> dict[str, Array]:
        """The params of the cases `start .. stop-1` as numpy arrays by name.

        To the last bit what single reads give: float64, int64 and bool where every value of the
        parameter is of that type, objects otherwise. *Raises* SourceError where not every case
        has the same parameters, IndexError outside the source.

        Examples:
            >>> hs.grid(a=[1, 2], b=[5, 6]).columns()["b"].tolist()
            [5, 6, 5, 6]
        """
        stop = self.n_cases if stop is None else stop
        if not 0 <= start <= stop <= self.n_cases:
            raise IndexError(
                f"cases {start}..{stop} are not inside 0..{self.n_cases}, those of the source"
            )
        return self._columns(start, stop)

    def _columns(self, start: int, stop: int) -> dict[str, Array]:
        """`columns` of a range inside the source; by default from single reads."""
        from hpcsweep.sources import columns  # noqa: PLC0415  # numpy, for columns alone

        rows = [self._params(index) for index in range(start, stop)]
        for index, row in enumerate(rows, start):
            if row.keys() != self.names:
                raise SourceError(
                    f"case {index} has not the parameters that other cases have",
                    where="source.columns",
                    next_step="Read the cases one by one: source[i].",
                )
        names = ids.in_order(self.names)
        return {name: columns.make_column([row[name] for row in rows]) for name in names}

    def _position(self, index: SupportsIndex) -> int:
        position, count = exact_index(index), self.n_cases
        if not -count <= position < count:
            raise IndexError(
                f"index {position} is outside 0..{count - 1} of the source "
                f"(or {-count}..-1 from the end)"
            )
        return position % count

    def _sliced(self, selected: slice) -> ParameterSource:
        start, stop, step = selected.indices(self.n_cases)
        count = max(0, -((start - stop) // step))
        # An empty range may have any start.
        return make_source("SliceSource", self, start if count else 0, step, count)

    def __repr__(self) -> str:
        from hpcsweep.quantities import counted  # noqa: PLC0415  # no task needs it

        return f"<{type(self).__name__} of {counted(self.n_cases, 'case')}>"


class WrappedSource(ParameterSource):
    """The base of sources each of whose cases is made of one case of another source."""

    def __init__(self, source: ParameterSource) -> None:
        self._source = source

    @property
    def source(self) -> ParameterSource:
        """The source below this one."""
        return self._source

    @property
    def parts(self) -> tuple[ParameterSource, ...]:
        return (self._source,)

    @abstractmethod
    def _source_index(self, index: int) -> int:
        """The index in the source of what case `index` is made of."""

    @abstractmethod
    def _rule(self) -> dict[str, Any]:
        """The keys of the manifest dict that say how the cases are made."""

    @property
    def names(self) -> frozenset[str]:
        return self._source.names

    @property
    def can_find(self) -> bool:
        return self._source.can_find

    @property
    def is_derived(self) -> bool:
        return self._source.is_derived

    @property
    def key(self) -> frozenset[str] | None:
        return self._source.key

    @property
    def replicates(self) -> int:
        return self._source.replicates

    def identity(self, index: int) -> dict[str, Any]:
        return self._source.identity(self._source_index(index))

    def to_manifest_dict(self) -> dict[str, Any]:
        return self._describe(self._source.to_manifest_dict())

    def freeze(self, lines: CaseLines) -> dict[str, Any]:
        return self._describe(self._source.freeze(lines))

    def _describe(self, inner: dict[str, Any]) -> dict[str, Any]:
        return {
            "type": type(self).__name__,
            "source": inner,
            **self._rule(),
            "total_cases": self.n_cases,
        }

    def _params(self, index: int) -> dict[str, Any]:
        return self._source.params(self._source_index(index))

    def _tags(self, index: int) -> tuple[str, ...]:
        return self._source.tags(self._source_index(index))

    def _written(self, index: int) -> dict[str, str]:
        return self._source.written(self._source_index(index))

    def _carried(self, index: int) -> dict[str, Any]:
        return self._source.carried(self._source_index(index))


def reindexed(case: ParamCase, index: int) -> ParamCase:
    """The same case at another index."""
    return ParamCase(
        index=index,
        params=case.params,
        case_id=case.case_id,
        tags=case.tags,
        replicate=case.replicate,
        written=case.written,
        carried=case.carried,
    )


def within_key(params: dict[str, Any], key: frozenset[str] | None) -> dict[str, Any]:
    """The params that are part of a key; all without one."""
    return params if key is None else {name: params[name] for name in params if name in key}
