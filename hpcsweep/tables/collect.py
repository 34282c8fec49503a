"""Collect: one row per index, in index order, from the index and the source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import InputError, SourceError
from hpcsweep.indexset import IndexSet
from hpcsweep.settings import Settings
from hpcsweep.state.outlook import Outlook, State, outlook_of
from hpcsweep.state.scheduler import poll
from hpcsweep.store import SweepIndex
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.tables.attempts import attempt_columns, attempt_rows
from hpcsweep.tables.batches import TableBatch, TableRows
from hpcsweep.tables.begun_rows import begun_batches, merged_batches
from hpcsweep.tables.columns import TableColumns, TableRow, columns_of, flatten, named
from hpcsweep.tables.named_cases import cases_made
from hpcsweep.tables.selection import CaseSelector, Selection
from hpcsweep.tables.shape import Shape, reshaped


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRequest:
    """The rows and columns to return; by default all."""

    selection: Selection = field(default_factory=Selection)
    columns: tuple[str, ...] = ()
    # Whether there is a row for each attempt, not for each case.
    attempts: bool = False
    # What becomes of the rows of cases.
    shape: Shape = field(default_factory=Shape)
    # The options that name the columns, for messages.
    named_by: str = "--columns"
    # Is told before `take` gets anything if no case is selected.
    notify: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        """*Raises* InputError for attempts in another shape: they have no metrics."""
        if self.attempts and self.shape:
            raise InputError(
                "attempts have no metrics to put together",
                where="--attempts",
                next_step="Leave it out.",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """Facts about a sweep besides its rows, for any selection."""

    # Count of journal lines that were passed over, by journal.
    torn: dict[str, int]
    # Count of complete cases that come from other code, see `summary.Summary`.
    other_code: int


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
        table = attempt_columns(columns) if request.attempts else columns
        if not request.shape:
            table = named(table, request.columns, request.named_by)
        rows = open_sweep.rows(columns, table, request)
        if request.shape:
            table, rows = reshaped(table, rows, request.shape, request.columns, request.notify)
        take(table, rows)
        return open_sweep.facts()


@dataclass(frozen=True, kw_only=True, slots=True)
class OpenSweep:
    """A sweep whose index was brought up to date, while its table is read."""

    sweep: SweepDirectory
    sweep_index: SweepIndex
    outlook: Outlook
    # All of its columns.
    columns: TableColumns

    def rows(
        self, columns: TableColumns, table: TableColumns, request: TableRequest
    ) -> Iterator[TableRow]:
        """The selected rows, with the columns of `table`; a condition is one on `columns`."""
        selector = CaseSelector(
            outlook=self.outlook, sweep=self.sweep, sweep_index=self.sweep_index, columns=columns
        )
        selected = selector.select(request.selection)
        if selected is not None and not selected:
            request.notify(request.selection.nothing_found)
        make = attempt_rows if request.attempts else _rows
        return make(self.outlook, self.sweep_index, table, selected)

    def facts(self) -> Collected:
        """What is known of it besides its rows."""
        return Collected(
            torn=self.sweep_index.torn(), other_code=self.outlook.indices(State.STALE).count
        )


@contextmanager
def opened(
    sweep: SweepDirectory, cluster: Cluster | None, settings: Settings
) -> Iterator[OpenSweep]:
    """Bring the index up to date, and poll the cluster if that is due. *Writes* as `status`."""
    with fresh_index(sweep) as sweep_index:
        tasks = poll(sweep, sweep_index, cluster, settings)
        outlook = outlook_of(sweep, sweep_index, tasks)
        # The row of a case that cannot be made reports the error.
        new = cases_made(outlook.version.source, outlook.not_begun)
        columns = columns_of(sweep_index, new)
        yield OpenSweep(sweep=sweep, sweep_index=sweep_index, outlook=outlook, columns=columns)


# --- rows ---------------------------------------------------------------------------------------


def _rows(
    outlook: Outlook, sweep_index: SweepIndex, columns: TableColumns, selected: IndexSet | None
) -> TableRows:
    """The rows of indices that were begun and that were not, merged in index order."""
    never = outlook.not_begun if selected is None else outlook.not_begun & selected

    def make(names: Sequence[str]) -> Iterator[TableBatch]:
        begun = begun_batches(sweep_index, columns, names, selected)
        return merged_batches(begun, _rows_not_begun(outlook, columns, never), names)

    begun = outlook.begun if selected is None else outlook.begun & selected
    return TableRows(make, list(columns.kinds), begun.count + never.count)


def _rows_not_begun(outlook: Outlook, columns: TableColumns, never: IndexSet) -> Iterator[TableRow]:
    groups = [group for group in outlook.groups if group.indices & never]
    for index in never:
        group = next(group for group in groups if index in group.indices)
        row: TableRow = {"index": index, "status": group.status.value}
        row |= {"reason": group.reason.value} if group.reason else {}
        try:
            case = outlook.version.source[index]
        except SourceError as error:  # the user's code cannot make the case
            yield row | {"error": str(error)}
            continue
        row |= {"case_id": case.case_id, "replicate": case.replicate}
        row |= {columns.params[keys]: value for keys, value in flatten(case.params).items()}
        yield row
