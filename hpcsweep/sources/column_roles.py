"""What the columns of a table are: parameters, the key of a row, or carried along."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.sources.keys import (
    RESERVED_NAMES,
    Key,
    KeyType,
    as_one_part,
    check_names,
    nearest,
)

Row = dict[str, Any]


def _names(value: Any, where: str) -> frozenset[str]:
    """A list of columns as a set. *Raises* SourceError."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not all(
        isinstance(name, str) and name for name in names
    ):
        raise SourceError(
            f"{ids.shown(value)} is not a list of columns",
            where=where,
            next_step="Write the names of columns: [sample, batch].",
        )
    return frozenset(names)


_COLUMNS = KeyType(
    "a column, or a list of them",
    {
        "anyOf": [
            {"type": "string", "minLength": 1},
            {"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1},
        ]
    },
    parts=as_one_part(_names),
)
_USED = KeyType("a list of names", {"type": "array", "items": {"type": "string"}})

# What the columns are.
ROLE_KEYS = (
    Key("key", _COLUMNS, "the columns that identify a row", "all parameters"),
    Key("carry", _COLUMNS, "columns that are no parameters", "those that a command does not use"),
    Key("used", _USED, "what the command uses", "all columns", in_form=False),
)


def read_roles(options: Mapping[str, Any]) -> dict[str, frozenset[str] | None]:
    """The arguments of `ColumnRoles` in these keys. *Raises* SourceError for a wrong value."""
    names = (key.name for key in ROLE_KEYS)
    return {name: _names(options[name], name) for name in names if name in options}


class ColumnRoles:
    """Tells parameters from carried columns; checks that each row has the key."""

    def __init__(
        self,
        key: frozenset[str] | None = None,
        carry: frozenset[str] | None = None,
        used: frozenset[str] | None = None,
    ) -> None:
        """`used`: the columns that something uses; None for all. *Raises* SourceError."""
        self.key = key or None
        self._carry = carry or frozenset()
        self._used = used
        # The carried columns of rows with these columns: those of the last row.
        self._checked: dict[tuple[str, ...], tuple[str, ...]] = {}
        both = self._carry & (key or frozenset())
        if both:
            raise SourceError(
                f"{', '.join(ids.in_order(both))} is in `key`, too",
                where="carry",
                next_step="A column of the key is a parameter: leave it out of `carry`.",
            )

    def split(self, row: Row, where: str) -> tuple[Row, Row]:
        """The parameters of a row, and what it carries. *Raises* SourceError."""
        for name in self.key or ():
            if row.get(name) is None:
                self._refuse_keyless(row, name, where)
        columns = tuple(row)
        if columns not in self._checked:  # most rows have the columns of the first
            self._checked = {columns: self._check(columns, where)}
        carried = self._checked[columns]
        if not carried:
            return row, {}
        params = {name: value for name, value in row.items() if name not in carried}
        return params, {name: row[name] for name in carried}

    def _check(self, columns: tuple[str, ...], where: str) -> tuple[str, ...]:
        """Those of the columns of a row that are carried. *Raises* SourceError."""
        if self._used is not None and self.key is None and self._used.isdisjoint(columns):
            self._used = None  # a command that uses nothing of a table is a mistake
        carried = tuple(filter(self._is_carried, columns))
        # Only a parameter is an argument of the target.
        check_names([name for name in columns if name not in carried], where)
        check_names([name for name in carried if name not in RESERVED_NAMES], where)
        return carried

    def carried(self, columns: Collection[str], where: str) -> frozenset[str]:
        """Those of the columns that are carried. *Raises* SourceError for one that is not there."""
        for name in ids.in_order(self._carry.difference(columns)):
            raise SourceError(
                f"`carry` names {name!r}, which is not a column",
                where=where,
                next_step=nearest(name, columns, "column"),
            )
        return frozenset(filter(self._is_carried, columns))

    def _is_carried(self, name: str) -> bool:
        if name in self._carry:
            return True
        return self._used is not None and name not in self._used and name not in (self.key or ())

    def _refuse_keyless(self, row: Row, name: str, where: str) -> None:
        if name in row:
            raise SourceError(
                f"has no value in {name!r}, a column of the key",
                where=where,
                next_step="Write one, or leave the row out.",
            )
        raise SourceError(
            f"`key` names {name!r}, which is not a column",
            where=where,
            next_step=nearest(name, row, "column"),
        )
