"""Compile `--where "energy < 1 and omega == 2"` to an SQL expression.

No text is pasted into SQL: names must be columns of the table, values are bound parameters.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import keyword
import operator
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Numeric,
    String,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB, array

from hpcsweep import ids
from hpcsweep.errors import InputError
from hpcsweep.records import Status
from hpcsweep.store import schema

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_SWAPPED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.Gt,
    ast.LtE: ast.GtE,
    ast.Gt: ast.Lt,
    ast.GtE: ast.LtE,
}
_FORM = (
    "Compare columns with values, joined by and, or, not: energy < 1 and omega == 2. A column "
    "with other characters than letters, digits, _ and . stands in `backticks`."
)
# Strings, columns in backticks, and dotted names.
_TOKEN = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?P<quoted>[^`]+)`|[^\W\d][\w.]*""")
# Words of the condition language itself.
_WORDS = frozenset({"and", "or", "not", "in", "is", "None", "True", "False"})
# Larger integers are compared as floats: both databases store them so.
_LARGEST_INT = 2**63


@dataclass(frozen=True, slots=True)
class SqlColumn:
    """The origin of a table column: an SQL column, or a value inside params/metrics."""

    # A column of the cases table, "idx", "params" or "metrics".
    column: str
    # Keys down to the value; empty for an SQL column.
    path: tuple[str, ...] = ()
    # What a truth value is computed from, instead of a column.
    truth: ColumnElement[bool] | None = dataclasses.field(default=None, compare=False)


def stale_column(code_digest: str | None) -> SqlColumn:
    """Whether a case is complete and was computed with code of another digest than this."""
    cases = schema.cases.c
    is_other: ColumnElement[bool] = false()
    if code_digest:
        is_other = and_(
            cases.status == Status.COMPLETE.value,
            cases.code_digest.is_not(None),
            cases.code_digest != code_digest,
        )
    return SqlColumn("", truth=is_other)


def parse(text: str, fields: Mapping[str, SqlColumn], dialect: str) -> ColumnElement[bool]:
    """The condition as SQL. *Raises* InputError for a syntax error or an unknown column."""
    names: dict[str, str] = {}
    spelled = _with_identifiers(text.strip(), fields, names)
    try:
        tree = ast.parse(spelled, mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        what = f"{ids.shown(text)} does not parse: {getattr(error, 'msg', None) or error}"
        raise InputError(what, where="--where", next_step=_FORM) from error
    return _Parser(spelled, fields, names, dialect).condition(tree.body)


def _with_identifiers(text: str, fields: Mapping[str, SqlColumn], names: dict[str, str]) -> str:
    """Replace column names that Python cannot parse by identifiers, recorded in `names`.

    These are columns in backticks, and words such as `lambda` or the micro sign, which Python would
    parse differently, if a column has that name.
    """

    def replaced(match: re.Match[str]) -> str:
        name = match["quoted"] or match[0]
        if match["quoted"] is None and (name not in fields or _is_plain_name(name)):
            return match[0]
        stand_in = f"_column_{len(names)}"
        names[stand_in] = name
        return stand_in

    return _TOKEN.sub(replaced, text)


def _is_plain_name(name: str) -> bool:
    if name in _WORDS or unicodedata.normalize("NFKC", name) != name:
        return name in _WORDS
    return not any(map(keyword.iskeyword, name.split(".")))


class _Parser:
    def __init__(
        self, text: str, fields: Mapping[str, SqlColumn], names: Mapping[str, str], dialect: str
    ) -> None:
        self._text = text
        self._fields = fields
        # Identifiers that stand for columns; see `_with_identifiers`.
        self._names = names
        self._dialect = dialect

    def condition(self, node: ast.expr) -> ColumnElement[bool]:
        match node:
            case ast.BoolOp(op=ast.And(), values=values):
                return and_(*map(self.condition, values))
            case ast.BoolOp(op=ast.Or(), values=values):
                return or_(*map(self.condition, values))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return not_(func.coalesce(self.condition(operand), false()))
            case ast.Compare(left=left, ops=ops, comparators=rest):
                sides = [left, *rest]
                pairs = zip(sides[:-1], ops, sides[1:], strict=True)
                return and_(*(self._compare(a, op, b) for a, op, b in pairs))
            case ast.Name(id=name) if name in self._fields:
                truth = self._fields[name].truth
                if truth is not None:
                    return truth
        raise self._refusal(node)

    def _compare(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> ColumnElement[bool]:
        if isinstance(op, ast.In | ast.NotIn) and isinstance(right, ast.List | ast.Tuple):
            field = self._field(left)
            condition = or_(*(self._test(field, ast.Eq, self._value(item)) for item in right.elts))
            return condition if isinstance(op, ast.In) else not_(func.coalesce(condition, false()))
        if type(op) not in _COMPARE:
            raise self._refusal(left)
        if self._is_name(left):
            return self._test(self._field(left), type(op), self._value(right))
        return self._test(self._field(right), _SWAPPED.get(type(op), type(op)), self._value(left))

    def _test(self, field: SqlColumn, op: type[ast.cmpop], value: Any) -> ColumnElement[bool]:
        compare = _COMPARE[op]
        if field.truth is not None:
            if not isinstance(value, bool):  # of another kind, so unequal
                return true() if op is ast.NotEq else false()
            holds: ColumnElement[bool] = compare(case((field.truth, 1), else_=0), int(value))
            return holds
        if not field.path:
            table = schema.places if field.column == "idx" else schema.cases
            column = table.c[field.column]
            if value is None:
                return column.is_(None) if op is ast.Eq else column.is_not(None)
            # Values of another kind are unequal; a database would convert them, or raise.
            if isinstance(column.type, String) != isinstance(value, str):
                return and_(column.is_not(None), true() if op is ast.NotEq else false())
            condition: ColumnElement[bool] = compare(column, literal(value))
            return condition
        kind, extracted = self._extract(field, value)
        if value is None:
            return kind if op is ast.Eq else not_(kind)
        tested: ColumnElement[bool] = and_(kind, compare(extracted, literal(value)))
        # A value of another kind is not equal: 1 != "1".
        return or_(not_(kind), tested) if op is ast.NotEq else tested

    def _extract(self, field: SqlColumn, value: Any) -> tuple[ColumnElement[bool], Any]:
        """Whether the JSON value has the kind of `value`, and the value itself."""
        if self._dialect == "postgresql":
            return _extract_jsonb(field, value)
        column = schema.cases.c[field.column]
        if any(json.dumps(key, ensure_ascii=False) != f'"{key}"' for key in field.path):
            kind, extracted = (_member(column, field.path, what) for what in ("type", "value"))
        else:
            path = "$" + "".join(f'."{key}"' for key in field.path)
            kind, extracted = func.json_type(column, path), func.json_extract(column, path)
        match value:
            case None:
                return func.coalesce(kind, "null") == "null", extracted
            case bool():
                return kind.in_(["true", "false"]), extracted
            case int() | float():
                return kind.in_(["integer", "real"]), extracted
            case _:
                return kind == "text", extracted

    def _is_name(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name | ast.Attribute)

    def _field(self, node: ast.expr) -> SqlColumn:
        if not self._is_name(node):
            raise self._refusal(node)
        name = ast.unparse(node)
        name = self._names.get(name, name)
        if name not in self._fields:
            raise InputError(
                f"{name!r} is not a column",
                where="--where",
                next_step=f"Columns: {', '.join(self._fields)}.",
            )
        return self._fields[name]

    def _value(self, node: ast.expr) -> Any:
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError) as error:
            raise self._refusal(node) from error
        if not isinstance(value, bool | int | float | str | None):
            raise self._refusal(node)
        if type(value) is int and not -_LARGEST_INT <= value < _LARGEST_INT:
            return float(Decimal(value))  # infinite if it exceeds the floats
        return value

    def _refusal(self, node: ast.expr) -> InputError:
        part = ast.get_source_segment(self._text, node) or self._text
        for stand_in, name in self._names.items():
            part = part.replace(stand_in, name)
        return InputError(f"{part!r} is not a comparison", where="--where", next_step=_FORM)


def _extract_jsonb(field: SqlColumn, value: Any) -> tuple[ColumnElement[bool], Any]:
    """`_extract` on PostgreSQL, where a value of another kind must not reach a cast."""
    path = array(field.path, type_=Text)
    document = schema.document(field.column)
    kind = func.jsonb_typeof(document.op("#>", return_type=JSONB())(path))
    text = document.op("#>>", return_type=Text())(path)
    match value:
        case None:
            return func.coalesce(kind, "null") == "null", text
        case bool():
            return kind == "boolean", case((kind == "boolean", cast(text, Boolean)))
        case int() | float():
            return kind == "number", case((kind == "number", cast(text, Numeric)))
        case _:
            return kind == "string", text.collate("C")


def _member(document: Any, path: tuple[str, ...], what: str) -> Any:
    """Type or value below these keys. SQLite's JSON paths cannot name keys that JSON escapes."""
    *above, last = path
    if above:
        document = _member(document, tuple(above), "value")
    member = func.json_each(document).table_valued("key", "value", "type")
    return select(member.c[what]).where(member.c.key == last).scalar_subquery()
