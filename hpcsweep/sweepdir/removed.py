"""The names of directories that are being removed: `.removed.NAME.<token>`, beside where they were.

A removal begins with this rename, and a copy ends with the rename back. So a kill leaves nothing
that looks like a sweep or a checkpoint and lacks files, and what is left can be found and removed.
"""

from __future__ import annotations

import re
from pathlib import Path

from hpcsweep.files import names, token

_REMOVED = re.compile(r"\.removed\.(.+)\.[0-9a-f]{16}")


def removed_path(path: Path) -> Path:
    """A new name for a directory that is to be removed, or is not complete yet."""
    return path.with_name(f".removed.{path.name}.{token()}")


def removed_name(name: str) -> str | None:
    """What a directory was called whose removal was begun; None for any other directory."""
    match = _REMOVED.fullmatch(name)
    return match[1] if match else None


def unfinished_removals(directory: Path, name: str | None = None) -> list[Path]:
    """The directories whose removal was begun: of this name, or all."""
    removed = ((entry, removed_name(entry)) for entry in names(directory))
    return [directory / entry for entry, was in removed if was and name in (None, was)]
