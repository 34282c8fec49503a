"""How much room a directory takes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# Bytes of a block as stat(2) counts them, on every file system.
BLOCK = 512


def bytes_on_disk(path: Path) -> int:
    """The bytes of a file or a directory with all that is in it; what vanishes is not counted."""
    return sum(_sizes(str(path)))


def _sizes(path: str) -> Iterator[int]:
    with suppress(OSError):
        yield os.lstat(path).st_blocks * BLOCK
    with suppress(OSError), os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _sizes(entry.path)
            else:
                with suppress(FileNotFoundError):
                    yield entry.stat(follow_symlinks=False).st_blocks * BLOCK
