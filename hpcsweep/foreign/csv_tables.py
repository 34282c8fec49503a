"""A manifest of a CSV or TSV table: each row is a case."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hpcsweep.errors import SourceError
from hpcsweep.foreign.draft import (
    NOT_IN_NAMES,
    TAKEN,
    Draft,
    ImportRequest,
    program_of,
    read_text,
)
from hpcsweep.ids import slug
from hpcsweep.sources import table

# Formats that say themselves where a cell ends and what a number is.
_SELF_DESCRIBING = (".xlsx", ".xlsm", ".jsonl", ".ndjson", ".parquet")


def import_file(request: ImportRequest) -> Draft:
    """The draft of a table. *Raises* InputError."""
    return of_table(request, "a table")


def of_table(request: ImportRequest, what: str) -> Draft:
    """The draft of a table that belongs to `what`."""
    form: dict[str, Any] = {"file": os.path.relpath(request.source, request.directory)}
    draft = Draft(name=slug(Path(request.source).stem, 64), command=[])
    if not request.source.lower().endswith(_SELF_DESCRIBING):
        text = read_text(request.source, "a table: CSV, TSV, XLSX, JSON lines or Parquet")
        header = text.partition("\n")[0]
        if request.source.endswith(".csv") or "\t" not in header:
            form |= _delimiters(header, text)
    columns = table(request.source, **{key: form[key] for key in form if key != "file"}).names
    options = _options(sorted(columns), request.source)
    draft.command = program_of(request, draft, what)
    draft.command += [f"--{option}={{{column}}}" for column, option in options.items()]
    draft.changed += [
        f"the program gets {column} as --{option}"
        for column, option in options.items()
        if option != column
    ]
    draft.source = {"table": form if len(form) > 1 else form["file"]}
    return draft


def _options(columns: Iterable[str], source: str) -> dict[str, str]:
    """The option of each column, without blanks. *Raises* SourceError for a column without one."""
    options: dict[str, str] = {}
    for column in columns:
        option = NOT_IN_NAMES.sub("_", column)
        if column in TAKEN or re.search(r"[{}]", column) or option in options.values():
            raise SourceError(
                f"the column {column!r} cannot be a placeholder and an option of a command",
                where=source,
                next_step="Rename it in the first row: no brace, no reserved word, and not the "
                "same letters and digits as another one.",
            )
        options[column] = option
    return options


def _delimiters(header: str, text: str) -> dict[str, str]:
    """The keys of a table whose cells are not separated by commas."""
    delimiter = max(",;\t", key=header.count)
    if delimiter == ",":
        return {}
    has_commas, has_points = (
        re.search(rf"(?:^|[;\t\n])[+-]?\d+{mark}\d+(?:[;\t\r\n]|$)", text) for mark in (",", r"\.")
    )
    return {"delimiter": delimiter} | ({"decimal": ","} if has_commas and not has_points else {})
