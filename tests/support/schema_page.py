"""The page of a manifest's schema, made from the schema that `hpcsweep schema` prints."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import Any

from hpcsweep.manifest.model import json_schema

# A mapping with more, such as the options of sbatch, is not spelled out.
MOST_KEYS = 12
NOUNS = {
    "string": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "`true` or `false`",
    "null": "null",
}


def lines() -> Iterator[str]:
    """The lines of the page."""
    yield "# The schema of a manifest\n"
    yield (
        "What `hpcsweep schema` says of each key, for [editors](manifest.md#in-an-editor); "
        "[the manifest](manifest.md) explains the keys, and [sources](sources.md) the cases.\n"
    )
    yield "| key | value | default | meaning |\n|---|---|---|---|"
    for name, schema in json_schema()["properties"].items():
        default = f"`{json.dumps(schema['default'])}`" if "default" in schema else ""
        yield f"| `{name}` | {_value(schema)} | {default} | {cell(schema['description'])} |"


def _value(schema: dict[str, Any]) -> str:
    """What a value may be, in words."""
    if "$ref" in schema:
        return "a source"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        kinds = [_value({"type": schema.get("type", "string")} | one) for one in schema["anyOf"]]
        return " or ".join(dict.fromkeys(kinds))
    kind = schema["type"]
    if isinstance(kind, list):
        return " or ".join(NOUNS[one] for one in kind)
    if kind == "array":
        return f"a list: each {_value(schema['items'])}"
    if kind == "object":
        return _mapping([f"`{key}`" for key in schema.get("properties", ())])
    least = f" of {schema['minimum']} or more" if "minimum" in schema else ""
    return NOUNS[kind] + least


def _mapping(keys: list[str]) -> str:
    if len(keys) > MOST_KEYS:
        return "a mapping of options, which `hpcsweep schema` lists"
    return f"a mapping with {', '.join(keys)}" if keys else "a mapping"


def cell(text: str) -> str:
    """Text for a table, in which a star, an underscore or a bracket is only itself."""
    return re.sub(r"([*_|`\[\]])", r"\\\1", html.escape(text, quote=False))
