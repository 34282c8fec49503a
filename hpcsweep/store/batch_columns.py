"""Complete a batch: its rows as columns, and what can be known of them before they are merged."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

from hpcsweep.logbook.json_values import FLOAT
from hpcsweep.store import column_kinds, number_columns
from hpcsweep.store.case_groups import OUTCOMES
from hpcsweep.store.column_kinds import KINDS, parse_documents
from hpcsweep.store.number_columns import NumberColumns
from hpcsweep.store.record_rows import CASE_COLUMNS, CaseRow, json_texts
from hpcsweep.store.schema import BLOCK
from hpcsweep.store.upsert import CaseColumns, RowBatch

_FLOAT_KEY = f'"{FLOAT}"'

# JSON objects of successive cases, by the column that has their text.
_Documents = dict[str, Sequence[dict[str, Any]]]


def complete(
    batch: RowBatch, rows: Iterable[CaseRow], numbers: NumberColumns | None
) -> NumberColumns | None:
    """Put rows into a batch that has everything else, their metrics as text.

    `numbers` are the columns of numbers so far; None where numbers have no columns. Returns them
    with those of new keys.
    """
    columns: CaseColumns = dict(zip(CASE_COLUMNS, zip(*rows, strict=True), strict=False))
    batch.cases = columns
    if not columns:
        return numbers
    metrics = columns["metrics"]
    columns["metrics"] = json_texts(metrics)
    if numbers is None and not batch.is_first:
        return None
    documents = _documents(columns, metrics)
    if batch.is_first:
        batch.digests = _digests(batch, documents)
        of_batch = column_kinds.merged(batch.digests[KINDS.column].values())
    else:
        of_batch = column_kinds.merged([column_kinds.of_documents(*documents.values(), ())])
    if numbers is not None:
        for name, kinds in zip(documents, of_batch, strict=False):
            numbers = number_columns.extended(numbers, name, kinds)
        batch.numbers = numbers
        columns |= number_columns.split(numbers, documents)
    return numbers


def _documents(columns: CaseColumns, metrics: Sequence[dict[str, Any]]) -> _Documents:
    texts = columns["metrics"]
    has_float = any(_FLOAT_KEY in text for text in texts)
    return {
        "params": parse_documents(columns["params"]),
        "metrics": parse_documents(texts) if has_float else metrics,
    }


def _digests(batch: RowBatch, documents: _Documents) -> dict[str, dict[int, Any]]:
    """The digests of blocks, as far as they have the cases of this batch alone, by column."""
    once = (1,) * len(batch.case_ids)
    columns = batch.cases | {"attempt": once, "tries": once}
    made: dict[str, dict[int, Any]] = {OUTCOMES.column: {}, KINDS.column: {}}
    for block, indices, pick in _blocks(batch):
        of_block = [pick(columns[name]) for name in OUTCOMES.names]
        made[OUTCOMES.column][block] = OUTCOMES.make(indices, of_block)
        carried = [batch.carried[index] for index in indices if index in batch.carried]
        parts = (pick(documents["params"]), pick(documents["metrics"]), parse_documents(carried))
        made[KINDS.column][block] = column_kinds.of_documents(*parts)
    return made


def _blocks(batch: RowBatch) -> Iterator[tuple[int, Sequence[int], Callable[[Any], Any]]]:
    """Each block, its indices that have a row, in order, and what picks their values."""
    indices = list(batch.places)
    if list(batch.places.values()) == list(batch.case_ids) and indices == sorted(indices):
        start = 0
        while start < len(indices):
            block = indices[start] // BLOCK
            end = bisect_left(indices, (block + 1) * BLOCK, start)
            yield block, indices[start:end], itemgetter(slice(start, end))
            start = end
        return
    at = {case_id: place for place, case_id in enumerate(batch.case_ids)}
    of_blocks: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for index, case_id in batch.places.items():
        if case_id in at:
            of_blocks[index // BLOCK].append((index, at[case_id]))
    for block, pairs in of_blocks.items():
        own, places = zip(*sorted(pairs), strict=True)
        yield block, own, partial(_picked, places)


def _picked(places: Sequence[int], values: Sequence[Any]) -> list[Any]:
    return [values[place] for place in places]
