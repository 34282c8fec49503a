"""A table of attempts: a row for each, with what it asked for and what it used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from hpcsweep.indexset import IndexSet
from hpcsweep.runs.attempts import requested
from hpcsweep.state.outlook import Outlook
from hpcsweep.store import SweepIndex
from hpcsweep.store.column_kinds import ColumnKinds
from hpcsweep.tables.columns import TableColumns, TableRow, all_columns, values_of

# Columns before the params and after them, with the kind of their values.
FIRST = {
    "index": "int",
    "case_id": "str",
    "replicate": "int",
    "attempt": "int",
    "submission": "int",
    "status": "str",
    "reason": "str",
}
LAST = {
    "asked_time": "str",
    "asked_mem": "str",
    "asked_cpus": "int",
    "started": "str",
    "ended": "str",
    "wall_seconds": "float",
    "cpu_seconds": "float",
    "max_rss_bytes": "int",
    "host": "str",
    "job_id": "str",
}


def attempt_columns(
    of_cases: TableColumns, before: Mapping[str, str] = MappingProxyType({})
) -> TableColumns:
    """The columns of attempts at cases that have these columns; `before` stand before them."""
    params = {keys: of_cases.kinds[name] for keys, name in of_cases.params.items()}
    return all_columns(ColumnKinds(params, {}, {}), {**before, **FIRST}, LAST, {})


def attempt_rows(
    outlook: Outlook, sweep_index: SweepIndex, columns: TableColumns, selected: IndexSet | None
) -> Iterator[TableRow]:
    """A row for each known attempt, in index order and that of attempts."""
    begun = outlook.begun if selected is None else outlook.begun & selected
    by_submission = {
        number: requested(resources) for number, resources in outlook.resources.items()
    }
    for attempt in sweep_index.attempts(begun):
        row: TableRow = {"index": attempt["idx"], "attempt": attempt["number"]}
        names = (*FIRST, *LAST)
        row |= {name: attempt[name] for name in names if attempt.get(name) is not None}
        row |= by_submission.get(attempt["submission"], {})
        yield row | values_of(columns.params, attempt["params"])
