"""Which combinations of a source's factors a condition keeps.

A condition is split at its `and`s. A part that names parameters of one factor filters that factor
alone; parts that name several are evaluated on the combinations of these factors only. So a grid
of any size is filtered as long as no condition ties too much of it together.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from hpcsweep import ids
from hpcsweep.conditions.evaluation import MISSING, compile_condition
from hpcsweep.conditions.syntax import AllOf, Condition, conjuncts, names_in, parse
from hpcsweep.errors import InputError, SourceError
from hpcsweep.older_python import dataclass
from hpcsweep.sources.base import Factor
from hpcsweep.sources.kept import Kept
from hpcsweep.sources.positions import Positions

# Most combinations that a condition is evaluated on: minutes, and 12 MB of bits.
EVALUATED_MAX = 100_000_000
# Most choices of a factor that are kept in memory while others vary.
_CACHED_MAX = 100_000

Row = Mapping[str, Any]


def kept_of(factors: Sequence[Factor], where: Any) -> list[Kept]:
    """What a condition keeps of each group of factors that it names together.

    *Raises* SourceError for a condition that cannot be parsed, or not be evaluated on some
    combination, or has too many of them to look at.
    """
    if not isinstance(where, str):
        raise SourceError(
            f"{ids.shown(where)} is not a text",
            where="where",
            next_step='Write a condition: "a < b".',
        )
    names = ids.in_order(name for factor in factors for name in factor.names)
    try:
        condition = parse(where, names, "where", "parameter")
        return _kept(factors, list(conjuncts(condition)))
    except InputError as error:
        raise SourceError(error.what, where="where", next_step=error.next_step) from error


def _kept(factors: Sequence[Factor], parts: Sequence[Condition]) -> list[Kept]:
    named = {name for part in parts for name in names_in(part)}
    choices = [_Choices(factor, factor.names & named) for factor in factors]
    place_of = {name: place for place, one in enumerate(choices) for name in one.names}
    places = [frozenset(place_of[name] for name in names_in(part)) for part in parts]
    kept: list[Kept] = []
    # First what filters a factor alone: it leaves fewer combinations to the others.
    for place in sorted(min(some) for some in {*places} if len(some) == 1):
        own = [part for part, some in zip(parts, places) if some == {place}]
        positions = _evaluated(own, [choices[place]])
        kept.append(Kept((place,), positions))
        choices[place] = _Choices(factors[place].restricted(positions), choices[place].names)
    for group in _connected(some for some in places if len(some) > 1):
        ties = [part for part, some in zip(parts, places) if len(some) > 1 and some <= {*group}]
        kept.append(Kept(group, _evaluated(ties, [choices[place] for place in group])))
    return kept


@dataclass(frozen=True, slots=True)
class _Choices:
    """The choices of one factor that are left, as values of the names in a condition."""

    factor: Factor
    names: frozenset[str]

    def __iter__(self) -> Iterator[Row]:
        for choice in range(self.factor.count):
            params = self.factor.params(choice)
            # Every name, so that a missing value replaces the one of the choice before.
            yield {name: params.get(name, MISSING) for name in self.names}


def _evaluated(parts: Sequence[Condition], choices: Sequence[_Choices]) -> Positions:
    """The combinations, as numbers whose last digit is the fastest, for which all parts hold."""
    size = math.prod(one.factor.count for one in choices)
    if size > EVALUATED_MAX:
        names = ids.in_order(name for one in choices for name in one.names)
        raise InputError(
            f"the condition ties {', '.join(names)} together, which have {size} combinations; "
            f"it can be evaluated on {EVALUATED_MAX}",
            next_step="Write a rule with fewer values, or conditions on fewer parameters.",
        )
    test = compile_condition(AllOf(parts=tuple(parts)), "where")
    bits = bytearray(-(-size // 8))
    values: dict[str, Any] = {}
    rows = [list(one) if one.factor.count <= _CACHED_MAX else one for one in choices]
    for number, _ in enumerate(_combinations(rows, values)):
        if test(values):
            bits[number >> 3] |= 1 << (number & 7)
    return Positions(bytes(bits), size)


def _combinations(rows: Sequence[Iterable[Row]], values: dict[str, Any]) -> Iterator[None]:
    """Put each combination of rows into `values`, the last varying fastest."""
    first, *rest = rows
    for row in first:
        values.update(row)
        if rest:
            yield from _combinations(rest, values)
        else:
            yield


def _connected(ties: Iterable[frozenset[int]]) -> list[tuple[int, ...]]:
    """The groups of places that are tied together, also by way of others."""
    groups: list[frozenset[int]] = []
    for tie in ties:
        apart = [group for group in groups if not group & tie]
        joined = tie.union(*(group for group in groups if group & tie))
        groups = [*apart, joined]
    return sorted(tuple(sorted(group)) for group in groups)
