"""Write an imported manifest as text, with a comment on what is not in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpcsweep import yamltext
from hpcsweep.errors import HpcsweepError, InputError
from hpcsweep.foreign.draft import Draft
from hpcsweep.logbook.yamlwrite import flow, key_text
from hpcsweep.manifest.user import resolve
from hpcsweep.sources import ParameterSource

# Mappings are written in lines of their own down to the values of a parameter.
_LINES_DEPTH = 4


def manifest_text(draft: Draft, title: str) -> str:
    """The manifest as YAML; `title` says in its first line where it comes from."""
    lines = [f"# {' '.join(title.split())}", *(f"# {remark}" for remark in draft.remarks)]
    keys = {"name": draft.name, "command": draft.command, "source": draft.source}
    return "\n".join([*lines, *_block(keys, 0)]) + "\n"


def checked(text: str, path: Path) -> ParameterSource:
    """The source of a written manifest. *Raises* InputError if it is not a valid manifest."""
    try:
        return resolve(yamltext.document(text, str(path)), path)[1]
    except HpcsweepError as error:
        raise InputError(
            f"cannot become a manifest: {error}",
            next_step="Correct the file, or write the manifest by hand.",
        ) from error


def _block(mapping: dict[str, Any], depth: int) -> Iterator[str]:
    for key, value in mapping.items():
        start = f"{'  ' * depth}{key_text(key)}:"
        if isinstance(value, dict) and value and _has_lines(value, depth):
            yield start
            yield from _block(value, depth + 1)
        else:
            yield f"{start} {flow(value)}"


def _has_lines(mapping: dict[str, Any], depth: int) -> bool:
    return depth < _LINES_DEPTH and "type" not in mapping
