"""The tables of results of the Python door, of one sweep or of several."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from hpcsweep.cache.run_fill import fill_table
from hpcsweep.notify import Notify, logged, print_notice
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.tables.arrow import arrow_table
from hpcsweep.tables.batches import batches_of
from hpcsweep.tables.columns import TableColumns, TableRow
from hpcsweep.tables.frames import data_frame
from hpcsweep.tables.request import TableArguments, TableRequest, table_request

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from typing_extensions import Unpack

T = TypeVar("T")
Take = Callable[[TableColumns, Iterator[TableRow]], None]


class ResultTables:
    """Results that are read as rows, as a DataFrame or as an Arrow table."""

    def cases(self) -> Iterator[TableRow]:
        """One dict per index, in index order: params, metrics and what is known.

        Examples:
            >>> [(row["omega"], row["status"]) for row in sweep.cases()]
            [(1.0, 'complete'), (2.0, 'complete'), (9.0, 'failed')]
        """
        return iter(self.query())

    def query(
        self,
        where: str | None = None,
        *,
        notify: Notify | None = print_notice,
        **arguments: Unpack[TableArguments],
    ) -> list[TableRow]:
        """The rows for which `where` holds, as dicts.

        Args:
            where: A condition over columns: `"energy < 1 and omega == 2"`.
            notify: Is called with what is left out of means; None keeps it silent.
            arguments: `cases`, `status` and `last` select cases, `columns` columns, as on the
                command line. With `attempts` there is a row for each attempt: what it asked for and
                used. `mean_over`, `group_by`, `stats` and `pivot` put complete cases together.
                `sort` names the columns that order the rows, with `desc` from the largest values;
                `limit` is the largest count of rows. `sql` is a SELECT over the rows as `cases`,
                and over `attempts`; needs DuckDB.

        Raises:
            InputError: For cases or columns that are none.

        Examples:
            >>> sweep.query("energy > 1", columns=["omega", "energy"])
            [{'omega': 2.0, 'energy': 2.0}]
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
        """The rows of `query` as a pandas DataFrame, with its arguments.

        Where a case lacks an int, the column is of pandas' own Int64: ints stay exact.

        Raises:
            ExtraMissing: Without pandas.

        Examples:
            >>> sweep.to_dataframe(status="complete", columns=["omega", "energy"])
               omega  energy
            0    1.0     0.5
            1    2.0     2.0
        """
        return self._collected(table_request(where, **arguments), data_frame, notify)

    def to_arrow(
        self,
        where: str | None = None,
        *,
        notify: Notify | None = print_notice,
        **arguments: Unpack[TableArguments],
    ) -> pa.Table:
        """The rows of `query` as a pyarrow Table, with its arguments.

        Raises:
            ExtraMissing: Without pyarrow.

        Examples:
            >>> sweep.to_arrow(columns=["omega"]).column("omega").to_pylist()
            [1.0, 2.0, 9.0]
        """
        return self._collected(table_request(where, **arguments), arrow_table, notify)

    def _collected(
        self,
        request: TableRequest,
        make: Callable[[TableColumns, Iterator[TableRow]], T],
        notify: Notify | None,
    ) -> T:
        """What `make` makes of the columns and rows."""
        made: list[T] = []
        request = replace(request, notify=logged(notify))
        read = self._collect(lambda columns, rows: made.append(make(columns, rows)), request)
        for problem in filter(None, map(fill_table, read)):
            warnings.warn(problem, stacklevel=3)
        return made[0]

    def _collect(self, take: Take, request: TableRequest) -> list[SweepDirectory]:
        """Give `take` the columns and rows. Returns the sweeps that they are of."""
        raise NotImplementedError
