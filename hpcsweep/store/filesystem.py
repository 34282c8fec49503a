"""Which file system a directory lies on: SQLite is written by tasks on local ones only."""

from __future__ import annotations

import re
from pathlib import Path

# Types whose locks and caches are one host's own business.
LOCAL_TYPES = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "ramfs", "overlay", "jfs"}
)


def filesystem_type(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system that holds `path`; "" where that cannot be told (macOS)."""
    try:
        text = mountinfo.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    resolved = path.resolve()
    best, found = Path("/"), ""
    for line in text.splitlines():
        # proc(5): mount point is field 5, the type is the first after the separator "-".
        before, _, after = line.partition(" - ")
        point = Path(_unescaped(before.split()[4]))
        if resolved.is_relative_to(point) and len(point.parts) >= len(best.parts):
            best, found = point, after.split()[0]
    return found


def is_local(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether several hosts can surely not see this directory with caches of their own.

    A type that is not known to be local counts as shared: being wrong that way costs an ingest
    by a command, the other way a corrupted file.
    """
    found = filesystem_type(path, mountinfo)
    return found in LOCAL_TYPES or not mountinfo.exists()


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
