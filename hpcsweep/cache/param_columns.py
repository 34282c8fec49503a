"""The parameters of a model: check params, compute their id, convert them to column values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, NoReturn

from sqlalchemy import Column, Table

from hpcsweep import ids
from hpcsweep.cache.files.result_directory import ResultKey
from hpcsweep.cache.models import RESERVED
from hpcsweep.errors import InputError, StoreError
from hpcsweep.yamltext import nearest

# Column types that JSON can hold and that are checked; others are passed on unchanged.
_CHECKED = (bool, int, float, str)
# The integers of a column, in SQLite and in PostgreSQL.
SMALLEST_INT, LARGEST_INT = -(2**63), 2**63 - 1


class ParamColumns:
    """The columns of a model that are parameters. Can be pickled without the model."""

    def __init__(self, table: Table, *, in_postgresql: bool) -> None:
        """`in_postgresql`: the database of the table; False for SQLite, or if it is not known.

        *Raises* InputError if the table lacks a column of `Base`.
        """
        missing = [name for name in RESERVED if name not in table.columns]
        if missing:
            raise InputError(
                f"the model has no column {', '.join(missing)}",
                where=table.name,
                next_step="Let it inherit from hpcsweep.Base.",
            )
        self.table = table
        self._in_postgresql = in_postgresql
        self._columns: dict[str, Column[Any]] = {
            name: column for name, column in table.columns.items() if name not in RESERVED
        }
        self._kinds = {name: _kind(column) for name, column in self._columns.items()}
        self._required = [
            name
            for name, column in self._columns.items()
            if not column.nullable and column.default is None and column.server_default is None
        ]

    def case(self, params: Mapping[str, Any]) -> ResultKey:
        """Check params and compute their id. A parameter that is None equals a missing one.

        *Raises* InputError, naming the parameter (IdentityError for values without an exact form).
        """
        if type(params) is not dict and not isinstance(params, Mapping):
            raise InputError(
                f"params are a {type(params).__name__}, not a dict",
                where=self.table.name,
                next_step="Give a dict by parameter.",
            )
        plain: dict[str, Any] = ids.plain(params)
        if not plain.keys() <= self._kinds.keys():
            self._refuse_unknown(plain)
        for name in self._required:
            if plain.get(name) is None:
                raise InputError(
                    f"the parameter {name} is missing",
                    where=self.table.name,
                    next_step="Give it, or let the model's column be Optional or have a default.",
                )
        for name, value in plain.items():
            if value is not None:
                self._value(name, value)
        return ResultKey.of(plain)

    def values(self, case: ResultKey) -> dict[str, Any]:
        """The params as column values."""
        return {
            name: self._value(name, value)
            for name, value in case.params.items()
            if value is not None
        }

    def check_same(self, case: ResultKey, row: Mapping[str, Any], where: str) -> None:
        """*Raises* StoreError if a row with the case's id has other params."""
        params = case.params
        for name in self._columns:
            value, stored = params.get(name), row[name]
            if value == stored and type(value) is type(stored):
                continue
            if value is None and self._columns[name].default is not None:
                continue
            if ids.canonical(value) != ids.canonical(stored):
                raise StoreError(
                    f"the record {case.id} has {name} = {stored!r}, these params {value!r}: "
                    "the table was changed by hand, or two sets of params have one id",
                    where=where,
                    next_step="Correct the row; Store.rebuild() recreates the table.",
                )

    def _refuse_unknown(self, names: Iterable[str]) -> NoReturn:
        name = next(name for name in names if name not in self._columns)
        if name in RESERVED:
            what = f"{name} is filled by the cache and cannot be a parameter"
            next_step = "Leave it out: the params alone name a record."
        else:
            what = f"the model has no column for the parameter {name}"
            guess = nearest(name, self._columns)
            next_step = (
                f"Did you mean {guess}?" if guess else f"Add it to {self.table.name}'s model."
            )
        raise InputError(what, where=self.table.name, next_step=next_step)

    def _value(self, name: str, value: Any) -> Any:
        """A plain value as exactly the column's Python type. *Raises* InputError."""
        kind = self._kinds[name]
        is_number = type(value) in (int, float)
        if kind is int and is_number and (value < SMALLEST_INT or value > LARGEST_INT):
            raise InputError(
                f"the column {name} holds integers of 64 bits, not {ids.shown(value)}",
                where=self.table.name,
                next_step="Give one from -2^63 to 2^63 - 1, or let the model's column hold a str.",
            )
        # SQLite holds it, and a table there may have records with one.
        if self._in_postgresql and isinstance(value, str) and "\0" in value:
            raise InputError(
                f"{name} has a null character, which no text of PostgreSQL can hold",
                where=self.table.name,
                next_step="Leave it out of the text.",
            )
        if type(value) is kind or kind is None:
            return value
        if issubclass(kind, Enum):
            return _member(kind, value, name, self.table.name)
        if kind not in _CHECKED:
            return value
        if (
            is_number
            and kind in (int, float)
            and (kind is float or value.is_integer())
            and kind(value) == value
        ):
            return kind(value)
        raise InputError(
            f"the column {name} holds {kind.__name__}, not {ids.shown(value)}",
            where=self.table.name,
            next_step="Give such a value, or change the model.",
        )


def _kind(column: Column[Any]) -> type | None:
    try:
        return column.type.python_type
    except NotImplementedError:  # a type without a Python type
        return None


def _member(kind: type[Enum], value: Any, name: str, where: str) -> Enum:
    try:
        return kind(value)
    except ValueError as error:
        raise InputError(
            f"the column {name} holds {kind.__name__}, not {ids.shown(value)}",
            where=where,
            next_step=f"Give one of {', '.join(repr(member.value) for member in kind)}.",
        ) from error
