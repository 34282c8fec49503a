"""Code of the user's own, by a reference that can be imported: "module:name".

Where it was made on the submit host, the directory of the module is kept beside it, so that a
fresh interpreter finds it; `submission.check` tries that before a submit.
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
from hpcsweep.import_guard import importing, missing_module_advice
from hpcsweep.sources.keys import Key, KeyType, check_names

REFERENCE = KeyType(
    "a [reference](sources.md#code-of-your-own), `module:name`",
    {"type": "string", "pattern": r"^[^\s:]+:[^\s:]+$"},
)
# Found out where a manifest is read, and kept for the tasks.
PATH = Key(
    "path",
    KeyType("a directory", {"type": ["string", "null"]}),
    "where the module is, if it is not installed",
    default="the manifest's directory",
    in_form=False,
)


def import_reference(reference: Any, path: Any, where: str) -> tuple[Any, str | None]:
    """What a reference names, and the directory that a fresh interpreter needs on its path.

    `path` is that directory where it is known; None for a module that is found without it.
    *Raises* SourceError.
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
            f"{reference!r} is in the program that was started, which no task can import",
            where=where,
            next_step="Put it into a module of its own and name that.",
        )
    if path is not None and not isinstance(path, str):
        raise SourceError(
            f"{ids.shown(path)} is not a directory", where=f"{where}.path", next_step="Give text."
        )
    try:
        module = _module(module_name, path)
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part)
    # A module may raise anything while it is imported.
    except Exception as error:
        raise SourceError(
            f"{reference} cannot be imported: {type(error).__name__}: {error}",
            where=where,
            next_step="It must be importable in a fresh interpreter, on the submit host and the "
            "nodes: install it, or put it beside the manifest." + missing_module_advice(error),
        ) from error
    return found, _directory(module)


def _module(name: str, path: str | None) -> ModuleType:
    with _first_on_path(path), importing(name):
        return importlib.import_module(name)


@contextmanager
def _first_on_path(path: str | None) -> Iterator[None]:
    """Modules of this directory are found first, for as long as the user's code is at work.

    Not for longer: what lies beside a manifest must not hide a module of Python's from the worker.
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
    """The directory on `sys.path` that a module of the user's own comes from."""
    file = getattr(module, "__file__", None)
    installed = (os.__file__.removesuffix("os.py"), sys.prefix, sys.base_prefix)
    if file is None or file.startswith(installed) or "site-packages" in file:
        return None
    path = Path(file).resolve()
    inside = module.__name__.count(".") + (path.name == "__init__.py")
    return str(path.parents[inside])


def call_user_code(function: Callable[[], Any], path: str | None, what: str, where: str) -> Any:
    """What a function of the user's gives. *Raises* SourceError for whatever it raises."""
    try:
        with _first_on_path(path):
            return function()
    # The user's code may raise anything.
    except Exception as error:
        raise SourceError(
            f"{what} raised {type(error).__name__}: {error}",
            where=where,
            next_step="It must give a value for every case.",
        ) from error


def resolve_module(value: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
    """A manifest dict whose module is looked for in `root`, unless it says where."""
    return {"path": str(root), **value}


def checked_params(found: Any, where: str) -> dict[str, Any]:
    """What code of the user's gave as params, plain. *Raises* SourceError."""
    if not isinstance(found, Mapping):
        raise SourceError(
            f"a {type(found).__name__}, not a dict of parameters",
            where=where,
            next_step="Return a dict by parameter name.",
        )
    check_names(found, where)
    try:
        params: dict[str, Any] = ids.plain(found, where)
    except IdentityError as error:
        raise SourceError(error.what, where=error.where, next_step=error.next_step) from error
    return params
