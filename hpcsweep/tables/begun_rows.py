"""The rows of begun cases in batches, from the index."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Self

from hpcsweep.indexset import IndexSet
from hpcsweep.state.failures import error_message
from hpcsweep.store import SweepIndex
from hpcsweep.store.column_kinds import Keys, parse_documents, values_at
from hpcsweep.store.gc_control import gc_paused
from hpcsweep.store.number_columns import NumberColumns
from hpcsweep.tables.arrow_members import arrow_members
from hpcsweep.tables.batches import TableBatch, as_list, batched_rows
from hpcsweep.tables.column_names import FIRST, LAST
from hpcsweep.tables.columns import TableColumns, TableRow

# The column of the index where a table's column has another name.
_SQL_NAMES = {"index": "idx"}
# The kinds of columns whose values may be in columns of numbers, and in no others.
_NUMBERS = ("int", "float")
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
    kinds = columns.kinds if as_arrow else None
    origins = _Origins.of(columns, names, sweep_index.number_columns(), kinds)
    pages_of = sweep_index.arrow_columns if as_arrow else sweep_index.columns
    pages = pages_of(origins.sql_names, within=within, numbers=origins.sql_numbers)
    return (batch for _, batch in _batches(pages, origins, kinds))


def begun_pages(
    sweep_index: SweepIndex,
    columns: TableColumns,
    names: Sequence[str],
    within: IndexSet | None,
    more: Iterable[str],
) -> Iterator[tuple[_Page, TableBatch]]:
    """The batches of begun cases, of all without `within`, each with its page of the index.

    `more` are columns of the index that a page has besides, none with a document.
    """
    origins = _Origins.of(columns, names, sweep_index.number_columns())
    pages = sweep_index.columns(
        [*origins.sql_names, *more], within=within, numbers=origins.sql_numbers
    )
    return _batches(pages, origins, None)


class _Origins(NamedTuple):
    """What columns of a table come from."""

    # The column of the index by the name of a table's.
    plain: dict[str, str]
    # The members of JSON documents, by the column of the index: their keys by name.
    documents: dict[str, dict[str, Keys]]

    # The columns of the index with the numbers of a document, by name; only of documents all of
    # whose members here have one.
    numbers: dict[str, dict[str, str]]

    @classmethod
    def of(
        cls,
        columns: TableColumns,
        names: Sequence[str],
        known: NumberColumns | None,
        arrow_kinds: Mapping[str, str] | None = None,
    ) -> Self:
        """Those of the columns `names`, and of the index; `arrow_kinds` as in `_batch`."""
        plain = {
            name: _SQL_NAMES.get(name, name) for name in names if name in FIRST or name in LAST
        }
        every = {"params": columns.params, "metrics": columns.metrics, "carried": columns.carried}
        documents = {
            column: {name: keys for keys, name in members.items() if name in names}
            for column, members in every.items()
        }
        documents = {column: members for column, members in documents.items() if members}
        numbers = {
            column: {name: known[column, keys] for name, keys in members.items()}
            for column, members in documents.items()
            if known
            and all((column, keys) in known for keys in members.values())
            # Arrow's arrays have one type: it would make floats of ints beside texts and floats.
            and (not arrow_kinds or all(arrow_kinds[name] in _NUMBERS for name in members))
        }
        return cls({**plain, "index": "idx"}, documents, numbers)

    @property
    def sql_names(self) -> list[str]:
        """The columns of the index, but for those with numbers."""
        return [*self.plain.values(), *self.documents]

    @property
    def sql_numbers(self) -> dict[str, Collection[str]]:
        """The columns of the index with numbers, by document."""
        return {column: of_names.values() for column, of_names in self.numbers.items()}


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
        texts = page[column]
        numbers = origins.numbers.get(column)
        if numbers is None:
            made, of_null = _members(texts, members, arrow_kinds)
        else:
            repeated = {name: page[number] for name, number in numbers.items()}
            made, of_null = _filled(repeated, texts, members, arrow_kinds)
        values |= made
        nulls |= of_null
    return TableBatch(count=len(page["idx"]), values=values, nulls=nulls)


# Values, and the positions of nulls, by name.
_Members = tuple[dict[str, Sequence[Any]], dict[str, list[int]]]


def _filled(
    numbers: dict[str, Sequence[Any]],
    texts: Any,
    members: Mapping[str, Keys],
    arrow_kinds: Mapping[str, str] | None,
) -> _Members:
    """The columns `members` of documents, from numbers, and from the texts where there is one."""
    count = len(texts)
    without = texts.count(None) if isinstance(texts, list | tuple) else texts.null_count
    if without == count:
        return numbers, {}
    if not without:
        return _members(texts, members, arrow_kinds)
    places = [at for at, text in enumerate(as_list(texts)) if text is not None]
    some = [text for text in as_list(texts) if text is not None]
    made, nulls = _members(some, members, arrow_kinds)
    values: dict[str, Sequence[Any]] = {}
    for name, repeated in numbers.items():
        filled = list(as_list(repeated))
        for place, value in zip(places, as_list(made[name]), strict=True):
            filled[place] = value
        values[name] = filled
    return values, {name: [places[at] for at in of_name] for name, of_name in nulls.items()}


def _members(
    texts: Sequence[str | None],
    members: Mapping[str, Keys],
    arrow_kinds: Mapping[str, str] | None,
) -> _Members:
    """The columns `members` of JSON documents; names that appeared since have no column yet."""
    arrays = arrow_members(texts, members, arrow_kinds) if arrow_kinds else None
    if arrays is not None:
        return arrays, {}
    documents = parse_documents([text or "{}" for text in as_list(texts)])
    values: dict[str, Sequence[Any]] = {}
    nulls: dict[str, list[int]] = {}
    for name, keys in members.items():
        values[name], of_null = values_at(documents, keys)
        if of_null:
            nulls[name] = of_null
    return values, nulls


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
