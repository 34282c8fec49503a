"""A program, `hpcsweep.cache.fill SWEEP`: add the results of tasks to the table of the cache."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from hpcsweep.cache.named_model import model_of
from hpcsweep.cache.store import Store
from hpcsweep.errors import InputError
from hpcsweep.sweepdir.directory import SweepDirectory


def fill(sweep: SweepDirectory) -> None:
    """Construct the `Store` of the newest manifest, which updates its table.

    *Raises* TargetError, StoreError. *Safe to repeat.*
    """
    manifest = sweep.newest().manifest
    cache = manifest.cache
    if cache is not None and cache.db_url is not None:
        model = model_of(manifest)  # changes to the manifest's directory
        Store(_refuse, model, cache.results_dir, cache.file_suffix, cache.db_url)


def _refuse(params: dict[str, Any]) -> None:
    raise InputError("nothing is made here", where=str(params["id"]))


def main(arguments: list[str]) -> int:
    """Update the table of one sweep. Returns the exit code."""
    logging.basicConfig(format="hpcsweep: %(message)s")
    fill(SweepDirectory.open(Path(arguments[0])))
    return 0
