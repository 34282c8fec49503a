"""Parse a condition such as `energy < 1 and dt * omega < 2` into a tree.

Python's own parser reads the text; only the nodes below are taken from what it returns.
"""

from __future__ import annotations

import ast
import keyword
import re
import unicodedata
from collections.abc import Collection, Iterator
from typing import Union

from hpcsweep import ids
from hpcsweep.conditions.names import unknown_name
from hpcsweep.errors import InputError
from hpcsweep.older_python import dataclass

FORM = (
    "Compare names with values or with each other, joined by and, or, not; numbers with + - * / %: "
    "energy < 1 and dt * omega < 2; also abs(x), isfinite(x) and isnan(x). A name with other "
    "characters than letters, digits, _ and . stands in `backticks`; in a shell the condition then "
    "needs 'single quotes'."
)
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.Mod: "%",
}
# Levels of brackets: the parser of SQLite has a stack of 100, of which each takes up to five.
DEPTH_MAX = 15
# Terms of a sum that count as a level: SQLAlchemy takes several frames of Python's stack for each.
_TERMS = 3
_NESTING = (ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Call)
# Ends of lines that Python's parser takes for a newline.
_LINE_END = re.compile(r"\r\n?")
_FLOAT_TESTS = ("isfinite", "isnan")
_ABS = "abs"
# Strings, names in backticks, and dotted names.
_TOKEN = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?P<quoted>[^`]+)`|[^\W\d][\w.]*""")
_STAND_IN = re.compile(r"_column_[0-9]+")
# Words of the language itself.
_WORDS = frozenset({"and", "or", "not", "in", "is", "None", "True", "False"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Name:
    """A named value; as a condition, one that is true or false by its meaning, like `stale`."""

    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Value:
    """A value in the text of the condition."""

    value: bool | int | float | str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Arithmetic:
    """A number made of two."""

    # As written.
    text: str
    # + - * / or %.
    operator: str
    left: Term
    right: Term


@dataclass(frozen=True, kw_only=True, slots=True)
class Absolute:
    """A number without its sign: `abs(x)`."""

    # As written.
    text: str
    operand: Term


Term = Union[Name, Value, Arithmetic, Absolute]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """A comparison of two terms, of which at least one contains a name."""

    text: str
    # < <= > >= == or !=.
    operator: str
    left: Term
    right: Term


@dataclass(frozen=True, kw_only=True, slots=True)
class OneOf:
    """Whether a term equals one of these values: `x in [1, 2]`."""

    text: str
    operand: Term
    values: tuple[Value, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FloatTest:
    """Whether a named value is a finite number, or NaN: `isfinite(x)`, `isnan(x)`."""

    text: str
    # isfinite or isnan.
    function: str
    operand: Name


@dataclass(frozen=True, kw_only=True, slots=True)
class Not:
    """True where the operand is not."""

    operand: Condition


@dataclass(frozen=True, kw_only=True, slots=True)
class AllOf:
    """True where all parts are; parts are evaluated in order, up to the first that is not."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class AnyOf:
    """True where one part is."""

    parts: tuple[Condition, ...]


Condition = Union[Name, Comparison, OneOf, FloatTest, Not, AllOf, AnyOf]


def parse(text: str, names: Collection[str], where: str, noun: str = "column") -> Condition:
    """The tree of a condition over `names`, which a message calls by `noun`.

    *Raises* InputError, located at `where`, for a syntax error or an unknown name.
    """
    stand_ins: dict[str, str] = {}
    spelled = _with_identifiers(_LINE_END.sub("\n", text.strip()), names, stand_ins)
    try:
        tree = ast.parse(spelled, mode="eval").body
        if _depth(tree) > DEPTH_MAX:
            raise _too_deep(text, where)
        return _Parser(_Spelling(spelled), names, stand_ins, where, noun).condition(tree)
    except InputError:
        raise
    except (MemoryError, RecursionError) as error:  # Python's parser has limits of its own
        raise _too_deep(text, where) from error
    except (SyntaxError, ValueError) as error:
        what = f"{ids.shown(text)} does not parse: {getattr(error, 'msg', None) or error}"
        raise InputError(what, where=where, next_step=FORM) from error


def _too_deep(text: str, where: str) -> InputError:
    return InputError(
        f"{ids.shown(text)} is nested too deeply",
        where=where,
        next_step=f"At most {DEPTH_MAX} brackets, functions or `not` may be inside each other, and "
        f"{DEPTH_MAX * _TERMS} operators in a row; for many values write x in [1, 2].",
    )


def _depth(tree: ast.expr) -> float:
    """How deeply operators are nested in each other; a chain of `or` is one."""
    deepest, waiting = 0, [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        deepest = max(deepest, depth)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, _NESTING):
                is_in_row = isinstance(node, ast.BinOp) and child is node.left
                waiting.append((child, depth + (1 if is_in_row else _TERMS)))
    return deepest / _TERMS


def alone(name: str, where: str) -> InputError:
    """The error for a name that is no condition by itself."""
    return InputError(
        f"{name!r} is not a comparison",
        where=where,
        next_step=f"Compare it with a value: {name} == True. {FORM}",
    )


def names_in(node: Condition | Term) -> Iterator[str]:
    """Yield the names in a condition or term; a name may come again."""
    if isinstance(node, Name):
        yield node.name
    elif isinstance(node, (Comparison, Arithmetic)):
        yield from names_in(node.left)
        yield from names_in(node.right)
    elif isinstance(node, (Not, OneOf, FloatTest, Absolute)):
        yield from names_in(node.operand)
    elif isinstance(node, (AllOf, AnyOf)):
        for part in node.parts:
            yield from names_in(part)


def conjuncts(condition: Condition) -> Iterator[Condition]:
    """Yield the conditions that all have to hold, in order."""
    if isinstance(condition, AllOf):
        for part in condition.parts:
            yield from conjuncts(part)
    else:
        yield condition


def _with_identifiers(text: str, names: Collection[str], stand_ins: dict[str, str]) -> str:
    """Replace names that Python cannot parse by identifiers, recorded in `stand_ins`.

    These are names in backticks, and words such as `lambda` or the micro sign, which Python would
    parse differently, if there is such a name.
    """
    known: dict[str, str] = {}

    def replaced(match: re.Match[str]) -> str:
        name = match["quoted"] or match[0]
        if match["quoted"] is None and (name not in names or _is_plain_name(name)):
            return match[0]
        stand_in = known.setdefault(name, f"_column_{len(known)}")
        stand_ins[stand_in] = name
        return stand_in

    return _TOKEN.sub(replaced, text)


def _is_plain_name(name: str) -> bool:
    if name in _WORDS or unicodedata.normalize("NFKC", name) != name:
        return name in _WORDS
    return not any(map(keyword.iskeyword, name.split(".")))


class _Spelling:
    """The text of each node; `ast.get_source_segment` reads the whole condition for each."""

    def __init__(self, text: str) -> None:
        self._bytes = text.encode()
        self._line_starts = [0]
        for line in self._bytes.split(b"\n"):
            self._line_starts.append(self._line_starts[-1] + len(line) + 1)

    def of(self, node: ast.expr) -> str:
        """The text of a node, whose columns are bytes."""
        start = self._line_starts[node.lineno - 1] + node.col_offset
        end = self._line_starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)
        return self._bytes[start:end].decode()


@dataclass(frozen=True, slots=True)
class _Parser:
    text: _Spelling
    names: Collection[str]
    # Identifiers that stand for names; see `_with_identifiers`.
    stand_ins: dict[str, str]
    where: str
    noun: str

    def condition(self, node: ast.expr) -> Condition:
        if isinstance(node, ast.BoolOp):
            parts = tuple(map(self.condition, node.values))
            return AllOf(parts=parts) if isinstance(node.op, ast.And) else AnyOf(parts=parts)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return Not(operand=self.condition(node.operand))
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            pairs = zip(sides, node.ops, sides[1:])
            compared = tuple(self._compared(node, *pair) for pair in pairs)
            return compared[0] if len(compared) == 1 else AllOf(parts=compared)
        if isinstance(node, (ast.Name, ast.Attribute)):
            return self._name(node)
        if isinstance(node, ast.Call):
            function, operand = self._call(node, _FLOAT_TESTS)
            if not isinstance(operand, (ast.Name, ast.Attribute)):
                raise self.refusal(node, f"{function} takes a name")
            text = self._spelled(node)
            return FloatTest(text=text, function=function, operand=self._name(operand))
        raise self.refusal(node)

    def _call(self, node: ast.Call, functions: Collection[str]) -> tuple[str, ast.expr]:
        """The function and its only argument."""
        function = ast.unparse(node.func)
        if function not in functions:
            known = function in (*_FLOAT_TESTS, _ABS)
            what = "is no condition" if function == _ABS else "is no number"
            raise self.refusal(
                node, f"{function}() {what}" if known else f"{function}() is not a function here"
            )
        if len(node.args) != 1 or node.keywords:
            raise self.refusal(node, f"{function}() takes one argument")
        return function, node.args[0]

    def _compared(
        self, node: ast.Compare, left: ast.expr, op: ast.cmpop, right: ast.expr
    ) -> Condition:
        text = self._spelled(node)
        if isinstance(op, (ast.In, ast.NotIn)) and isinstance(right, (ast.List, ast.Tuple)):
            term = self._term(left)
            if not any(names_in(term)):
                raise self.refusal(left)
            values = tuple(map(self._value, right.elts))
            one_of = OneOf(text=text, operand=term, values=values)
            return one_of if isinstance(op, ast.In) else Not(operand=one_of)
        if type(op) not in _COMPARISONS:
            raise self.refusal(left)
        operator = _COMPARISONS[type(op)]
        terms = self._term(left), self._term(right)
        no_value = Value(value=None)
        if not any(any(names_in(term)) for term in terms) or (
            no_value in terms and operator not in ("==", "!=")
        ):
            raise self.refusal(node)
        return Comparison(text=text, operator=operator, left=terms[0], right=terms[1])

    def _term(self, node: ast.expr) -> Term:
        if isinstance(node, (ast.Name, ast.Attribute)):
            return self._name(node)
        if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
            return self._arithmetic(node, _OPERATORS[type(node.op)], node.left, node.right)
        if isinstance(node, ast.UnaryOp) and type(node.op) is ast.USub and not _is_literal(node):
            return self._arithmetic(node, "-", ast.Constant(0), node.operand)
        if isinstance(node, ast.Call):
            _, argument = self._call(node, (_ABS,))
            operand = self._term(argument)
            if isinstance(operand, Value):
                raise self.refusal(node)
            return Absolute(text=self._spelled(node), operand=operand)
        return self._value(node)

    def _arithmetic(
        self, node: ast.expr, operator: str, left: ast.expr, right: ast.expr
    ) -> Arithmetic:
        terms = self._term(left), self._term(right)
        for term in terms:
            if isinstance(term, Value) and type(term.value) not in (int, float):
                raise self.refusal(node)
        return Arithmetic(
            text=self._spelled(node), operator=operator, left=terms[0], right=terms[1]
        )

    def _name(self, node: ast.expr) -> Name:
        name = ast.unparse(node)
        name = self.stand_ins.get(name, name)
        if name not in self.names:
            raise unknown_name(name, self.names, self.where, self.noun)
        return Name(name=name)

    def _value(self, node: ast.expr) -> Value:
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError, SyntaxError) as error:
            raise self.refusal(node) from error
        if not isinstance(value, (bool, int, float, str, type(None))):
            raise self.refusal(node)
        return Value(value=value)

    def _spelled(self, node: ast.expr) -> str:
        """The text of a node as the user wrote it."""
        part = self.text.of(node)
        return _STAND_IN.sub(lambda match: self.stand_ins.get(match[0], match[0]), part)

    def refusal(self, node: ast.expr, why: str = "") -> InputError:
        what = f"{self._spelled(node)!r} is not a comparison"
        return InputError(f"{what}: {why}" if why else what, where=self.where, next_step=FORM)


def _is_literal(node: ast.expr) -> bool:
    """Whether it is a number with its sign."""
    return isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant)
