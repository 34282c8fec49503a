"""The attempts of cases as rows: of a case with one attempt, its row in `cases` says it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sqlalchemy import Select, and_

from hpcsweep.store import schema
from hpcsweep.store.record_rows import ATTEMPT_COLUMNS, ATTEMPT_KEY


def query(joined: Select[Any]) -> Select[Any]:
    """All attempts of the cases in `joined`, places and cases, in index order and that of attempts.

    Columns of `attempts` have the prefix `each_`; they are null for a case with one attempt.
    """
    cases, attempts, places = schema.cases.c, schema.attempts.c, schema.places.c
    return (
        joined.with_only_columns(
            places.idx,
            cases.params,
            cases.replicate,
            *(cases[name] for name in ATTEMPT_COLUMNS),
            *(attempts[name].label(f"each_{name}") for name in ATTEMPT_COLUMNS),
        )
        .outerjoin(
            schema.attempts, and_(attempts.sweep == cases.sweep, attempts.case_id == cases.case_id)
        )
        .order_by(places.idx, *(attempts[name] for name in ATTEMPT_KEY[1:]))
    )


def numbered(rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows of `query` without prefixes, with the number of each attempt."""
    index, number = -1, 0
    for row in rows:
        number = number + 1 if row["idx"] == index else 1
        index = row["idx"]
        prefix = "" if row["each_token"] is None else "each_"
        yield {
            "idx": index,
            "number": number,
            "params": row["params"],
            "replicate": row["replicate"],
            **{name: row[prefix + name] for name in ATTEMPT_COLUMNS},
        }
