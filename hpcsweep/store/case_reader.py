"""Reads of the cases of one sweep: their rows, in index order, and which satisfy a condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_

from hpcsweep.indexset import IndexSet
from hpcsweep.store import attempt_rows, schema, searches
from hpcsweep.store.engine import Database
from hpcsweep.store.pages import NAMES_AT_ONCE, ROWS_AT_ONCE, pages
from hpcsweep.store.placed import IDX, placed

IndexRow = dict[str, Any]

CASE_ID_DIGITS = 16
# Those of `rows`.
_COLUMNS = (
    schema.cases.c.idx,
    *(column for column in schema.cases.c if column.name not in ("idx", "carried")),
)


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
        cases = schema.cases.c
        indices: dict[str, list[int]] = {}
        for start in range(0, len(case_ids), NAMES_AT_ONCE):
            some = cases.case_id.in_(case_ids[start : start + NAMES_AT_ONCE])
            query = placed(self._sweep, [cases.case_id, cases.idx], [some]).order_by(IDX)
            for row in self._all(query):
                indices.setdefault(row.case_id, []).append(row.idx)
        return indices

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
        self, names: Sequence[str], *, within: IndexSet | None = None, batch: int = ROWS_AT_ONCE
    ) -> Iterator[dict[str, tuple[Any, ...]]]:
        """The values of `rows` in pages, column by column: `idx` and the columns `names`."""
        keys = ("idx", *(name for name in names if name != "idx"))
        columns = [schema.column(name) for name in keys]
        for page in self._pages(columns, None, within, batch):
            yield dict(zip(keys, zip(*page, strict=True), strict=True))

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

        def read(part: ColumnElement[bool], limit: int | None) -> Sequence[Row[Any]]:
            conditions = [part] if where is None else [where, part]
            query = placed(self._sweep, columns, conditions, join).order_by(IDX)
            return self._all(query.limit(limit))

        if within is not None:
            parts = pages(within, self._database.dialect, batch)
            yield from filter(None, (read(part, None) for part in parts))
            return
        last = -1
        while page := read(schema.cases.c.idx > last, batch):
            yield page
            if len(page) < batch:
                return
            last = page[-1][0]

    def _all(self, query: Any) -> Sequence[Any]:
        return self._database.read(lambda connection: connection.execute(query).all())


def as_dicts(rows: Sequence[Row[Any]]) -> list[IndexRow]:
    """Rows as dicts."""
    names = rows[0]._fields if rows else ()  # a public name
    return [dict(zip(names, row, strict=True)) for row in rows]
