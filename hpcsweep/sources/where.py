"""The cases of a source for which a condition on their parameters holds.

A condition is evaluated where a manifest is read; a frozen manifest has the positions that it
keeps, so a task evaluates nothing. The positions are those of the factors that a condition names,
not of all cases: see `filtering`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsweep.errors import SourceError
from hpcsweep.older_python import dataclass
from hpcsweep.quantities import counted
from hpcsweep.sources.base import Factor, ParameterSource
from hpcsweep.sources.kept import Kept
from hpcsweep.sources.keys import Key, KeyType, Kind
from hpcsweep.sources.positions import Positions
from hpcsweep.sources.registry import SOURCE, source_from_manifest_dict
from hpcsweep.sources.views import SourceView

if TYPE_CHECKING:
    from typing_extensions import Self

    from hpcsweep.sources.caselines import CaseLines


CONDITION = KeyType(
    'a [condition](sources.md#conditions), `"a < b and c != 0"`',
    {"type": "string", "minLength": 1},
    shape=str,
)


class WhereSource(SourceView):
    """The cases for which a condition holds, in the order of the source.

    An access costs a few steps for each factor. *Raises* SourceError, also where none is kept.
    """

    KIND = Kind(
        "the cases for which a condition on their parameters holds",
        (SOURCE, Key("where", CONDITION, "the condition")),
        form="where",
        alone="where",
        python='source.where("a < b")',
        example='"a > 1"',
    )

    def __init__(
        self, source: ParameterSource, where: str, kept: Sequence[Kept] | None = None
    ) -> None:
        super().__init__(source)
        self._where = where
        factors = source.factors
        if kept is None:
            # No task evaluates a condition.
            from hpcsweep.sources.filtering import kept_of  # noqa: PLC0415

            kept = kept_of(factors, where)
        self._kept = tuple(kept)
        self._digits = _Digits([factor.count for factor in factors], self._kept)
        if not self.n_cases:
            raise SourceError(
                f"the condition {where!r} keeps none of {counted(source.n_cases, 'case')}",
                where="where",
                next_step="Correct it, or the values of the parameters that it names.",
            )

    @classmethod
    def from_manifest_dict(
        cls, value: Any, where: str = "source", directory: Path | None = None
    ) -> Self:
        if "kept" not in value:
            return super().from_manifest_dict(value, where, directory)
        if directory is None:
            raise SourceError(
                "only a frozen manifest has what a condition keeps",
                where=f"{where}.kept",
                next_step="Leave it out: it is computed from the condition.",
            )
        keys = cls.KIND.checked({key: value[key] for key in value if key != "kept"}, where)
        source = source_from_manifest_dict(keys["source"], directory, f"{where}.source")
        kept = [
            Kept.of_json(one, f"{where}.kept[{place}]", directory)
            for place, one in enumerate(value["kept"])
        ]
        return cls(source, keys["where"], kept)

    @property
    def n_cases(self) -> int:
        return self._digits.n_cases

    @property
    def factors(self) -> list[Factor]:
        """Those of the source, if the condition filters each by itself; otherwise one."""
        if any(len(one.factors) > 1 for one in self._kept):
            return super().factors
        factors = self._source.factors
        for one in self._kept:
            (place,) = one.factors
            factors[place] = factors[place].restricted(one.positions)
        return factors

    def filter_notes(self) -> list[str]:
        own = f"{self._where}: {self.n_cases} of {counted(self._source.n_cases, 'case')}"
        return [*super().filter_notes(), own]

    def freeze(self, lines: CaseLines) -> dict[str, Any]:
        described = self._describe(self._source.freeze(lines))
        return described | {"kept": [kept.to_json(lines.directory) for kept in self._kept]}

    def _rule(self) -> dict[str, Any]:
        return {"where": self._where}

    def _source_index(self, index: int) -> int:
        return self._digits.source_index(index)

    def _view_index(self, index: int) -> int | None:
        return self._digits.view_index(index)


class _Group:
    """Factors whose combinations are kept together: a sorted list of numbers.

    While the digits of an index are read from the slowest on, those read so far bound the part of
    the list, `low .. high-1`, that begins with them.
    """

    def __init__(self, positions: Positions) -> None:
        self.positions = positions
        self.low, self.high = 0, positions.count
        # The number with the digits so far, and zeros.
        self.number = 0

    def narrow(self, position: int, stride: int) -> int:
        """Read the next digit; the count of list entries before those that have it."""
        before, rank = self.low, self.positions.rank
        self.number += position * stride
        self.low, self.high = rank(self.number), rank(self.number + stride)
        return self.low - before


@dataclass(frozen=True, slots=True)
class _Digit:
    """One factor as a digit of the index."""

    # Count of all its positions, and of those that its own conditions keep.
    count: int
    kept: int
    # What its own conditions keep; None for everything.
    own: Positions | None = None
    # The group of its conditions with other factors, and its stride in their number.
    group: int | None = None
    stride: int = 1


class _Digits:
    """Translates between the index of a case in the source and its index among those left.

    Any order of the factors of several groups keeps the order of the source.
    """

    def __init__(self, counts: Sequence[int], kept: Sequence[Kept]) -> None:
        own = {one.factors[0]: one.positions for one in kept if len(one.factors) == 1}
        left = [own[place].count if place in own else n for place, n in enumerate(counts)]
        for one in kept:
            sizes = counts if len(one.factors) == 1 else left
            one.check_size(math.prod(sizes[place] for place in one.factors))
        self._groups = [one.positions for one in kept if len(one.factors) > 1]
        strides: dict[int, tuple[int, int]] = {}
        for group, one in enumerate(one for one in kept if len(one.factors) > 1):
            for at, place in enumerate(one.factors):
                strides[place] = group, math.prod(left[later] for later in one.factors[at + 1 :])
        self._digits = [
            _Digit(count, left[place], own.get(place), *strides.get(place, ()))
            for place, count in enumerate(counts)
        ]
        free = (digit.kept for digit in self._digits if digit.group is None)
        self.n_cases = math.prod(free) * math.prod(group.count for group in self._groups)

    def source_index(self, index: int) -> int:
        """The index in the source of a case of `0 .. n_cases-1`."""
        groups = [_Group(positions) for positions in self._groups]
        result, ahead = 0, self.n_cases
        for digit in self._digits:
            if digit.group is None:
                ahead //= digit.kept
                position, index = divmod(index, ahead)
            else:
                group = groups[digit.group]
                ahead //= group.high - group.low
                number = group.positions.select(group.low + index // ahead)
                position = number // digit.stride % digit.kept
                index -= group.narrow(position, digit.stride) * ahead
                ahead *= group.high - group.low
            place = position if digit.own is None else digit.own.select(position)
            result = result * digit.count + place
        return result

    def view_index(self, index: int) -> int | None:
        """The index among those left of a case of the source; None if it is not left."""
        places = []
        for digit in reversed(self._digits):
            index, place = divmod(index, digit.count)
            places.append(place)
        groups = [_Group(positions) for positions in self._groups]
        result, ahead = 0, self.n_cases
        for digit, place in zip(self._digits, reversed(places)):
            position = place
            if digit.own is not None:
                position = digit.own.rank(place)
                if digit.own.rank(place + 1) == position:
                    return None
            if digit.group is None:
                ahead //= digit.kept
                result += position * ahead
            else:
                group = groups[digit.group]
                ahead //= group.high - group.low
                result += group.narrow(position, digit.stride) * ahead
                if group.low == group.high:
                    return None
                ahead *= group.high - group.low
        return result
