"""Compile `--where "energy < 1 and omega == 2"` to an SQL expression.

No text is pasted into SQL: names must be columns of the table, values are bound parameters.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from math import inf, isfinite, nextafter
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Integer,
    String,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    true,
)

from hpcsweep.conditions import syntax as conditions
from hpcsweep.store import schema
from hpcsweep.tables.sql_columns import SqlColumn, is_nan, kind_and_value

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
# A value of each kind; truth values are compared as integers.
_SAMPLES: dict[type, float | str] = {float: 0.0, str: "", bool: 0}
_SWAPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
# No text of a JSON object comes before it.
OBJECT_START = "{"
# Larger integers are compared as floats: both databases store them so.
_LARGEST_INT = 2**63


def parse(text: str, fields: Mapping[str, SqlColumn], dialect: str) -> ColumnElement[bool]:
    """The condition as SQL. *Raises* InputError for a syntax error or an unknown column."""
    return _Compiler(fields, dialect).condition(conditions.parse(text, fields, "--where"))


@dataclass(frozen=True, slots=True)
class _Compiler:
    fields: Mapping[str, SqlColumn]
    dialect: str

    def condition(self, node: conditions.Condition) -> ColumnElement[bool]:
        match node:
            case conditions.AllOf(parts=parts):
                return and_(*map(self.condition, parts))
            case conditions.AnyOf(parts=parts):
                return or_(false(), *map(self.condition, parts))
            case conditions.Not(operand=operand):
                return not_(func.coalesce(self.condition(operand), false()))
            case conditions.Comparison():
                return self._compare(node)
            case conditions.FloatTest():
                return self._float_test(node)
            case conditions.Name(name=name):
                return self._truth(name)

    def _truth(self, name: str) -> ColumnElement[bool]:
        truth = self.fields[name].truth
        if truth is None:
            raise conditions.alone(name, "--where")
        return truth

    def _float_test(self, node: conditions.FloatTest) -> ColumnElement[bool]:
        field = self.fields[node.operand.name]
        if node.function == "isnan":
            return is_nan(field, self.dialect) if field.path else false()
        is_number, number = self._column(field, float)
        return and_(is_number, number > -inf, number < inf)

    def _compare(self, node: conditions.Comparison) -> ColumnElement[bool]:
        match node.left, node.right:
            case conditions.Name(name=name), conditions.Value(value=value):
                return self._test(self.fields[name], node.operator, _bound(value))
            case conditions.Value(value=value), conditions.Name(name=name):
                swapped = _SWAPPED.get(node.operator, node.operator)
                return self._test(self.fields[name], swapped, _bound(value))
            case left, right:
                return self._compare_terms(left, node.operator, right)

    def _compare_terms(
        self, left: conditions.Term, op: str, right: conditions.Term
    ) -> ColumnElement[bool]:
        """Compare two terms, of which one is computed or both are columns."""
        compare = _COMPARE["==" if op == "!=" else op]
        same_kind: list[ColumnElement[bool]] = []
        for kind in _SAMPLES if op in ("==", "!=") else (float, str):
            (is_kind, a), (other_is_kind, b) = (self._operand(term, kind) for term in (left, right))
            same_kind.append(and_(is_kind, other_is_kind, compare(a, b)))
        holds = or_(*same_kind)
        if op != "!=":
            return holds
        left_is, right_is = self._is_present(left), self._is_present(right)
        return and_(left_is, right_is, not_(func.coalesce(holds, false())))

    def _is_present(self, term: conditions.Term) -> ColumnElement[bool]:
        """Whether a term has a value, which may be null."""
        match term:
            case conditions.Name(name=name):
                field = self.fields[name]
                if field.truth is not None:
                    return true()
                if not field.path:
                    column: ColumnElement[Any] = schema.column(field.column)
                    return column.is_not(None)
                is_number, _ = kind_and_value(field, 0.0, self.dialect)
                return is_number.is_not(None)
            case conditions.Arithmetic():
                is_number, number = self._computed(term)
                return and_(is_number, number.is_not(None))
            case conditions.Absolute(operand=operand):
                return self._is_present(operand)
        return true()

    def _operand(self, term: conditions.Term, kind: type) -> tuple[ColumnElement[bool], Any]:
        """Whether a term is of a kind, and its value: for a term of another kind any of this one.

        PostgreSQL compares no values of two types, also where the result has no effect.
        """
        match term:
            case conditions.Value(value=value) if _kind(value) is kind:
                return true(), literal(int(value) if isinstance(value, bool) else _bound(value))
            case conditions.Name(name=name):
                return self._column(self.fields[name], kind)
            case conditions.Arithmetic() if kind is float:
                return self._computed(term)
            case conditions.Absolute(operand=operand) if kind is float:
                is_number, number = self._operand(operand, float)
                # PostgreSQL computes both sides of a false `and`.
                return is_number, func.abs(case((is_number, number)))
        return false(), literal(_SAMPLES[kind])

    def _column(self, field: SqlColumn, kind: type) -> tuple[ColumnElement[bool], Any]:
        """`_operand` of a column."""
        if field.path:
            is_kind, extracted = kind_and_value(field, kind(_SAMPLES[kind]), self.dialect)
            return is_kind, cast(extracted, Integer) if kind is bool else extracted
        if field.truth is not None and kind is bool:
            return true(), case((field.truth, 1), else_=0)
        if field.truth is None:
            column = schema.column(field.column)
            if kind is (str if isinstance(column.type, String) else float):
                return column.is_not(None), column
        return false(), literal(_SAMPLES[kind])

    def _computed(self, term: conditions.Arithmetic) -> tuple[ColumnElement[bool], Any]:
        """`_operand` of a computed number: binary64, null where it divides by zero."""
        sides = [self._operand(side, float) for side in (term.left, term.right)]
        left, right = (case((is_number, cast(number, Double))) for is_number, number in sides)
        divisor: Any = func.nullif(right, 0.0, type_=Double())
        number: Any
        match term.operator:
            case "+":
                number = left + right
            case "-":
                number = left - right
            case "*":
                number = left * right
            case "/":
                number = left / divisor
            case _:
                number = left - right * self._floor(left / divisor)
        return and_(*(is_number for is_number, _ in sides)), number

    def _floor(self, number: Any) -> Any:
        """The largest whole number up to `number`."""
        if self.dialect == "postgresql":
            return func.floor(number)
        # SQLite may be built without floor(); its CAST rounds towards zero.
        whole = cast(cast(number, BigInteger), Double)
        return whole - case((whole > number, 1.0), else_=0.0)

    def _test(self, field: SqlColumn, op: str, value: Any) -> ColumnElement[bool]:
        compare = _COMPARE[op]
        if field.truth is not None:
            if not isinstance(value, bool):  # of another kind, so unequal
                return true() if op == "!=" else false()
            holds: ColumnElement[bool] = compare(case((field.truth, 1), else_=0), int(value))
            return holds
        if not field.path:
            column: ColumnElement[Any] = schema.column(field.column)
            if value is None:
                return column.is_(None) if op == "==" else column.is_not(None)
            # Values of another kind are unequal; a database would convert them, or raise.
            if isinstance(column.type, String) != isinstance(value, str):
                return and_(column.is_not(None), true() if op == "!=" else false())
            condition: ColumnElement[bool] = compare(column, literal(value))
            return condition
        kind, extracted = kind_and_value(field, value, self.dialect)
        if value is None:
            return kind if op == "==" else not_(kind)
        # The kind last: few values are as they should be, and of the others SQLite extracts one.
        tested: ColumnElement[bool] = and_(
            self._possible(field, op, value), compare(extracted, literal(value)), kind
        )
        # A value of another kind is not equal: 1 != "1".
        return or_(not_(kind), tested) if op == "!=" else tested

    def _possible(self, field: SqlColumn, op: str, value: Any) -> ColumnElement[bool]:
        """What holds wherever a metric fulfils a comparison with a number; extracts it once.

        The whole test extracts it for each infinity that it may be: as objects in JSON, these come
        as text, which SQLite orders after all numbers.
        """
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if self.dialect != "sqlite" or field.column != "metrics" or not is_number:
            return true()
        _, extracted = kind_and_value(field, "", self.dialect)
        match op:
            case ">" | ">=":
                possible: ColumnElement[bool] = extracted >= literal(value)
            case "<" | "<=":
                # SQLite evaluates it once for BETWEEN, and twice for `< … OR > …`.
                possible = not_(extracted.between(nextafter(value, inf), OBJECT_START))
            case "==" if isfinite(value):
                possible = extracted == literal(value)
            case _:
                possible = true()
        return possible


def _kind(value: Any) -> type | None:
    """The kind of a value of the condition: bool, float for every number, str, or None."""
    if isinstance(value, bool | str):
        return type(value)
    return None if value is None else float


def _bound(value: Any) -> Any:
    """A value of the condition as a bound parameter can be."""
    if type(value) is int and not -_LARGEST_INT <= value < _LARGEST_INT:
        return float(Decimal(value))  # infinite if it exceeds the floats
    return value
