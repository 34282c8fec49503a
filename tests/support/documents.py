"""The JSON documents of commands against their schemas."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

from hpcsweep.cli.documents import json_schema


def checked(name: str, document: Any) -> Any:
    """The document if it has the keys of its schema, and no other. *Raises* ValidationError."""
    Draft202012Validator(_closed(json_schema(name))).validate(document)
    return document


def _closed(schema: Any) -> Any:
    """The same schema, by which objects have no keys that it does not name."""
    if isinstance(schema, list):
        return [_closed(value) for value in schema]
    if not isinstance(schema, dict):
        return schema
    is_open = "additionalProperties" in schema or not isinstance(schema.get("properties"), dict)
    more = {} if is_open else {"additionalProperties": False}
    return {key: _closed(value) for key, value in schema.items()} | more
