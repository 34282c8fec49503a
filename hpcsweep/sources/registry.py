"""The registry of sources and distributions: a new kind needs a module and one line here.

The methods of all sources that make a source of another kind, a view, are here, too.
A module is imported when a manifest names one of its kinds, so a task imports only those that its
manifest needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.sources.keys import Key, KeyType, nearest, whole_number

if TYPE_CHECKING:
    from hpcsweep.indexset import IndexSet
    from hpcsweep.sources.base import ParameterSource
    from hpcsweep.sources.distributions import Distribution

# Module by `type` in a manifest dict, which is the name of the class. The documentation lists the
# kinds in this order, and modifiers beside one form are applied in this order.
SOURCES = {
    "GridSource": "hpcsweep.sources.grid_source",
    "RandomSource": "hpcsweep.sources.random_source",
    "DesignSource": "hpcsweep.sources.designs",
    "ManualSource": "hpcsweep.sources.manual_source",
    "TableSource": "hpcsweep.sources.tables",
    "CustomSource": "hpcsweep.sources.user_defined",
    "ProductSource": "hpcsweep.sources.compose",
    "ConcatSource": "hpcsweep.sources.compose",
    "ZipSource": "hpcsweep.sources.compose",
    "FixedSource": "hpcsweep.sources.fixed",
    "DerivedSource": "hpcsweep.sources.derived",
    "WhereSource": "hpcsweep.sources.where",
    "ShuffleSource": "hpcsweep.sources.views",
    "TakeSource": "hpcsweep.sources.views",
    "SliceSource": "hpcsweep.sources.views",
    "ReplicatedSource": "hpcsweep.sources.replicate",
}
DISTRIBUTIONS = {
    "Uniform": "hpcsweep.sources.distributions",
    "RandInt": "hpcsweep.sources.distributions",
    "Choice": "hpcsweep.sources.distributions",
    "LogUniform": "hpcsweep.sources.continuous",
    "LogUniformInt": "hpcsweep.sources.continuous",
    "Normal": "hpcsweep.sources.continuous",
    "LogNormal": "hpcsweep.sources.continuous",
    "TruncatedNormal": "hpcsweep.sources.continuous",
    "QUniform": "hpcsweep.sources.discrete",
    "WeightedChoice": "hpcsweep.sources.discrete",
    "Constant": "hpcsweep.sources.discrete",
    "CustomDistribution": "hpcsweep.sources.user_defined",
}


def source_class(kind: str) -> type[ParameterSource]:
    """Import the class of a kind of `SOURCES`."""
    source_type: type[ParameterSource] = getattr(import_module(SOURCES[kind]), kind)
    return source_type


def make_source(kind: str, *arguments: Any) -> ParameterSource:
    """Make a source of a registered kind; imports its module on demand."""
    return source_class(kind)(*arguments)


def distribution_class(kind: str) -> type[Distribution]:
    """Import the class of a kind of `DISTRIBUTIONS`."""
    distribution_type: type[Distribution] = getattr(import_module(DISTRIBUTIONS[kind]), kind)
    return distribution_type


def class_named(value: Any) -> type[ParameterSource | Distribution] | None:
    """Import the class of the `type` in a manifest dict; None if there is no such class."""
    kind = value.get("type") if isinstance(value, Mapping) else None
    if not isinstance(kind, str):
        return None
    if kind in SOURCES:
        return source_class(kind)
    return distribution_class(kind) if kind in DISTRIBUTIONS else None


def source_from_manifest_dict(
    value: Any, directory: Path | None = None, where: str = "source"
) -> ParameterSource:
    """Make the source from a dict of `to_manifest_dict()` or `to_frozen_dict()`.

    `directory` holds the files of a frozen manifest.
    *Raises* SourceError; SweepError when files of a frozen manifest are missing or damaged.

    Examples:
        >>> hs.source_from_manifest_dict(hs.grid(a=[1, 2]).to_manifest_dict()).n_cases
        2
    """
    if not isinstance(value, Mapping):
        raise SourceError(
            f"it has the type {type(value).__name__}",
            where=where,
            next_step=f"Give a mapping with a type: {', '.join(SOURCES)}.",
        )
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in SOURCES:
        raise SourceError(
            f"unknown type of source {ids.shown(kind)}",
            where=f"{where}.type",
            next_step=nearest(kind, SOURCES, "type"),
        )
    if kind == "ManualSource" and "file" in value:
        source = _file_cases(value, directory, where)
    else:
        source = source_class(kind).from_manifest_dict(value, where, directory)
    total = value.get("total_cases", source.n_cases)
    if type(total) is not int or total != source.n_cases:
        raise SourceError(
            f"it is {ids.shown(total)}, but the source has {source.n_cases}",
            where=f"{where}.total_cases",
            next_step="Correct it, or leave it out.",
        )
    return source


def _file_cases(value: Mapping[str, Any], directory: Path | None, where: str) -> ParameterSource:
    """Make the source of explicit cases in the files of a frozen manifest."""
    if directory is None:
        raise SourceError(
            "only a frozen manifest has its cases in a file",
            where=f"{where}.file",
            next_step="List the cases under 'cases' instead.",
        )
    module = import_module("hpcsweep.sources.filecases")
    source: ParameterSource = module.FileCases(directory, value, where)
    return source


def needs_user_code(value: Any) -> bool:
    """Whether making the source or distribution of this dict runs the user's code."""
    named = class_named(value)
    if named is None:
        return False
    return named.runs_user_code or any(map(needs_user_code, _inside(value)))


def _inside(value: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the manifest dicts of the sources and distributions inside a source's dict."""
    yield value.get("source")
    yield from value.get("sources", ())
    space = value.get("space")
    yield from space.values() if isinstance(space, Mapping) else ()


def _sources(value: Any, where: str, directory: Path | None) -> list[ParameterSource]:
    if not isinstance(value, (list, tuple)):
        raise SourceError(
            f"it has the type {type(value).__name__}",
            where=where,
            next_step="Give a list of sources.",
        )
    return [
        source_from_manifest_dict(item, directory, f"{where}[{position}]")
        for position, item in enumerate(value)
    ]


ONE_SOURCE = KeyType(
    "a source",
    {"$ref": "#/$defs/TypedSource"},
    read=lambda value, where, directory: source_from_manifest_dict(value, directory, where),
)
MANY_SOURCES = KeyType(
    "a list of sources",
    {"type": "array", "items": {"$ref": "#/$defs/TypedSource"}, "minItems": 1},
    read=_sources,
    shape=list,
)
# The keys for the inner source, or sources, of a kind that is made of others.
SOURCE = Key("source", ONE_SOURCE, "the source itself", in_form=False)
PARTS = Key("sources", MANY_SOURCES, "the parts")


class ViewMethods:
    """The methods of `ParameterSource` that make another source of it."""

    def __mul__(self, other: ParameterSource) -> ParameterSource:
        """Combine every case of this source with every case of `other`, which varies faster."""
        if not isinstance(other, ViewMethods):
            return NotImplemented
        return make_source("ProductSource", [self, other])

    def __add__(self, other: ParameterSource) -> ParameterSource:
        """The cases of this source, then those of `other`; a case may occur in both."""
        if not isinstance(other, ViewMethods):
            return NotImplemented
        return make_source("ConcatSource", [self, other])

    def take(self, indices: IndexSet | Iterable[int]) -> ParameterSource:
        """The cases of these indices, in ascending order. *Raises* SourceError.

        Examples:
            >>> [case.params["a"] for case in hs.grid(a=[1, 2, 3]).take([0, 2])]
            [1, 3]
        """
        return make_source("TakeSource", self, indices)

    def with_params(self, /, **values: Any) -> ParameterSource:
        """Add these parameters to every case. *Raises* SourceError, IdentityError.

        Examples:
            >>> hs.grid(a=[1, 2]).with_params(b=5)[1].params
            {'a': 2, 'b': 5}
        """
        return make_source("FixedSource", self, values)

    def where(self, condition: str) -> ParameterSource:
        """The cases for which a condition on their params holds: `where("dt * omega < 1")`.

        *Raises* SourceError, also where it holds for none.

        Examples:
            >>> [case.params["a"] for case in hs.grid(a=[1, 2, 3]).where("a > 1")]
            [2, 3]
        """
        return make_source("WhereSource", self, condition)

    def shuffle(self, seed: int) -> ParameterSource:
        """The same cases in pseudo-random order: the first n are a random sample.

        Examples:
            >>> sorted(case.params["a"] for case in hs.grid(a=[1, 2, 3]).shuffle(42))
            [1, 2, 3]
        """
        return make_source("ShuffleSource", self, seed)

    def repeat(self, replicates: int) -> ParameterSource:
        """Repeat each case `replicates` times, each time with another seed; itself for 1.

        Examples:
            >>> hs.grid(a=[1, 2]).repeat(3).n_cases
            6
        """
        times = whole_number(replicates, "replicates", at_least=1)
        if times == 1:
            return cast("ParameterSource", self)
        return make_source("ReplicatedSource", self, times)

    def derive(self, function: str) -> ParameterSource:
        """Replace the params of every case by those that `function`, "module:function", returns.

        Examples:
            >>> hs.grid(a=[1, 2]).derive("mine:halved")[1].params
            {'a': 1.0}
        """
        return make_source("DerivedSource", self, function)
