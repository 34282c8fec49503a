"""What is asked of a table: rows, columns and their order; from arguments in Python, too."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from hpcsweep.errors import InputError
from hpcsweep.tables.selection import Selection
from hpcsweep.tables.shape import Shape
from hpcsweep.tables.sorting import RowOrder

# Indices, ranges and case ids as `--cases` takes them, or a list of indices and case ids.
Cases = str | int | Iterable[int | str] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class TableRequest:
    """The rows and columns to return; by default all."""

    selection: Selection = field(default_factory=Selection)
    columns: tuple[str, ...] = ()
    # Whether there is a row for each attempt, not for each case.
    attempts: bool = False
    # What becomes of the rows of cases.
    shape: Shape = field(default_factory=Shape)
    # Which rows come first, and how many there are.
    order: RowOrder = field(default_factory=RowOrder)
    # A SELECT over the selected rows, which it knows as `cases` and `attempts`.
    sql: str | None = None
    # The options that name the columns, for messages.
    named_by: str = "--columns"
    # Is told before `take` gets anything if no case is selected.
    notify: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        """*Raises* InputError for what cannot stand together."""
        shaped = self.columns or self.attempts or self.shape or self.order != RowOrder()
        if self.sql is not None and shaped:
            raise InputError(
                "a SELECT says itself which columns and rows there are, and in which order",
                where="--sql",
                next_step="Leave out all others but --cases, --where, --status and --last.",
            )
        if self.attempts and self.shape:
            raise InputError(
                "attempts have no metrics to put together",
                where="--attempts",
                next_step="Leave it out.",
            )


class TableArguments(TypedDict, total=False):
    """The arguments of `table_request` but for the condition."""

    cases: Cases
    status: Sequence[str] | None
    last: int | None
    columns: Sequence[str]
    attempts: bool
    mean_over: Sequence[str]
    group_by: Sequence[str]
    stats: Sequence[str]
    pivot: str | None
    sort: Sequence[str]
    desc: bool
    limit: int | None
    sql: str | None


def table_request(
    where: str | None = None,
    *,
    cases: Cases = None,
    status: Sequence[str] | None = None,
    last: int | None = None,
    columns: Sequence[str] = (),
    attempts: bool = False,
    mean_over: Sequence[str] = (),
    group_by: Sequence[str] = (),
    stats: Sequence[str] = (),
    pivot: str | None = None,
    sort: Sequence[str] = (),
    desc: bool = False,
    limit: int | None = None,
    sql: str | None = None,
) -> TableRequest:
    """The request that these arguments of `Sweep.query` make. *Raises* InputError."""
    return TableRequest(
        selection=selection_of(cases, where, status, last),
        columns=words(columns),
        attempts=attempts,
        shape=Shape(
            mean_over=words(mean_over), group_by=words(group_by), stats=words(stats), pivot=pivot
        ),
        order=RowOrder(columns=words(sort), descending=desc, limit=limit),
        sql=sql,
    )


def selection_of(
    cases: Cases, where: str | None, status: Sequence[str] | None, last: int | None
) -> Selection:
    """The selection that these arguments make. *Raises* InputError."""
    some = cases if isinstance(cases, str | None) else _listed(cases)
    if isinstance(status, str):  # as `--status` takes them
        status = [word.strip() for word in status.split(",")]
    statuses = () if status is None else words(status)
    if status is not None and not statuses:
        raise InputError(
            "an empty list of statuses selects no case",
            where="--status",
            next_step="None, the default, is every status.",
        )
    return Selection(cases=some, where=where, status=statuses, last=last)


def _listed(cases: int | Iterable[int | str]) -> list[int | str]:
    """The cases as a list; what is neither an index nor iterable is refused where it is read."""
    if isinstance(cases, bool):
        return [cases]
    try:
        return [operator.index(cases)]  # type: ignore[arg-type]  # an integer of numpy, too
    except TypeError:  # as for an array of numpy, although it has `__index__`
        return list(cases) if isinstance(cases, Iterable) else [cases]


def words(given: Sequence[str]) -> tuple[str, ...]:
    """The texts as a tuple; a single text counts as a list of one."""
    return (given,) if isinstance(given, str) else tuple(dict.fromkeys(given))
