"""The JSON Schema of `source:`, for editors, which complete and check with it.

Built from the keys of the sources and the fields of the distributions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING
from typing import Any

from hpcsweep.manifest.policies import WHEN
from hpcsweep.manifest.source_forms import BRANCHES, SPACE, forms, forms_written, modifiers
from hpcsweep.sources.distributions import given_fields
from hpcsweep.sources.keys import RESERVED_NAMES, Key, Kind
from hpcsweep.sources.ranges import RULES, AxisRule
from hpcsweep.sources.registry import (
    DISTRIBUTIONS,
    MANY_SOURCES,
    SOURCES,
    distribution_class,
    source_class,
)

Schema = dict[str, Any]

_ANYTHING: Schema = {}
_NAMES: Schema = {"minLength": 1, "not": {"enum": sorted(RESERVED_NAMES)}}
# Schemas of a distribution's fields by annotation; others accept anything.
_BY_ANNOTATION: dict[str, Schema] = {
    "Mapping[str, Any] | None": {"type": ["object", "null"]},
    "Sequence[Any]": {"type": "array", "minItems": 1},
    "Sequence[float]": {"type": "array", "minItems": 1, "items": {"type": "number", "minimum": 0}},
    "float": {"type": "number"},
    "float | None": {"type": ["number", "null"]},
    "int": {"type": "integer"},
    "str": {"type": "string", "minLength": 1},
    "str | None": {"type": ["string", "null"]},
}
_LIST: Schema = {
    "type": "array",
    "minItems": 1,
    "uniqueItems": True,
    "description": "The values, all different.",
}

# The cases of another sweep, which are no kind of source: `tables.sweep_cases` finds them. Beside
# it `where` selects its rows.
_SWEEP: Schema = {
    "sweep": {
        "type": "string",
        "minLength": 1,
        "description": "Another sweep, the rows of whose complete cases are the cases.",
    },
    "when": {
        "enum": list(WHEN),
        "description": "Whether every case of it must be complete, or only that nothing more runs.",
    },
    "columns": {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "minItems": 1,
        "description": "The columns that become parameters.",
    },
}


def definitions() -> dict[str, Schema]:
    """The `$defs` of a manifest's schema; `Source` is the schema of `source:`."""
    return {
        "Source": {"anyOf": [_ref("ShortSource"), _ref("TypedSource")]},
        "ShortSource": _short(),
        "TypedSource": {"anyOf": [_typed(kind, source_class(kind).KIND) for kind in SOURCES]},
        "Grid": _by_name(_ref("Axis")),
        "Axis": {"anyOf": [_LIST, *(_by_rule(name, rule) for name, rule in RULES.items())]},
        "Space": {**_by_name(_ref("Distribution")), "minProperties": 1},
        "Distribution": {
            "anyOf": [
                {"type": ["null", "boolean", "number", "string"], "description": "A constant."},
                *map(_distribution, DISTRIBUTIONS),
            ]
        },
        "Case": _by_name(_ANYTHING),
        "Cases": {"type": "array", "items": _ref("Case"), "minItems": 1},
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _by_name(values: Schema) -> Schema:
    """A mapping of parameters."""
    return {"type": "object", "additionalProperties": values, "propertyNames": _NAMES}


def _mapping(keys: dict[str, Schema], required: Iterable[str]) -> Schema:
    return {
        "type": "object",
        "properties": keys,
        "required": list(required),
        "additionalProperties": False,
    }


def _described(text: str) -> str:
    """The description of a source or a key as a sentence."""
    return f"{text[0].upper()}{text[1:]}."


def _by_rule(name: str, rule: AxisRule) -> Schema:
    least, most = rule.counts
    numbers = {
        "type": "array",
        "items": {"type": "integer" if rule.is_whole else "number"},
        "minItems": least,
        "maxItems": most,
        "description": rule.numbers,
    }
    return _mapping({name: numbers}, [name])


def _distribution(name: str) -> Schema:
    """The dict form of a distribution, from the fields of its class."""
    kind = distribution_class(name)
    fields = given_fields(kind)
    keys = {field.name: _BY_ANNOTATION.get(str(field.type), _ANYTHING) for field in fields}
    required = [field.name for field in fields if field.default is MISSING]
    description = (kind.__doc__ or "").partition("\n")[0]
    schema = _mapping({"type": {"const": name}} | keys, ["type", *required])
    return schema | {"description": description}


def _short() -> Schema:
    kinds = {form: source_class(name).KIND for form, name in (forms() | modifiers()).items()}
    keys = {
        form: {"description": _described(kind.meaning), **_form(kind)}
        for form, kind in kinds.items()
    }
    return {
        "type": "object",
        "properties": keys | {BRANCHES: _branches(), SPACE: _space()} | _SWEEP,
        "additionalProperties": False,
        "oneOf": [{"required": [form]} for form in (*forms_written(), "sweep", SPACE)],
        "dependentRequired": {key: ["sweep"] for key in _SWEEP if key != "sweep"},
    }


def _space() -> Schema:
    """The schema of a space without a rule how often it is drawn."""
    what = "The distribution of each parameter; `search` finds the cases in it."
    return {"description": what, **_ref("Space")}


def _branches() -> Schema:
    """The schema of branches: one parameter, and below it a source for each of its values."""
    branch = {"anyOf": [_ref("Source"), {"type": ["object", "null"], "maxProperties": 0}]}
    of = {"type": "object", "minProperties": 1, "additionalProperties": branch}
    return {
        **_by_name(of),
        "minProperties": 1,
        "maxProperties": 1,
        "description": "The cases of each branch, which have the parameters of their branch alone, "
        "and its name as a parameter.",
    }


def _form(kind: Kind) -> Schema:
    """The schema of a form: its keys, or the value of the key that may stand alone."""
    keys = {key.name: _short_value(key) for key in kind.form_keys}
    if list(keys) == [kind.alone]:
        return keys[kind.alone]
    required = [key.name for key in kind.form_keys if not key.default]
    mapping = _mapping(keys, required)
    return {"anyOf": [keys[kind.alone], mapping]} if kind.alone else mapping


def _short_value(key: Key) -> Schema:
    """The schema of a key's value; nested sources may be in their short forms."""
    if key.type is MANY_SOURCES:
        return {**key.type.schema, "items": _ref("Source")}
    return dict(key.type.schema)


def _typed(name: str, kind: Kind) -> Schema:
    """The schema of a source's manifest dict."""
    keys: dict[str, Schema] = {"type": {"const": name}}
    keys |= {
        key.name: {"description": _described(key.meaning), **key.type.schema} for key in kind.keys
    }
    keys["total_cases"] = {"type": "integer", "minimum": 0}
    return _mapping(keys, ["type", *(key.name for key in kind.keys if not key.default)])
