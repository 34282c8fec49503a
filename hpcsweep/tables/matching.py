"""Conditions on cases that never began: by the same SQL as on cases with a row."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import create_engine, select

from hpcsweep import ids
from hpcsweep.indexset import IndexSet
from hpcsweep.records import ParamCase
from hpcsweep.state.outlook import Outlook
from hpcsweep.store import schema
from hpcsweep.store.record_rows import json_text
from hpcsweep.tables.column_names import INPUTS_CHANGED
from hpcsweep.tables.named_cases import cases_made
from hpcsweep.tables.sql_columns import SqlColumn, among_column
from hpcsweep.tables.where import parse

# Cases in memory at a time.
CASES_AT_ONCE = 5000


def matching_new(
    outlook: Outlook,
    never: IndexSet,
    where: str,
    columns: Mapping[str, SqlColumn],
    limit: int | None,
) -> IndexSet:
    """The indices of cases without a row that satisfy a condition; at least the first `limit`.

    A database in memory holds rows of them, a batch at a time: one meaning of conditions for all.
    *Raises* InputError.
    """
    changed = columns.get(INPUTS_CHANGED)
    if changed is not None and changed.truth is not None:
        # It is in the dialect of the index; and no case without a row has changed inputs.
        columns = {**columns, INPUTS_CHANGED: among_column(IndexSet(), "sqlite")}
    condition = parse(where, columns, "sqlite")
    if not never:
        return never
    query = select(schema.cases.c.idx).where(condition)
    engine = create_engine("sqlite://")
    indices: list[int] = []
    with engine.begin() as connection:
        schema.cases.create(connection)
        for start in range(0, never.count, CASES_AT_ONCE):
            if limit is not None and len(indices) >= limit:
                break
            made = list(
                cases_made(outlook.version.source, never.slice(start, start + CASES_AT_ONCE))
            )
            if not made:
                continue
            connection.execute(schema.cases.insert(), [_row(outlook, case) for case in made])
            indices += connection.scalars(query)
            connection.execute(schema.cases.delete())
    engine.dispose()
    return IndexSet.of(sorted(indices))


def _row(outlook: Outlook, case: ParamCase) -> dict[str, str | int | None]:
    """The row of a case without any attempt."""
    group = next(group for group in outlook.groups if case.index in group.indices)
    seed = ids.case_seed(outlook.version.manifest.seed, case.case_id, case.replicate)
    return {
        # Equal cases have a row each, so the key is that of their index.
        "sweep": str(case.index),
        "idx": case.index,
        "carried": json_text(case.carried),
        **dict.fromkeys(("rank", "token", "tags"), ""),
        **dict.fromkeys(("generation", "submission", "chunk", "restart", "attempt"), 0),
        "case_id": case.case_id,
        "seed": f"{seed:032x}",
        "status": group.status.value,
        "reason": group.reason.value if group.reason else None,
        "params": json_text(case.params),
        "metrics": "{}",
        "replicate": case.replicate,
    }
