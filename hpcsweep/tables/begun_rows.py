"""The rows of begun cases in batches, from the index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hpcsweep.indexset import IndexSet
from hpcsweep.state.failures import error_message
from hpcsweep.store import SweepIndex
from hpcsweep.store.column_kinds import Keys, parse_documents
from hpcsweep.store.gc_control import gc_paused
from hpcsweep.tables.batches import TableBatch, batched_rows, values_at
from hpcsweep.tables.column_names import FIRST, LAST
from hpcsweep.tables.columns import TableColumns, TableRow

# The column of the index where a table's column has another name.
_SQL_NAMES = {"index": "idx"}


def begun_batches(
    sweep_index: SweepIndex, columns: TableColumns, names: Sequence[str], within: IndexSet | None
) -> Iterator[TableBatch]:
    """The rows of begun cases with the index and these columns, in index order."""
    return (batch for _, batch in begun_pages(sweep_index, columns, names, within))


def begun_pages(
    sweep_index: SweepIndex,
    columns: TableColumns,
    names: Sequence[str],
    within: IndexSet | None = None,
    more: Iterable[str] = (),
) -> Iterator[tuple[Mapping[str, Sequence[Any]], TableBatch]]:
    """The batches of `begun_batches`, each with its page of the index.

    `more` are columns of the index that a page has besides.
    """
    plain = {name: _SQL_NAMES.get(name, name) for name in names if name in FIRST or name in LAST}
    plain["index"] = "idx"
    documents = {
        "params": {name: keys for keys, name in columns.params.items() if name in names},
        "metrics": {name: keys for keys, name in columns.metrics.items() if name in names},
        "carried": {name: keys for keys, name in columns.carried.items() if name in names},
    }
    selected = [*plain.values(), *(column for column, members in documents.items() if members)]
    pages = sweep_index.columns([*dict.fromkeys([*selected, *more])], within=within)
    while True:
        with gc_paused():
            page = next(pages, None)
            if page is None:
                return
            batch = _batch(page, plain, documents)
        yield page, batch


def _batch(
    page: Mapping[str, Sequence[Any]],
    plain: Mapping[str, str],
    documents: Mapping[str, Mapping[str, Keys]],
) -> TableBatch:
    """The batch of one page: `plain` columns, and members of its JSON documents."""
    values = {name: page[column] for name, column in plain.items()}
    if "error" in values:
        values["error"] = _messages(values["error"])
    nulls: dict[str, list[int]] = {}
    for column, members in documents.items():
        if members:
            _add_members(values, nulls, page[column], members)
    return TableBatch(count=len(page["idx"]), values=values, nulls=nulls)


def _add_members(
    values: dict[str, Sequence[Any]],
    nulls: dict[str, list[int]],
    texts: Sequence[str | None],
    members: Mapping[str, Keys],
) -> None:
    """Add the columns `members` of JSON documents; names that appeared since have no column yet."""
    documents = parse_documents([text or "{}" for text in texts])
    for name, keys in members.items():
        values[name], of_null = values_at(documents, keys)
        if of_null:
            nulls[name] = of_null


def _messages(errors: Sequence[str | None]) -> Sequence[str | None]:
    """The messages of errors, escaped in every format: they must not control a terminal."""
    if not any(errors):
        return errors
    return list(map(error_message, errors))


def merged_batches(
    begun: Iterator[TableBatch], others: Iterator[TableRow], names: Sequence[str]
) -> Iterator[TableBatch]:
    """Batches of begun cases with these columns and other rows, in index order.

    Of an index that has both, the other row is dropped: the case has begun since.
    """
    other = next(others, None)

    def up_to(batch: TableBatch) -> Iterator[TableRow]:
        """The rows of a batch, each after the other rows before it."""
        nonlocal other
        for row in batch.rows():
            while other is not None and other["index"] <= row["index"]:
                if other["index"] < row["index"]:
                    yield other
                other = next(others, None)
            yield row

    def rest() -> Iterator[TableRow]:
        nonlocal other
        while other is not None:
            yield other
            other = next(others, None)

    for batch in begun:
        if other is None or other["index"] > batch.values["index"][-1]:
            yield batch
        else:
            yield from batched_rows(names, up_to(batch))
    yield from batched_rows(names, rest())
