"""The verbs of the Python door that read what a sweep has; `Sweep` inherits them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from hpcsweep.cache.run_fill import fill_table
from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.indexset import IndexSet
from hpcsweep.notify import Notify, logged, print_notice
from hpcsweep.project.whole_sweep import WholeSweep
from hpcsweep.runs.find import DamageReport
from hpcsweep.runs.logs import case_logs
from hpcsweep.state.efficiency import Efficiency, efficiency
from hpcsweep.tables.arrow import arrow_table
from hpcsweep.tables.batches import batches_of
from hpcsweep.tables.collect import collect
from hpcsweep.tables.columns import TableColumns, TableRow
from hpcsweep.tables.compare import PARAMS, SweepComparison, compare
from hpcsweep.tables.frames import data_frame
from hpcsweep.tables.request import (
    Cases,
    TableArguments,
    TableRequest,
    selection_of,
    table_request,
)
from hpcsweep.tables.selection import Selection, selected_cases

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from typing_extensions import Unpack

T = TypeVar("T")


class SweepResults(WholeSweep):
    """A sweep whose logs, tables and use of resources are read."""

    def logs(self, case: int | str) -> str:
        """What a case logged and printed, by index or case id."""
        directory = self._directory
        selection = Selection(cases=str(case))
        selected = selected_cases(selection, directory.newest(), directory.path)
        logs = next(case_logs(directory, selected or IndexSet(), DamageReport()))
        texts = [f"==> {where}\n{text}" for where, text in logs.texts]
        return f"case {logs.case_id}, index {logs.index}: {logs.state}\n" + "".join(texts)

    def cases(self) -> Iterator[TableRow]:
        """One dict per index, in index order: params, metrics and what is known."""
        return iter(self.query())

    def query(
        self,
        where: str | None = None,
        *,
        notify: Notify | None = print_notice,
        **arguments: Unpack[TableArguments],
    ) -> list[TableRow]:
        """The rows for which `where` holds, e.g. `"energy < 1 and omega == 2"`.

        `cases`, `status` and `last` select cases, `columns` columns, as on the command line.
        With `attempts` there is a row for each attempt: what it asked for and what it used.
        `mean_over`, `group_by`, `stats` and `pivot` put complete cases together as on the command
        line; `notify` is called with what is left out. `sort` names the columns that order the
        rows, with `desc` from the largest values; `limit` is the largest count of rows. `sql`
        is a SELECT over the rows as `cases`, and over `attempts`; needs DuckDB.
        """

        def as_dicts(table: TableColumns, rows: Iterator[TableRow]) -> list[TableRow]:
            some = (row for batch in batches_of(table, rows) for row in batch.rows())
            return [{name: row[name] for name in table.names if name in row} for row in some]

        return self._collected(table_request(where, **arguments), as_dicts, notify)

    def to_dataframe(
        self,
        where: str | None = None,
        *,
        notify: Notify | None = print_notice,
        **arguments: Unpack[TableArguments],
    ) -> pd.DataFrame:
        """The rows of `query` as a pandas DataFrame, with its arguments. Needs pandas.

        Where a case lacks an int, the column is of pandas' own Int64: ints stay exact.
        """
        return self._collected(table_request(where, **arguments), data_frame, notify)

    def to_arrow(
        self,
        where: str | None = None,
        *,
        notify: Notify | None = print_notice,
        **arguments: Unpack[TableArguments],
    ) -> pa.Table:
        """The rows of `query` as a pyarrow Table, with its arguments. Needs pyarrow."""
        return self._collected(table_request(where, **arguments), arrow_table, notify)

    def compare(
        self,
        other: SweepResults,
        *,
        on: Sequence[str] = (PARAMS,),
        cases: Cases = None,
        where: str | None = None,
        status: Sequence[str] = (),
        last: int | None = None,
    ) -> SweepComparison:
        """In what the sweep and another one differ; see `hpcsweep compare`."""
        both = (self, other)
        sweeps = [(one._directory, one._recorded_cluster) for one in both]  # noqa: SLF001  # of our own
        return compare(sweeps, self._settings, on, selection_of(cases, where, status, last))

    def efficiency(self) -> Efficiency:
        """What its tasks asked for and its cases used; see `hpcsweep efficiency`."""
        return efficiency(self._directory)

    @property
    def _recorded_cluster(self) -> Cluster | None:
        return registry.open_recorded(self._directory, self._settings)

    def _collected(
        self,
        request: TableRequest,
        make: Callable[[TableColumns, Iterator[TableRow]], T],
        notify: Notify | None,
    ) -> T:
        """What `make` makes of the columns and rows."""
        made: list[T] = []
        collect(
            self._directory,
            self._recorded_cluster,
            self._settings,
            lambda columns, rows: made.append(make(columns, rows)),
            replace(request, notify=logged(notify)),
        )
        problem = fill_table(self._directory)
        if problem:
            warnings.warn(problem, stacklevel=3)
        return made[0]
