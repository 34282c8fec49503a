"""The `source:` of a manifest: its short forms, and the line of whatever is wrong with it.

grid: {omega: [1.0, 2.0], dt: {logspace: [-3, -1, 3]}}
random: {space: {x: {type: Uniform, low: 0, high: 1}, n: 5}, n_trials: 100, seed: 1}
design: {method: sobol, space: {x: {type: Uniform, low: 0, high: 1}}, n_trials: 128, seed: 1}
manual: [{x: 1}, {x: 2}]        or manual: {cases: [...], tags: [...]}
table: cases.csv                or table: {file: cases.csv, tags: [...]}
custom: {reference: module:Class, arguments: {...}}
product: [{grid: ...}, {random: ...}]       likewise concat and zip
type: GridSource, spec: {...}   a source's own manifest dict

Beside one of them, applied in this order: fixed: {y: 1}, derive: module:function, shuffle: 7 (a
seed), take: 0-99,200 (indices).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hpcsweep.errors import IdentityError, SourceError
from hpcsweep.manifest.mistakes import Mistakes, Where, described
from hpcsweep.sources import (
    ConcatSource,
    DerivedSource,
    DesignSource,
    FixedSource,
    GridSource,
    ManualSource,
    ParameterSource,
    ProductSource,
    RandomSource,
    ShuffleSource,
    ZipSource,
    randint,
    source_from_manifest_dict,
)
from hpcsweep.sources.distributions import distribution
from hpcsweep.sources.views import TakeSource, index_set

_STEP = re.compile(
    r"""\.?(?P<name>[^.\[\]]+) | \[(?P<index>\d+)\]
      | \[(?P<quoted>'(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*")\]""",
    re.VERBOSE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """A source, and where its parameters are written."""

    # None where it cannot be made.
    source: ParameterSource | None = None
    # Path of each parameter in the manifest; of explicit cases, in the first that has it. None
    # where even the names are not known.
    parameters: dict[str, Where] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Definition:
    """A source in the form of its manifest dict, and the path of each of its keys."""

    value: dict[str, Any]
    root: Where
    # Paths of spec, space, cases and so on; those that are not here are below `root`.
    places: dict[str, Where]

    def place(self, *path: str | int) -> Where:
        first, *rest = path
        return (*self.places.get(str(first), (*self.root, first)), *rest)


def build(raw: Any, mistakes: Mistakes, root: Path | None = None) -> Spec:
    """The source that `raw`, the value of `source:`, describes, or mistakes added.

    `root` is where relative paths of tables start, and modules beside the manifest are found.
    """
    spec = _Builder(mistakes, root).build(raw, ("source",))
    source = spec.source
    if source is not None and not source:
        mistakes.add(("source",), "has no cases", "A slice of a source may be empty; check it.")
    else:
        return spec
    return Spec(parameters=spec.parameters)


@dataclass(frozen=True, slots=True)
class _Builder:
    mistakes: Mistakes
    root: Path | None

    def build(self, raw: Any, where: Where) -> Spec:
        """The source that is written at `where`."""
        if not isinstance(raw, dict):
            self.mistakes.add(where, f"is {described(raw)}, not a mapping", _HINT)
            return Spec()
        if "type" in raw:
            return self._plain(
                _Definition(value=raw, root=where, places={"grid": (*where, "spec")})
            )
        for key in [key for key in raw if key not in FORMS and key not in MODIFIERS]:
            self.mistakes.unknown_key((*where, key), (*FORMS, *MODIFIERS))
        forms = [key for key in FORMS if key in raw]
        if len(forms) != 1:
            what = f"has {' and '.join(forms)}, not one of them" if forms else "has no cases"
            self.mistakes.add(where, what, _HINT)
            return Spec()
        spec = self._form(forms[0], raw[forms[0]], (*where, forms[0]))
        for key in [key for key in MODIFIERS if key in raw]:
            spec = self._modified(spec, key, raw[key], (*where, key))
        return spec

    def _form(self, form: str, value: Any, where: Where) -> Spec:
        if form in _JOINED:
            return self._joined(form, value, where)
        definition = _FORM_READERS[form](value, where, self.mistakes)
        return Spec() if definition is None else self._plain(definition)

    def _plain(self, definition: _Definition) -> Spec:
        """A source in the form of its manifest dict."""
        parameters = _parameters(definition)
        try:
            source = source_from_manifest_dict(_placed(definition.value, self.root))
        except (SourceError, IdentityError) as error:
            if not _add_by_parts(definition, self.mistakes):
                _add(error, definition, definition.root, self.mistakes)
            return Spec(parameters=parameters)
        if parameters is None:
            parameters = dict.fromkeys(source.names, definition.root)
        return Spec(source=source, parameters=parameters)

    def _joined(self, form: str, value: Any, where: Where) -> Spec:
        """Several sources put together."""
        if not isinstance(value, list) or not value:
            what = "is an empty list" if value == [] else f"is {described(value)}, not a list"
            self.mistakes.add(where, what, "Write one source per line: - grid: ...")
            return Spec()
        specs = [self.build(one, (*where, position)) for position, one in enumerate(value)]
        parameters: dict[str, Where] = {}
        for spec in specs:
            parameters = (spec.parameters or {}) | parameters
        sources = [spec.source for spec in specs if spec.source is not None]
        if len(sources) < len(specs):
            known = all(spec.parameters is not None for spec in specs)
            return Spec(parameters=parameters if known else None)
        return self._made(partial(_JOINED[form], sources), parameters, where)

    def _modified(self, spec: Spec, key: str, value: Any, where: Where) -> Spec:
        """A source with one of the further keys beside it."""
        if spec.source is None:
            return Spec(parameters=None if key == "derive" else spec.parameters)
        parameters = dict(spec.parameters or {})
        if key == "fixed" and isinstance(value, dict):
            parameters |= {name: (*where, name) for name in value}
        made = self._made(partial(MODIFIERS[key], spec.source, value, self.root), parameters, where)
        if made.source is None or key != "derive":
            return made
        names = {name: parameters.get(name, where) for name in made.source.names}
        return Spec(source=made.source, parameters=names)

    def _made(
        self, make: Callable[[], ParameterSource], parameters: dict[str, Where], where: Where
    ) -> Spec:
        try:
            return Spec(source=make(), parameters=parameters)
        except (SourceError, IdentityError) as error:
            self.mistakes.add(where, _unsecret(error.what), error.next_step)
            return Spec(parameters=parameters)


def _placed(value: Any, root: Path | None) -> Any:
    """A manifest dict whose tables, and modules without a place, are looked for in `root`."""
    if root is None or not isinstance(value, dict):
        return value
    found = dict(value)
    if value.get("type") == "TableSource" and isinstance(value.get("file"), str):
        found["file"] = str(root / value["file"])
    elif value.get("type") in ("CustomSource", "CustomDistribution", "DerivedSource"):
        found.setdefault("path", str(root))
    if "source" in value:
        found["source"] = _placed(value["source"], root)
    if isinstance(value.get("sources"), list):
        found["sources"] = [_placed(one, root) for one in value["sources"]]
    if isinstance(value.get("space"), dict):
        found["space"] = {name: _placed(rule, root) for name, rule in value["space"].items()}
    return found


def _derived(source: ParameterSource, value: Any, root: Path | None) -> ParameterSource:
    return DerivedSource(source, value, None if root is None else str(root))


_HINT = "Write one of grid, random, design, manual, table, product and so on below it."
_JOINED: dict[str, Callable[[list[ParameterSource]], ParameterSource]] = {
    "product": ProductSource,
    "concat": ConcatSource,
    "zip": ZipSource,
}
# In the order in which they are applied.
MODIFIERS: dict[str, Callable[[ParameterSource, Any, Path | None], ParameterSource]] = {
    "fixed": lambda source, value, _: FixedSource(source, value),
    "derive": _derived,
    "shuffle": lambda source, value, _: ShuffleSource(source, value),
    "take": lambda source, value, _: TakeSource(source, index_set(value)),
}


def _grid(value: Any, root: Where, mistakes: Mistakes) -> _Definition | None:
    if not isinstance(value, dict):
        mistakes.add(root, f"is {described(value)}, not a mapping", "Write `name: [values]` below.")
        return None
    return _Definition(
        value={"type": "GridSource", "spec": value},
        root=root,
        places={"spec": root, "grid": root},
    )


def _random(value: Any, root: Where, mistakes: Mistakes) -> _Definition | None:
    keys = {"space": True, "n_trials": True, "seed": True}
    return _with_keys("RandomSource", keys, value, root, mistakes)


def _manual(value: Any, root: Where, mistakes: Mistakes) -> _Definition | None:
    if not isinstance(value, list):
        keys = {"cases": True, "tags": False}
        return _with_keys("ManualSource", keys, value, root, mistakes)
    definition = {"type": "ManualSource", "cases": value}
    return _Definition(value=definition, root=root, places={"cases": root})


def _design(value: Any, root: Where, mistakes: Mistakes) -> _Definition | None:
    keys = {"method": True, "space": True, "n_trials": True, "seed": True}
    return _with_keys("DesignSource", keys, value, root, mistakes)


def _table(value: Any, root: Where, mistakes: Mistakes) -> _Definition | None:
    if isinstance(value, str):
        return _Definition(value={"type": "TableSource", "file": value}, root=root, places={})
    return _with_keys("TableSource", {"file": True, "tags": False}, value, root, mistakes)


def _custom(value: Any, root: Where, mistakes: Mistakes) -> _Definition | None:
    keys = {"reference": True, "arguments": False}
    return _with_keys("CustomSource", keys, value, root, mistakes)


def _with_keys(
    kind: str, keys: dict[str, bool], value: Any, root: Where, mistakes: Mistakes
) -> _Definition | None:
    """A form with these keys, of which those that are True must be there."""
    required = [key for key, is_required in keys.items() if is_required]
    if not isinstance(value, dict):
        mistakes.add(
            root, f"is {described(value)}, not a mapping", f"Write {', '.join(required)} below it."
        )
        return None
    unknown = [key for key in value if key not in keys]
    missing = [key for key in required if key not in value]
    for key in unknown:
        mistakes.unknown_key((*root, key), keys)
    for key in missing:
        mistakes.add(root, f"the key {key!r} is missing", f"Needed are {', '.join(required)}.")
    if unknown or missing:
        return None
    return _Definition(value={"type": kind, **value}, root=root, places={})


_FORM_READERS: dict[str, Callable[[Any, Where, Mistakes], _Definition | None]] = {
    "grid": _grid,
    "random": _random,
    "design": _design,
    "manual": _manual,
    "table": _table,
    "custom": _custom,
}
FORMS = (*_FORM_READERS, *_JOINED)


def _add_by_parts(definition: _Definition, mistakes: Mistakes) -> bool:
    """Make each parameter, or case, on its own, so that all mistakes show; whether any did."""
    found = False
    for place, make in _parts(definition):
        if mistakes.is_full:
            break
        try:
            make()
        except (SourceError, IdentityError) as error:
            _add(error, definition, place, mistakes)
            found = True
    return found


def _parts(definition: _Definition) -> Iterator[tuple[Where, Callable[[], object]]]:
    spec, space, cases = (definition.value.get(key) for key in ("spec", "space", "cases"))
    for name, values in spec.items() if isinstance(spec, dict) else ():
        yield definition.place("spec", name), partial(GridSource.from_axes, {name: values})
    for name, rule in space.items() if isinstance(space, dict) else ():
        yield definition.place("space", name), partial(_one_random, name, rule)
    for position, case in enumerate(cases if isinstance(cases, list) else ()):
        yield definition.place("cases", position), partial(ManualSource, [case])
    for key, make in _ALONE.items():
        if key in definition.value:
            yield definition.place(key), partial(make, definition.value[key])


_ALONE: dict[str, Callable[[Any], object]] = {
    "method": lambda method: DesignSource(method, {"x": randint(0, 1)}, 1, 0),
    "n_trials": lambda n_trials: RandomSource({"x": randint(0, 1)}, n_trials, 0),
    "seed": lambda seed: RandomSource({"x": randint(0, 1)}, 1, seed),
    "tags": lambda tags: ManualSource([{}], tags),
}


def _one_random(name: str, rule: Any) -> None:
    RandomSource({name: distribution(rule, "space")}, 1, 0)


def _add(
    error: SourceError | IdentityError, definition: _Definition, part: Where, mistakes: Mistakes
) -> None:
    """A mistake at the path that the error names, as far as it lies within `part`."""
    table = str(definition.value.get("file"))
    if definition.value.get("type") == "TableSource" and table in error.where:
        # The line of the table, which has none in the manifest.
        place = table + error.where.rpartition(table)[2]
        mistakes.add(definition.root, _unsecret(f"{place}: {error.what}"), error.next_step)
        return
    steps = _steps(error.where)
    path = part
    if steps[:1] == ("source",):
        path = (*definition.root, *steps[1:])
    elif steps[:1] == ("cases",) and len(part) > len(definition.place("cases")):
        path = (*part, *steps[2:])  # the error speaks of the only case that it was given
    elif steps and definition.place(*steps)[: len(part)] == part:
        path = definition.place(*steps)
    mistakes.add(path, _unsecret(error.what), error.next_step)


def _unsecret(what: str) -> str:
    """A source shows the value that it refuses, and a URL may hold a password."""
    return "is not what belongs here" if "://" in what else what


def _steps(where: str) -> Where:
    """The path in a source's message: `grid.dt[1]`, `cases[3]['a b']`."""
    steps: list[str | int] = []
    for step in _STEP.finditer(where):
        if step["quoted"]:
            steps.append(ast.literal_eval(step["quoted"]))
        else:
            steps.append(int(step["index"]) if step["index"] else step["name"])
    return tuple(steps)


def _parameters(definition: _Definition) -> dict[str, Where] | None:
    for key in ("spec", "space"):
        value = definition.value.get(key)
        if isinstance(value, dict):
            return {name: definition.place(key, name) for name in value}
    cases = definition.value.get("cases")
    if not isinstance(cases, list):
        return None
    found: dict[str, Where] = {}
    for position, case in enumerate(cases):
        for name in case if isinstance(case, dict) else ():
            found.setdefault(name, definition.place("cases", position, name))
    return found
