"""Explicit cases, listed in Python or in a manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.sources.base import ParameterSource
from hpcsweep.sources.caselines import format_line
from hpcsweep.sources.filecases import TAGS_KEY, frozen_cases
from hpcsweep.sources.keys import Check, Key, KeyType, Kind, Steps, check_names, checked_tags, fresh

if TYPE_CHECKING:
    from hpcsweep.sources.caselines import CaseLines


def _each_case(value: Any, where: str) -> Iterator[tuple[Steps, Check]]:
    for position, case in enumerate(value if isinstance(value, list) else ()):
        yield (position,), partial(_check_case, case, f"{where}[{position}]")


def _names(value: Any) -> Iterator[tuple[str, Steps]]:
    for position, case in enumerate(value if isinstance(value, list) else ()):
        for name in case if isinstance(case, dict) else ():
            yield name, (position, name)


CASES = KeyType(
    "a list of mappings of parameters to values",
    {"$ref": "#/$defs/Cases"},
    parts=_each_case,
    names=_names,
    shape=list,
)


class ManualSource(ParameterSource):
    """The given cases in the given order; every case gets `tags`.

    *Raises* SourceError for cases that are not mappings or occur twice, IdentityError for a value
    without a canonical form.

    Examples:
        >>> source = hs.manual([{"a": 1}, {"b": 2}])
        >>> isinstance(source, hs.ManualSource), source.n_cases
        (True, 2)
    """

    KIND = Kind(
        "the listed cases; names of parameters may differ from case to case",
        (Key("cases", CASES, "the parameters of each case"), TAGS_KEY),
        form="manual",
        alone="cases",
        python="manual(cases, tags)",
        example="[{a: 1}, {a: 2, b: x}]",
    )

    def __init__(
        self, cases: Sequence[Mapping[str, Any]], tags: Sequence[str] | None = None
    ) -> None:
        self._cases = _distinct(cases)
        self._names = frozenset(name for case in self._cases for name in case)
        self._own_tags = checked_tags(tags)

    def append(self, cases: Sequence[Mapping[str, Any]]) -> ManualSource:
        """These cases and then those: a sweep that grows computes the new ones alone.

        *Raises* SourceError for one that is there already.

        Examples:
            >>> [case.params["a"] for case in hs.manual([{"a": 1}]).append([{"a": 2}])]
            [1, 2]
        """
        return ManualSource([*self._cases, *cases], self._own_tags)

    def to_manifest_dict(self) -> dict[str, Any]:
        return {
            "type": "ManualSource",
            "cases": fresh(self._cases),
            "tags": list(self._own_tags),
            "total_cases": self.n_cases,
        }

    def freeze(self, lines: CaseLines) -> dict[str, Any]:
        first = lines.add(map(format_line, self._cases))
        return frozen_cases(self._own_tags, self._names, first, self.n_cases)

    @property
    def n_cases(self) -> int:
        return len(self._cases)

    @property
    def names(self) -> frozenset[str]:
        return self._names

    def _params(self, index: int) -> dict[str, Any]:
        params: dict[str, Any] = fresh(self._cases[index])
        return params

    def _tags(self, index: int) -> tuple[str, ...]:
        return (*self._own_tags, f"manual_{index}")


def manual(cases: Sequence[Mapping[str, Any]], tags: Sequence[str] | None = None) -> ManualSource:
    """The given cases: `manual([{"x": 1}, {"x": 2, "y": 3}])`.

    Examples:
        >>> hs.manual([{"a": 1}, {"b": 2}])[1].params
        {'b': 2}
    """
    return ManualSource(cases, tags)


def _check_case(case: Any, where: str) -> dict[str, Any]:
    """Check the params of a case; make them plain. *Raises* SourceError, IdentityError."""
    if not isinstance(case, Mapping):
        raise SourceError(
            f"{ids.shown(case)} has the type {type(case).__name__}",
            where=where,
            next_step="Give a dict of parameters.",
        )
    check_names(case, where)
    params: dict[str, Any] = ids.plain(case, where)
    return params


def _distinct(cases: Any) -> list[dict[str, Any]]:
    """Check that cases are distinct; make them plain. *Raises* SourceError, IdentityError."""
    if not isinstance(cases, (list, tuple)) or not cases:
        raise SourceError(
            f"{ids.shown(cases)} is not a list of cases",
            where="cases",
            next_step="Give a list with at least one dict of parameters.",
        )
    result = []
    seen: dict[str, int] = {}
    for position, case in enumerate(cases):
        params = _check_case(case, f"cases[{position}]")
        first = seen.setdefault(ids.canonical(params), position)
        if first != position:
            raise SourceError(
                f"the cases at {first} and {position} are the same: {ids.shown(params)}",
                where="cases",
                next_step="Leave one of them out; repetitions of a case are `replicates`.",
            )
        result.append(params)
    return result
