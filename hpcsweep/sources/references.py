"""Import the user's code by a reference, "module:name".

A manifest also has the directory of a module that is not installed, so that a fresh interpreter
finds it; `submission.check` tries the import before a submission.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from hpcsweep import ids
from hpcsweep.errors import IdentityError, SourceError
from hpcsweep.importing import importing
from hpcsweep.sources.keys import Key, KeyType, check_names

REFERENCE = KeyType(
    "a [reference](sources.md#code-of-your-own), `module:name`",
    {"type": "string", "pattern": r"^[^\s:]+:[^\s:]+$"},
)
# Set when the submit host reads a manifest; the tasks import from it.
PATH = Key(
    "path",
    KeyType("a directory", {"type": ["string", "null"]}),
    "where the module is, if it is not installed",
    default="the manifest's directory",
    in_form=False,
)


def import_reference(reference: Any, path: Any, where: str) -> tuple[Any, str | None]:
    """Import the object of a reference; return it with the directory that its module needs.

    That directory must be on `sys.path` of a fresh interpreter; None for an installed module.
    `path` is the directory if it is known already. *Raises* SourceError.
    """
    module_name, _, name = reference.partition(":") if isinstance(reference, str) else ("", "", "")
    parts = (*module_name.split("."), *name.split("."))
    if not all(part.isidentifier() for part in parts):
        raise SourceError(
            f"{ids.shown(reference)} is not a reference",
            where=where,
            next_step='Write it like "package.module:function".',
        )
    if module_name == "__main__":
        raise SourceError(
            f"{reference!r} is in the main program, which a task cannot import",
            where=where,
            next_step="Move it into a module and refer to that.",
        )
    if path is not None and not isinstance(path, str):
        raise SourceError(
            f"{ids.shown(path)} is not a directory", where=f"{where}.path", next_step="Give text."
        )
    try:
        module = _module(module_name, path)
        member: Any = module
        for part in name.split("."):
            member = getattr(member, part)
    # The import of a module may raise anything.
    except Exception as error:
        is_missing = isinstance(error, ModuleNotFoundError)
        by = f" It is run by {sys.executable}, and by the interpreter of the tasks."
        raise SourceError(
            f"{reference} cannot be imported: {type(error).__name__}: {error}",
            where=where,
            next_step="It must be importable in a fresh interpreter, on the submit host and the "
            "nodes: install it, or put it beside the manifest." + (by if is_missing else ""),
        ) from error
    return member, _directory(module)


def _module(name: str, path: str | None) -> ModuleType:
    with _first_on_path(path), importing(name):
        return importlib.import_module(name)


@contextmanager
def _first_on_path(path: str | None) -> Iterator[None]:
    """Put a directory first on `sys.path` while the user's code runs.

    No longer than that: a file beside a manifest must not hide a standard module from the worker.
    """
    if path is None or path in sys.path:
        yield
        return
    sys.path.insert(0, path)
    try:
        yield
    finally:
        sys.path.remove(path)


def _directory(module: ModuleType) -> str | None:
    """The directory on `sys.path` that a module comes from; None for an installed module."""
    file = getattr(module, "__file__", None)
    installed = (os.__file__.removesuffix("os.py"), sys.prefix, sys.base_prefix)
    if file is None or file.startswith(installed) or "site-packages" in file:
        return None
    path = Path(file).resolve()
    inside = module.__name__.count(".") + (path.name == "__init__.py")
    return str(path.parents[inside])


def call_user_code(function: Callable[[], Any], path: str | None, what: str, where: str) -> Any:
    """Call a function of the user's. *Raises* SourceError for anything that it raises."""
    try:
        with _first_on_path(path):
            return function()
    # The user's code may raise anything.
    except Exception as error:
        raise SourceError(
            f"{what} raised {type(error).__name__}: {error}",
            where=where,
            next_step="It must return a value for every case.",
        ) from error


def resolve_module(value: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
    """Set the directory of the module to `root`, unless the manifest dict has one."""
    return {"path": str(root), **value}


def checked_params(result: Any, where: str) -> dict[str, Any]:
    """Check the params that the user's code returned; make them plain. *Raises* SourceError."""
    if not isinstance(result, Mapping):
        raise SourceError(
            f"the result is a {type(result).__name__}, not a dict of parameters",
            where=where,
            next_step="Return a dict of values by parameter name.",
        )
    check_names(result, where)
    try:
        params: dict[str, Any] = ids.plain(result, where)
    except IdentityError as error:
        raise SourceError(error.what, where=error.where, next_step=error.next_step) from error
    return params
