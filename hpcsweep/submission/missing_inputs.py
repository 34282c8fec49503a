"""Refuse cases whose input files are missing, before anything is sent."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from hpcsweep.errors import InputError
from hpcsweep.indexset import IndexSet
from hpcsweep.input_files import exists, paths_of
from hpcsweep.quantities import counted
from hpcsweep.sweepdir.version import Version

# Files that are named; all are counted.
FILES_NAMED = 10


def refuse_missing(version: Version, indices: IndexSet) -> None:
    """*Raises* InputError if a file that one of these cases reads is missing."""
    manifest = version.manifest
    if not manifest.inputs:
        return
    is_there: dict[Path, bool] = {}
    missing: dict[str, int] = {}
    of_cases = 0
    for index in indices:
        case = version.source[index]
        lacks = False
        for name, path in paths_of(manifest.inputs, case, manifest.root).items():
            if path not in is_there:
                is_there[path] = exists(path)
            if not is_there[path]:
                missing.setdefault(name, index)
                lacks = True
        of_cases += lacks
    if not missing:
        return
    lines = (f"\n  - {name} (index {index})" for name, index in missing.items())
    more = len(missing) - FILES_NAMED
    files = counted(len(missing), "input file")
    raise InputError(
        f"{files} of {counted(of_cases, 'case')} {'is' if len(missing) == 1 else 'are'} missing"
        + "".join(islice(lines, FILES_NAMED))
        + (f"\n  - and {more} more" if more > 0 else ""),
        where="inputs",
        next_step=f"Paths start at {manifest.root}. Correct the table, or select the other cases.",
    )
