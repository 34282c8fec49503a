"""The tables of several sweeps as one, with a column for the sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import islice

from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import InputError
from hpcsweep.logbook.json_values import without_surrogates
from hpcsweep.settings import Settings
from hpcsweep.store.column_kinds import ColumnKinds, joined_kind
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.tables import attempts
from hpcsweep.tables.batches import TableBatch, TableRows, batches_of
from hpcsweep.tables.collect import Collected, OpenSweep, TableAndRows, answer, in_shape, opened
from hpcsweep.tables.column_names import FIRST, LAST
from hpcsweep.tables.columns import TableColumns, TableRow, all_columns, named
from hpcsweep.tables.request import TableRequest
from hpcsweep.tables.sorting import merged_rows

# The column of the sweep, before all others.
SWEEP = {"sweep": "str"}


def labels_of(sweeps: Sequence[SweepDirectory]) -> list[str]:
    """What to call each: its name, or its path where two have one name. *Raises* InputError."""
    paths = [str(sweep.path.resolve()) for sweep in sweeps]
    for path in paths:
        if paths.count(path) > 1:
            raise InputError("is named twice", where=path, next_step="Name each sweep once.")
    names = [sweep.name for sweep in sweeps]
    return [
        # A cell of the table, which UTF-8 has to encode.
        without_surrogates(sweep.shown_path) if names.count(sweep.name) > 1 else sweep.name
        for sweep in sweeps
    ]


def collect_several(
    sweeps: Sequence[tuple[SweepDirectory, Cluster | None]],
    settings: Settings,
    take: Callable[[TableColumns, Iterator[TableRow]], None],
    request: TableRequest,
) -> list[Collected]:
    """Like `collect`, of several sweeps, one after the other; the columns are those of all.

    A condition may name the columns of any of them: in the others they are null.
    """
    labels = labels_of([sweep for sweep, _ in sweeps])
    with ExitStack() as stack:
        all_opened = [
            stack.enter_context(opened(sweep, cluster, settings)) for sweep, cluster in sweeps
        ]
        of_cases = union([one.columns for one in all_opened])
        known = {"cases": of_cases, "attempts": attempts.attempt_columns(of_cases, SWEEP)}
        by_label = dict(zip(labels, all_opened, strict=True))
        take(*answer(request, known, partial(_table, by_label, known)))
        return list(map(OpenSweep.facts, all_opened))


def _table(
    sweeps: Mapping[str, OpenSweep], known: Mapping[str, TableColumns], request: TableRequest
) -> TableAndRows:
    """The selected columns and rows of sweeps by label."""
    table = known["attempts" if request.attempts else "cases"]
    if not request.shape:
        table = named(table, request.columns, request.named_by)
    parts = {
        label: one.rows(known["cases"], table, _about(label, request))
        for label, one in sweeps.items()
    }
    rows: Iterator[TableRow] = _joined(parts, table)
    if request.shape:
        return in_shape(table, rows, request)
    if request.order.columns:
        request.order.check(table)
        in_order = [_joined({label: part}, table) for label, part in parts.items()]
        rows = merged_rows(in_order, request.order)
    elif request.order.limit is not None:
        rows = islice(rows, request.order.limit)
    return table, rows


def union(tables: Sequence[TableColumns]) -> TableColumns:
    """The columns of all tables, with `sweep` before them."""
    joined = ColumnKinds({}, {}, {})
    for table in tables:
        origins = table.params, table.metrics, table.carried
        for kinds, names in zip(joined, origins, strict=True):
            for keys, name in names.items():
                kinds[keys] = joined_kind({table.kinds[name], kinds.get(keys, "")})
    return all_columns(joined, SWEEP | FIRST, LAST)


def _about(label: str, request: TableRequest) -> TableRequest:
    """The request to one sweep: notices name it, rows are ordered by the other columns."""
    columns = tuple(name for name in request.order.columns if name not in SWEEP)
    descending = request.order.descending and bool(columns)
    return replace(
        request,
        order=replace(request.order, columns=columns, descending=descending),
        notify=lambda text: request.notify(f"{label}: {text}"),
    )


def _joined(parts: Mapping[str, Iterator[TableRow]], table: TableColumns) -> Iterator[TableRow]:
    """The rows of all sweeps."""

    def make(names: Sequence[str]) -> Iterator[TableBatch]:
        own = [name for name in names if name != "sweep"]
        for label, rows in parts.items():
            for batch in batches_of(replace(table, names=own), rows):
                yield replace(batch, values={"sweep": [label] * batch.count, **batch.values})

    counts = [rows.count for rows in parts.values() if isinstance(rows, TableRows)]
    if len(counts) == len(parts):
        return TableRows(make, list(table.kinds), sum(counts))
    return (row for batch in make(table.names) for row in batch.rows())
