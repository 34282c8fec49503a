"""The grid: every combination of the values of its axes."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.records import CaseTexts, ParamCase
from hpcsweep.sources.base import Factor, ParameterSource
from hpcsweep.sources.keys import Check, Key, KeyType, Kind, Steps, check_names, fresh, names_of

if TYPE_CHECKING:
    from typing_extensions import Self

    from hpcsweep.sources.numeric.vectors import Array
    from hpcsweep.sources.ranges import Range

# Combinations of the innermost axes whose texts are kept while many cases are made.
_INNER_MAX = 4096
# Largest length of a list: the manifest contains all of its values.
LONGEST_AXIS = 10_000_000
# Largest length of a Python range that a manifest has as a list; a longer one is a rule there.
_LONGEST_WRITTEN_RANGE = 10_000


def _axes(value: Any, where: str, directory: Path | None) -> Mapping[str, Any]:  # noqa: ARG001
    if not isinstance(value, Mapping):
        raise SourceError(
            f"it has the type {type(value).__name__}",
            where=where,
            next_step="Give a mapping of parameter names to lists of values.",
        )
    return value


def _each_axis(value: Any, where: str) -> Iterator[tuple[Steps, Check]]:  # noqa: ARG001
    for name, values in value.items() if isinstance(value, Mapping) else ():
        yield (name,), partial(GridSource.from_axes, {name: values})


AXES = KeyType(
    "a mapping of parameters to lists of values, or to [rules](sources.md#axes-by-a-rule)",
    {"$ref": "#/$defs/Grid"},
    read=_axes,
    parts=_each_axis,
    names=names_of,
    shape=dict,
)


class GridSource(ParameterSource):
    """The product of the axes: names in canonical order, the last one varies fastest.

    A grid without axes has one case, `{}`. *Raises* SourceError for an axis that is not a list of
    distinct values, IdentityError for a value without a canonical form.

    Examples:
        >>> source = hs.grid(a=[1, 2], b=[3, 4])
        >>> isinstance(source, hs.GridSource), source.n_cases
        (True, 4)
    """

    KIND = Kind(
        "every combination; names in alphabetical order, the last varies fastest",
        (Key("spec", AXES, "the values of each parameter"),),
        form="grid",
        alone="spec",
        python="grid(a=[1, 2], b=…)",
        example="{a: [1, 2]}",
    )

    def __init__(self, /, **axes: Any) -> None:
        check_names(axes, "grid")
        self._axes = {name: _make_axis(name, axes[name]) for name in ids.in_order(axes)}
        # Innermost first: `divmod` splits an index in this order. Tuples, because every case reads
        # all of them.
        inside_out = [*reversed(self._axes.items())]
        self._digits = [(name, axis.count, axis.values) for name, axis in inside_out]
        self._members = [axis.members for _, axis in inside_out]
        self._blank: dict[str, Any] = dict.fromkeys(self._axes)
        self._nested = [name for name, axis in inside_out if axis.is_nested]
        self._n_cases = math.prod(axis.count for axis in self._axes.values())

    @classmethod
    def from_axes(cls, axes: Mapping[str, Any]) -> Self:
        """Make a grid from a mapping of axes by name.

        Examples:
            >>> hs.GridSource.from_axes({"a": [1, 2], "b": [5]}).n_cases
            2
        """
        check_names(axes, "grid")
        return cls(**axes)

    @classmethod
    def from_keys(cls, **values: Any) -> Self:
        return cls.from_axes(values["spec"])

    def to_manifest_dict(self) -> dict[str, Any]:
        return {
            "type": "GridSource",
            "spec": {name: axis.written() for name, axis in self._axes.items()},
            "total_cases": self._n_cases,
        }

    def column_notes(self) -> list[str]:
        return self.cell_notes()

    def cell_notes(self) -> list[str]:
        from hpcsweep.sources.cells import note_of_list  # noqa: PLC0415  # a task has no use for it

        lists = ((name, axis) for name, axis in self._axes.items() if type(axis) is Axis)
        notes = (note_of_list(name, axis.values, ids.member("grid", name)) for name, axis in lists)
        return [note for note in notes if note]

    @property
    def n_cases(self) -> int:
        return self._n_cases

    @property
    def axes(self) -> Mapping[str, Axis]:
        """The axes by name; the last one varies fastest.

        Examples:
            >>> list(hs.grid(a=[1, 2], b=[5]).axes)
            ['a', 'b']
        """
        return MappingProxyType(self._axes)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._axes)

    @property
    def factors(self) -> list[Factor]:
        return [axis.factor() for axis in self._axes.values()]

    @property
    def can_find(self) -> bool:
        return True

    def find_all(self, params: Mapping[str, Any], replicate: int) -> Iterator[int]:
        if replicate != 0 or params.keys() != self._axes.keys():
            return
        index = 0
        for name, axis in self._axes.items():
            position = axis.find(params[name])
            if position is None:
                return
            index = index * axis.count + position
        yield index

    def _params(self, index: int) -> dict[str, Any]:
        params = self._blank.copy()
        for name, count, values in self._digits:
            index, position = divmod(index, count)
            params[name] = values[position]
        for name in self._nested:
            params[name] = fresh(params[name])
        return params

    def _case(self, index: int) -> ParamCase:
        params = self._blank.copy()
        rest, members = index, []
        for (name, count, values), texts in zip(self._digits, self._members):
            rest, position = divmod(rest, count)
            params[name] = values[position]
            members.append(texts[position])
        for name in self._nested:
            params[name] = fresh(params[name])
        members.reverse()
        case_id = ids.case_id_of(f"{{{','.join(members)}}}")
        return ParamCase(index=index, params=params, case_id=case_id)

    def texts(self, encode: Callable[[Any], str]) -> Callable[[Sequence[int]], CaseTexts]:
        axes = list(self._axes.values())
        inner = len(axes)
        while inner and math.prod(axis.count for axis in axes[inner - 1 :]) <= _INNER_MAX:
            inner -= 1
        comma = "," if 0 < inner < len(axes) else ""
        outside = _member_texts(axes[:inner], encode, "{", comma)
        inside = _member_texts(axes[inner:], encode, "", "}")
        count = math.prod(axis.count for axis in axes[inner:])

        def made(indices: Sequence[int]) -> CaseTexts:
            places = [divmod(index, count) for index in indices]
            pairs = [(*outside(outer), *inside(place)) for outer, place in places]
            return CaseTexts(
                case_ids=ids.case_ids_of([first + last for first, _, last, _ in pairs]),
                params=[first + last for _, first, _, last in pairs],
                replicates=[0] * len(pairs),
                tags=[()] * len(pairs),
            )

        return made

    def _columns(self, start: int, stop: int) -> dict[str, Array]:
        from hpcsweep.sources import columns  # noqa: PLC0415  # numpy, for columns alone

        lengths = [axis.count for axis in self._axes.values()]
        places = columns.spread(start, stop - start, lengths)
        return {
            name: axis.column(positions)
            for (name, axis), positions in zip(self._axes.items(), places)
        }


class Axis:
    """The values of one parameter, each with its member, `"name":value`, in canonical text."""

    __slots__ = ("_positions", "count", "is_nested", "label", "members", "name", "values")

    values: Sequence[Any]
    members: Sequence[str]

    def __init__(self, name: str, values: list[Any]) -> None:
        self.name = name
        self.label = f"{ids.canonical(name)}:"
        self.values = values
        self._positions = _positions_of(self.label, name, values)
        self.members = list(self._positions)
        self.count = len(values)
        self.is_nested = any(isinstance(value, (dict, list)) for value in values)

    def find(self, value: Any) -> int | None:
        """The position of a plain value; None if the axis does not contain it."""
        return self._positions.get(self.label + ids.canonical(value))

    def factor(self) -> Factor:
        """The axis as a digit of the index."""
        return Factor(
            self.count, frozenset([self.name]), lambda place: {self.name: self.values[place]}
        )

    def written(self) -> Any:
        """The axis as a manifest dict has it."""
        return fresh(self.values)

    def column(self, positions: Array) -> Array:
        """The values at the positions."""
        from hpcsweep.sources import columns  # noqa: PLC0415  # numpy, for columns alone

        return columns.take_values(self.values, positions)


class _LazyAxis(Axis):
    """An axis given by a rule."""

    __slots__ = ("_range",)

    def __init__(self, name: str, values: Range) -> None:
        self.name = name
        self.label = f"{ids.canonical(name)}:"
        self.values = self._range = values
        self.members = _Members(self)
        self.count = len(values)
        self.is_nested = False

    def find(self, value: Any) -> int | None:
        return self._range.find(value)

    def written(self) -> Any:
        return fresh(dict(self._range.spec))

    def column(self, positions: Array) -> Array:
        from hpcsweep.sources import columns  # noqa: PLC0415  # numpy, for columns alone

        return columns.axis_values(self._range, positions)


class _Members(Sequence[str]):
    """The members of a lazy axis, each computed when it is read."""

    def __init__(self, axis: _LazyAxis) -> None:
        self._axis = axis

    def __len__(self) -> int:
        return self._axis.count

    def __getitem__(self, position: Any) -> Any:
        return self._axis.label + ids.canonical(self._axis.values[position])


def _member_texts(
    axes: list[Axis], encode: Callable[[Any], str], start: str, end: str
) -> Callable[[int], tuple[str, str]]:
    """What makes the members of some axes by the index among their combinations.

    In canonical text, and as `encode` writes them; the last ones are kept.
    """
    inside_out = axes[::-1]
    labels = [f"{encode(axis.name)}:" for axis in inside_out]

    @lru_cache(maxsize=_INNER_MAX)
    def made(index: int) -> tuple[str, str]:
        members, texts = [], []
        for axis, label in zip(inside_out, labels):
            index, position = divmod(index, axis.count)
            members.append(axis.members[position])
            texts.append(label + encode(axis.values[position]))
        canonical, text = (f"{start}{','.join(all_[::-1])}{end}" for all_ in (members, texts))
        return canonical, text

    return made


def grid(**axes: Any) -> GridSource:
    """Every combination of the values: `grid(omega=[1.0, 2.0], dt=[1e-3])`.

    Examples:
        >>> [case.params for case in hs.grid(a=[1, 2], b=["x"])]
        [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'x'}]
    """
    return GridSource(**axes)


def _make_axis(name: str, values: Any) -> Axis:
    """Make one axis. *Raises* SourceError, IdentityError."""
    where = ids.member("grid", name)
    lazy = _as_range(values, where)
    if lazy is not None:
        return _LazyAxis(name, lazy)
    numpy = ids.loaded_numpy()
    if numpy is not None and isinstance(values, numpy.ndarray):
        if values.ndim != 1 or not (values.dtype.kind in "biu" or values.dtype == numpy.float64):
            _refuse(
                f"an array of {values.dtype} with {values.ndim} dimensions is not an axis",
                where,
                "Give a list, or an array of float64, integers or bools with one dimension.",
            )
        values = values.tolist()
    if not isinstance(values, (list, tuple, range)):
        _refuse(
            f"{ids.shown(values)} has the type {type(values).__name__}, not a list of values",
            where,
            "Write a list, also for one value: [value].",
        )
    if not values:
        _refuse("the list is empty", where, "Give it a value, or leave the parameter out.")
    if len(values) > LONGEST_AXIS:
        _refuse(
            f"the list has {len(values)} values; the limit is {LONGEST_AXIS}",
            where,
            "Write a rule, like {linspace: [0, 1, 1000]}, or split it into two parameters.",
        )
    return Axis(name, [ids.plain(value, f"{where}[{i}]") for i, value in enumerate(values)])


def _as_range(values: Any, where: str) -> Range | None:
    """The range of an axis given by a rule; None for a list."""
    long = isinstance(values, range) and values[_LONGEST_WRITTEN_RANGE:]
    ranges = sys.modules.get("hpcsweep.sources.ranges")
    is_range = ranges is not None and isinstance(values, ranges.Range)
    if not (is_range or long or isinstance(values, Mapping)):
        return None
    # Imported only for a rule: it imports `decimal` and `fractions`.
    from hpcsweep.sources.ranges import Range, from_spec, whole_range  # noqa: PLC0415

    if isinstance(values, Range):
        if values.spec:
            return values
        _refuse("the range has no rule", where, "Use linspace, arange, logspace or range.")
    if isinstance(values, range):
        return whole_range(values.start, values.stop, values.step, where=where)
    return from_spec(values, where)


def _positions_of(label: str, name: str, values: list[Any]) -> dict[str, int]:
    """Map the member of each value to its position. *Raises* SourceError for duplicates."""
    positions: dict[str, int] = {}
    for position, value in enumerate(values):
        first = positions.setdefault(label + ids.canonical(value), position)
        if first != position:
            _refuse(
                f"the values at {first} and {position} are the same: "
                f"{ids.shown(values[first])} and {ids.shown(value)}",
                ids.member("grid", name),
                "Leave one of them out; repetitions of a case are `replicates`.",
            )
    return positions


def _refuse(what: str, where: str, next_step: str) -> NoReturn:
    raise SourceError(what, where=where, next_step=next_step)
