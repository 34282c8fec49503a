"""The type of a file system: tasks write SQLite only on local ones."""

from __future__ import annotations

import re
from pathlib import Path

# Types that only one host mounts: its locks and caches are consistent.
LOCAL_TYPES = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "ramfs", "overlay", "jfs"}
)


def filesystem_type(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system that holds `path`; "" if it cannot be determined (macOS)."""
    try:
        text = mountinfo.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    resolved = path.resolve()
    best, kind = Path("/"), ""
    for line in text.splitlines():
        # proc(5): field 5 is the mount point; the type is the first field after " - ".
        before, _, after = line.partition(" - ")
        point = Path(_unescaped(before.split()[4]))
        if resolved.is_relative_to(point) and len(point.parts) >= len(best.parts):
            best, kind = point, after.split()[0]
    return kind


def is_local(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> bool:
    """Whether a directory is certainly local to this host.

    Unknown types count as shared: a wrong "shared" costs an ingest by a command, a wrong "local"
    costs a corrupted file.
    """
    kind = filesystem_type(path, mountinfo)
    return kind in LOCAL_TYPES or not mountinfo.exists()


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
