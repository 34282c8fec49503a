"""The names of columns, also for a shell that completes them: imports no library."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from hpcsweep.errors import HpcsweepError
from hpcsweep.sweepdir.directory import INDEX_NAME

if TYPE_CHECKING:
    from hpcsweep.sweepdir.directory import SweepDirectory

# Columns before the params and after the metrics, with the kind of their values.
FIRST = {"index": "int", "case_id": "str", "replicate": "int", "status": "str", "reason": "str"}
LAST = {
    "seed": "str",
    "started": "str",
    "ended": "str",
    "wall_seconds": "float",
    "cpu_seconds": "float",
    "max_rss_bytes": "int",
    "host": "str",
    "job_id": "str",
    "run_dir": "str",
    "code_digest": "str",
    "error": "str",
}

# Columns that are there if they are named: whether a case is complete and was computed with other
# code than is there now, and whether its inputs have changed since.
STALE = "stale"
INPUTS_CHANGED = "inputs_changed"
ON_DEMAND = {STALE: "bool", INPUTS_CHANGED: "bool"}

# Cases whose metrics are looked at, and seconds to wait for a writer of the index.
_LOOKED_AT = 20
_PATIENCE_S = 0.05


def flatten(value: Mapping[str, Any], above: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Flatten nested mappings to values by their keys; lists stay lists."""
    flat: dict[tuple[str, ...], Any] = {}
    for name, item in value.items():
        if isinstance(item, Mapping) and item:
            flat |= flatten(item, (*above, name))
        else:
            flat[(*above, name)] = item
    return flat


def known_names(directory: SweepDirectory) -> list[str]:
    """The names of a sweep's columns, as far as a glance at its first cases tells.

    Metrics are those of an index in SQLite; without one they are missing.
    """
    names = [*FIRST, *_params(directory)]
    names += _in_index(directory)
    return list(dict.fromkeys([*names, *LAST, *ON_DEMAND]))


def _params(directory: SweepDirectory) -> Iterator[str]:
    with suppress(HpcsweepError, LookupError):
        yield from map(".".join, flatten(directory.newest().source[0].params))


def _in_index(directory: SweepDirectory) -> Iterator[str]:
    """Names of params and metrics of the first complete cases."""
    query = "SELECT params, metrics FROM cases WHERE status = 'complete' LIMIT ?"
    address = f"{(directory.path / INDEX_NAME).absolute().as_uri()}?mode=ro"
    connect = partial(sqlite3.connect, address, timeout=_PATIENCE_S, uri=True)
    with suppress(sqlite3.Error), closing(connect()) as index:
        for texts in index.execute(query, [_LOOKED_AT]):
            for text in texts:
                yield from map(".".join, flatten(json.loads(text)))
