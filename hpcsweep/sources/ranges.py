"""Axes given by a rule: exact decimal arithmetic; a value is computed when it is read.

    {linspace: [0, 1, 11]}      11 values from 0 to 1, both included
    {arange: [0, 1, 0.1]}       from 0 in steps of 0.1, below 1
    {logspace: [-3, 0, 4]}      10**-3 … 10**0; a fourth number is another base
    {range: [0, 1000]}          integers as Python's range: start, stop, step

A float means the decimal that its text shows: the fourth value of {arange: [0, 1, 0.1]} is 0.3,
although 0.1 + 0.1 + 0.1 in floats is not.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from typing import Any, NamedTuple, overload

from hpcsweep import ids
from hpcsweep.errors import IdentityError, SourceError
from hpcsweep.quantities import counted
from hpcsweep.sources.keys import nearest, whole_number

# Limit of the length: sums of positions stay within 64 bits.
_LONGEST = 2**62
# Decimal digits of the logarithms and powers of a logspace; a float has 17.
_DIGITS = 60


class Range(Sequence[Any]):
    """Distinct numbers in ascending or descending order; `spec` is the rule in a manifest."""

    spec: Mapping[str, list[Any]]

    @abstractmethod
    def at(self, position: int) -> Any:
        """The value at a position of `0 .. count-1`."""

    @abstractmethod
    def find(self, value: Any) -> int | None:
        """The position of a plain value; None if the range does not contain it."""

    @overload
    def __getitem__(self, position: int) -> Any: ...
    @overload
    def __getitem__(self, position: slice) -> Sequence[Any]: ...
    def __getitem__(self, position: int | slice) -> Any:
        if isinstance(position, slice):
            return [self.at(i) for i in range(len(self))[position]]
        if not -len(self) <= position < len(self):
            raise IndexError(f"position {position} is outside 0..{len(self) - 1}")
        return self.at(position % len(self))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Range) and self.spec == other.spec

    def __hash__(self) -> int:
        return hash(repr(self.spec))

    def __repr__(self) -> str:
        return f"<{ids.shown(dict(self.spec))}: {counted(len(self), 'value')}>"


class LinearRange(Range):
    """start + i * step, computed exactly and rounded once; ints if `whole`."""

    def __init__(
        self, start: Fraction, step: Fraction, count: int, *, whole: bool, where: str
    ) -> None:
        if count > _LONGEST:
            raise _error(f"{count} values are too many", where, "Give fewer values.")
        denominator = math.lcm(start.denominator, step.denominator)
        # Numerators over one denominator: a value is then one division, which rounds once.
        self.first: int = start.numerator * (denominator // start.denominator)
        self.step: int = step.numerator * (denominator // step.denominator)
        self.denominator = denominator
        self.whole = whole
        self._count = count
        self.spec: dict[str, list[Any]] = {}
        last = start + (count - 1) * step
        largest = max(abs(start), abs(last))
        if not whole and largest > Fraction(math.nextafter(math.inf, 0)):
            raise _error("the values exceed the largest float", where, "Give smaller values.")
        # Numbers that differ by more than one ulp of the largest round to different floats.
        if not whole and count > 1 and abs(step) <= Fraction(math.ulp(float(largest))):
            raise _error(
                f"steps of {float(step)!r} are too small: two values may be the same float",
                where,
                "Give a larger step, or fewer values.",
            )

    def __len__(self) -> int:
        return self._count

    def at(self, position: int) -> Any:
        value = self.first + self.step * position
        return value // self.denominator if self.whole else value / self.denominator

    def exactly(self, position: int) -> Fraction:
        """The value before rounding."""
        return Fraction(self.first + self.step * position, self.denominator)

    def find(self, value: Any) -> int | None:
        if type(value) not in (int, float):
            return None
        if self._count == 1 or not self.step:
            return 0 if value == self.at(0) else None
        offset = Fraction(value) * self.denominator - self.first
        guess = round(offset / self.step)
        near = range(max(0, guess - 1), min(self._count, guess + 2))
        return next((i for i in near if self.at(i) == value), None)


class LogRange(Range):
    """base**e for each exponent e of a linear range; if e is an integer, exact until rounded."""

    def __init__(self, exponents: LinearRange, base: Fraction) -> None:
        self.exponents = exponents
        self.base = base
        self._context = Context(prec=_DIGITS)
        self._log = self._context.ln(self._decimal(base.numerator, base.denominator))
        self.spec: dict[str, list[Any]] = {}

    def __len__(self) -> int:
        return len(self.exponents)

    def at(self, position: int) -> float:
        exponent = self.exponents.exactly(position)
        if exponent.denominator == 1:
            return float(self.base**exponent.numerator)
        # exp and ln of `decimal` are correctly rounded, so every machine computes the same value.
        power = self._decimal(exponent.numerator, exponent.denominator)
        return float(self._context.exp(self._context.multiply(power, self._log)))

    def find(self, value: Any) -> int | None:
        if type(value) not in (int, float) or value <= 0:
            return None
        rising = len(self) == 1 or self.at(0) < self.at(1)
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            candidate = self.at(middle)
            if candidate == value:
                return middle
            if (candidate < value) == rising:
                low = middle + 1
            else:
                high = middle
        return None

    def _decimal(self, numerator: int, denominator: int) -> Decimal:
        return self._context.divide(Decimal(numerator), Decimal(denominator))


def linspace(start: float, stop: float, num: int, where: str = "linspace") -> Range:
    """`num` evenly spaced values from `start` to `stop`, both included.

    Examples:
        >>> [case.params["a"] for case in hs.grid(a=hs.linspace(0, 1, 3))]
        [0.0, 0.5, 1.0]
    """
    values = _space_evenly(start, stop, num, where)
    return _with_spec(values, linspace=[start, stop, len(values)])


def _space_evenly(start: float, stop: float, num: int, where: str) -> LinearRange:
    count = whole_number(num, f"{where}[2]", at_least=1)
    first, last = _exact(start, f"{where}[0]"), _exact(stop, f"{where}[1]")
    if count > 1 and first == last:
        raise _error(
            f"{count} values, but start and stop are both {start!r}", where, "Change one of them."
        )
    step = (last - first) / (count - 1) if count > 1 else Fraction(0)
    return LinearRange(first, step, count, whole=False, where=where)


def arange(start: float, stop: float, step: float, where: str = "arange") -> Range:
    """start, start + step … before `stop`; ints if all three arguments are ints.

    Examples:
        >>> [case.params["a"] for case in hs.grid(a=hs.arange(0, 0.3, 0.1))]
        [0.0, 0.1, 0.2]
    """
    first, end, by = (_exact(value, f"{where}[{i}]") for i, value in enumerate((start, stop, step)))
    count = 0 if by == 0 else math.ceil((end - first) / by)
    if count < 1:
        raise _error(
            f"steps of {step!r} from {start!r} to {stop!r} give no value",
            where,
            "Write start, stop and step, with a step towards stop; stop itself is left out.",
        )
    whole = all(type(ids.plain(value)) is int for value in (start, stop, step))
    values = LinearRange(first, by, count, whole=whole, where=where)
    return _with_spec(values, arange=[start, stop, step])


def logspace(
    start: float, stop: float, num: int, base: float = 10, where: str = "logspace"
) -> Range:
    """`num` powers of `base`; their exponents are evenly spaced from `start` to `stop`.

    Examples:
        >>> [case.params["a"] for case in hs.grid(a=hs.logspace(0, 2, 3))]
        [1.0, 10.0, 100.0]
    """
    exact = _exact(base, f"{where}[3]")
    if exact <= 0 or exact == 1:
        raise _error(
            f"{base!r} cannot be the base", f"{where}[3]", "Give a base above 0, except 1."
        )
    exponents = _space_evenly(start, stop, num, where)
    log = abs(math.log(exact))
    # exp(±708) is inside 2**-1022 … 2**1023, the normal floats. Neighbours whose logarithms differ
    # by 2**-50 are different floats, with room for rounding.
    if max(abs(_exact(end, where)) for end in (start, stop)) * log > 708:
        raise _error("the values are outside the range of floats", where, "Give smaller exponents.")
    if len(exponents) > 1 and abs(exponents.step / exponents.denominator) * log < 2**-50:
        raise _error(
            "the values are too close: two may be the same float",
            where,
            "Give fewer values.",
        )
    numbers = [start, stop, len(exponents)]
    spec = numbers if exact == 10 else [*numbers, base]
    return _with_spec(LogRange(exponents, exact), logspace=spec)


def whole_range(*arguments: int, where: str = "range") -> Range:
    """The integers of Python's `range(*arguments)`."""
    numbers = [whole_number(value, f"{where}[{i}]") for i, value in enumerate(arguments)]
    try:
        ints = range(*numbers)
    except (TypeError, ValueError) as error:
        raise _error(
            f"{ids.shown(numbers)}: {error}",
            where,
            "Write [stop], [start, stop] or [start, stop, step].",
        ) from error
    count = max(0, -((ints.start - ints.stop) // ints.step))
    if not count:
        raise _error("the range is empty", where, "Give it a value, or leave the parameter out.")
    values = LinearRange(Fraction(ints.start), Fraction(ints.step), count, whole=True, where=where)
    return _with_spec(values, range=[ints.start, ints.stop, ints.step])


class AxisRule(NamedTuple):
    """A rule that an axis can have instead of a list of values."""

    # Makes the range from the rule's numbers.
    make: Callable[..., Range]
    # Smallest and largest count of these numbers.
    counts: tuple[int, int]
    # Description of the numbers.
    numbers: str
    # Example numbers, and a description of the values that they give.
    example: tuple[float, ...]
    gives: str
    # Whether all numbers are integers.
    is_whole: bool = False


RULES = {
    "linspace": AxisRule(
        linspace,
        (3, 3),
        "start, stop and count; both ends included",
        (0, 1, 11),
        "11 values, both ends included",
    ),
    "arange": AxisRule(
        arange,
        (3, 3),
        "start, stop and step; the stop is left out",
        (0, 1, 0.1),
        "in steps, the end left out; ints where all three are",
    ),
    "logspace": AxisRule(
        logspace,
        (3, 4),
        "first and last exponent, count, base (10)",
        (-3, 0, 4),
        "powers of ten with evenly spaced exponents; a fourth number is another base",
    ),
    "range": AxisRule(
        whole_range,
        (1, 3),
        "stop; start and stop; or with a step: integers",
        (0, 1000),
        "integers, as Python's `range`",
        is_whole=True,
    ),
}


def from_spec(value: Mapping[str, Any], where: str) -> Range:
    """Make the axis of a mapping like `{linspace: [0, 1, 11]}`. *Raises* SourceError."""
    name = next(iter(value), None)
    if len(value) != 1 or not isinstance(name, str) or name not in RULES:
        raise _error(
            f"{ids.shown(dict(value))} is a dict, not a list of values",
            where,
            f"Write a list, or one rule: {{linspace: [0, 1, 11]}}. {nearest(name, RULES, 'rule')}",
        )
    arguments = value[name]
    rule = RULES[name]
    least, most = rule.counts
    if isinstance(arguments, (list, tuple)) and least <= len(arguments) <= most:
        return rule.make(*arguments, where=f"{where}.{name}")
    raise _error(
        f"{ids.shown(arguments)} does not fit {name}",
        f"{where}.{name}",
        f"Write it like {{{name}: {list(rule.example)}}}.",
    )


def exact_decimal(value: float) -> Fraction:
    """The shortest decimal that reads back as the same number."""
    return Fraction(repr(value))


def _exact(value: Any, where: str) -> Fraction:
    try:
        number = ids.plain(value, where)
    except IdentityError as error:
        raise _error(error.what, where, "Give a finite number.") from error
    if type(number) not in (int, float):
        raise _error(f"{ids.shown(value)} is not a number", where, "Give an int or a float.")
    return exact_decimal(number)


def _with_spec(made: Range, **spec: list[Any]) -> Range:
    made.spec = ids.plain(spec)
    return made


def _error(what: str, where: str, next_step: str) -> SourceError:
    return SourceError(what, where=where, next_step=next_step)
