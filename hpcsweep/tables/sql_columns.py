"""Columns of the table as SQL: an SQL column, or a value inside a JSON document."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from math import inf, nan
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Numeric,
    Text,
    and_,
    case,
    cast,
    false,
    func,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.sql import visitors

from hpcsweep.ids import FLOAT
from hpcsweep.indexset import IndexSet
from hpcsweep.records import Status
from hpcsweep.store import schema
from hpcsweep.store.pages import among

# As JSON writes it.
NULL_CHARACTER = r"\u0000"


@dataclass(frozen=True, slots=True)
class SqlColumn:
    """The origin of a table column: an SQL column, or a value inside a JSON document."""

    # One of `schema.column`.
    column: str
    # Keys down to the value; empty for an SQL column.
    path: tuple[str, ...] = ()
    # The column that repeats the value where it is a number, see `number_columns`.
    number: str | None = None
    # Whether some cases have a mapping there, with columns of its own.
    holds_mappings: bool = False
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


def among_column(indices: IndexSet, dialect: str) -> SqlColumn:
    """Whether a case has one of these indices."""
    return SqlColumn("", truth=among(indices, dialect))


def names_index(condition: ColumnElement[bool]) -> bool:
    """Whether a condition is one on the index, too: a case may have several."""
    return any(part is schema.cases.c.idx for part in visitors.iterate(condition))


def orderable(
    field: SqlColumn, kind: str, dialect: str
) -> tuple[ColumnElement[bool], ColumnElement[Any]] | None:
    """Whether a row has a value of this kind, and the value; None if SQL may order it differently.

    Texts in JSON may have characters that a database replaces; of an error the table shows the
    message, and a computed truth value is never null.
    """
    if field.path:
        like = {"int": 0, "float": 0.0, "bool": True}.get(kind)
        return None if like is None else kind_and_value(field, like, dialect)
    if field.column == "error" or field.truth is not None:
        return None
    column = schema.column(field.column)
    return column.is_not(None), column


def kind_and_value(field: SqlColumn, like: Any, dialect: str) -> tuple[ColumnElement[bool], Any]:
    """Whether a JSON value has the kind of `like`, and the value itself; of an object its text."""
    if dialect == "postgresql":
        return _kind_and_value_jsonb(field, like)
    is_kind, value = _kind_and_value_json(field, like)
    if field.number is None:
        return is_kind, value
    number = schema.column(field.number)
    # In this order: SQLite decodes the JSON of no row whose number has a column.
    if _is_number(like):
        is_kind = or_(number.is_not(None), is_kind)
    else:
        is_kind = and_(number.is_(None), is_kind)
    return is_kind, func.coalesce(number, value)


def _is_number(value: Any) -> bool:
    """Whether a value of a condition is a number: truth values are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind_and_value_json(field: SqlColumn, like: Any) -> tuple[ColumnElement[bool], Any]:
    """The same on SQLite, from the JSON alone."""
    column = schema.column(field.column)
    kind, value = (_inside(column, field.path, what) for what in ("type", "value"))
    kind = _kind_of_value(field, kind, value)
    match like:
        case None:
            return func.coalesce(kind, "null") == "null", value
        case bool():
            return kind.in_(["true", "false"]), value
        case int() | float():
            finite = kind.in_(["integer", "real"])
            return _or_infinite(field, finite, kind, value, value)
        case dict():
            return kind == "object", value
        case _:
            # Copy only the JSON that has one: a copy takes as long as decoding it.
            whole = _inside(_without_null_characters(column), field.path, "value")
            has_null_characters = func.instr(column, NULL_CHARACTER) > 0
            return kind == "text", case((has_null_characters, whole), else_=value)


def _inside(document: Any, path: tuple[str, ...], what: str) -> Any:
    """Type or value inside a JSON document on SQLite."""
    if any(json.dumps(key, ensure_ascii=False) != f'"{key}"' for key in path):
        return _member(document, path, what)
    inside = func.json_type if what == "type" else func.json_extract
    return inside(document, "$" + "".join(f'."{key}"' for key in path))


def _without_null_characters(column: Any) -> Any:
    """A JSON text in which other characters stand for null characters, as on PostgreSQL.

    SQLite up to 3.44 ends a text of JSON at one: "a\\0b" would be "a".
    """
    # An escaped backslash first: what follows it is no escape.
    unescaped = func.replace(column, r"\\", r"\u005c")
    return func.replace(unescaped, NULL_CHARACTER, r"\ufffd")


def _kind_and_value_jsonb(field: SqlColumn, like: Any) -> tuple[ColumnElement[bool], Any]:
    """The same on PostgreSQL, where a value of another kind must not reach a cast."""
    # Not at the top: PostgreSQL's dialect takes 0.1 s, and SQLite does not need it.
    from sqlalchemy.dialects.postgresql import JSONB, array  # noqa: PLC0415

    path = array(field.path, type_=Text)
    document = schema.document(field.column)
    kind = func.jsonb_typeof(document.op("#>", return_type=JSONB())(path))
    text = document.op("#>>", return_type=Text())(path)
    # As json_extract() of SQLite returns an object.
    squeezed = func.replace(text, " ", "")
    kind = _kind_of_value(field, kind, squeezed)
    match like:
        case None:
            return func.coalesce(kind, "null") == "null", text
        case bool():
            return kind == "boolean", case((kind == "boolean", cast(text, Boolean)))
        case int() | float():
            number = kind == "number"
            finite = case((number, cast(text, Numeric)))
            return _or_infinite(field, number, kind, squeezed, finite)
        case dict():
            return kind == "object", squeezed
        case _:
            return kind == "string", text.collate("C")


def _kind_of_value(field: SqlColumn, kind: Any, text: Any) -> Any:
    """The kind of a JSON value, null for a mapping whose values have columns of their own.

    `text` is the text of an object.
    """
    if not field.holds_mappings:
        return kind
    values = ["{}"]
    if field.column == "metrics":
        values += map(_object_text, (inf, -inf, nan))
    return case((and_(kind == "object", text.not_in(values)), null()), else_=kind)


def _or_infinite(
    field: SqlColumn, number: ColumnElement[bool], kind: Any, text: Any, value: Any
) -> tuple[ColumnElement[bool], Any]:
    """Whether a JSON value is a number, and the number; an infinity is one that JSON lacks.

    NaN is none: it has no order, and only != holds for it. `text` is the text of an object.
    """
    if field.column != "metrics":  # no param is infinite
        return number, value
    texts = {_object_text(of): of for of in (inf, -inf)}
    infinities = {of: cast(repr(number), Numeric) for of, number in texts.items()}
    is_infinite = and_(kind == "object", text.in_(list(texts)))
    # CASE text WHEN …: SQLite extracts the text once for both.
    return or_(number, is_infinite), case(infinities, value=text, else_=value)


def is_nan(field: SqlColumn, dialect: str) -> ColumnElement[bool]:
    """Whether a value inside a JSON document is NaN."""
    if field.column != "metrics":  # no param is NaN
        return false()
    is_object, text = kind_and_value(field, {}, dialect)
    return is_true(and_(text == _object_text(nan), is_object))


def is_true(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    """A condition that is false instead of null.

    By CASE: within coalesce(), SQLite would evaluate both sides of each `and` and `or`.
    """
    return case((condition, true()), else_=false())


def _object_text(number: float) -> str:
    """The text of the object that stands for a number, without white space."""
    return json.dumps({FLOAT: repr(number)}, separators=(",", ":"))


def _member(document: Any, path: tuple[str, ...], what: str) -> Any:
    """Type or value below these keys. SQLite's JSON paths cannot name keys that JSON escapes."""
    *above, last = path
    if above:
        kind, value = (_member(document, tuple(above), of) for of in ("type", "value"))
        document = case((kind == "object", value))  # a text might be read as JSON
    member = func.json_each(document).table_valued("key", "value", "type")
    return select(member.c[what]).where(member.c.key == last).scalar_subquery()
