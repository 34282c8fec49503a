"""Rows for an index, made by hand."""

from __future__ import annotations

import json
from itertools import chain
from typing import Any

from hpcsweep.indexset import IndexSet
from hpcsweep.store import SweepIndex, schema
from hpcsweep.store.record_rows import CASE_COLUMNS
from hpcsweep.store.upsert import RowBatch

MANIFEST = "f" * 16


def case(number: int, **fields: Any) -> dict[str, Any]:
    """Make a row of `cases`; columns that are not given get some value."""
    defaults: dict[str, Any] = {
        column.name: None if column.nullable else 0 for column in schema.cases.columns
    }
    words = {
        "case_id": f"{number:016x}",
        "rank": f"000000.0.000001.000000.{'a' * 16}.0.{number:08x}",
        "status": "running",
        "params": json.dumps({"x": number}),
        "tags": "[]",
        "metrics": "{}",
        "seed": f"{number:032x}",
        "submission": 1,
        "token": "a" * 16,
    }
    own = defaults | words | fields
    merged = {"sweep", "attempt", "idx", "carried", *chain.from_iterable(schema.NUMBERS.values())}
    return {name: value for name, value in own.items() if name not in merged}


def better(row: dict[str, Any], by: int = 1, **fields: Any) -> dict[str, Any]:
    """The same case by a higher record."""
    return row | {"rank": f"{by:06d}{row['rank'][6:]}", "generation": by} | fields


def batch(*rows: dict[str, Any], **fields: Any) -> RowBatch:
    """A batch of rows of `cases`, each at the index that equals its case id; `fields` add to it."""
    places = {int(row["case_id"], 16): row["case_id"] for row in rows}
    cases = {name: [row[name] for row in rows] for name in CASE_COLUMNS} if rows else {}
    return RowBatch(**({"manifest": MANIFEST, "cases": cases, "places": places} | fields))


def indices(sweep_index: SweepIndex) -> IndexSet:
    """The indices that any attempt began."""
    return IndexSet(pair for group in sweep_index.case_groups() for pair in group.indices.ranges)
