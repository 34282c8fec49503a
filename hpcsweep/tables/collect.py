"""Collect: one row per index, from the index and the source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from hpcsweep.cluster.base import Cluster
from hpcsweep.indexset import IndexSet
from hpcsweep.settings import Settings
from hpcsweep.state.changed_inputs import InputCounts, with_changed_inputs
from hpcsweep.state.code_counts import CodeCounts
from hpcsweep.state.outlook import Outlook, outlook_of
from hpcsweep.state.scheduler import poll
from hpcsweep.store import SweepIndex
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.tables.attempts import attempt_columns, attempt_rows
from hpcsweep.tables.case_rows import CaseRows
from hpcsweep.tables.column_names import INPUTS_CHANGED
from hpcsweep.tables.columns import TableColumns, TableRow, columns_of, named
from hpcsweep.tables.named_cases import params_made
from hpcsweep.tables.request import TableRequest
from hpcsweep.tables.selection import CaseSelector
from hpcsweep.tables.sorting import RowOrder, sorted_attempts, sorted_rows

TableAndRows = tuple[TableColumns, Iterator[TableRow]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """Facts about a sweep besides its rows, for any selection."""

    # Count of journal lines that were passed over, by journal.
    torn: dict[str, int]
    # The code of its complete cases.
    code: CodeCounts
    # How many of them have inputs that changed since.
    inputs: InputCounts
    # Whether any case has a metric.
    has_metrics: bool


def collect(
    sweep: SweepDirectory,
    cluster: Cluster | None,
    settings: Settings,
    take: Callable[[TableColumns, Iterator[TableRow]], None],
    request: TableRequest | None = None,
) -> Collected:
    """Bring the index up to date and give `take` the columns and a stream of rows.

    A row holds values by column; one that a case does not have is not in it.
    *Raises* InputError for a selection or a column that is none, SweepError, StoreError.
    *Safe to repeat.*
    """
    request = request or TableRequest()
    with opened(sweep, cluster, settings) as open_sweep:
        columns = open_sweep.columns
        known = {"cases": columns, "attempts": attempt_columns(columns)}
        take(*answer(request, known, open_sweep.table))
        return open_sweep.facts()


def answer(
    request: TableRequest,
    columns: Mapping[str, TableColumns],
    table: Callable[[TableRequest], TableAndRows],
) -> TableAndRows:
    """What is asked for: a table, or what a SELECT makes of those with these columns.

    *Raises* InputError.
    """
    if request.sql is None:
        return table(request)
    # Loads pyarrow and DuckDB.
    from hpcsweep.tables.queries import SqlTable, query  # noqa: PLC0415

    def rows(name: str) -> Iterator[TableRow]:
        return table(replace(request, sql=None, attempts=name == "attempts"))[1]

    tables = {
        name: SqlTable(columns=of_table, rows=partial(rows, name))
        for name, of_table in columns.items()
    }
    return query(request.sql, tables)


def in_shape(table: TableColumns, rows: Iterator[TableRow], request: TableRequest) -> TableAndRows:
    """The rows of cases in the shape of the request, in its order."""
    # Not at the top: it loads numpy.
    from hpcsweep.tables.reshaping import reshaped  # noqa: PLC0415

    table, rows = reshaped(table, rows, request.shape, request.columns, request.notify)
    return table, sorted_rows(table, rows, request.order)


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenSweep:
    """A sweep whose index was brought up to date, while its table is read."""

    sweep: SweepDirectory
    sweep_index: SweepIndex
    outlook: Outlook
    # All of its columns.
    columns: TableColumns

    def table(self, request: TableRequest) -> TableAndRows:
        """The selected columns and rows."""
        table = attempt_columns(self.columns) if request.attempts else self.columns
        if not request.shape:
            table = named(table, request.columns, request.named_by)
        rows = self.rows(self.columns, table, request)
        return in_shape(table, rows, request) if request.shape else (table, rows)

    def rows(
        self, columns: TableColumns, table: TableColumns, request: TableRequest
    ) -> Iterator[TableRow]:
        """The selected rows, with the columns of `table`; a condition is one on `columns`."""
        selector = CaseSelector(
            outlook=self.outlook, sweep=self.sweep, sweep_index=self.sweep_index, columns=columns
        )
        # The rows of a shape are ordered when they are made.
        order = RowOrder() if request.shape else request.order
        order.check(table)
        outlook = self._with_inputs_for(request)
        # Any case may have one of the first attempts, or come first in another order.
        limit = None if order.columns or request.attempts else order.limit
        rows = CaseRows(outlook=outlook, sweep_index=self.sweep_index, columns=table)
        within = None
        is_whole = not (request.attempts or replace(request.selection, where=None))
        if is_whole and order.columns and order.limit is not None:
            where = request.selection.where
            within = rows.leading(order, selector.condition(where) if where else None)
        selected = selector.select(request.selection, limit, within)
        if selected is not None and not selected:
            request.notify(request.selection.nothing_found)
        if request.attempts:
            return self._attempts(table, selected, order)
        return rows.ordered(selected, order)

    def _with_inputs_for(self, request: TableRequest) -> Outlook:
        """The outlook, which has what changed in inputs if the request names that column."""
        shape = request.shape
        names = (*request.columns, *request.order.columns, *shape.group_by, shape.pivot or "")
        if not self.outlook.inputs_unseen or not any(INPUTS_CHANGED in name for name in names):
            return self.outlook
        return with_changed_inputs(self.outlook, self.sweep, self.sweep_index, asked=True)

    def _attempts(
        self, table: TableColumns, selected: IndexSet | None, order: RowOrder
    ) -> Iterator[TableRow]:
        rows_of = partial(attempt_rows, self.outlook, self.sweep_index, table)
        if order.columns:
            return sorted_attempts(rows_of, selected, order)
        return islice(rows_of(selected), order.limit)

    def facts(self) -> Collected:
        """What is known of it besides its rows."""
        return Collected(
            torn=self.sweep_index.torn(),
            code=CodeCounts.of(self.outlook),
            inputs=InputCounts.of(self.outlook),
            has_metrics=bool(self.columns.metrics),
        )


@contextmanager
def opened(
    sweep: SweepDirectory, cluster: Cluster | None, settings: Settings
) -> Iterator[OpenSweep]:
    """Bring the index up to date, and poll the cluster if that is due. *Writes* as `status`."""
    with fresh_index(sweep) as sweep_index:
        tasks = poll(sweep, sweep_index, cluster, settings)
        outlook = outlook_of(sweep, sweep_index, tasks)
        outlook = with_changed_inputs(outlook, sweep, sweep_index, asked=False)
        # The row of a case that cannot be made reports the error.
        new = params_made(outlook.version.source, outlook.not_begun)
        columns = columns_of(sweep_index, new)
        yield OpenSweep(sweep=sweep, sweep_index=sweep_index, outlook=outlook, columns=columns)
