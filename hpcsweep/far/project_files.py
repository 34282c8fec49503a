"""The files of a project that another host needs: tracked ones, named ones, and code."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hpcsweep.errors import InputError
from hpcsweep.provenance import tracked_files
from hpcsweep.sweepdir.directory import MARKER
from hpcsweep.yamltext import load

MANIFESTS = (".yaml", ".yml", ".json")
# More code than this is somebody's home.
CODE_MAX = 10_000


def project_root(directory: Path) -> Path:
    """The repository that has this directory; without one the directory itself."""
    with_git = (path for path in (directory, *directory.parents) if (path / ".git").exists())
    return next(with_git, directory)


def files_to_send(project: Path, directory: Path, arguments: Iterable[str]) -> list[str]:
    """The files, relative to the project, that a command in `directory` may need; sorted.

    These are the files that git tracks; those that an argument names; and of a manifest those that
    it names, with the modules of its directory.
    *Raises* InputError for a manifest that cannot be read, and for too many modules.
    """
    found = {project / name for name in tracked_files(project)}
    for argument in arguments:
        path = _file(directory, argument.removeprefix("@"))
        if path is None:
            continue
        found.update(_with_targets(path))
        if path.suffix in MANIFESTS:
            beside = path.parent
            texts = _texts(load(path).value)
            # `model.py:simulate` names model.py.
            named = (_file(beside, part) for text in texts for part in (text, text.split(":")[0]))
            found.update(one for name in named if name for one in _with_targets(name))
            found.update(_modules(beside))
    inside = (path for path in found if path.is_relative_to(project) and os.path.lexists(path))
    return sorted(path.relative_to(project).as_posix() for path in inside)


def _file(directory: Path, name: str) -> Path | None:
    """The file of this name; None if there is none."""
    # Links stay: a link is sent as what it is.
    path = Path(os.path.normpath(directory / name))
    try:
        return path if name and path.is_file() else None
    except (OSError, ValueError):  # no path at all: a long text, or one with NUL
        return None


def _with_targets(path: Path) -> Iterator[Path]:
    """A file, and the files that it is a link to; it exists, so the links end."""
    yield path
    while path.is_symlink():
        path = Path(os.path.normpath(path.parent / path.readlink()))
        yield path


def _texts(value: Any) -> Iterator[str]:
    """All texts of a document, keys excluded."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _modules(directory: Path) -> Iterator[Path]:
    """The Python files below a directory; not those of sweeps, environments and hidden ones."""
    count = 0
    for parent, directories, files in os.walk(directory):
        # A manifest may be called as the marker of a sweep is.
        if Path(parent) != directory and {MARKER, "pyvenv.cfg"}.intersection(files):
            directories.clear()
            continue
        directories[:] = [name for name in directories if not name.startswith((".", "__"))]
        for name in files:
            if name.endswith(".py"):
                count += 1
                yield Path(parent) / name
        if count > CODE_MAX:
            raise InputError(
                f"has more than {CODE_MAX} Python files below it",
                where=str(directory),
                next_step="Put the manifest into a directory of its project.",
            )
