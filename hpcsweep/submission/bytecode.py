"""Whether commands start from bytecode, or compile modules again at each start."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from pathlib import Path

# What commands load: of their start without bytecode, two thirds are SQLAlchemy.
PACKAGES = ("hpcsweep", "sqlalchemy", "click", "pydantic", "rich", "yaml", "jinja2")
# Of a file of bytecode: magic number, flags (0 for one that names time and size of its source).
_HEADER, _FLAGS = 16, bytes(4)


def compiled_at_each_start(*packages: Path) -> str:
    """Why modules are compiled at each start, and what to do; empty if they are not.

    By default those of hpcsweep and of the libraries that its commands load.
    """
    n_sources, missing = 0, {}
    for package in packages or command_packages():
        sources = sorted(package.rglob("*.py"))
        n_sources += len(sources)
        kept = {Path(importlib.util.cache_from_source(str(one))): one for one in sources}
        without = [bytecode for bytecode, one in kept.items() if not _is_current(bytecode, one)]
        if without:
            missing[package] = without
    why = "PYTHONDONTWRITEBYTECODE is set" if sys.dont_write_bytecode else ""
    if not why and not all(_is_writable(one) for without in missing.values() for one in without):
        why = "it cannot be written"
    if not missing or not why:  # the next start writes it
        return ""
    command = shlex.join([sys.executable, "-m", "compileall", "-q", *map(str, missing)])
    n_missing = sum(map(len, missing.values()))
    return (
        f"of {n_missing} of {n_sources} modules there is no current bytecode, and {why}: "
        "each command compiles them again, for up to half a second. "
        f"Run `{command}` as a user who may write there."
    )


def command_packages() -> list[Path]:
    """The directories of hpcsweep and of the libraries that its commands load."""
    found = map(importlib.util.find_spec, PACKAGES)
    return [Path(spec.origin).parent for spec in found if spec is not None and spec.origin]


def _is_current(bytecode: Path, source: Path) -> bool:
    try:
        with bytecode.open("rb") as stream:
            header = stream.read(_HEADER)
    except OSError:
        return False
    if header[:4] != importlib.util.MAGIC_NUMBER or len(header) < _HEADER:
        return False
    state = source.stat()
    made_from = (int(state.st_mtime) & 0xFFFFFFFF, state.st_size & 0xFFFFFFFF)
    numbers = tuple(int.from_bytes(header[at : at + 4], "little") for at in (8, 12))
    # PEP 552: otherwise it names a hash of its source.
    return header[4:8] != _FLAGS or numbers == made_from


def _is_writable(bytecode: Path) -> bool:
    directory = bytecode.parent
    while not directory.exists():
        directory = directory.parent
    return os.access(directory, os.W_OK | os.X_OK)
