"""Build the source of the `source:` of a manifest, with the line of each mistake in it.

It is a form of `source_forms`, several joined forms, or a source's manifest dict; modifiers such as
fixed: {y: 1} or shuffle: 7 may stand beside it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpcsweep.errors import IdentityError, SourceError
from hpcsweep.manifest.mistakes import Mistakes, Where, described
from hpcsweep.manifest.source_forms import (
    BRANCHES,
    BRANCHES_EXAMPLE,
    Definition,
    form_with_key,
    forms,
    forms_written,
    modifiers,
    parse_dict,
    parse_form,
)
from hpcsweep.sources.base import ParameterSource
from hpcsweep.sources.branching import branches
from hpcsweep.sources.registry import (
    MANY_SOURCES,
    class_named,
    source_class,
    source_from_manifest_dict,
)

_STEP = re.compile(
    r"""\.?(?P<name>[^.\[\]]+) | \[(?P<index>\d+)\]
      | \[(?P<quoted>'(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*")\]""",
    re.VERBOSE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """A source, and the paths of its parameters."""

    # None after mistakes.
    source: ParameterSource | None = None
    # Path of each parameter in the manifest; for explicit cases, in the first case that has it.
    # None if the names are not known.
    parameters: dict[str, Where] | None = None


def build(
    raw: Any, mistakes: Mistakes, root: Path | None = None, used: frozenset[str] | None = None
) -> Spec:
    """Build the source of `raw`, the value of `source:`, or add mistakes.

    `root` is the base of relative paths of tables, and of modules beside the manifest. `used` are
    the names that a command uses: other columns of tables are carried. None for all.
    """
    spec = _Builder(mistakes, root, used).build(raw, ("source",))
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
    used: frozenset[str] | None = None

    def build(self, raw: Any, where: Where) -> Spec:
        """Build the source at `where`."""
        if not isinstance(raw, dict):
            self.mistakes.add(where, f"is {described(raw)}, not a mapping", _hint())
            return Spec()
        if "type" in raw:
            return self._build_typed(parse_dict(raw, where))
        names = [*forms_written(), *modifiers()]
        for key in [key for key in raw if key not in names]:
            self._refuse_key(raw, key, where)
        written = [form for form in forms_written() if form in raw]
        if len(written) != 1:
            what = f"has {' and '.join(written)}, not one of them" if written else "has no cases"
            self.mistakes.add(where, what, _hint())
            return Spec()
        beside = [form for form in modifiers() if form in raw]
        used = self.used
        if any(source_class(modifiers()[form]).runs_user_code for form in beside):
            used = None  # the user's function may use every column
        builder = replace(self, used=used)
        spec = builder.build_form(written[0], raw[written[0]], (*where, written[0]))
        for form in beside:
            spec = self._modify(spec, form, raw[form], (*where, form))
        return spec

    def _refuse_key(self, raw: dict[str, Any], key: str, where: Where) -> None:
        """Say what is wrong with a key beside a form: often it belongs inside of it."""
        form = form_with_key(raw, key)
        if form is None:
            self.mistakes.unknown_key((*where, key), [*forms_written(), *modifiers()])
            return
        lone = source_class(forms()[form]).KIND.lone_key
        value = raw[form]
        inside = f"{lone.name}: {value}, " if lone and isinstance(value, str) else ""
        self.mistakes.add(
            (*where, key),
            f"belongs inside of {form!r}",
            f"Write {form}: {{{inside}{key}: …}}.",
        )

    def build_form(self, form: str, value: Any, where: Where) -> Spec:
        if form == BRANCHES:
            return self._branch(value, where)
        lone = source_class(forms()[form]).KIND.lone_key
        if lone is not None and lone.type is MANY_SOURCES:
            return self._join(form, value, where)
        definition = parse_form(form, value, where, self.mistakes)
        return Spec() if definition is None else self._build_typed(definition)

    def _build_typed(self, definition: Definition) -> Spec:
        """Build a source from its manifest dict."""
        parameters = definition.parameters()
        try:
            value = _with_used(_resolve_paths(definition.value, self.root), self.used)
            source = source_from_manifest_dict(value)
        except (SourceError, IdentityError) as error:
            if not _add_by_parts(definition, self.mistakes):
                _add(error, definition, definition.root, self.mistakes)
            return Spec(parameters=parameters)
        if parameters is None:
            parameters = dict.fromkeys(source.names, definition.root)
        return Spec(source=source, parameters=parameters)

    def _join(self, form: str, value: Any, where: Where) -> Spec:
        """Join several sources, each of which may be in a short form."""
        if not isinstance(value, list) or not value:
            what = "is an empty list" if value == [] else f"is {described(value)}, not a list"
            self.mistakes.add(where, what, "Write one source per line: - grid: ...")
            return Spec()
        specs = [self.build(part, (*where, position)) for position, part in enumerate(value)]
        kind = source_class(forms()[form])
        return self._combine(specs, lambda sources: kind.from_keys(sources=sources), where)

    def _branch(self, value: Any, where: Where) -> Spec:
        """Put the sources of branches, each of which may be in a short form, one after another."""
        name, of = next(iter(value.items())) if isinstance(value, dict) and value else ("", None)
        if not isinstance(of, dict) or not of or len(value) > 1:
            what = f"is {described(value)}, not one parameter with its branches"
            self.mistakes.add(where, what, f"Write, for example, {BRANCHES_EXAMPLE}.")
            return Spec()
        # A branch without parameters of its own is written as nothing, or as {}.
        specs = [
            self.build({"grid": {}} if part in (None, {}) else part, (*where, name, branch))
            for branch, part in of.items()
        ]
        spec = self._combine(
            specs, lambda sources: branches(name, dict(zip(of, sources, strict=True))), where
        )
        if spec.parameters is None:
            return spec
        return replace(spec, parameters={name: (*where, name)} | spec.parameters)

    def _combine(
        self,
        specs: list[Spec],
        make: Callable[[list[ParameterSource]], ParameterSource],
        where: Where,
    ) -> Spec:
        """Make one source of several, unless one of them has mistakes."""
        parameters: dict[str, Where] = {}
        for spec in specs:
            parameters = (spec.parameters or {}) | parameters
        sources = [spec.source for spec in specs if spec.source is not None]
        if len(sources) < len(specs):
            has_names = all(spec.parameters is not None for spec in specs)
            return Spec(parameters=parameters if has_names else None)
        return self._make(lambda: make(sources), parameters, where)

    def _modify(self, spec: Spec, form: str, value: Any, where: Where) -> Spec:
        """Apply a modifier to a source."""
        name = modifiers()[form]
        kind = source_class(name)
        if spec.source is None:
            return Spec(parameters=None if kind.runs_user_code else spec.parameters)
        parameters = dict(spec.parameters or {})
        lone = kind.KIND.lone_key
        if lone is not None:
            parameters |= {name: (*where, *steps) for name, steps in lone.type.names(value)}
        keys = _resolve_paths({"type": name, kind.KIND.alone: value}, self.root)
        del keys["type"]
        values = {**keys, "source": spec.source}
        made = self._make(lambda: kind.from_keys(**values), parameters, where)
        if made.source is None or not kind.runs_user_code:
            return made
        # The user's function may add and remove parameters.
        names = {name: parameters.get(name, where) for name in made.source.names}
        return Spec(source=made.source, parameters=names)

    def _make(
        self, make: Callable[[], ParameterSource], parameters: dict[str, Where], where: Where
    ) -> Spec:
        """Make a source; what it refuses is a mistake at `where`."""
        try:
            source = make()
        except (SourceError, IdentityError) as error:
            self.mistakes.add(where, _unsecret(error.what), error.next_step)
            return Spec(parameters=parameters)
        return Spec(source=source, parameters=parameters)


def _hint() -> str:
    return f"Write one of {', '.join(forms_written())} below it."


def _resolve_paths(value: Any, root: Path | None) -> Any:
    """The manifest dict with paths of files and modules relative to `root` resolved."""
    if root is None or not isinstance(value, dict):
        return value
    named = class_named(value)
    resolved = dict(value if named is None else named.resolve_paths(value, root))
    if "source" in value:
        resolved["source"] = _resolve_paths(value["source"], root)
    if isinstance(value.get("sources"), list):
        resolved["sources"] = [_resolve_paths(source, root) for source in value["sources"]]
    if isinstance(value.get("space"), dict):
        resolved["space"] = {
            name: _resolve_paths(rule, root) for name, rule in value["space"].items()
        }
    return resolved


def _with_used(value: Any, used: frozenset[str] | None) -> Any:
    """The manifest dict with the names that a command uses, in the dicts of tables."""
    if used is None or not isinstance(value, dict) or value.get("type") == "DerivedSource":
        return value
    if value.get("type") == "TableSource":
        return {"used": sorted(used), **value}
    inner = {key: value[key] for key in ("source", "sources") if key in value}
    if "source" in inner:
        inner["source"] = _with_used(inner["source"], used)
    if isinstance(inner.get("sources"), list):
        inner["sources"] = [_with_used(source, used) for source in inner["sources"]]
    return value | inner


def _add_by_parts(definition: Definition, mistakes: Mistakes) -> bool:
    """Check parameters, or cases, one by one, to find all mistakes. Returns whether any was."""
    has_added = False
    for place, check in definition.parts():
        if mistakes.is_full:
            break
        try:
            check()
        except (SourceError, IdentityError) as error:
            _add(error, definition, place, mistakes)
            has_added = True
    return has_added


def _add(
    error: SourceError | IdentityError, definition: Definition, part: Where, mistakes: Mistakes
) -> None:
    """Add a mistake at the path that the error names, if it lies within `part`."""
    file = definition.value.get("file")
    if isinstance(file, str) and file in error.where:
        # The line is one of the file, not of the manifest.
        place = file + error.where.rpartition(file)[2]
        mistakes.add(definition.root, _unsecret(f"{place}: {error.what}"), error.next_step)
        return
    steps = _steps(error.where)
    path = part
    if steps[:1] == ("source",):
        path = (*definition.root, *steps[1:])
    elif steps and definition.place(*steps)[: len(part)] == part:
        path = definition.place(*steps)
    mistakes.add(path, _unsecret(error.what), error.next_step)


def _unsecret(what: str) -> str:
    """Remove the refused value from a message if it is a URL, which may hold a password."""
    return "has a value that is not allowed here" if "://" in what else what


def _steps(where: str) -> Where:
    """Parse the path of a source's message: `grid.dt[1]`, `cases[3]['a b']`."""
    steps: list[str | int] = []
    for step in _STEP.finditer(where):
        if step["quoted"]:
            steps.append(ast.literal_eval(step["quoted"]))
        else:
            steps.append(int(step["index"]) if step["index"] else step["name"])
    return tuple(steps)
