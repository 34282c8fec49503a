"""The attempts of cases as rows: of a case with one attempt, its row in `cases` says it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, and_, literal_column, select, union

from hpcsweep.records import Status
from hpcsweep.store import schema
from hpcsweep.store.placed import IDX, placed
from hpcsweep.store.record_rows import ATTEMPT_COLUMNS, ATTEMPT_KEY

# Of columns of `attempts`; they are null for a case with one attempt.
_PREFIX = "each_"
_FINAL = tuple(status.value for status in Status if status.is_final)


def query(sweep: str, within: ColumnElement[bool]) -> CompoundSelect[Any]:
    """All attempts of the cases at some indices, in index order and that of attempts."""
    cases, attempts = schema.cases.c, schema.attempts.c
    columns = (
        cases.idx,
        cases.params,
        cases.replicate,
        *(cases[name] for name in ATTEMPT_COLUMNS),
        *(attempts[name].label(_PREFIX + name) for name in ATTEMPT_COLUMNS),
    )
    order: Iterator[ColumnElement[Any]] = (
        literal_column(_PREFIX + name) for name in ATTEMPT_KEY[1:]
    )
    return placed(sweep, columns, [within], _with_attempts).order_by(IDX, *order)


def _with_attempts(query: Select[Any]) -> Select[Any]:
    cases, attempts = schema.cases.c, schema.attempts.c
    of_case = and_(attempts.sweep == cases.sweep, attempts.case_id == cases.case_id)
    return query.outerjoin(schema.attempts, of_case)


def ended(sweep: str, cases: Sequence[str]) -> CompoundSelect[Any]:
    """The keys of the attempts at these cases of which an end is known."""
    of_tables = (
        select(*(table.c[name] for name in ATTEMPT_KEY)).where(
            table.c.sweep == sweep, table.c.case_id.in_(cases), table.c.status.in_(_FINAL)
        )
        for table in (schema.cases, schema.attempts)
    )
    return union(*of_tables)


def numbered(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows of `query` without prefixes, with the number of each attempt."""
    index, number = -1, 0
    for row in rows:
        number = number + 1 if row["idx"] == index else 1
        index = row["idx"]
        prefix = "" if row[f"{_PREFIX}token"] is None else _PREFIX
        yield {
            "idx": index,
            "number": number,
            "params": row["params"],
            "replicate": row["replicate"],
            **{name: row[prefix + name] for name in ATTEMPT_COLUMNS},
        }
