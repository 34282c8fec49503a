"""Translate the short forms of sources below `source:` into manifest dicts.

grid: {omega: [1.0, 2.0], dt: {logspace: [-3, -1, 3]}}
random: {space: {x: {type: Uniform, low: 0, high: 1}, n: 5}, n_trials: 100, seed: 1}
manual: [{x: 1}, {x: 2}]        or manual: {cases: [...], tags: [...]}
type: GridSource, spec: {...}   a source's own manifest dict

The sources define their forms and keys: see `sources.registry`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hpcsweep.manifest.mistakes import Mistakes, Where, described, type_name
from hpcsweep.sources.keys import Check, Key, Kind
from hpcsweep.sources.registry import MANY_SOURCES, ONE_SOURCE, SOURCES, source_class


def forms() -> dict[str, str]:
    """Types of sources by form; `source:` has exactly one of them."""
    return _by_form(modifiers=False)


def modifiers() -> dict[str, str]:
    """Types by the form of a modifier beside a source, in the order of application."""
    return _by_form(modifiers=True)


def joining_forms() -> list[str]:
    """The forms whose value is a list of sources."""
    lone = {form: source_class(name).KIND.lone_key for form, name in forms().items()}
    return [form for form, key in lone.items() if key is not None and key.type is MANY_SOURCES]


def _by_form(*, modifiers: bool) -> dict[str, str]:
    kinds = ((name, source_class(name).KIND) for name in SOURCES)
    return {kind.form: name for name, kind in kinds if kind.form and kind.is_modifier == modifiers}


# Sources by the name of a branch below the name of a parameter: no kind of source of its own.
BRANCHES = "branches"
BRANCHES_EXAMPLE = "branches: {model: {svm: {grid: {C: [1, 10]}}, forest: {grid: {depth: [3, 5]}}}}"

# The distributions in which a `search` finds the cases, alone below `source:`: no kind of source.
SPACE = "space"


def forms_written() -> list[str]:
    """The forms that a `source:` may have, of which it has one, besides modifiers."""
    return [*forms(), BRANCHES]


def form_with_key(source: Mapping[str, Any], key: str) -> str | None:
    """The form in a source's short form that has a key of this name below it."""
    by_form = {form: source_class(name).KIND for form, name in forms().items() if form in source}
    return next(
        (form for form, kind in by_form.items() if key in (one.name for one in kind.form_keys)),
        None,
    )


def nested_sources(source: Mapping[str, Any]) -> Iterator[tuple[Where, Any]]:
    """Yield the sources inside of a source in its short form, with their paths below it."""
    for form in joining_forms():
        parts = source.get(form)
        for position, part in enumerate(parts if isinstance(parts, list) else ()):
            yield (form, position), part
    named = source.get(BRANCHES)
    for name, parts in named.items() if isinstance(named, Mapping) else ():
        for branch, part in parts.items() if isinstance(parts, Mapping) else ():
            yield (BRANCHES, name, branch), part


@dataclass(frozen=True, kw_only=True, slots=True)
class Definition:
    """The manifest dict of a source, with the paths of its keys."""

    value: dict[str, Any]
    # Of the manifest dict, or of the form.
    root: Where
    # Paths of the keys that are not below `root`.
    places: dict[str, Where]

    @property
    def keys(self) -> tuple[Key, ...]:
        """The keys of the type."""
        kind = _kind_named(self.value)
        return () if kind is None else kind.keys

    def place(self, *path: str | int) -> Where:
        """The manifest's path for a path in a source's message: `spec`, `a`, 0."""
        first, *rest = path
        return (*self.places.get(str(first), (*self.root, first)), *rest)

    def parts(self) -> Iterator[tuple[Where, Check]]:
        """The parts that can be checked separately, in the order of the keys."""
        for key in self.keys:
            if key.name in self.value:
                for steps, check in key.type.parts(self.value[key.name], key.name):
                    yield self.place(key.name, *steps), check

    def parameters(self) -> dict[str, Where] | None:
        """The path of each parameter's first mention; None if not all are named here."""
        if any(key.type in (ONE_SOURCE, MANY_SOURCES) for key in self.keys):
            return None
        places: dict[str, Where] = {}
        for key in self.keys:
            for name, steps in key.type.names(self.value.get(key.name)):
                places.setdefault(name, self.place(key.name, *steps))
        return places or None


def _kind_named(value: dict[str, Any]) -> Kind | None:
    """The kind of source of a manifest dict; None for an unknown type."""
    name = value.get("type")
    return source_class(name).KIND if isinstance(name, str) and name in SOURCES else None


def parse_dict(value: dict[str, Any], root: Where) -> Definition:
    """The definition of the manifest dict at `root`."""
    kind = _kind_named(value)
    places: dict[str, Where] = {}
    # A message may begin with the form, `grid.omega[1]`, instead of the key.
    if kind is not None and kind.alone and not kind.is_modifier:
        places[kind.form] = (*root, kind.alone)
    return Definition(value=value, root=root, places=places)


def parse_form(form: str, value: Any, root: Where, mistakes: Mistakes) -> Definition | None:
    """The definition of the short form at `root`; None after adding mistakes."""
    name = forms()[form]
    kind = source_class(name).KIND
    lone = kind.lone_key
    if lone is not None and isinstance(value, lone.type.shape):
        places = {lone.name: root, form: root}
        return Definition(value={"type": name, lone.name: value}, root=root, places=places)
    if lone is not None and kind.form_keys == (lone,):
        what = f"is {described(value)}, not {type_name(lone.type.shape)}"
        mistakes.add(root, what, f"Write, for example, {form}: {kind.example}.")
        return None
    return _with_keys(name, value, root, mistakes)


def _with_keys(name: str, value: Any, root: Where, mistakes: Mistakes) -> Definition | None:
    """The definition of a form with keys below it."""
    keys = source_class(name).KIND.form_keys
    names = [key.name for key in keys]
    required = [key.name for key in keys if not key.default]
    if not isinstance(value, dict):
        mistakes.add(
            root, f"is {described(value)}, not a mapping", f"Write {', '.join(required)} below it."
        )
        return None
    unknown = [key for key in value if key not in names]
    missing = [key for key in required if key not in value]
    for key in unknown:
        mistakes.unknown_key((*root, key), names)
    for key in missing:
        mistakes.add(root, f"the key {key!r} is missing", f"Needed are {', '.join(required)}.")
    if unknown or missing:
        return None
    return Definition(value={"type": name, **value}, root=root, places={})
