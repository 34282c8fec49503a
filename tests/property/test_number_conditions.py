"""A condition or an order by columns of numbers is the one by the JSON, for any documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import inf, nan
from typing import Any, NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, select

from hpcsweep.logbook.json_values import metric_values
from hpcsweep.store import number_columns, schema
from hpcsweep.store.column_kinds import parse_documents
from hpcsweep.tables.sql_columns import SqlColumn, orderable
from hpcsweep.tables.where import parse
from tests.support.plain_conditions import MISSING, holds
from tests.support.rows import case

# The column that has the numbers of a name's keys.
COLUMNS = {
    "x": ("params", ("x",), "p1"),
    "y": ("params", ("y.z",), "p2"),
    "a": ("metrics", ("a",), "m1"),
    "`n.b`": ("metrics", ("n", "b"), "m2"),
    "n": ("metrics", ("n",), "m3"),
    "`q`": ("metrics", ('q"\n', "c"), "m4"),
}
NUMBERS = {(document, keys): name for document, keys, name in COLUMNS.values()}
# A mapping there has columns of its own; below other names it is a value like any other.
HOLDS_MAPPINGS = ("x", "n")
JSON_ALONE = {
    name.strip("`"): SqlColumn(document, keys, None, name in HOLDS_MAPPINGS)
    for name, (document, keys, _) in COLUMNS.items()
}
BY_COLUMN = {
    name.strip("`"): SqlColumn(*origin, name in HOLDS_MAPPINGS) for name, origin in COLUMNS.items()
} | {"wall_seconds": SqlColumn("wall_seconds")}
JSON_ALONE["wall_seconds"] = BY_COLUMN["wall_seconds"]

# SQLite reads these texts exactly; of others its JSON functions may return a neighbour.
numbers = (
    st.integers(-3, 3)
    | st.integers(-24, 24).map(lambda number: number / 8)
    | st.sampled_from(
        [
            -0.0,
            1e16,
            10**16,
            2**53 + 1,
            2**63 - 1,
            -(2**63),
            2**63,
            10**30,
            -(10**30),
            1e300,
            5e-324,
        ]
    )
)
others = st.sampled_from(
    [None, True, False, "", "1", "a", "{", '{"$float":"inf"}', "inf", '{"c":2}', [1], {}, {"b": 1}]
)
params = st.fixed_dictionaries({}, optional={"x": numbers | others, "y.z": numbers | others})
measured = numbers | others | st.sampled_from([nan, inf, -inf])
metrics = st.fixed_dictionaries(
    {},
    optional={
        "a": measured,
        "n": measured | st.fixed_dictionaries({}, optional={"b": measured}),
        'q"\n': measured | st.fixed_dictionaries({}, optional={"c": measured}),
    },
)


class Documents(NamedTuple):
    """What a case has; and whether its numbers are in the columns, where some have them."""

    params: dict[str, Any]
    metrics: dict[str, Any]
    is_filled: bool = True


documents = st.lists(st.builds(Documents, params, metrics, st.booleans()), min_size=1, max_size=12)

names = st.sampled_from([*COLUMNS, "wall_seconds"])
ordered = numbers.map(repr) | st.sampled_from(["1e999", "-1e999", "''", "'1'", "'{'", "'inf'"])
literals = ordered | st.sampled_from(["None", "True", "False"])


@st.composite
def terms(draw: st.DrawFn, depth: int = 2) -> str:
    """A term with a name: without one it is refused."""
    kind = draw(st.sampled_from("nab" if depth else "n"))
    if kind == "n":
        return draw(names)
    if kind == "a":
        return f"abs({draw(terms(depth - 1))})"
    pair = [draw(terms(depth - 1)), draw(numbers.map(repr) | terms(depth - 1))]
    left, right = draw(st.permutations(pair))
    return f"({left} {draw(st.sampled_from('+-*/%'))} {right})"


@st.composite
def conditions(draw: st.DrawFn, depth: int = 2) -> str:
    operator = draw(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
    match draw(st.sampled_from("ccctif&|!" if depth else "ccctif")):
        case "&":
            return f"{draw(conditions(depth - 1))} and {draw(conditions(depth - 1))}"
        case "|":
            return f"({draw(conditions(depth - 1))} or {draw(conditions(depth - 1))})"
        case "!":
            return f"not ({draw(conditions(depth - 1))})"
        case "i":
            values = ", ".join(draw(st.lists(literals, max_size=4)))
            return f"{draw(names)} {draw(st.sampled_from(['in', 'not in']))} [{values}]"
        case "f":
            return f"{draw(st.sampled_from(['isnan', 'isfinite']))}({draw(names)})"
        case "t":
            return f"{draw(terms())} {operator} {draw(names)}"
    other = literals if operator in ("==", "!=") else ordered
    return f"{draw(names)} {operator} {draw(other)}"


@contextmanager
def table_of(cases: Sequence[Documents]) -> Iterator[Connection]:
    """A table with the cases three times: with all numbers in columns, with those of some, none."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        schema.cases.create(connection)
        fill(connection, cases)
        yield connection
    engine.dispose()


def fill(connection: Connection, cases: Sequence[Documents]) -> None:
    texts = {
        "params": [json.dumps(one.params) for one in cases],
        "metrics": [json.dumps(metric_values(one.metrics, "metrics")) for one in cases],
    }
    parsed = {name: parse_documents(of_name) for name, of_name in texts.items()}
    columns = number_columns.split(NUMBERS, parsed)
    for sweep in ("all", "some", "none"):
        for at, one in enumerate(cases):
            row = case(at, params=texts["params"][at], metrics=texts["metrics"][at])
            if sweep == "all" or (sweep == "some" and one.is_filled):
                row |= {name: values[at] for name, values in columns.items()}
            row |= {"sweep": sweep, "idx": at, **used(at)}
            connection.execute(schema.cases.insert().values(row))


def found(connection: Connection, condition: Any, *order: Any) -> dict[str, list[int]]:
    """The indices with a condition, in order, of each form of the cases."""
    indices: dict[str, list[int]] = {"all": [], "some": [], "none": []}
    table = schema.cases.c
    query = select(table.sweep, table.idx).where(condition).order_by(*order, table.idx)
    for sweep, index in connection.execute(query):
        indices[sweep].append(index)
    return indices


def matching(cases: Sequence[Documents], text: str) -> list[int]:
    """The indices of cases with a condition, without a database."""
    plain = text.replace("`n.b`", "b").replace("`q`", "q")
    return [at for at, one in enumerate(cases) if holds(plain, values_of(one) | used(at))]


def values_of(one: Documents) -> dict[str, Any]:
    """The values of a case by name."""
    found: dict[str, Any] = {}
    for name, (document, keys, _) in COLUMNS.items():
        value: Any = getattr(one, document)
        for key in keys:
            value = value.get(key, MISSING) if isinstance(value, dict) else MISSING
        if not (name in HOLDS_MAPPINGS and isinstance(value, dict) and value):
            found[name.strip("`").removeprefix("n.")] = value
    return found


def used(at: int) -> dict[str, Any]:
    """What a case used."""
    return {"wall_seconds": at / 2}


@given(documents, st.lists(conditions(), min_size=1, max_size=6))
@example(
    [Documents({}, {"a": inf}), Documents({}, {"a": nan}), Documents({}, {"a": 1})],
    ["a <= 1e999", "a < 1e999", "a >= 1e999", "a == 1e999", "a != a", "isnan(a)"],
)
@example(
    [Documents({"x": 1}, {}), Documents({"x": 1.0}, {}), Documents({"x": True}, {})],
    ["x == 1", "x != 1", "x == True", "x in [1, True]", "x == None", "x == '1'"],
)
@example(
    [Documents({"x": "a"}, {}), Documents({"x": {"b": 1}}, {"n": {}}), Documents({"x": 2}, {})],
    ["wall_seconds == True", "abs(x) != wall_seconds", "x == None", "x != 2", "n != None"],
)
def test_a_condition_holds_by_a_column_where_it_holds_by_the_json(
    cases: list[Documents], texts: list[str]
) -> None:
    with table_of(cases) as connection:
        for text in texts:
            by_json = found(connection, parse(text, JSON_ALONE, "sqlite"))
            by_column = found(connection, parse(text, BY_COLUMN, "sqlite"))
            assert by_column == by_json, text
            assert by_json["all"] == by_json["some"] == by_json["none"], text
            if "%" not in text:
                assert by_json["all"] == matching(cases, text), text


@given(documents)
def test_an_order_by_a_column_is_the_one_by_the_json(cases: list[Documents]) -> None:
    with table_of(cases) as connection:
        for name in COLUMNS:
            expected = None
            for fields in (JSON_ALONE, BY_COLUMN):
                ordered = orderable(fields[name.strip("`")], "float", "sqlite")
                assert ordered
                indices = found(connection, *ordered)
                expected = expected or indices["none"]
                assert indices == dict.fromkeys(indices, expected), name
