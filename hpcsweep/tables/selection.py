"""The selection: which cases a command means."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from sqlalchemy import create_engine, select

from hpcsweep.errors import InputError, SourceError
from hpcsweep.indexset import IndexSet
from hpcsweep.records import ParamCase, Status
from hpcsweep.sources import ParameterSource
from hpcsweep.state.index_order import in_order_of
from hpcsweep.store import SweepIndex, schema
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory
from hpcsweep.sweepdir.version import Version
from hpcsweep.tables.collect import Keys, all_columns, fields, learn
from hpcsweep.tables.where import SqlColumn, parse

# Largest count of cases without a row whose params a condition is tried on: about half a
# minute.
LOOKED_UP_MAX = 1_000_000
# Of them, those that are in memory at a time.
CASES_AT_ONCE = 5000
# Columns that are not known before a case begins, or that differ between two manifests.
UNKNOWN_BEFORE = ("index", "seed")


def selected_cases(
    version: Version, path: Path, cases: str | Iterable[int] | None, where: str | None
) -> IndexSet | None:
    """The indices that `--cases` and `--where` select together; None without either.

    `path` is the sweep directory, which may not exist yet. *Writes* the index.
    *Raises* InputError for an index that no case has, for a condition that is none, and for one
    that would have to be tried on more than `LOOKED_UP_MAX` cases that never began.
    """
    found = None if cases is None else case_set(cases, version.source.n_cases)
    if where is None:
        return found
    within = IndexSet.all(version.source.n_cases) if found is None else found
    sweep = SweepDirectory.open(path) if (path / MARKER).is_file() else None
    if sweep is None or not sweep.submissions():
        return _matching_new(version.source, within, where, _fields((), version.source, within))
    with fresh_index(sweep) as sweep_index:
        return _matching(version, sweep, sweep_index, within, where)


def case_set(cases: str | Iterable[int], n_cases: int) -> IndexSet:
    """The indices that `--cases 3,7,10-20` names, or those of a list.

    *Raises* InputError for none at all, and for one that no case has.
    """
    found = IndexSet.parse(cases) if isinstance(cases, str) else IndexSet.of(cases)
    beyond = found - IndexSet.all(n_cases)
    if beyond or not found:
        what = f"no case has the index {beyond.select(0)}" if beyond else "it names no case"
        raise InputError(
            what,
            where="--cases",
            next_step=f"Indices are 0 to {n_cases - 1}: --cases 3,7,10-20.",
        )
    return found


def _matching(
    version: Version, sweep: SweepDirectory, sweep_index: SweepIndex, within: IndexSet, where: str
) -> IndexSet:
    """The indices of cases with a row, and of those that never began, that satisfy a condition."""
    known = IndexSet.union(one.indices for one in sweep_index.known())
    (begun,) = in_order_of(version, sweep, sweep.newest_manifest(), [known])
    never = within - begun
    columns = _fields(sweep_index.rows(), version.source, never)
    condition = parse(where, columns, sweep_index.dialect)
    rows = IndexSet.of(row["idx"] for row in sweep_index.rows(where=condition))
    (found,) = in_order_of(version, sweep, sweep.newest_manifest(), [rows])
    return (found & within) | _matching_new(version.source, never, where, columns)


def _fields(
    rows: Iterable[dict[str, str]], source: ParameterSource, never: IndexSet
) -> dict[str, SqlColumn]:
    """The columns that a condition may name. *Raises* InputError for too many cases to look at."""
    if never.count > LOOKED_UP_MAX:
        raise InputError(
            f"the params of {never.count} cases that never began would have to be looked at, and "
            f"{LOOKED_UP_MAX} are the most",
            where="--where",
            next_step="Say with --cases among which cases to look: --cases 0-99999.",
        )
    params, metrics = dict[Keys, str](), dict[Keys, str]()
    for row in rows:
        learn(params, json.loads(row["params"]))
        learn(metrics, json.loads(row["metrics"]))
    for case in _made(source, never):
        learn(params, case.params)
    found = fields(all_columns(params, metrics))
    return {name: column for name, column in found.items() if name not in UNKNOWN_BEFORE}


def _matching_new(
    source: ParameterSource, never: IndexSet, where: str, columns: dict[str, SqlColumn]
) -> IndexSet:
    """The indices of cases without a row that satisfy a condition.

    A database in memory holds rows of them, a batch at a time: one meaning of conditions for all.
    """
    condition = parse(where, columns, "sqlite")
    engine = create_engine("sqlite://")
    found: list[int] = []
    with engine.begin() as connection:
        schema.metadata.create_all(connection)
        for start in range(0, never.count, CASES_AT_ONCE):
            places: dict[str, list[int]] = {}  # equal cases have one row
            rows = {}
            for case in _made(source, never.slice(start, start + CASES_AT_ONCE)):
                places.setdefault(case.case_id, []).append(case.index)
                rows[case.case_id] = _row(case)
            if not rows:
                continue
            connection.execute(schema.cases.insert(), list(rows.values()))
            for case_id in connection.scalars(select(schema.cases.c.case_id).where(condition)):
                found += places[case_id]
            connection.execute(schema.cases.delete())
    engine.dispose()
    return IndexSet.of(sorted(found))


def _made(source: ParameterSource, indices: IndexSet) -> Iterator[ParamCase]:
    """The cases of these indices that the source can make; a submit reports the others."""
    for index in indices:
        with suppress(SourceError):
            yield source[index]


def _row(case: ParamCase) -> dict[str, str | int]:
    """The row of a case without any attempt."""
    return {
        **dict.fromkeys(("sweep", "rank", "token", "seed", "tags"), ""),
        **dict.fromkeys(("generation", "submission", "chunk", "restart"), 0),
        "case_id": case.case_id,
        "status": Status.PENDING.value,
        "params": json.dumps(case.params),
        "metrics": "{}",
        "replicate": case.replicate,
    }
