"""A distribution and a source that the user implements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.sources.base import ParameterSource
from hpcsweep.sources.distributions import Distribution
from hpcsweep.sources.keys import Key, KeyType, Kind
from hpcsweep.sources.numeric.philox import K_BITS
from hpcsweep.sources.references import (
    PATH,
    REFERENCE,
    call_user_code,
    checked_params,
    import_reference,
    resolve_module,
)

if TYPE_CHECKING:
    from hpcsweep.sources.numeric.vectors import Array


@dataclass(frozen=True)
class CustomDistribution(Distribution):
    """An object of yours with `ppf(u)`, its quantile function, for u in `[0, 1)`.

    `reference` names the object, or a callable that makes it from `arguments`. Whether another
    machine draws the same values depends on the arithmetic of `ppf`.

    Examples:
        >>> isinstance(hs.custom("mine:Triangle", high=2), hs.CustomDistribution)
        True
    """

    runs_user_code = True

    reference: str
    arguments: Mapping[str, Any] | None = None
    # Directory of the module, if it is not installed.
    path: str | None = None
    ppf: Callable[[float], Any] = field(init=False, compare=False, repr=False)

    @classmethod
    def resolve_paths(cls, value: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
        return resolve_module(value, root)

    def __post_init__(self) -> None:
        where = "custom"
        rule, path = import_reference(self.reference, self.path, where)
        arguments = None if self.arguments is None else ids.plain(self.arguments, where)
        if arguments is not None:
            rule = call_user_code(lambda: rule(**arguments), path, self.reference, where)
        ppf = getattr(rule, "ppf", None)
        if not callable(ppf) or isinstance(rule, type):
            raise SourceError(
                f"{self.reference} has no ppf",
                where=where,
                next_step="Name an object with a method ppf(u), or a class and its arguments.",
            )
        object.__setattr__(self, "arguments", arguments)
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "ppf", ppf)
        self.at(1 << (K_BITS - 1))  # fail here, not in a task

    def __hash__(self) -> int:
        return hash((self.reference, ids.canonical(self.arguments)))

    def at(self, k: int) -> Any:
        what = f"{self.reference}.ppf"
        value = call_user_code(lambda: self.ppf(k * 2.0**-K_BITS), self.path, what, "custom")
        return ids.plain(value, what)

    def column(self, k: Array) -> Array:
        from hpcsweep.sources import columns  # noqa: PLC0415  # numpy, for columns alone

        return columns.make_column(map(self.at, k.tolist()))


_ARGUMENTS = KeyType("a mapping of names to values", {"type": ["object", "null"]})


class CustomSource(ParameterSource):
    """A sequence `s` of yours: `len(s)` cases, `s[i]` the dict of parameters of case i.

    `reference` names it, or a callable that makes it from `arguments`. *Raises* SourceError.

    Examples:
        >>> source = hs.custom_source("mine:Squares", count=4)
        >>> isinstance(source, hs.CustomSource), source.n_cases
        (True, 4)
    """

    KIND = Kind(
        "a sequence that your code defines",
        (
            Key("reference", REFERENCE, "the sequence, or the class or function that makes it"),
            Key(
                "arguments",
                _ARGUMENTS,
                "the keyword arguments of that class or function",
                default="the reference is the sequence itself",
            ),
            PATH,
        ),
        form="custom",
        python="custom_source(reference, …)",
        example='{reference: "module:Class", arguments: {n: 3}}',
    )
    runs_user_code = True

    def __init__(
        self, reference: str, arguments: Mapping[str, Any] | None = None, path: str | None = None
    ) -> None:
        where = "reference"
        self._reference = reference
        plain = None if arguments is None else ids.plain(arguments, where)
        self._arguments = plain
        cases, self._path = import_reference(reference, path, where)
        if plain is not None:
            cases = call_user_code(lambda: cases(**plain), self._path, reference, where)
        self._cases: Sequence[Mapping[str, Any]] = cases
        self._n_cases: int = call_user_code(
            lambda: len(cases), self._path, f"len of {reference}", where
        )
        if not self._n_cases:
            raise SourceError(
                f"{reference} has no cases", where=where, next_step="Make its length 1 or more."
            )
        self._names = frozenset(self._params(0))

    @property
    def n_cases(self) -> int:
        return self._n_cases

    @property
    def names(self) -> frozenset[str]:
        return self._names

    @classmethod
    def resolve_paths(cls, value: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
        return resolve_module(value, root)

    def to_manifest_dict(self) -> dict[str, Any]:
        return {
            "type": "CustomSource",
            "reference": self._reference,
            "arguments": self._arguments,
            "path": self._path,
            "total_cases": self._n_cases,
        }

    def _params(self, index: int) -> dict[str, Any]:
        where = f"{self._reference}[{index}]"
        params = call_user_code(lambda: self._cases[index], self._path, where, "reference")
        return checked_params(params, where)


def custom(reference: str, **arguments: Any) -> CustomDistribution:
    """A distribution of your own: `custom("shapes:Triangular", low=0, high=1)`.

    Without arguments, the reference names the object itself.

    Examples:
        >>> source = hs.random({"x": hs.custom("mine:Triangle", high=2)}, n_trials=3, seed=1)
        >>> all(0 <= case.params["x"] <= 2 for case in source)
        True
    """
    return CustomDistribution(reference, arguments or None)


def custom_source(reference: str, **arguments: Any) -> CustomSource:
    """A source of your own: `custom_source("cases:Measured", site="north")`.

    Examples:
        >>> hs.custom_source("mine:Squares", count=4)[3].params
        {'x': 9}
    """
    return CustomSource(reference, arguments or None)
