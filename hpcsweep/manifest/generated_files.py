"""Files that hold what is in Python: functions of a notebook and objects as fixed arguments.

    .hpcsweep/      beside the notebook or script; git ignores it

They are made in memory when a sweep is described, and written when something is about to read them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hpcsweep.files import make_directory, replace

DIRECTORY = ".hpcsweep"
# The content of each file, by its path relative to the root of the project.
GeneratedFiles = dict[str, bytes]


def write_generated(root: Path, generated: Mapping[str, bytes]) -> None:
    """Write the files, and keep them out of the user's repository. *Safe to repeat.*"""
    for name, data in generated.items():
        make_directory((root / name).parent)
        replace(root / name, data)
    if generated:
        replace(root / DIRECTORY / ".gitignore", b"*\n")
