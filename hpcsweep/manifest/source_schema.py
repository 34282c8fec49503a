"""What `source:` may hold, as JSON Schema: for editors, which complete and check with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING, fields
from importlib import import_module
from typing import Any

from hpcsweep.sources import RESERVED_NAMES
from hpcsweep.sources.designs import METHODS
from hpcsweep.sources.distributions import HOMES

Schema = dict[str, Any]

_COUNT: Schema = {"type": "integer", "minimum": 1}
_WHOLE: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_TAGS: Schema = {"type": "array", "items": {"type": "string"}}
_REFERENCE: Schema = {"type": "string", "pattern": r"^[^\s:]+:[^\s:]+$"}
_TEXT: Schema = {"type": "string", "minLength": 1}
_ANYTHING: Schema = {}
_NAMES: Schema = {"minLength": 1, "not": {"enum": sorted(RESERVED_NAMES)}}
_INDICES: Schema = {
    "anyOf": [
        {"type": "string", "pattern": r"^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$"},
        {"type": "integer", "minimum": 0},
        {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1},
    ]
}
# Of a field of a distribution, by its annotation.
_BY_ANNOTATION: dict[str, Schema] = {
    "Any": _ANYTHING,
    "Mapping[str, Any] | None": {"type": ["object", "null"]},
    "Sequence[Any]": {"type": "array", "minItems": 1},
    "Sequence[float]": {"type": "array", "minItems": 1, "items": {"type": "number", "minimum": 0}},
    "float": _NUMBER,
    "float | None": {"type": ["number", "null"]},
    "int": _WHOLE,
    "str": _TEXT,
    "str | None": {"type": ["string", "null"]},
}


def definitions() -> dict[str, Schema]:
    """The `$defs` of a manifest's schema; `Source` is what `source:` may hold."""
    return {
        "Source": {"anyOf": [_ref("ShortSource"), _ref("TypedSource")]},
        "ShortSource": _short(),
        "TypedSource": {"anyOf": [_typed(kind, *keys) for kind, keys in _TYPED.items()]},
        "Grid": {
            **_by_name(_ref("Axis")),
            "description": "Every combination; in alphabetical order, the last varies fastest.",
        },
        "Axis": {"anyOf": [_LIST, *(_rule(name, *of) for name, of in _RULES.items())]},
        "Space": {**_by_name(_ref("Distribution")), "minProperties": 1},
        "Distribution": {
            "anyOf": [
                {"type": ["null", "boolean", "number", "string"], "description": "A constant."},
                *map(_distribution, HOMES),
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


def _keys(required: dict[str, Schema], optional: dict[str, Schema]) -> Schema:
    return {
        "type": "object",
        "properties": required | optional,
        "required": list(required),
        "additionalProperties": False,
    }


_LIST: Schema = {
    "type": "array",
    "minItems": 1,
    "uniqueItems": True,
    "description": "The values, all different.",
}
# Of an axis by a rule: least and most of its numbers, and what they say.
_RULES: dict[str, tuple[int, int, str]] = {
    "linspace": (3, 3, "start, stop and count; both ends included"),
    "arange": (3, 3, "start, stop and step; the stop is left out"),
    "logspace": (3, 4, "first and last exponent, count, base (10)"),
    "range": (1, 3, "stop; start and stop; or with a step: integers"),
}


def _rule(name: str, least: int, most: int, description: str) -> Schema:
    item = _WHOLE if name == "range" else _NUMBER
    numbers = {"type": "array", "items": item, "minItems": least, "maxItems": most}
    return _keys({name: numbers | {"description": description}}, {})


def _distribution(name: str) -> Schema:
    """The dict form of a distribution, from the fields of its class."""
    kind = getattr(import_module(HOMES[name]), name)
    own = [field for field in fields(kind) if field.init]
    schemas = {field.name: _BY_ANNOTATION[str(field.type)] for field in own}
    optional = {field.name for field in own if field.default is not MISSING}
    required = {key: schema for key, schema in schemas.items() if key not in optional}
    rest = {key: schema for key, schema in schemas.items() if key in optional}
    description = (kind.__doc__ or "").partition("\n")[0]
    return _keys({"type": {"const": name}} | required, rest) | {"description": description}


_DRAWS = {"space": _ref("Space"), "n_trials": _COUNT, "seed": _WHOLE}
_METHOD = {"method": {"enum": list(METHODS)}}
_SOURCES: Schema = {"type": "array", "items": _ref("Source"), "minItems": 1}
_FORMS: dict[str, tuple[str, Schema]] = {
    "grid": ("Every combination of the values.", _ref("Grid")),
    "random": ("Independent draws.", _keys(_DRAWS, {})),
    "design": ("Points that fill the space evenly.", _keys(_METHOD | _DRAWS, {})),
    "manual": (
        "The cases themselves.",
        {"anyOf": [_ref("Cases"), _keys({"cases": _ref("Cases")}, {"tags": _TAGS})]},
    ),
    "table": (
        "The rows of a CSV, JSONL or Parquet file, relative to the manifest.",
        {"anyOf": [_TEXT, _keys({"file": _TEXT}, {"tags": _TAGS})]},
    ),
    "custom": (
        "A sequence of your own, module:Class.",
        _keys({"reference": _REFERENCE}, {"arguments": _BY_ANNOTATION["Mapping[str, Any] | None"]}),
    ),
    "product": ("Every case of each with every one of the next.", _SOURCES),
    "concat": ("The cases of one after those of another.", _SOURCES),
    "zip": ("Case i of all together.", _SOURCES),
}
_MODIFIERS: dict[str, tuple[str, Schema]] = {
    "fixed": ("The same parameters in every case.", _ref("Case") | {"minProperties": 1}),
    "derive": ("module:function, from params to params.", _REFERENCE),
    "shuffle": ("The seed of an order without order.", _WHOLE),
    "take": ("Some of the cases by their indices: 0-99,200.", _INDICES),
}


def _short() -> Schema:
    keys = {
        key: {"description": description, **schema}
        for key, (description, schema) in (_FORMS | _MODIFIERS).items()
    }
    return {
        "type": "object",
        "properties": keys,
        "additionalProperties": False,
        "oneOf": [{"required": [key]} for key in _FORMS],
    }


_INNER = {"source": _ref("TypedSource")}
_PARTS: tuple[dict[str, Schema], Iterable[str]] = (
    {"sources": {"type": "array", "items": _ref("TypedSource"), "minItems": 1}},
    (),
)
_PATH = {"path": _BY_ANNOTATION["str | None"]}
# A source's own manifest dict, the ancestors' among them: its keys, and those that may be missing.
_TYPED: dict[str, tuple[dict[str, Schema], Iterable[str]]] = {
    "GridSource": ({"spec": _ref("Grid")}, ()),
    "RandomSource": (_DRAWS, ()),
    "ManualSource": (
        {"cases": _ref("Cases"), "tags": _TAGS | {"type": ["array", "null"]}},
        ["tags"],
    ),
    "DesignSource": (_METHOD | _DRAWS, ()),
    "TableSource": ({"file": _TEXT, "tags": _TAGS | {"type": ["array", "null"]}}, ["tags"]),
    "CustomSource": (
        {"reference": _REFERENCE, "arguments": {"type": ["object", "null"]}, **_PATH},
        ["arguments", "path"],
    ),
    **dict.fromkeys(("ProductSource", "ConcatSource", "ZipSource"), _PARTS),
    "FixedSource": (_INNER | {"params": _ref("Case")}, ()),
    "DerivedSource": (_INNER | {"derive": _REFERENCE, **_PATH}, ["path"]),
    "ShuffleSource": (_INNER | {"seed": _WHOLE}, ()),
    "SliceSource": (_INNER | {"first": _WHOLE, "step": _WHOLE, "count": _COUNT}, ()),
    "TakeSource": (_INNER | {"indices": _INDICES}, ()),
    "ReplicatedSource": (_INNER | {"replicates": _COUNT}, ()),
}


def _typed(kind: str, keys: dict[str, Schema], optional: Iterable[str]) -> Schema:
    required = {key: schema for key, schema in keys.items() if key not in optional}
    rest = {key: schema for key, schema in keys.items() if key in optional}
    total = {"total_cases": {"type": "integer", "minimum": 0}}
    return _keys({"type": {"const": kind}} | required, rest | total)
