"""Evaluate a condition on the parameters of one case; the standard library alone.

The meaning is that of the same condition in SQL, but what SQL takes for "does not hold" is an
error here if it is a mistake in the condition: an order between a text and a number, arithmetic
with what is no number, and a division by zero.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

from hpcsweep import ids
from hpcsweep.conditions.syntax import (
    Absolute,
    AllOf,
    AnyOf,
    Arithmetic,
    Comparison,
    Condition,
    FloatTest,
    Not,
    OneOf,
    Term,
    Value,
    alone,
)
from hpcsweep.errors import InputError

Values = Mapping[str, Any]
# Whether a condition holds for the values of its names. *Raises* InputError.
Test = Callable[[Values], bool]

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
}
# The types of pairs of numbers, of what has an order, and of what Python compares by value.
_NUMBERS = frozenset(product((int, float), repeat=2))
_ORDERED = _NUMBERS | {(str, str)}
_COMPARABLE = _ORDERED | {(bool, bool)}
# The value of a parameter that a case does not have.
MISSING = object()


def compile_condition(condition: Condition, where: str) -> Test:
    """The test of a condition; `where` locates its errors. *Raises* InputError for a lone name."""
    if isinstance(condition, AllOf):
        return _all([compile_condition(part, where) for part in condition.parts])
    if isinstance(condition, AnyOf):
        tests = [compile_condition(part, where) for part in condition.parts]
        return lambda values: any(test(values) for test in tests)
    if isinstance(condition, Not):
        negated = compile_condition(condition.operand, where)
        return lambda values: not negated(values)
    if isinstance(condition, Comparison):
        return _comparison(condition, where)
    if isinstance(condition, OneOf):
        return _one_of(condition, where)
    if isinstance(condition, FloatTest):
        return _float_test(condition)
    raise alone(condition.name, where)


def _all(tests: Sequence[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def holds(values: Values) -> bool:
        for test in tests:  # noqa: SIM110  # all() of a generator takes twice as long
            if not test(values):
                return False
        return True

    return holds


def _comparison(node: Comparison, where: str) -> Test:
    left, right = _term(node.left, where), _term(node.right, where)
    no_value = Value(value=None)
    if no_value in (node.left, node.right):
        other = right if node.left == no_value else left
        wants_null = node.operator == "=="
        return lambda values: (other(values) in (None, MISSING)) == wants_null
    if node.operator in _ORDERS:
        return _order(node, left, right, where)
    wants_equal = node.operator == "=="

    def is_equal(values: Values) -> bool:
        a, b = left(values), right(values)
        if a is MISSING or b is MISSING:
            return False
        return _equals(a, b) == wants_equal

    return is_equal


def _one_of(node: OneOf, where: str) -> Test:
    operand = _term(node.operand, where)
    values = [value.value for value in node.values]
    has_null = None in values
    numbers = frozenset(value for value in values if type(value) in (int, float))
    # By type: 1 is not True, nor is "1".
    known: dict[type, frozenset[Any]] = {
        int: numbers,
        float: numbers,
        str: frozenset(value for value in values if type(value) is str),
        bool: frozenset(value for value in values if type(value) is bool),
    }

    def is_member(values: Values) -> bool:
        value = operand(values)
        if value is None or value is MISSING:
            return has_null
        return type(value) in known and value in known[type(value)]

    return is_member


def _float_test(node: FloatTest) -> Test:
    name = node.operand.name
    test = math.isfinite if node.function == "isfinite" else math.isnan

    def holds(values: Values) -> bool:
        value = values.get(name)
        # An int beyond the floats is finite.
        if type(value) is int:
            return node.function == "isfinite"
        return type(value) is float and test(value)

    return holds


def _equals(a: Any, b: Any) -> bool:
    if (type(a), type(b)) in _COMPARABLE:
        return bool(a == b)
    return type(a) is type(b) and ids.canonical(a) == ids.canonical(b)


def _order(
    node: Comparison, left: Callable[[Values], Any], right: Callable[[Values], Any], where: str
) -> Test:
    compare = _ORDERS[node.operator]

    def is_ordered(values: Values) -> bool:
        a, b = left(values), right(values)
        if (type(a), type(b)) in _ORDERED:
            return compare(a, b)
        if a in (None, MISSING) or b in (None, MISSING):
            return False
        raise InputError(
            f"{node.text!r} compares {ids.shown(a)} with {ids.shown(b)}",
            where=where,
            next_step="Only numbers, and texts, have an order; compare with == or != instead.",
        )

    return is_ordered


def _term(node: Term, where: str) -> Callable[[Values], Any]:
    if isinstance(node, Arithmetic):
        return _arithmetic(node, where)
    if isinstance(node, Absolute):
        return _absolute(node, where)
    if isinstance(node, Value):
        value = node.value
        return lambda _: value
    name = node.name
    return lambda values: values.get(name, MISSING)


def _absolute(node: Absolute, where: str) -> Callable[[Values], Any]:
    operand = _term(node.operand, where)

    def computed(values: Values) -> Any:
        value = operand(values)
        if type(value) in (int, float):
            return abs(value)
        if value in (None, MISSING):
            return MISSING
        raise _no_number(node.text, value, where)

    return computed


def _no_number(text: str, value: Any, where: str) -> InputError:
    return InputError(
        f"{text!r} computes with {ids.shown(value)}, which is not a number",
        where=where,
        next_step="Use names that are numbers in every case.",
    )


def _arithmetic(node: Arithmetic, where: str) -> Callable[[Values], Any]:
    left, right = _term(node.left, where), _term(node.right, where)
    compute = _ARITHMETIC[node.operator]

    def computed(values: Values) -> Any:
        a, b = left(values), right(values)
        try:
            if (type(a), type(b)) in _NUMBERS:
                return compute(a, b)
        except (ZeroDivisionError, OverflowError) as error:
            raise InputError(
                f"{node.text!r} cannot be computed with {ids.shown(a)} and {ids.shown(b)}: {error}",
                where=where,
                next_step="Exclude these values before: n != 0 and 1 / n < 2.",
            ) from error
        for value in (a, b):
            if value in (None, MISSING):
                return MISSING
        raise _no_number(node.text, b if type(a) in (int, float) else a, where)

    return computed
