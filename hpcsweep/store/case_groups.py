"""What is known of the indices of a sweep, as sets: the ground of the outlook."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, func, or_, select, text

from hpcsweep.indexset import IndexSet
from hpcsweep.records import Reason, Status
from hpcsweep.store import schema
from hpcsweep.store.blocks import Digest
from hpcsweep.store.constant_columns import is_constant

# What the indices of one `CaseGroup` have in common, and of what it has the largest.
_GROUP_KEY = ("status", "reason", "generation", "submission", "attempt", "code_digest")
_GROUP_USED = ("wall_seconds", "max_rss_bytes")


@dataclass(frozen=True, kw_only=True, slots=True)
class CaseGroup:
    """Indices whose cases have the same in these columns."""

    indices: IndexSet
    # Values of `Status` and `Reason`.
    status: str
    reason: str | None
    generation: int
    # Of the attempt that counts, and its 1-based number among those that are known.
    submission: int
    attempt: int
    code_digest: str | None
    # `attempt`, counted from the `--rerun` that last asked for the case, and without those that a
    # full disk or quota ended.
    tries: int
    # The largest of them; None where none is known.
    wall_seconds: float | None
    max_rss_bytes: int | None


def merged(outcomes: Iterable[Sequence[Sequence[Any]]]) -> list[CaseGroup]:
    """The sets of all blocks, from the OUTCOMES of each."""
    names = (*_GROUP_KEY, "tries", *_GROUP_USED)
    return [
        CaseGroup(
            indices=IndexSet(map(tuple, pairs)), **dict(zip(names, (*key, *used), strict=True))
        )
        for key, pairs, *used in _joined(outcomes)
    ]


def _unite(outcomes: Iterable[Sequence[Sequence[Any]]]) -> list[list[Any]]:
    """The OUTCOMES of several blocks as those of one."""
    return [
        [key, IndexSet(map(tuple, pairs)).to_json(), *used]
        for key, pairs, *used in _joined(outcomes)
    ]


def _joined(outcomes: Iterable[Sequence[Sequence[Any]]]) -> list[list[Any]]:
    ranges: dict[tuple[Any, ...], list[Any]] = {}
    largest: dict[tuple[Any, ...], list[Any]] = {}
    for block in outcomes:
        for key, pairs, *used in block:
            of = tuple(key)
            ranges.setdefault(of, []).extend(pairs)
            largest[of] = list(map(_larger, largest.get(of, (None, None)), used))
    return [[of, pairs, *largest[of]] for of, pairs in ranges.items()]


def max_generation(connection: Connection, sweep: str) -> int:
    """The highest generation of any known attempt."""
    table = schema.cases.c
    # The condition of the index `cases_of_reruns`.
    of_sweep = and_(table.sweep == sweep, text("generation > 0"))
    return int(connection.scalar(select(func.max(table.generation)).where(of_sweep)) or 0)


def _outcomes(indices: Sequence[int], columns: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """The sets of one block: what they have in common, their ranges, and the largest values."""
    *of_keys, wall_seconds, max_rss_bytes = columns
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for key, run in _runs(of_keys):
        group = groups.setdefault(key, [list(key), [], None, None])
        group[1] += _ranges(indices[run])
        group[2] = _larger(group[2], _largest(wall_seconds[run]))
        group[3] = _larger(group[3], _largest(max_rss_bytes[run]))
    for group in groups.values():
        group[1] = IndexSet(group[1]).to_json()
    return list(groups.values())


def _runs(columns: Sequence[Sequence[Any]]) -> Iterator[tuple[tuple[Any, ...], slice]]:
    """The successive rows with equal values: these, and where they are."""
    if columns[0] and all(map(is_constant, columns)):
        yield tuple(column[0] for column in columns), slice(len(columns[0]))
        return
    start = 0
    for key, alike in groupby(zip(*columns, strict=True)):
        run = slice(start, start + len(list(alike)))
        start = run.stop
        yield key, run


def _ranges(indices: Sequence[int]) -> list[tuple[int, int]]:
    """Ascending indices as ranges."""
    first, last = indices[0], indices[-1]
    if last - first < len(indices):
        return [(first, last + 1)]
    return [(index, index + 1) for index in indices]


def _largest(values: Sequence[Any]) -> Any:
    return max((value for value in values if value is not None), default=None)


def _join(kept: Sequence[Any], new: Sequence[Any]) -> list[list[Any]]:
    """The sets of a block, with those of new rows and without what these were while running."""
    indices = IndexSet(tuple(pair) for _, pairs, *_ in new for pair in pairs)
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for key, pairs, *used in kept:
        own = IndexSet(map(tuple, pairs))
        if key[0] == Status.RUNNING.value:
            own -= indices
        if own:
            groups[tuple(key)] = [key, own.to_json(), *used]
    for key, pairs, *used in new:
        of = groups.setdefault(tuple(key), [key, [], None, None])
        ranges = IndexSet(map(tuple, (*of[1], *pairs))).to_json()
        groups[tuple(key)] = [key, ranges, *map(_larger, of[2:], used)]
    # As `_outcomes` orders them: by their first index, whichever was merged first.
    return sorted(groups.values(), key=lambda group: group[1][0])


def _larger(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)


def _tries() -> ColumnElement[int]:
    """A case's attempts in its generation so far, without those that a full disk ended."""
    cases, table = schema.cases.c, schema.attempts.c
    uncounted = (
        select(func.count())
        .select_from(schema.attempts)
        .where(
            table.sweep == cases.sweep,
            table.case_id == cases.case_id,
            or_(table.generation < cases.generation, table.reason == Reason.QUOTA.value),
        )
        .scalar_subquery()
    )
    # For a first attempt, nothing is looked up.
    return case((cases.attempt == 1, 1), else_=cases.attempt - uncounted)


OUTCOMES = Digest(
    column="outcomes",
    columns=(
        *(schema.cases.c[name] for name in _GROUP_KEY),
        _tries().label("tries"),
        *(schema.cases.c[name] for name in _GROUP_USED),
    ),
    make=_outcomes,
    join=_join,
    unite=_unite,
    names=(*_GROUP_KEY, "tries", *_GROUP_USED),
)
