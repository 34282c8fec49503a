"""The rows of begun cases in batches, from the index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from hpcsweep.indexset import IndexSet
from hpcsweep.state.failures import error_message
from hpcsweep.store import SweepIndex
from hpcsweep.store.column_kinds import Keys, parse_documents, values_at
from hpcsweep.store.gc_control import gc_paused
from hpcsweep.tables.arrow_members import arrow_members
from hpcsweep.tables.batches import TableBatch, as_list, batched_rows
from hpcsweep.tables.column_names import FIRST, LAST
from hpcsweep.tables.columns import TableColumns, TableRow

# The column of the index where a table's column has another name.
_SQL_NAMES = {"index": "idx"}
# Values of successive rows by column of the index.
_Page = Mapping[str, Sequence[Any]]


def begun_batches(
    sweep_index: SweepIndex,
    columns: TableColumns,
    names: Sequence[str],
    within: IndexSet | None,
    *,
    as_arrow: bool = False,
) -> Iterator[TableBatch]:
    """The rows of begun cases with the index and these columns, in index order.

    `as_arrow` allows values that are Arrow arrays.
    """
    origins = _Origins.of(columns, names)
    pages_of = sweep_index.arrow_columns if as_arrow else sweep_index.columns
    pages = pages_of(origins.sql_names, within=within)
    kinds = columns.kinds if as_arrow else None
    return (batch for _, batch in _batches(pages, origins, kinds))


def begun_pages(
    sweep_index: SweepIndex,
    columns: TableColumns,
    names: Sequence[str],
    within: IndexSet | None,
    more: Iterable[str],
) -> Iterator[tuple[_Page, TableBatch]]:
    """The batches of begun cases, of all without `within`, each with its page of the index.

    `more` are columns of the index that a page has besides.
    """
    origins = _Origins.of(columns, names)
    selected = dict.fromkeys((*origins.sql_names, *more))
    return _batches(sweep_index.columns(list(selected), within=within), origins, None)


class _Origins(NamedTuple):
    """What columns of a table come from."""

    # The column of the index by the name of a table's.
    plain: dict[str, str]
    # The members of JSON documents, by the column of the index: their keys by name.
    documents: dict[str, dict[str, Keys]]

    @classmethod
    def of(cls, columns: TableColumns, names: Sequence[str]) -> Self:
        """Those of the columns `names`, and of the index."""
        plain = {
            name: _SQL_NAMES.get(name, name) for name in names if name in FIRST or name in LAST
        }
        every = {"params": columns.params, "metrics": columns.metrics, "carried": columns.carried}
        documents = {
            column: {name: keys for keys, name in members.items() if name in names}
            for column, members in every.items()
        }
        return cls(
            {**plain, "index": "idx"},
            {column: members for column, members in documents.items() if members},
        )

    @property
    def sql_names(self) -> list[str]:
        """The columns of the index."""
        return [*self.plain.values(), *self.documents]


def _batches(
    pages: Iterator[_Page], origins: _Origins, arrow_kinds: Mapping[str, str] | None
) -> Iterator[tuple[_Page, TableBatch]]:
    while True:
        with gc_paused():
            page = next(pages, None)
            if page is None:
                return
            batch = _batch(page, origins, arrow_kinds)
        yield page, batch


def _batch(page: _Page, origins: _Origins, arrow_kinds: Mapping[str, str] | None) -> TableBatch:
    """The batch of one page. `arrow_kinds`: the kinds of columns that may be Arrow arrays."""
    values = {name: page[column] for name, column in origins.plain.items()}
    if "error" in values:
        values["error"] = _messages(values["error"])
    nulls: dict[str, list[int]] = {}
    for column, members in origins.documents.items():
        arrays = arrow_members(page[column], members, arrow_kinds) if arrow_kinds else None
        if arrays is None:
            texts = [text or "{}" for text in as_list(page[column])]
            _add_members(values, nulls, texts, members)
        else:
            values |= arrays
    return TableBatch(count=len(page["idx"]), values=values, nulls=nulls)


def _add_members(
    values: dict[str, Sequence[Any]],
    nulls: dict[str, list[int]],
    texts: Sequence[str],
    members: Mapping[str, Keys],
) -> None:
    """Add the columns `members` of JSON documents; names that appeared since have no column yet."""
    documents = parse_documents(texts)
    for name, keys in members.items():
        values[name], of_null = values_at(documents, keys)
        if of_null:
            nulls[name] = of_null


def _messages(errors: Sequence[str | None]) -> Sequence[str | None]:
    """The messages of errors, escaped in every format: they must not control a terminal."""
    texts = as_list(errors)
    return list(map(error_message, texts)) if any(texts) else errors


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
        if other is None or other["index"] > as_list(batch.values["index"][-1:])[0]:
            yield batch
        else:
            yield from batched_rows(names, up_to(batch))
    yield from batched_rows(names, rest())
