"""Compile `--where "energy < 1 and omega == 2"` to an SQL expression.

No text is pasted into SQL: names must be columns of the table, values are bound parameters.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
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
    bindparam,
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
from hpcsweep.errors import InputError
from hpcsweep.store import schema
from hpcsweep.store.pages import is_one_of_ints, is_one_of_texts
from hpcsweep.tables.sql_columns import SqlColumn, is_nan, is_true, kind_and_value

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
# Variables of a list; SQLite allows 32,766 in a statement.
VARIABLES_MAX = 10_000
# Of one condition: a comparison of a metric has 12 variables, twice in a query.
COMPARISONS_MAX = 1000
_JOINED_AT_ONCE = 50
# SQLite may lack floor(): the text of a remainder has its left side four times.
_REMAINDERS_MAX = 3
# Larger integers are compared as floats: both databases store them so.
_LARGEST_INT = 2**63


def parse(text: str, fields: Mapping[str, SqlColumn], dialect: str) -> ColumnElement[bool]:
    """The condition as SQL. *Raises* InputError for a syntax error or an unknown column."""
    condition = conditions.parse(text, fields, "--where")
    if (n := _comparisons(condition)) > COMPARISONS_MAX:
        raise InputError(
            f"has {n} comparisons; at most {COMPARISONS_MAX} fit into one query",
            where="--where",
            next_step="For many values of one column write x in [1, 2]; or name the cases by "
            "--cases.",
        )
    return _Compiler(fields, dialect).condition(condition)


@dataclass(frozen=True, slots=True)
class _Compiler:
    fields: Mapping[str, SqlColumn]
    dialect: str

    def condition(self, node: conditions.Condition) -> ColumnElement[bool]:
        match node:
            case conditions.AllOf(parts=parts):
                return _joined(and_, [self.condition(part) for part in parts])
            case conditions.AnyOf(parts=parts):
                return _joined(or_, [self.condition(part) for part in _folded(parts)])
            case conditions.Not(operand=operand):
                return not_(is_true(self.condition(operand)))
            case conditions.Comparison():
                return self._compare(node)
            case conditions.OneOf():
                return self._one_of(node)
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

    def _one_of(self, node: conditions.OneOf) -> ColumnElement[bool]:
        """Whether a term is one of these values; there may be thousands."""
        values = [_bound(one.value) for one in node.values]
        numbers = [value for value in values if _kind(value) is float]
        texts = [value for value in values if isinstance(value, str)]
        same_kind: list[ColumnElement[bool]] = [false()]
        if numbers:
            is_number, number = self._operand(node.operand, float)
            same_kind.append(and_(self._is_one_of(number, numbers), is_number))
        if texts:
            is_text, text = self._operand(node.operand, str)
            # The kind first: SQLite 3.53 evaluates what stands behind a subquery before it.
            same_kind.append(and_(is_text, is_one_of_texts(text, texts, self.dialect)))
        for value in dict.fromkeys(one for one in values if one is None or isinstance(one, bool)):
            other = conditions.Value(value=value)
            same_kind.append(
                self._compare(
                    conditions.Comparison(
                        text=node.text, operator="==", left=node.operand, right=other
                    )
                )
            )
        return or_(*same_kind)

    def _is_one_of(self, number: Any, numbers: Sequence[float]) -> ColumnElement[bool]:
        """Whether a number is one of these."""
        ints = {int(one) for one in numbers if isfinite(one) and one == int(one)}
        ints = {one for one in ints if -_LARGEST_INT <= one < _LARGEST_INT}
        # In the text of one variable, SQLite would read some of them as their neighbours.
        others = {one for one in numbers if one not in ints}
        if len(others) > VARIABLES_MAX:
            raise InputError(
                f"has a list of {len(others)} numbers that are not whole; "
                f"at most {VARIABLES_MAX} can be looked for at once",
                where="--where",
                next_step="Write a range: 0 <= x < 1; or name the cases by --cases.",
            )
        found = [is_one_of_ints(number, sorted(ints), self.dialect)] if ints else []
        if others:
            listed: Any = bindparam(
                None, sorted(others), type_=Double(), unique=True, expanding=True
            )
            found.append(number.in_(listed))
        return or_(*found)

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
        return and_(left_is, right_is, not_(is_true(holds)))

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
            case conditions.Arithmetic() | conditions.Absolute():
                is_number, number = self._operand(term, float)
                return and_(is_number, number.is_not(None))
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
                is_number, number = self._number_or_null(operand)
                return is_number, func.abs(number)
        return false(), literal(_SAMPLES[kind])

    def _column(self, field: SqlColumn, kind: type) -> tuple[ColumnElement[bool], Any]:
        """`_operand` of a column."""
        if field.path:
            is_kind, extracted = kind_and_value(field, kind(_SAMPLES[kind]), self.dialect)
            return is_kind, cast(extracted, Integer) if kind is bool else extracted
        if field.truth is not None and kind is bool:
            return true(), case((field.truth, 1), else_=0)
        if field.truth is None:
            self._refuse_message(field)
            column = schema.column(field.column)
            if kind is (str if isinstance(column.type, String) else float):
                return column.is_not(None), column
        return false(), literal(_SAMPLES[kind])

    def _refuse_message(self, field: SqlColumn) -> None:
        """*Raises* InputError for errors: the table shows a message that is made of them."""
        if field.column == "error":
            raise InputError(
                "a condition compares error with None alone",
                where="--where",
                next_step='Select by reason, or write --sql "SELECT * FROM cases WHERE error LIKE '
                "'%text%'\".",
            )

    def _computed(self, term: conditions.Arithmetic) -> tuple[ColumnElement[bool], Any]:
        """`_operand` of a computed number: binary64, null where it divides by zero.

        Also null where an operand is no number: PostgreSQL computes both sides of a false `and`.
        """
        if term.operator == "%" and _remainders(term) > _REMAINDERS_MAX:
            raise InputError(
                f"{term.text!r} has more than {_REMAINDERS_MAX} operators % inside each other",
                where="--where",
                next_step="Write fewer: the number before each has to be computed several times.",
            )
        (left_is, left), (right_is, right) = map(self._number_or_null, (term.left, term.right))
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
        return and_(left_is, right_is), number

    def _number_or_null(self, term: conditions.Term) -> tuple[ColumnElement[bool], Any]:
        """`_operand` of a number inside a computed one, as a binary64 or null."""
        is_number, number = self._operand(term, float)
        if isinstance(term, conditions.Arithmetic | conditions.Absolute):  # is so already
            return is_number, number
        return is_number, case((is_number, cast(number, Double)))

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
            self._refuse_message(field)
            # Values of another kind are unequal; a database would convert them, or raise.
            if _kind(value) is not (str if isinstance(column.type, String) else float):
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
        if self.dialect != "sqlite" or field.column != "metrics" or _kind(value) is not float:
            return true()
        # As an object: SQLite then extracts the value alone, of whatever kind it is.
        _, extracted = kind_and_value(field, {}, self.dialect)
        match op:
            case ">" | ">=":
                possible: ColumnElement[bool] = extracted >= literal(value)
            case "<" | "<=" if value < inf:
                # SQLite evaluates it once for BETWEEN, and twice for `< … OR > …`.
                possible = not_(extracted.between(nextafter(value, inf), OBJECT_START))
            case "==" if isfinite(value):
                possible = extracted == literal(value)
            case _:
                possible = true()
        return possible


def _remainders(term: conditions.Term) -> int:
    """How many operators % are inside each other in a term."""
    match term:
        case conditions.Arithmetic(operator=op, left=left, right=right):
            return max(map(_remainders, (left, right))) + (op == "%")
        case conditions.Absolute(operand=operand):
            return _remainders(operand)
    return 0


def _comparisons(node: conditions.Condition) -> int:
    """How many comparisons the SQL of a condition has."""
    match node:
        case conditions.AnyOf(parts=parts):
            return sum(map(_comparisons, _folded(parts)))
        case conditions.AllOf(parts=parts):
            return sum(map(_comparisons, parts))
        case conditions.Not(operand=operand):
            return _comparisons(operand)
    return 1


def _folded(parts: Sequence[conditions.Condition]) -> list[conditions.Condition]:
    """A long `x == 1 or x == 2 or …` as `x in [1, 2, …]`."""
    if len(parts) <= _JOINED_AT_ONCE:
        return list(parts)
    values: dict[conditions.Term, list[conditions.Value]] = {}
    others: list[conditions.Condition] = []
    for part in parts:
        match part:
            case conditions.Comparison(operator="==", left=term, right=conditions.Value() as value):
                values.setdefault(term, []).append(value)
            case _:
                others.append(part)
    return others + [
        conditions.OneOf(text="", operand=term, values=tuple(members))
        for term, members in values.items()
    ]


def _joined(
    join: Callable[..., ColumnElement[bool]], parts: Sequence[ColumnElement[bool]]
) -> ColumnElement[bool]:
    """All parts joined by `and_` or `or_`, in a tree of groups.

    SQLite refuses expressions deeper than 1,000, and takes a chain for one as deep as it is long.
    """
    if len(parts) <= _JOINED_AT_ONCE:
        return join(*parts)
    groups = [
        # Null and false mean the same here; a mere bracket SQLAlchemy would leave out.
        is_true(join(*parts[at : at + _JOINED_AT_ONCE]))
        for at in range(0, len(parts), _JOINED_AT_ONCE)
    ]
    return _joined(join, groups)


def _kind(value: Any) -> type | None:
    """The kind of a value of the condition: bool, float for every number, str, or None."""
    if isinstance(value, bool | str):
        return type(value)
    return None if value is None else float


def _bound(value: Any) -> Any:
    """A value of the condition as a bound parameter can be. *Raises* InputError for no such text.

    PostgreSQL has no null character in a text, and SQLite up to 3.44 ends one of JSON there.
    """
    if isinstance(value, str) and "\0" in value:
        raise InputError(
            f"{value!r} has a null character, which a database cannot look for",
            where="--where",
            next_step="Name the cases by --cases, or select rows of the whole table.",
        )
    if type(value) is int and not -_LARGEST_INT <= value < _LARGEST_INT:
        return float(Decimal(value))  # infinite if it exceeds the floats
    return value
