"""A batch under construction: the columns of its rows, and what is known of them together.

Records come in pieces, which are small enough for the processor's cache: what can be made of a
piece is made while it is there.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpcsweep.ids import FLOAT
from hpcsweep.records import Status
from hpcsweep.store import column_kinds, number_columns
from hpcsweep.store.column_kinds import KINDS, Kinds, parse_documents
from hpcsweep.store.number_columns import NumberColumns
from hpcsweep.store.record_rows import ATTEMPT_COLUMNS, ATTEMPT_KEY
from hpcsweep.store.schema import BLOCK
from hpcsweep.store.upsert import CaseColumns, RowBatch, is_same_identity, shared_id_error

_FLOAT_KEY = f'"{FLOAT}"'

# JSON objects of successive cases, by the column that has their text.
_Documents = dict[str, Sequence[Mapping[str, Any]]]
# The values of a case by column.
_Row = dict[str, Any]


@dataclass(kw_only=True, slots=True)
class PendingBatch:
    """A batch under construction; of all records about a case it keeps the best one."""

    rows: RowBatch
    # Where the index is, for messages.
    destination: str = ""
    # The columns of numbers so far; None where numbers have none.
    numbers: NumberColumns | None = None
    # Case ids by manifest fingerprint and index.
    seen: defaultdict[str, dict[int, str]] = field(default_factory=lambda: defaultdict(dict))
    # The place of each case in the columns.
    _places: dict[str, int] = field(default_factory=dict)
    # Ids of cases with several attempts in this batch.
    _several: set[str] = field(default_factory=set)
    # Whether each index had one record with a result: then `digests` are known.
    is_plain: bool = True
    # The index and the values of cases, by column.
    _indices: list[int] = field(default_factory=list)
    _columns: dict[str, list[Any]] = field(default_factory=dict)
    # The kinds of values in each document, by block.
    _kinds: dict[int, dict[str, Kinds]] = field(default_factory=dict)

    def add(
        self,
        indices: Sequence[int],
        columns: CaseColumns,
        metrics: Sequence[dict[str, Any]],
        key: frozenset[str] | None,
    ) -> None:
        """Add the columns of cases at these indices, and their decoded metrics.

        Only the params in `key` make the id of a case; None for all. *Raises* StoreError for two
        cases of one id.
        """
        if self.numbers is not None or self.rows.is_first:
            columns |= self._measured(indices, columns, metrics)
        repeated = self._repeated(columns["case_id"])
        rows = [{name: column[at] for name, column in columns.items()} for at in repeated]
        if repeated:
            columns = {name: _without(column, repeated) for name, column in columns.items()}
        self._indices += _without(indices, repeated)
        self._extend(columns)
        for at, row in zip(repeated, rows, strict=True):
            self._settle(indices[at], row, key)

    @property
    def columns(self) -> CaseColumns:
        """The rows of cases."""
        return {**self._columns}

    def digests(self) -> dict[str, dict[int, Any]]:
        """What is known of the blocks of its indices, by column of `blocks`."""
        if not self.is_plain:
            return {}
        carried: defaultdict[int, list[str]] = defaultdict(list)
        for index, text in self.rows.carried.items():
            carried[index // BLOCK].append(text)
        kinds = {}
        for block, of_documents in self._kinds.items():
            of_carried: Kinds = {}
            column_kinds.learn(of_carried, parse_documents(carried[block]))
            every = (*of_documents.values(), of_carried)
            kinds[block] = [sorted(of_document.items()) for of_document in every]
        return {KINDS.column: kinds}

    def _measured(
        self, indices: Sequence[int], columns: CaseColumns, metrics: Sequence[dict[str, Any]]
    ) -> CaseColumns:
        """The columns of numbers of cases, whose kinds are learned."""
        has_float = any(_FLOAT_KEY in text for text in columns["metrics"])
        documents: _Documents = {
            "params": parse_documents(columns["params"]),
            "metrics": parse_documents(columns["metrics"]) if has_float else metrics,
        }
        for block, part in _by_block(indices):
            of_block = self._kinds.setdefault(block, {name: {} for name in documents})
            for name, values in documents.items():
                own = values if len(part) == len(indices) else [values[at] for at in part]
                column_kinds.learn(of_block[name], own)
                if self.numbers is not None:
                    self.numbers = number_columns.extended(self.numbers, name, of_block[name])
        return {} if self.numbers is None else number_columns.split(self.numbers, documents)

    def _repeated(self, case_ids: Sequence[str]) -> list[int]:
        """The positions of cases that came before, in this batch or these."""
        if self._places.keys().isdisjoint(case_ids) and len(set(case_ids)) == len(case_ids):
            return []
        before = set(self._places)
        found = []
        for at, case_id in enumerate(case_ids):
            if case_id in before:
                found.append(at)
            before.add(case_id)
        return found

    def _extend(self, columns: CaseColumns) -> None:
        start, case_ids = len(self._places), columns["case_id"]
        self._places.update(zip(case_ids, range(start, start + len(case_ids)), strict=True))
        own = self._columns
        for name, column in columns.items():
            if name not in own:
                own[name] = [None] * start
            own[name] += column
        for name in own.keys() - columns.keys():
            own[name] += [None] * len(case_ids)

    def _settle(self, index: int, row: _Row, key: frozenset[str] | None) -> None:
        """Add the row of a case that the batch has already."""
        case_id, columns = row["case_id"], self._columns
        place = self._places[case_id]
        best = {name: column[place] for name, column in columns.items()}
        params, others = row["params"], best["params"]
        if not is_same_identity(params, others, key):
            raise shared_id_error(case_id, params, others, self.destination)
        if any(row[name] != best[name] for name in ATTEMPT_KEY):
            self._several.add(case_id)
            self.rows.attempts.append(_attempt(best))
        if case_id in self._several:
            self.rows.attempts.append(_attempt(row))
        wins = row["rank"] > best["rank"]
        loser = best if wins else row
        has_nothing = loser["status"] == Status.RUNNING.value and loser["metrics"] == "{}"
        if not has_nothing or params != others or index != self._indices[place]:
            self.is_plain = False
        if wins:
            for name, column in columns.items():
                column[place] = row.get(name)


def _attempt(row: _Row) -> tuple[Any, ...]:
    """The values of `record_rows.ATTEMPT_COLUMNS`."""
    return tuple(row[name] for name in ATTEMPT_COLUMNS)


def _without(column: Sequence[Any], positions: Sequence[int]) -> list[Any]:
    kept = list(column)
    for at in reversed(positions):
        del kept[at]
    return kept


def _by_block(indices: Sequence[int]) -> Iterator[tuple[int, Sequence[int]]]:
    """The positions of the indices of each block."""
    first, last = min(indices) // BLOCK, max(indices) // BLOCK
    if first == last:
        yield first, range(len(indices))
        return
    parts: defaultdict[int, list[int]] = defaultdict(list)
    for at, index in enumerate(indices):
        parts[index // BLOCK].append(at)
    yield from parts.items()
