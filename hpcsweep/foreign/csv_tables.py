"""A manifest of a CSV or TSV table: each row is a case."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hpcsweep.errors import SourceError
from hpcsweep.foreign.draft import Draft, ImportRequest, ParameterNames, program_of, read_text
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
    names = ParameterNames(draft)
    for column in sorted(columns):
        if names.of(column) != column:
            raise SourceError(
                f"the column {column!r} cannot be a placeholder of a command",
                where=request.source,
                next_step="Rename it in the first row: letters, digits, _, no reserved word.",
            )
    draft.command = program_of(request, draft, what)
    draft.command += [f"--{column}={{{column}}}" for column in sorted(columns)]
    draft.source = {"table": form if len(form) > 1 else form["file"]}
    return draft


def _delimiters(header: str, text: str) -> dict[str, str]:
    """The keys of a table whose cells are not separated by commas."""
    delimiter = max(",;\t", key=header.count)
    if delimiter == ",":
        return {}
    has_commas, has_points = (
        re.search(rf"(?:^|[;\t\n])[+-]?\d+{mark}\d+(?:[;\t\r\n]|$)", text) for mark in (",", r"\.")
    )
    return {"delimiter": delimiter} | ({"decimal": ","} if has_commas and not has_points else {})
