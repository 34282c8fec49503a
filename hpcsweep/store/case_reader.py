"""Reads of the cases of one sweep: their rows, in index order, and which satisfy a condition."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, CompoundSelect, Row, Select, and_

from hpcsweep.indexset import IndexSet
from hpcsweep.store import attempt_rows, number_columns, schema, searches
from hpcsweep.store.engine import Database
from hpcsweep.store.pages import NAMES_AT_ONCE, ROWS_AT_ONCE, PageSize, pages
from hpcsweep.store.placed import IDX, indices_of, placed
from hpcsweep.store.same_values import SameValues

IndexRow = dict[str, Any]

CASE_ID_DIGITS = 16
# Those of `rows`.
_COLUMNS = (
    schema.cases.c.idx,
    *(column for column in schema.columns(schema.cases) if column.name not in {"idx", "carried"}),
)

# Columns of `schema.NUMBERS`, by the column with their JSON text.
NumbersOf = Mapping[str, Collection[str]]
_NONE: NumbersOf = MappingProxyType({})

T = TypeVar("T")
# Makes the query of a page with some columns.
_QueryOf = Callable[[Sequence[ColumnElement[Any]]], CompoundSelect[Any]]


class _Page(NamedTuple, Generic[T]):
    """Successive rows, in the form of their reader."""

    rows: T
    n_rows: int
    # The index of the last one.
    last: int


class CaseReader:
    """The reads of `SweepIndex` that return rows of cases, or their indices."""

    def __init__(self, database: Database, sweep: str) -> None:
        self._database = database
        # The sweep's key: several sweeps may share a database.
        self._sweep = sweep

    def indices(self, where: Any, within: IndexSet | None = None) -> IndexSet:
        """The indices of cases that any attempt began, and whose rows satisfy a condition.

        `within` limits it to these indices, at a cost of their count.
        """
        if within is None:
            rows = self._all(searches.matching(self._sweep, where, self._database.dialect))
            return IndexSet.of(row.idx for row in rows if row.idx is not None)
        pages_within = self._pages([schema.cases.c.idx], where, within)
        return IndexSet.of(row.idx for page in pages_within for row in page)

    def leading(
        self,
        has_value: ColumnElement[bool],
        value: ColumnElement[Any],
        count: int,
        *,
        descending: bool,
    ) -> IndexSet:
        """The indices of the `count` cases with the smallest values, or the largest.

        Those of all cases with a value that is equal to the last one are among them.
        """
        dialect = self._database.dialect
        query = searches.leading(self._sweep, has_value, value, dialect, descending=descending)
        found = self._all(query.limit(count + 1))
        if len(found) > count and found[-1].value == found[-2].value:
            last = found[-1].value
            return self.indices(and_(has_value, value >= last if descending else value <= last))
        by_id = self.of_ids([row.case_id for row in found[:count]])
        return IndexSet.of(index for indices in by_id.values() for index in indices)

    def of_ids(self, case_ids: Sequence[str]) -> dict[str, list[int]]:
        """The indices of these cases, by case id; only of those that any attempt began."""
        indices: dict[str, list[int]] = {}
        for start in range(0, len(case_ids), NAMES_AT_ONCE):
            query = indices_of(self._sweep, case_ids[start : start + NAMES_AT_ONCE])
            # Sorted here: for an order by index, SQLite would go through the indices of all cases.
            found = ((index, case_id) for index, case_id in self._all(query) if index is not None)
            for index, case_id in sorted(found):
                indices.setdefault(case_id, []).append(index)
        return indices

    def ended_attempts(self, case_ids: Sequence[str]) -> set[tuple[Any, ...]]:
        """The attempts at these cases of which an end is known, each as its `ATTEMPT_KEY`."""
        ended: set[tuple[Any, ...]] = set()
        for start in range(0, len(case_ids), NAMES_AT_ONCE):
            some = case_ids[start : start + NAMES_AT_ONCE]
            ended.update(map(tuple, self._all(attempt_rows.ended(self._sweep, some))))
        return ended

    def rows(
        self, *, where: Any = None, within: IndexSet | None = None, batch: int = ROWS_AT_ONCE
    ) -> Iterator[IndexRow]:
        """The rows of all cases that any attempt began, in index order, with their `idx`.

        `within` limits it to these indices, at a cost of their count. One transaction per `batch`
        rows: a slow reader does not block writers.
        """
        for page in self._pages(_COLUMNS, where, within, batch):
            yield from as_dicts(page)

    def columns(
        self,
        names: Sequence[str],
        *,
        within: IndexSet | None = None,
        batch: int = ROWS_AT_ONCE,
        numbers: NumbersOf = _NONE,
    ) -> Iterator[dict[str, tuple[Any, ...]]]:
        """The values of `rows` in pages, column by column: `idx` and the columns `names`.

        `numbers` adds columns that repeat numbers of a document. Its text is then only in the rows
        of which one of them is null.
        """
        keys = _keys(names, numbers)
        for page in self._pages(_columns(keys, numbers), None, within, batch):
            yield _transposed(keys, page)

    def arrow_columns(
        self,
        names: Sequence[str],
        *,
        within: IndexSet | None = None,
        numbers: NumbersOf = _NONE,
    ) -> Iterator[dict[str, Any]]:
        """The same as Arrow arrays, in larger pages, where the database has a driver for them."""
        keys, size = _keys(names, numbers), PageSize()
        columns = _columns(keys, numbers)
        same = SameValues(dict(zip(keys, columns, strict=True)))

        def read(query_of: _QueryOf) -> _Page[dict[str, Any]] | None:
            arrays = same.read(lambda some: self._database.read_arrow(query_of(some)))
            if arrays is None:
                rows = self._all(query_of(columns))
                return _Page(_transposed(keys, rows), len(rows), rows[-1][0]) if rows else None
            index = arrays["idx"]
            size.fit(len(index), sum(array.nbytes for array in arrays.values()))
            return _Page(arrays, len(index), index[-1].as_py()) if len(index) else None

        return self._read_pages(read, within, size)

    def attempts(self, within: IndexSet) -> Iterator[IndexRow]:
        """The known attempts of these indices, in index order and that of attempts.

        A row has the columns of `attempts`, `idx`, its 1-based `number`, params and replicate.
        """
        for condition in pages(within, self._database.dialect):
            rows = self._all(attempt_rows.query(self._sweep, condition))
            yield from attempt_rows.numbered(as_dicts(rows))

    def inputs(self) -> Iterator[tuple[int, str]]:
        """The index of each case that read input files, and what is known of them as JSON text."""
        cases, table = schema.cases.c, schema.inputs.c
        of_row = and_(
            table.sweep == cases.sweep, table.case_id == cases.case_id, table.rank == cases.rank
        )
        columns = [cases.idx, table.files]
        for page in self._pages(columns, join=lambda query: query.join(schema.inputs, of_row)):
            yield from map(tuple, page)

    def find(self, case: str) -> list[IndexRow]:
        """The rows of a case, by its index or by a prefix of its case id."""
        cases = schema.cases.c
        rows = []
        if case.isdigit() and len(case) < CASE_ID_DIGITS:
            rows = list(self.rows(where=cases.idx == int(case)))
        return rows or list(self.rows(where=cases.case_id.startswith(case, autoescape=True)))

    def _pages(
        self,
        columns: Sequence[ColumnElement[Any]],
        where: ColumnElement[bool] | None = None,
        within: IndexSet | None = None,
        batch: int = ROWS_AT_ONCE,
        join: Callable[[Select[Any]], Select[Any]] = lambda query: query,
    ) -> Iterator[Sequence[Row[Any]]]:
        """These columns of rows in index order, `idx` first; see `rows`."""

        def read(query_of: _QueryOf) -> _Page[Sequence[Row[Any]]] | None:
            rows = self._all(query_of(columns))
            return _Page(rows, len(rows), rows[-1][0]) if rows else None

        conditions = () if where is None else (where,)
        return self._read_pages(read, within, PageSize(batch), conditions, join)

    def _read_pages(
        self,
        read: Callable[[_QueryOf], _Page[T] | None],
        within: IndexSet | None,
        size: PageSize,
        where: Iterable[ColumnElement[bool]] = (),
        join: Callable[[Select[Any]], Select[Any]] = lambda query: query,
    ) -> Iterator[T]:
        """The pages that `read` makes of their queries; it returns None without a row."""

        def query_of(part: ColumnElement[bool], limit: int | None = None) -> _QueryOf:
            def query(columns: Sequence[ColumnElement[Any]]) -> CompoundSelect[Any]:
                rows = placed(self._sweep, columns, [*where, part], join)
                return rows.order_by(IDX).limit(limit)

            return query

        if within is not None:
            parts = pages(within, self._database.dialect, size)
            yield from (page.rows for part in parts if (page := read(query_of(part))))
            return
        last = -1
        while True:
            asked = size.rows
            page = read(query_of(schema.cases.c.idx > last, asked))
            if page is not None:
                yield page.rows
                last = page.last
            if page is None or page.n_rows < asked:
                return

    def _all(self, query: Any) -> Sequence[Any]:
        return self._database.read(lambda connection: connection.execute(query).all())


def _keys(names: Sequence[str], numbers: NumbersOf) -> list[str]:
    return list(dict.fromkeys(("idx", *names, *chain.from_iterable(numbers.values()))))


def _columns(keys: Sequence[str], numbers: NumbersOf) -> list[ColumnElement[Any]]:
    return [
        number_columns.text_of_gaps(key, numbers[key]) if key in numbers else schema.column(key)
        for key in keys
    ]


def _transposed(names: Sequence[str], rows: Sequence[Row[Any]]) -> dict[str, tuple[Any, ...]]:
    return dict(zip(names, zip(*rows, strict=True), strict=True))


def as_dicts(rows: Sequence[Row[Any]]) -> list[IndexRow]:
    """Rows as dicts."""
    names = rows[0]._fields if rows else ()  # a public name
    return [dict(zip(names, row, strict=True)) for row in rows]
