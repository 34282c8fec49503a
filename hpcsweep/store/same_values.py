"""Columns with one value in all rows of a page, which are not read again with the next ones.

Which host, code or status it was, that there was no error: one condition on all of these columns
takes half of the time of a cell for each. In a page that has another value, all are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Integer, String, and_, case, literal, null

if TYPE_CHECKING:
    import pyarrow as pa

# Null in the rows that have all values that were expected.
_DIFFERS = "differs"

# Values of successive rows by column.
ArrowPage = dict[str, "pa.Array"]


class SameValues:
    """Read pages, of the columns that are likely to differ alone."""

    def __init__(self, columns: Mapping[str, ColumnElement[Any]]) -> None:
        self._columns = columns
        # By column the value that all rows so far had; None before the first page.
        self._values: dict[str, pa.Scalar] | None = None
        # These values once for each row of the longest page: all pages have parts of the same.
        self._repeated: dict[str, pa.Array] = {}

    def read(
        self, select: Callable[[Sequence[ColumnElement[Any]]], ArrowPage | None]
    ) -> ArrowPage | None:
        """A page with all columns; `select` reads it with some, or returns None."""
        if self._values:
            page = select(self._likely())
            if page is None:
                return None
            differs = page.pop(_DIFFERS)
            if differs.null_count == len(differs):
                return self._completed(page, len(differs))
        page = select(list(self._columns.values()))
        if page and len(page["idx"]):
            self._compare(page)
        return page

    def _likely(self) -> list[ColumnElement[Any]]:
        """The columns without a value of all rows, and one that says whether the others have it."""
        values = self._values or {}
        are_same = and_(*(self._columns[name] == of.as_py() for name, of in values.items()))
        rest = [column for name, column in self._columns.items() if name not in values]
        return [*rest, case((are_same, null()), else_=literal(1, Integer)).label(_DIFFERS)]

    def _completed(self, page: ArrowPage, count: int) -> ArrowPage:
        import pyarrow as pa  # noqa: PLC0415  # an extra

        for name, value in (self._values or {}).items():
            if name not in self._repeated or count > len(self._repeated[name]):
                self._repeated[name] = pa.repeat(value, count)
            repeated = self._repeated[name]
            page[name] = repeated if count == len(repeated) else repeated.slice(0, count)
        return {name: page[name] for name in self._columns}

    def _compare(self, page: ArrowPage) -> None:
        """Keep the values that all rows so far have: of none a second page is read twice."""
        if self._values is None:
            self._values = {
                name: array[0]
                for name, array in page.items()
                if name != "idx" and _is_exact(array[0].as_py(), self._columns[name])
            }
        self._values = {
            name: value for name, value in self._values.items() if _has_only(page[name], value)
        }


def _is_exact(value: Any, column: ColumnElement[Any]) -> bool:
    """Whether SQL takes no other value for this one, as 1 for 1.0 in a column without a type.

    A text becomes part of the query, so it has no NUL.
    """
    if isinstance(value, str):
        return isinstance(column.type, String) and value.isprintable()
    return value is None or isinstance(column.type, Integer)


def _has_only(array: pa.Array, value: pa.Scalar) -> bool:
    """Whether all values of an array are this one, without pyarrow.compute: to load it is slow."""
    has_nulls_only: bool = array.null_count == len(array)
    if has_nulls_only or not value.is_valid:
        return has_nulls_only and not value.is_valid
    return bool(array[-1] == value) and set(array.to_pylist()) == {value.as_py()}
