"""Distributions: how a random number becomes the value of a parameter.

Every one is a monotone transform of u = k * 2**-53 with k an integer of `0 .. 2**53-1`. The
arithmetic is final: it uses nothing that differs between machines, so a value drawn today can be
drawn again on any other. Here are those that most sweeps use; `continuous` and `discrete` hold
the others, which load when they are named.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from hpcsweep import ids
from hpcsweep.errors import IdentityError, InputError, SourceError
from hpcsweep.sources.keys import checked_keys, fresh, whole_number
from hpcsweep.sources.numeric.philox import K_BITS
from hpcsweep.sources.registry import DISTRIBUTIONS, distribution_class

if TYPE_CHECKING:
    from hpcsweep.sources.numeric.vectors import Array


class Distribution(ABC):
    """A frozen rule that gives a plain value for each k.

    Every kind is a dataclass: its fields are the keys of its manifest dict.
    """

    # Whether making it runs code of the user's.
    runs_user_code: ClassVar[bool] = False

    @classmethod
    def resolve_paths(cls, value: Mapping[str, Any], root: Path) -> Mapping[str, Any]:  # noqa: ARG003
        """A manifest dict of this kind, with what is relative to `root` made absolute."""
        return value

    @abstractmethod
    def at(self, k: int) -> Any:
        """The value at u = k * 2**-53, with `0 <= k < 2**53`.

        It never falls as k grows; where exp or the normal quantile is computed, neighbours may be
        out of order by a few units of the last place.
        """

    @abstractmethod
    def column(self, k: Array) -> Array:
        """What `at` gives for each of an array of k (uint64), to the last bit.

        An array of float64, int64 or bool if all values that can be drawn are of one of these
        types, else of objects.
        """

    def to_manifest_dict(self) -> dict[str, Any]:
        """`{"type": …}` and the fields, as plain JSON."""
        names = [field.name for field in given_fields(type(self))]
        values = {name: ids.plain(getattr(self, name)) for name in names}
        return {"type": type(self).__name__, **values}


@dataclass(frozen=True)
class Uniform(Distribution):
    """A float of `[low, high)`: low + (high - low) * u in binary64."""

    low: float
    high: float

    def __post_init__(self) -> None:
        low, high = number(self.low, "uniform.low"), number(self.high, "uniform.high")
        check_ascending(low, high, "uniform")
        if not math.isfinite(high - low):
            raise SourceError(
                f"high {high!r} - low {low!r} is beyond the largest float",
                where="uniform",
                next_step="Give a narrower range.",
            )
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    def at(self, k: int) -> float:
        value = self.low + (self.high - self.low) * (k * 2.0**-K_BITS)
        # Rounding can reach `high`, or pass it when the width was rounded up.
        return value if value < self.high else math.nextafter(self.high, self.low)

    def column(self, k: Array) -> Array:
        from hpcsweep.sources.numeric import vectors  # noqa: PLC0415  # numpy, for columns alone

        return vectors.uniform(self.low, self.high, k)


@dataclass(frozen=True)
class RandInt(Distribution):
    """An integer from `low` to `high`, both included: low + floor(n * u), n of them."""

    low: int
    high: int

    def __post_init__(self) -> None:
        low = whole_number(self.low, "randint.low")
        high = whole_number(self.high, "randint.high")
        if low > high:
            raise SourceError(
                f"low {low} is above high {high}",
                where="randint",
                next_step="Give two integers in ascending order.",
            )
        if high - low >= 2**K_BITS:
            raise SourceError(
                f"{low}..{high} has more than 2**{K_BITS} integers, most of which could "
                "never be drawn",
                where="randint",
                next_step="Give a narrower range.",
            )
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    def at(self, k: int) -> int:
        return self.low + (k * (self.high - self.low + 1) >> K_BITS)

    def column(self, k: Array) -> Array:
        from hpcsweep.sources.numeric import vectors  # noqa: PLC0415  # numpy, for columns alone

        return vectors.shifted(vectors.part(k, self.high - self.low + 1), self.low, self.high)


@dataclass(frozen=True)
class Choice(Distribution):
    """One of the options, each as probable as often as it is listed: option floor(n * u)."""

    options: Sequence[Any]

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", checked_options(self.options, "choice.options"))

    def at(self, k: int) -> Any:
        return fresh(self.options[k * len(self.options) >> K_BITS])

    def column(self, k: Array) -> Array:
        from hpcsweep.sources import columns  # noqa: PLC0415  # numpy, for columns alone
        from hpcsweep.sources.numeric import vectors  # noqa: PLC0415  # numpy, for columns alone

        return columns.take_values(self.options, vectors.part(k, len(self.options)))


def uniform(low: float, high: float) -> Uniform:
    """A float in `[low, high)`."""
    return Uniform(low, high)


def randint(low: int, high: int) -> RandInt:
    """An integer from `low` to `high`, both included."""
    return RandInt(low, high)


def choice(options: Sequence[Any]) -> Choice:
    """One of the options."""
    return Choice(options)


def distribution(value: Any, where: str) -> Distribution:
    """A distribution from itself, its manifest dict, or the one value of a constant.

    *Raises* SourceError; IdentityError for an option without canonical form.
    """
    if isinstance(value, Distribution):
        return value
    if value is None or isinstance(value, (bool, int, float, str)) or _is_scalar(value):
        return _make("Constant", {"value": value}, where)
    if not isinstance(value, Mapping):
        raise SourceError(
            f"{ids.shown(value)} is not a distribution",
            where=where,
            next_step="Use uniform, randint, choice and so on; constant(value) for one value.",
        )
    name = value.get("type")
    if not isinstance(name, str) or name not in DISTRIBUTIONS:
        raise SourceError(
            f"unknown type of distribution {ids.shown(name)}",
            where=where,
            # No guess at what is meant: one distribution resembles another.
            next_step=f"Known types: {', '.join(DISTRIBUTIONS)}.",
        )
    return _make(name, {key: value[key] for key in value if key != "type"}, where)


def _is_scalar(value: Any) -> bool:
    """Whether the value is plain once its type is, as numpy's float64 or a path is."""
    if isinstance(value, (Mapping, list, tuple, type)):
        return False
    try:
        ids.plain(value)
    except IdentityError:
        return False
    return True


def _make(name: str, values: dict[str, Any], where: str) -> Distribution:
    kind = distribution_class(name)
    names = {field.name: field.default for field in given_fields(kind)}
    required = [key for key, default in names.items() if default is MISSING]
    checked_keys(values, required, names, where)
    try:
        return kind(**values)
    except InputError as error:
        error.where = f"{where}: {error.where}"
        raise


def given_fields(kind: type[Distribution]) -> list[Any]:
    """The fields that a manifest dict has."""
    # Every kind is a dataclass; those that are not to be given are not compared either.
    return [field for field in fields(kind) if field.init]  # type: ignore[arg-type]


def checked_options(options: Any, where: str) -> tuple[Any, ...]:
    """The options, plain. *Raises* SourceError, IdentityError."""
    if not isinstance(options, (list, tuple)):
        raise SourceError(
            f"{ids.shown(options)} has the type {type(options).__name__}, not a list",
            where=where,
            next_step="Give a list of values.",
        )
    if not options:
        raise SourceError("the list is empty", where=where, next_step="Give at least one option.")
    return tuple(ids.plain(options, where))


def check_ascending(low: float, high: float, where: str) -> None:
    """*Raises* SourceError where `low` is not below `high`."""
    if low >= high:
        raise SourceError(
            f"low {low!r} is not below high {high!r}",
            where=where,
            next_step="Give two numbers in ascending order.",
        )


def number(value: Any, where: str) -> float:
    """`value` as exactly the same float. *Raises* SourceError."""
    try:
        found = ids.plain(value, where)
    except IdentityError as error:
        raise SourceError(
            error.what, where=where, next_step="Give a finite int or float."
        ) from error
    if type(found) not in (int, float):
        raise SourceError(
            f"{ids.shown(value)} is not a number", where=where, next_step="Give an int or a float."
        )
    try:
        rounded = float(found)
    except OverflowError:
        rounded = math.inf
    if rounded != found:
        raise SourceError(
            f"the integer {found} is not exactly a float",
            where=where,
            next_step=f"Give the float that is meant, e.g. {rounded!r}.",
        )
    return rounded
