"""The rows of cases: of those that were begun, from the index, and of the others, from the source.

They come in index order, or in that of some columns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import ColumnElement, and_

from hpcsweep.errors import SourceError
from hpcsweep.indexset import IndexSet
from hpcsweep.state.outlook import Outlook, State
from hpcsweep.store import SweepIndex
from hpcsweep.tables.batches import ROWS_AT_ONCE, TableBatch, TableRows, as_list
from hpcsweep.tables.begun_rows import begun_batches, merged_batches
from hpcsweep.tables.column_names import INPUTS_CHANGED, STALE, flatten
from hpcsweep.tables.columns import TableColumns, TableRow, fields
from hpcsweep.tables.named_cases import refuse_too_many
from hpcsweep.tables.sorting import RowOrder, batches_in_order, sorted_indices
from hpcsweep.tables.sql_columns import names_index, orderable


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseRows:
    """The rows of one sweep's cases."""

    outlook: Outlook
    # As up to date as the outlook.
    sweep_index: SweepIndex
    columns: TableColumns

    def ordered(self, selected: IndexSet | None, order: RowOrder) -> TableRows:
        """The rows of these indices, or of all, in order.

        *Raises* InputError for too many cases that never began.
        """
        if order.columns:
            return self._sorted(selected, order)
        whole = self._all if selected is None else selected & self._all
        if order.limit is not None:
            whole = selected = whole.slice(0, order.limit)
        make = partial(self._batches, within=selected)
        make_arrow = partial(make, as_arrow=True)
        return TableRows(make, self.columns.row_names, whole.count, make_arrow)

    def _sorted(self, selected: IndexSet | None, order: RowOrder) -> TableRows:
        if self._params_in(order.columns):
            never = self.outlook.not_begun
            refuse_too_many(never if selected is None else never & selected, "params", "--sort")
        indices = sorted_indices(self._batches, selected, order)
        make = partial(batches_in_order, self._batches, indices)
        return TableRows(make, self.columns.row_names, len(indices))

    def leading(self, order: RowOrder, condition: ColumnElement[bool] | None) -> IndexSet | None:
        """Indices among which the first rows with a condition are, by a search; None for all.

        The first column decides; without enough values in it, missing ones are among the first.
        """
        limit = order.limit
        if not order.columns or limit is None or limit > ROWS_AT_ONCE:
            return None
        if condition is not None and names_index(condition):
            return None
        name, n_cases = order.columns[0], self._all.count
        if name == "index":
            if condition is not None:
                return None
            start = max(0, n_cases - limit) if order.descending else 0
            return self._all.slice(start, start + limit)
        column = fields(self.columns, None, self.sweep_index.number_columns()).get(name)
        ordered = column and orderable(column, self.columns.kinds[name], self.sweep_index.dialect)
        if not ordered:
            return None
        has_value, value = ordered
        if condition is not None:
            has_value = and_(has_value, condition)
        found = self.sweep_index.leading(has_value, value, limit, descending=order.descending)
        return found | self.outlook.not_begun if found.count >= limit else None

    @property
    def _all(self) -> IndexSet:
        return self.outlook.begun | self.outlook.not_begun

    def _batches(
        self, names: Sequence[str], within: IndexSet | None = None, *, as_arrow: bool = False
    ) -> Iterator[TableBatch]:
        """The rows of these indices, or of all, in index order."""
        never = self.outlook.not_begun if within is None else self.outlook.not_begun & within
        begun = begun_batches(self.sweep_index, self.columns, names, within, as_arrow=as_arrow)
        on_demand = self.columns.on_demand.intersection(names)
        if on_demand:
            begun = self._with_outdated(begun, on_demand)
        return merged_batches(begun, self._rows_not_begun(never, names), names)

    def _with_outdated(
        self, begun: Iterator[TableBatch], on_demand: Collection[str]
    ) -> Iterator[TableBatch]:
        """The batches with the columns that say what has changed since cases were computed."""
        indices = {
            STALE: self.outlook.indices(State.STALE),
            INPUTS_CHANGED: self.outlook.changed,
        }
        for batch in begun:
            own = as_list(batch.values["index"])
            made = {name: [index in indices[name] for index in own] for name in on_demand}
            yield replace(batch, values=batch.values | made)

    def _rows_not_begun(self, never: IndexSet, names: Sequence[str]) -> Iterator[TableRow]:
        outlook, columns = self.outlook, self.columns
        groups = [group for group in outlook.groups if group.indices & never]
        needs_case = self._params_in(names)
        never_outdated = dict.fromkeys(columns.on_demand, False)
        for index in never:
            group = next(group for group in groups if index in group.indices)
            row: TableRow = {"index": index, "status": group.status.value, **never_outdated}
            row |= {"reason": group.reason.value} if group.reason else {}
            if needs_case:
                try:
                    case = outlook.version.source[index]
                except SourceError as error:  # the user's code cannot make the case
                    yield row | {"error": str(error)}
                    continue
                row |= {"case_id": case.case_id, "replicate": case.replicate}
                params = flatten(case.params).items()
                row |= {columns.params[keys]: value for keys, value in params}
                carried = flatten(case.carried).items()
                row |= {columns.carried[keys]: value for keys, value in carried}
            yield row

    def _params_in(self, names: Sequence[str]) -> bool:
        """Whether a case has to be made to know these columns of it, before it began."""
        of_case = {"case_id", "replicate", "error", *self.columns.params.values()}
        of_case.update(self.columns.carried.values())
        return not of_case.isdisjoint(names)
