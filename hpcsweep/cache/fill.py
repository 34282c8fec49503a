"""`python -m hpcsweep.cache.fill SWEEP`: the table of a sweep's cache, with what its tasks made."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

from hpcsweep.cache.check import model_of
from hpcsweep.cache.store import Store
from hpcsweep.directory import SweepDirectory
from hpcsweep.errors import HpcsweepError, InputError
from hpcsweep.manifest import frozen


def fill(sweep: SweepDirectory) -> None:
    """Construct the `Store` that the newest manifest describes: it takes in what is new.

    *Raises* TargetError, StoreError. *Safe to repeat.*
    """
    manifest = frozen.read(sweep.manifest_dir(sweep.newest_manifest()))
    cache = manifest.cache
    if cache is not None and cache.db_url is not None:
        model = model_of(manifest)  # from here on in the manifest's directory
        Store(_refuse, model, cache.results_dir, cache.file_suffix, cache.db_url)


def _refuse(params: dict[str, Any]) -> None:
    raise InputError("nothing is made here", where=str(params["id"]))


if __name__ == "__main__":
    logging.basicConfig(format="hpcsweep: %(message)s")
    try:
        fill(SweepDirectory.open(Path(sys.argv[1])))
    except HpcsweepError as problem:
        print(f"hpcsweep: {problem}", file=sys.stderr)
        sys.exit(problem.exit_code)
