"""A manifest that is written in Python: by keys, with a function as its target."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import CodeType
from typing import Any

from hpcsweep.errors import InputError
from hpcsweep.manifest.cell_source import add_cell, refuse_unnamed
from hpcsweep.manifest.fixed_values import fixed_files_of
from hpcsweep.manifest.generated_files import GeneratedFiles
from hpcsweep.sources import ParameterSource
from hpcsweep.yamltext import Document


class _Written(Document):
    """A manifest from Python: mistakes are located by keys, without lines."""

    def where(self, path: tuple[str | int, ...] = ()) -> str:  # noqa: ARG002  # the file's form
        """What was called."""
        return self.name


def document_of(
    name: str | None,
    source: ParameterSource | Mapping[str, Any] | None,
    keys: Mapping[str, Any],
    root: Path,
) -> Document:
    """The keys as a document; `source` may be an object, and `target` a function."""
    generated: GeneratedFiles = {}
    values: dict[str, Any] = {} if name is None else {"name": name}
    if source is not None:  # what is no source is problem with the manifest's other mistakes
        values["source"] = (
            source.to_manifest_dict() if isinstance(source, ParameterSource) else source
        )
    values |= keys
    if isinstance(keys.get("fixed"), Mapping):
        values["fixed"] = fixed_files_of(keys["fixed"], generated)
    if "target" in keys:
        values["target"] = target_text(keys["target"], root, name or "sweep", generated)
    where = f"Sweep({name!r})"
    return _Written(value=values, name=where, line=lambda _: 0, generated=generated)


def target_text(
    target: str | Callable[..., Any], root: Path, sweep: str, generated: GeneratedFiles
) -> str:
    """The text of a target: a function becomes `file.py:name` or `module:name`.

    The source of a function of a notebook or prompt is added to `generated`.
    *Raises* InputError for one that no task could import.
    """
    if isinstance(target, str):
        return target
    refuse_unnamed(target)
    name, module = target.__qualname__, target.__module__
    if module != "__main__":
        return f"{module}:{name}"
    if not inspect.isfunction(inspect.unwrap(target)):  # `lru_cache` makes an object of its own
        kind = "a class" if inspect.isclass(target) else f"an object of {type(target).__name__}"
        raise InputError(
            f"{name} is {kind}, not a function",
            where="target",
            next_step="Name a function that calls it.",
        )
    file = getattr(sys.modules["__main__"], "__file__", None)
    # Code that a debugger or `python -i` read at its prompt is in no file.
    if file is None or not Path(_code_file(target)).is_file():
        return f"{add_cell(target, sweep, generated)}:{name}"
    return f"{os.path.relpath(Path(file).resolve(), root.resolve())}:{name}"


def _code_file(function: Callable[..., Any]) -> str:
    """The name of the file of a function's source; of a cell, a name in brackets or of no file."""
    code: CodeType = inspect.unwrap(function).__code__
    return code.co_filename
