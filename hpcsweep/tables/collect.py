"""Collect: one row per index, in index order, from the index and the source."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import InputError, SourceError
from hpcsweep.indexset import IndexSet
from hpcsweep.records import Status
from hpcsweep.settings import Settings
from hpcsweep.state.outlook import Outlook, State, outlook_of
from hpcsweep.state.scheduler import poll
from hpcsweep.store import SweepIndex
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.tables.where import SqlColumn, parse
from hpcsweep.terminal_text import visible

# Columns before the params and after the metrics, with the kind of their values.
FIRST = {"index": "int", "case_id": "str", "replicate": "int", "status": "str", "reason": "str"}
LAST = {
    "seed": "str",
    "started": "str",
    "ended": "str",
    "wall_seconds": "float",
    "cpu_seconds": "float",
    "max_rss_bytes": "int",
    "host": "str",
    "job_id": "str",
    "run_dir": "str",
    "code_digest": "str",
    "error": "str",
}

TableRow = dict[str, Any]
# The keys from a mapping down to a value.
Keys = tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The rows and columns to return; by default all."""

    # A condition over columns, see `where`; only cases that were begun can match one.
    where: str | None = None
    # Values of `Status`.
    status: tuple[str, ...] = ()
    # None for all.
    cases: IndexSet | None = None
    columns: tuple[str, ...] = ()
    # The options that name the columns, for messages.
    named_by: str = "--columns"


@dataclass(frozen=True, kw_only=True, slots=True)
class TableColumns:
    """The columns of a table, with the params and metrics they come from, and their types."""

    # Column by keys; a name that is taken gets the prefix "param." or "metric.".
    params: dict[Keys, str]
    metrics: dict[Keys, str]
    # "int", "float", "bool", "str" or "json" by column, all columns in order.
    kinds: dict[str, str]
    # The selected columns, in the selected order.
    names: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Collected:
    """Facts about a sweep besides its rows, for any selection."""

    # Count of journal lines that were passed over, by journal.
    torn: dict[str, int]
    # Count of complete cases that come from other code, see `status.Summary`.
    other_code: int


def collect(
    sweep: SweepDirectory,
    cluster: Cluster | None,
    settings: Settings,
    take: Callable[[TableColumns, Iterator[TableRow]], None],
    selection: Selection | None = None,
) -> Collected:
    """Bring the index up to date and give `take` the columns and a stream of rows.

    A row holds values by column; one that a case does not have is not in it.
    *Raises* InputError for a selection of unknown columns or statuses, SweepError, StoreError.
    *Safe to repeat.*
    """
    selected = selection or Selection()
    for word in selected.status:
        if word not in set(Status):
            raise InputError(
                f"{word!r} is not a status",
                where="--status",
                next_step=f"Statuses: {', '.join(Status)}.",
            )
    with fresh_index(sweep) as sweep_index:
        tasks = poll(sweep, sweep_index, cluster, settings)
        outlook = outlook_of(sweep, sweep_index, tasks)
        columns = _columns(outlook, sweep_index, selected)
        take(columns, _selected(outlook, sweep_index, columns, selected))
        return Collected(torn=sweep_index.torn(), other_code=outlook.indices(State.STALE).count)


def flatten(value: Mapping[str, Any], above: Keys = ()) -> dict[Keys, Any]:
    """Flatten nested mappings to values by their keys; lists stay lists."""
    flat: dict[Keys, Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping) and item:
            flat |= flatten(item, (*above, name))
        else:
            flat[*above, name] = item
    return flat


# --- columns ------------------------------------------------------------------------------------


def _columns(outlook: Outlook, sweep_index: SweepIndex, selection: Selection) -> TableColumns:
    params: dict[Keys, str] = {}
    metrics: dict[Keys, str] = {}
    for row in sweep_index.rows():
        learn(params, json.loads(row["params"]))
        learn(metrics, json.loads(row["metrics"]))
    for number in outlook.not_begun:
        with suppress(SourceError):  # its row reports the error
            learn(params, outlook.version.source[number].params)
    found = all_columns(params, metrics)
    for name in selection.columns:
        if name not in found.kinds:
            raise InputError(
                f"{name!r} is not a column",
                where=selection.named_by,
                next_step=f"Columns: {', '.join(found.kinds)}.",
            )
    return replace(found, names=list(selection.columns) or found.names)


def all_columns(params: dict[Keys, str], metrics: dict[Keys, str]) -> TableColumns:
    """The columns of cases that have these params and metrics, by kind; all are selected."""
    # Sorted: the same order on every machine and database.
    kinds = dict(FIRST)
    param_columns = _name(params, "param.", kinds)
    metric_columns = _name(metrics, "metric.", kinds)
    kinds |= LAST
    return TableColumns(
        params=param_columns, metrics=metric_columns, kinds=kinds, names=list(kinds)
    )


def learn(kinds: dict[Keys, str], value: Mapping[str, Any]) -> None:
    """Merge the kind of each value into `kinds`; two kinds become one that holds both."""
    for keys, item in flatten(value).items():
        kind, known = _kind(item), kinds.get(keys, "")
        if kind in ("", known):
            kinds.setdefault(keys, kind)
        elif not known:
            kinds[keys] = kind
        else:
            kinds[keys] = "float" if {kind, known} == {"int", "float"} else "json"


def _kind(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "bool"
        case int():
            return "int" if -(2**63) <= value < 2**63 else "json"
        case float():
            return "float"
        case str():
            return "str"
    return "json"


def _name(found: dict[Keys, str], prefix: str, taken: dict[str, str]) -> dict[Keys, str]:
    columns = {}
    for keys in sorted(found):
        name = ".".join(keys)
        while name in taken or name in LAST:
            name = prefix + name
        columns[keys] = name
        taken[name] = found[keys] or "json"
    return columns


def fields(columns: TableColumns) -> dict[str, SqlColumn]:
    """The origin of each column, for a condition."""
    found = {name: SqlColumn(name) for name in (*FIRST, *LAST)}
    found["index"] = SqlColumn("idx")
    found |= {name: SqlColumn("params", keys) for keys, name in columns.params.items()}
    found |= {name: SqlColumn("metrics", keys) for keys, name in columns.metrics.items()}
    return found


# --- rows ---------------------------------------------------------------------------------------


def _selected(
    outlook: Outlook, sweep_index: SweepIndex, columns: TableColumns, selection: Selection
) -> Iterator[TableRow]:
    statuses, cases = set(selection.status), selection.cases
    for row in _rows(outlook, sweep_index, columns, selection.where):
        if statuses and row["status"] not in statuses:
            continue
        if cases is None or row["index"] in cases:
            yield row


def _rows(
    outlook: Outlook, sweep_index: SweepIndex, columns: TableColumns, where: str | None
) -> Iterator[TableRow]:
    """The rows of indices that were begun and that were not, merged in index order."""
    condition = None if where is None else parse(where, fields(columns), sweep_index.dialect)
    others = _rows_not_begun(outlook, columns) if where is None else iter(())
    other = next(others, None)
    for found in sweep_index.rows(where=condition):
        while other is not None and other["index"] <= found["idx"]:
            if other["index"] < found["idx"]:  # otherwise it has begun since
                yield other
            other = next(others, None)
        yield _row(found, columns)
    while other is not None:
        yield other
        other = next(others, None)


def _row(found: TableRow, columns: TableColumns) -> TableRow:
    row: TableRow = {"index": found["idx"], "case_id": found["case_id"]}
    names = ("replicate", "status", "reason", *LAST)
    row |= {name: found[name] for name in names if found[name] is not None}
    if found["error"]:
        # Escaped in every format: the text must not control a terminal.
        row["error"] = visible(json.loads(found["error"]).get("message", ""))
    return (
        row | _values(columns.params, found["params"]) | _values(columns.metrics, found["metrics"])
    )


def _values(columns: Mapping[Keys, str], text: str) -> TableRow:
    """The values of these columns; names that appeared since have no column yet."""
    values = flatten(json.loads(text))
    return {columns[keys]: value for keys, value in values.items() if keys in columns}


def _rows_not_begun(outlook: Outlook, columns: TableColumns) -> Iterator[TableRow]:
    groups = [group for group in outlook.groups if group.indices & outlook.not_begun]
    for index in outlook.not_begun:
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
