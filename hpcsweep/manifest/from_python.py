"""A manifest that is written in Python: by keys, with a function as its target."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hpcsweep.errors import InputError
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
    values: dict[str, Any] = {} if name is None else {"name": name}
    if source is not None:  # what is no source is problem with the manifest's other mistakes
        values["source"] = (
            source.to_manifest_dict() if isinstance(source, ParameterSource) else source
        )
    values |= keys
    if "target" in keys:
        values["target"] = target_text(keys["target"], root)
    return _Written(value=values, name=f"Sweep({name!r})", line=lambda _: 0)


def target_text(target: str | Callable[..., Any], root: Path) -> str:
    """The text of a target: a function becomes `file.py:name` or `module:name`.

    *Raises* InputError for one that no task could import.
    """
    if isinstance(target, str):
        return target
    name, module = getattr(target, "__qualname__", ""), getattr(target, "__module__", "")
    if not name or "<" in name:
        raise InputError(
            f"{target!r} has no name that a task could import",
            where="target",
            next_step="Define it with def at the top of a file.",
        )
    if module != "__main__":
        return f"{module}:{name}"
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is None or not inspect.isfunction(target):
        raise InputError(
            f"{name} was defined in a notebook or at a prompt, where no task can import it",
            where="target",
            next_step="Put it into a file beside the notebook and name it: target='file.py:name'.",
        )
    return f"{os.path.relpath(Path(file).resolve(), root.resolve())}:{name}"
