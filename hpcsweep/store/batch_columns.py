"""Complete a batch: its rows as columns, and what can be known of them before they are merged."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from hpcsweep.logbook.json_values import FLOAT
from hpcsweep.store import column_kinds, number_columns
from hpcsweep.store.case_groups import OUTCOMES
from hpcsweep.store.column_kinds import KINDS, Kinds, parse_documents
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
    if numbers is not None:
        for name, of_name in documents.items():
            kinds: Kinds = {}
            column_kinds.learn(kinds, of_name)
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
    at = {case_id: place for place, case_id in enumerate(batch.case_ids)}
    of_blocks: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for index, case_id in batch.places.items():
        if case_id in at:
            of_blocks[index // BLOCK].append((index, at[case_id]))
    once = (1,) * len(batch.case_ids)
    columns = batch.cases | {"attempt": once, "tries": once}
    made: dict[str, dict[int, Any]] = {OUTCOMES.column: {}, KINDS.column: {}}
    for block, pairs in of_blocks.items():
        indices, places = zip(*sorted(pairs), strict=True)
        of_block = [[columns[name][place] for place in places] for name in OUTCOMES.names]
        made[OUTCOMES.column][block] = OUTCOMES.make(indices, of_block)
        carried = [batch.carried[index] for index in indices if index in batch.carried]
        made[KINDS.column][block] = column_kinds.of_documents(
            *([documents[name][place] for place in places] for name in ("params", "metrics")),
            parse_documents(carried),
        )
    return made
