"""Whether hpcsweep starts from bytecode, or compiles its modules again at each start."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from pathlib import Path

import hpcsweep

PACKAGE = Path(hpcsweep.__file__).parent
# Of a file of bytecode: magic number, flags (0 for one that names time and size of its source).
_HEADER, _FLAGS = 16, bytes(4)


def compiled_at_each_start(package: Path = PACKAGE) -> str:
    """Why modules are compiled at each start, and what to do; empty if they are not."""
    sources = sorted(package.rglob("*.py"))
    kept = {source: Path(importlib.util.cache_from_source(str(source))) for source in sources}
    missing = [source for source in sources if not _is_current(kept[source], source)]
    why = "PYTHONDONTWRITEBYTECODE is set" if sys.dont_write_bytecode else ""
    if not why and not all(_is_writable(kept[source]) for source in missing):
        why = "it cannot be written"
    if not missing or not why:  # the next start writes it
        return ""
    command = shlex.join([sys.executable, "-m", "compileall", "-q", str(package)])
    return (
        f"of {len(missing)} of {len(sources)} modules there is no current bytecode, and {why}: "
        "each command compiles them again, for up to half a second. "
        f"Run `{command}` as a user who may write there."
    )


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
