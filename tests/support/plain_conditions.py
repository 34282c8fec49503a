"""What a condition means, written another way: Python's own comparisons, one case at a time."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

# The value of a name that a case does not have, and of what cannot be computed.
MISSING = object()
_ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_COMPUTED: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def holds(condition: str, row: Mapping[str, Any]) -> bool:
    """Whether a condition without `%` and backticks holds for the values of these names."""
    return _holds(ast.parse(condition, mode="eval").body, row)


def _holds(node: ast.expr, row: Mapping[str, Any]) -> bool:
    match node:
        case ast.BoolOp(op=op, values=parts):
            return (all if isinstance(op, ast.And) else any)(_holds(part, row) for part in parts)
        case ast.UnaryOp(op=ast.Not(), operand=part):
            return not _holds(part, row)
        case ast.Call(func=ast.Name(id=name), args=[operand]):
            value = _value(operand, row)
            if name == "isnan":
                return _kind(value) == "nan"
            return _kind(value) == "number" and math.isfinite(_as_kept(value))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _compared(left, op, right, row)
    raise AssertionError(ast.dump(node))


def _compared(left: ast.expr, op: ast.cmpop, right: ast.expr, row: Mapping[str, Any]) -> bool:
    value = _value(left, row)
    if isinstance(right, ast.List):
        return any(_equal(value, ast.literal_eval(one)) for one in right.elts) == isinstance(
            op, ast.In
        )
    other = _value(right, row)
    if isinstance(right, ast.Constant) and right.value is None:
        return (value in (None, MISSING)) == isinstance(op, ast.Eq)
    if MISSING in (value, other):
        return False
    if isinstance(op, ast.Eq | ast.NotEq):
        return _equal(value, other) == isinstance(op, ast.Eq)
    is_ordered = _kind(value) == _kind(other) and _kind(value) in ("number", "str")
    return is_ordered and _ORDERS[type(op)](_as_kept(value), _as_kept(other))


def _equal(a: Any, b: Any) -> bool:
    """Of one kind and equal; what a case does not have equals null."""
    if a in (None, MISSING) or b in (None, MISSING):
        return a in (None, MISSING) and b in (None, MISSING)
    return _kind(a) == _kind(b) and _kind(a) not in ("nan", "") and _as_kept(a) == _as_kept(b)


def _kind(value: Any) -> str:
    if isinstance(value, bool | str):
        return type(value).__name__
    if isinstance(value, int | float):
        return "number" if value == value else "nan"  # noqa: PLR0124
    return ""


def _as_kept(value: Any) -> Any:
    """A value as a database compares it: an integer beyond 64 bits as a float."""
    return float(value) if type(value) is int and not -(2**63) <= value < 2**63 else value


def _value(node: ast.expr, row: Mapping[str, Any]) -> Any:
    match node:
        case ast.Name(id=name):
            return row.get(name, MISSING)
        case ast.BinOp(op=op, left=left, right=right):
            return _number(_COMPUTED[type(op)], _value(left, row), _value(right, row))
        case ast.Call(args=[operand]):  # abs()
            return _number(lambda a, _: abs(a), _value(operand, row), 0)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, row)
        case ast.Constant(value=value):
            return value
    raise AssertionError(ast.dump(node))


def _number(compute: Callable[[float, float], float], a: Any, b: Any) -> Any:
    """A number made of two, in binary64; missing where it cannot be computed."""
    if {_kind(a), _kind(b)} != {"number"}:
        return MISSING
    try:
        made = compute(float(a), float(b))
    except ZeroDivisionError:
        return MISSING
    return MISSING if math.isnan(made) else made
