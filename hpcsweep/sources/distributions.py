"""Distributions: how a random number becomes the value of a parameter.

Each distribution is a monotone function of u = k * 2**-53, with k an integer in `0 .. 2**53-1`.
Its arithmetic must never change and gives the same bits on every machine, so that every draw can
be repeated. This module holds the most used distributions; `continuous` and `discrete` hold the
others and are imported when a space names one of them.
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
    """How one parameter is drawn: an immutable function from k to a plain value.

    Each subclass is a dataclass; its fields are the keys of its manifest dict.

    Examples:
        >>> isinstance(hs.uniform(0, 1), hs.Distribution)
        True
    """

    # Whether the constructor runs the user's code.
    runs_user_code: ClassVar[bool] = False

    @classmethod
    def resolve_paths(cls, value: Mapping[str, Any], root: Path) -> Mapping[str, Any]:  # noqa: ARG003
        """The manifest dict, its relative paths resolved against `root`.

        Examples:
            >>> from pathlib import Path
            >>> hs.Uniform.resolve_paths({"low": 0, "high": 1}, Path("/project"))
            {'low': 0, 'high': 1}
        """
        return value

    @abstractmethod
    def at(self, k: int) -> Any:
        """The value at u = k * 2**-53, with `0 <= k < 2**53`.

        It does not decrease with k, except that exp and the normal quantile may put neighbouring
        values out of order by a few ulp.

        Examples:
            >>> hs.uniform(0, 8).at(2**52)
            4.0
        """

    @abstractmethod
    def column(self, k: Array) -> Array:
        """The values of `at` for an array of k (uint64), bit for bit.

        Its type is float64, int64 or bool if all values of the distribution have that type, else
        object.

        Examples:
            >>> import numpy as np
            >>> hs.uniform(0, 8).column(np.array([0, 2**52], dtype=np.uint64)).tolist()
            [0.0, 4.0]
        """

    def to_manifest_dict(self) -> dict[str, Any]:
        """`{"type": …}` and the fields, as plain JSON.

        Examples:
            >>> hs.randint(1, 6).to_manifest_dict()
            {'type': 'RandInt', 'low': 1, 'high': 6}
        """
        names = [field.name for field in given_fields(type(self))]
        values = {name: ids.plain(getattr(self, name)) for name in names}
        return {"type": type(self).__name__, **values}


@dataclass(frozen=True)
class Uniform(Distribution):
    """A float in `[low, high)`: low + (high - low) * u in binary64.

    Examples:
        >>> isinstance(hs.uniform(0, 1), hs.Uniform)
        True
    """

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
        # Rounding can reach `high`, or exceed it if the width was rounded up.
        return value if value < self.high else math.nextafter(self.high, self.low)

    def column(self, k: Array) -> Array:
        from hpcsweep.sources.numeric import vectors  # noqa: PLC0415  # numpy, for columns alone

        return vectors.uniform(self.low, self.high, k)


@dataclass(frozen=True)
class RandInt(Distribution):
    """An integer from `low` to `high`, both included: low + floor(n * u) for n integers.

    Examples:
        >>> isinstance(hs.randint(0, 9), hs.RandInt)
        True
    """

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
    """One of n options: option floor(n * u); an option listed twice is twice as probable.

    Examples:
        >>> isinstance(hs.choice(["a", "b"]), hs.Choice)
        True
    """

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
    """A float in `[low, high)`.

    Examples:
        >>> 0 <= hs.random({"a": hs.uniform(0, 1)}, n_trials=1, seed=1)[0].params["a"] < 1
        True
    """
    return Uniform(low, high)


def randint(low: int, high: int) -> RandInt:
    """An integer from `low` to `high`, both included.

    Examples:
        >>> hs.random({"a": hs.randint(0, 9)}, n_trials=1, seed=1)[0].params["a"] in range(10)
        True
    """
    return RandInt(low, high)


def choice(options: Sequence[Any]) -> Choice:
    """One of the options.

    Examples:
        >>> hs.random({"a": hs.choice(["x", "y"])}, n_trials=1, seed=1)[0].params["a"] in ("x", "y")
        True
    """
    return Choice(options)


def distribution(value: Any, where: str) -> Distribution:
    """A distribution from a Distribution, a manifest dict, or a scalar for a constant.

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
            # No `Did you mean`: the names of distributions resemble each other.
            next_step=f"Known types: {', '.join(DISTRIBUTIONS)}.",
        )
    return _make(name, {key: value[key] for key in value if key != "type"}, where)


def _is_scalar(value: Any) -> bool:
    """Whether `ids.plain` turns the value into a scalar, e.g. numpy's float64 or a path."""
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
    """The fields that are keys of the manifest dict: those of `__init__`."""
    # mypy: Distribution itself is no dataclass, each subclass is.
    return [field for field in fields(kind) if field.init]  # type: ignore[arg-type]


def checked_options(options: Any, where: str) -> tuple[Any, ...]:
    """The options as plain values. *Raises* SourceError, IdentityError."""
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
    """*Raises* SourceError if `low` is not below `high`."""
    if low >= high:
        raise SourceError(
            f"low {low!r} is not below high {high!r}",
            where=where,
            next_step="Give two numbers in ascending order.",
        )


def number(value: Any, where: str) -> float:
    """`value` as a float that equals it. *Raises* SourceError."""
    try:
        plain = ids.plain(value, where)
    except IdentityError as error:
        raise SourceError(
            error.what, where=where, next_step="Give a finite int or float."
        ) from error
    if type(plain) not in (int, float):
        raise SourceError(
            f"{ids.shown(value)} is not a number", where=where, next_step="Give an int or a float."
        )
    try:
        rounded = float(plain)
    except OverflowError:
        rounded = math.inf
    if rounded != plain:
        raise SourceError(
            f"the integer {plain} is not exactly a float",
            where=where,
            next_step=f"Give the float that you mean, e.g. {rounded!r}.",
        )
    return rounded
