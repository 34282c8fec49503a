"""Any parameter source from its manifest dict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.sources.base import ParameterSource, checked_keys, nearest
from hpcsweep.sources.replicate import ReplicatedSource

# Modules that load when a manifest names one of their sources.
_COMPOSE = "hpcsweep.sources.compose"
_VIEWS = "hpcsweep.sources.views"


def source_from_manifest_dict(
    value: Any, directory: Path | None = None, where: str = "source"
) -> ParameterSource:
    """The source that `to_manifest_dict()` or `to_frozen_dict()` described.

    `directory` holds the files of a frozen manifest.
    *Raises* SourceError; SweepError when files of a frozen manifest are missing or damaged.
    """
    if not isinstance(value, Mapping):
        raise SourceError(
            f"it is a {type(value).__name__}",
            where=where,
            next_step=f"Give a mapping with a type: {', '.join(READERS)}.",
        )
    kind = value.get("type")
    reader = READERS.get(kind) if isinstance(kind, str) else None
    if reader is None:
        raise SourceError(
            f"unknown type of source {ids.shown(kind)}",
            where=f"{where}.type",
            next_step=nearest(kind, READERS, "type"),
        )
    source = reader(value, directory, where)
    total = value.get("total_cases", source.n_cases)
    if type(total) is not int or total != source.n_cases:
        raise SourceError(
            f"{ids.shown(total)} where the source has {source.n_cases} cases",
            where=f"{where}.total_cases",
            next_step="Correct it, or leave it out.",
        )
    return source


def needs_user_code(value: Any) -> bool:
    """Whether making this source runs code of the user's."""
    if not isinstance(value, Mapping):
        return False
    if value.get("type") in ("CustomDistribution", "CustomSource", "DerivedSource"):
        return True
    space = value.get("space", {})
    return any(map(needs_user_code, (value.get("source"), *value.get("sources", ())))) or any(
        map(needs_user_code, space.values() if isinstance(space, Mapping) else ())
    )


def _grid(value: Mapping[str, Any], directory: Path | None, where: str) -> ParameterSource:
    from hpcsweep.sources.grid_source import GridSource  # noqa: PLC0415  # where one is named

    return GridSource.from_manifest_dict(value, where)


def _random(value: Mapping[str, Any], directory: Path | None, where: str) -> ParameterSource:
    from hpcsweep.sources.random_source import RandomSource  # noqa: PLC0415  # where one is named

    return RandomSource.from_manifest_dict(value, where)


def _manual(value: Mapping[str, Any], directory: Path | None, where: str) -> ParameterSource:
    from hpcsweep.sources.manual_source import (  # noqa: PLC0415  # where one is named
        FileCases,
        ManualSource,
    )

    if "file" not in value:
        return ManualSource.from_manifest_dict(value, where)
    if directory is None:
        raise SourceError(
            "cases in a file belong to a frozen manifest",
            where=f"{where}.file",
            next_step="In a manifest of your own list them under 'cases'.",
        )
    return FileCases(directory, value, where)


def _replicated(value: Mapping[str, Any], directory: Path | None, where: str) -> ParameterSource:
    found = checked_keys(value, ("type", "source", "replicates"), ("total_cases",), where)
    inner = source_from_manifest_dict(found["source"], directory, f"{where}.source")
    return ReplicatedSource(inner, found["replicates"])


def _composed(value: Mapping[str, Any], directory: Path | None, where: str) -> ParameterSource:
    found = checked_keys(value, ("type", "sources"), ("total_cases",), where)
    if not isinstance(found["sources"], (list, tuple)):
        raise SourceError(
            f"it is a {type(found['sources']).__name__}",
            where=f"{where}.sources",
            next_step="Give a list of sources.",
        )
    inner = [
        source_from_manifest_dict(one, directory, f"{where}.sources[{position}]")
        for position, one in enumerate(found["sources"])
    ]
    made: ParameterSource = getattr(import_module(_COMPOSE), found["type"])(inner)
    return made


def _view(value: Mapping[str, Any], directory: Path | None, where: str) -> ParameterSource:
    views = import_module(_VIEWS)
    keys = _VIEW_KEYS[value["type"]]
    found = checked_keys(value, ("type", "source", *keys), ("total_cases",), where)
    inner = source_from_manifest_dict(found["source"], directory, f"{where}.source")
    arguments = [found[key] for key in keys]
    if keys == ("indices",):
        arguments = [views.index_set(*arguments)]
    made: ParameterSource = getattr(views, found["type"])(inner, *arguments)
    return made


_VIEW_KEYS = {
    "FixedSource": ("params",),
    "ShuffleSource": ("seed",),
    "SliceSource": ("first", "step", "count"),
    "TakeSource": ("indices",),
}


def _design(value: Mapping[str, Any], directory: Path | None, where: str) -> ParameterSource:
    from hpcsweep.sources.designs import DesignSource  # noqa: PLC0415  # where one is named

    return DesignSource.from_manifest_dict(value, where)


def _table(value: Mapping[str, Any], directory: Path | None, where: str) -> ParameterSource:
    from hpcsweep.sources.tables import TableSource  # noqa: PLC0415  # where one is named

    return TableSource.from_manifest_dict(value, where)


def _derived(value: Mapping[str, Any], directory: Path | None, where: str) -> ParameterSource:
    from hpcsweep.sources.imported import DerivedSource  # noqa: PLC0415  # where one is named

    keys = ("type", "source", "derive")
    found = checked_keys(value, keys, ("path", "total_cases"), where)
    inner = source_from_manifest_dict(found["source"], directory, f"{where}.source")
    return DerivedSource(inner, found["derive"], found.get("path"))


def _custom(value: Mapping[str, Any], directory: Path | None, where: str) -> ParameterSource:
    from hpcsweep.sources.imported import CustomSource  # noqa: PLC0415  # where one is named

    keys = ("type", "reference")
    found = checked_keys(value, keys, ("arguments", "path", "total_cases"), where)
    return CustomSource(found["reference"], found.get("arguments"), found.get("path"))


# By the type in a manifest dict.
READERS: dict[str, Callable[[Mapping[str, Any], Path | None, str], ParameterSource]] = {
    "GridSource": _grid,
    "ManualSource": _manual,
    "RandomSource": _random,
    "ReplicatedSource": _replicated,
    **dict.fromkeys(("ConcatSource", "ProductSource", "ZipSource"), _composed),
    **dict.fromkeys(_VIEW_KEYS, _view),
    "CustomSource": _custom,
    "DerivedSource": _derived,
    "DesignSource": _design,
    "TableSource": _table,
}
