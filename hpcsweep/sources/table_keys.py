"""The keys of a table in a manifest, and the checks of their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.sources.cells import TYPES
from hpcsweep.sources.column_roles import ROLE_KEYS
from hpcsweep.sources.keys import Key, KeyType, as_one_part, checked_keys, nearest
from hpcsweep.sources.sheets import SheetFormat

# Types of columns, by the types of their values without null.
COLUMN_TYPES: dict[frozenset[type], str] = {
    frozenset(): "empty",
    frozenset({bool}): "boolean",
    frozenset({int}): "integer",
    frozenset({float}): "number",
    frozenset({int, float}): "number",
    frozenset({str}): "text",
    frozenset({list}): "list",
    frozenset({dict}): "object",
}


def _text(value: Any, where: str, what: str, next_step: str) -> str:
    if not isinstance(value, str) or not value:
        raise SourceError(f"{ids.shown(value)} is not {what}", where=where, next_step=next_step)
    return value


def _file(value: Any, where: str, directory: Path | None) -> str:  # noqa: ARG001  # all readers are alike
    return _text(value, where, "the name of a file", "Write its path, relative to the manifest.")


def _check_delimiter(value: Any, where: str) -> None:
    next_step = "Write one character, such as ';' or \"\\t\"."
    text = _text(value, where, "a delimiter", next_step)
    if len(text) != 1 or text in '"\r\n\0' or text.isalnum():
        raise SourceError(f"{text!r} is not a delimiter", where=where, next_step=next_step)


def _check_decimal(value: Any, where: str) -> None:
    if value not in (".", ","):
        raise SourceError(
            f"{ids.shown(value)} is not a decimal mark", where=where, next_step="Write '.' or ','."
        )


def _check_sheet(value: Any, where: str) -> None:
    _text(value, where, "the name of a sheet", "Write the name on its tab, in quotes.")


def _check_missing(value: Any, where: str) -> None:
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise SourceError(
            f"{ids.shown(value)} is not a list of texts",
            where=where,
            next_step="Write the texts that mean no value: [NA, '-'].",
        )


def _check_types(value: Any, where: str) -> None:
    if not isinstance(value, Mapping):
        raise SourceError(
            f"{ids.shown(value)} is not a mapping of columns to types",
            where=where,
            next_step="Write, for example, {well: text}.",
        )
    for name, type_ in value.items():
        if not isinstance(type_, str) or type_ not in TYPES:
            raise SourceError(
                f"{ids.shown(type_)} is not a type",
                where=ids.member(where, str(name)),
                next_step=nearest(type_, TYPES, "type"),
            )


FILE = KeyType(
    "a .csv, .tsv, .xlsx, .jsonl or .parquet file, also .csv.gz and the like, relative to the "
    "manifest",
    {"type": "string", "minLength": 1},
    read=_file,
    shape=str,
)
_DELIMITER = KeyType(
    "one character",
    {"type": "string", "minLength": 1, "maxLength": 1},
    parts=as_one_part(_check_delimiter),
)
_DECIMAL = KeyType("`.` or `,`", {"enum": [".", ","]}, parts=as_one_part(_check_decimal))
_SHEET = KeyType("a text", {"type": "string", "minLength": 1}, parts=as_one_part(_check_sheet))
_MISSING = KeyType(
    "a text, or a list of them",
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]},
    parts=as_one_part(_check_missing),
)
_TYPES = KeyType(
    f"a mapping of columns to {', '.join(f'`{type_}`' for type_ in TYPES)}",
    {"type": "object", "additionalProperties": {"enum": list(TYPES)}},
    parts=as_one_part(_check_types),
)

# How the file is written.
FORMAT_KEYS = (
    Key("delimiter", _DELIMITER, "what is between cells", "a comma; in .tsv a tab"),
    Key("decimal", _DECIMAL, "the decimal mark of numbers", "`.`"),
    Key("sheet", _SHEET, "the sheet of a workbook", "the first one"),
    Key(
        "missing",
        _MISSING,
        "what means no value in every column",
        "see [tables](sources.md#tables)",
    ),
    Key("types", _TYPES, "the types of columns", "from all cells of the column"),
)
_CHECKS = {
    "delimiter": _check_delimiter,
    "decimal": _check_decimal,
    "sheet": _check_sheet,
    "missing": _check_missing,
    "types": _check_types,
}


def read_format(options: Mapping[str, Any]) -> SheetFormat:
    """The format that these keys describe. *Raises* SourceError for a wrong value."""
    checked_keys(options, (), (*_CHECKS, *(key.name for key in ROLE_KEYS)), "table")
    for name, check in _CHECKS.items():
        if name in options:
            check(options[name], name)
    missing: str | Sequence[str] | None = options.get("missing")
    if isinstance(missing, str):
        missing = [missing]
    return SheetFormat(
        delimiter=options.get("delimiter"),
        decimal=options.get("decimal"),
        sheet=options.get("sheet"),
        missing=None if missing is None else tuple(missing),
        types=dict(options.get("types", {})),
    )
