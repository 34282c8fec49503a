"""A program, `cache_check SWEEP FINGERPRINT INDEX…`: check the model of a cache.

As `ingest`, which fills the table, it imports the model in hpcsweep's own interpreter.
"""

from __future__ import annotations

from hpcsweep.cache.named_model import model_of
from hpcsweep.cache.param_columns import ParamColumns
from hpcsweep.errors import InputError, TargetError
from hpcsweep.manifest import frozen
from hpcsweep.store.location import SQLITE
from hpcsweep.submission import check
from hpcsweep.sweepdir.directory import SweepDirectory

# Up to this many cases, all are checked; otherwise the given indices.
ALL_UP_TO = 10_000


def check_model(sweep: SweepDirectory, fingerprint: str, indices: list[int]) -> dict[str, object]:
    """Check that the model has columns for the params. Returns nothing to answer.

    *Raises* TargetError, SweepError.
    """
    directory = sweep.manifest_dir(fingerprint)
    manifest = frozen.read(directory)
    database = manifest.cache.db_url if manifest.cache else None
    in_postgresql = database is not None and not database.startswith(SQLITE)
    columns = ParamColumns(model_of(manifest).__table__, in_postgresql=in_postgresql)
    source = frozen.open_source(directory, manifest)
    few = source.n_cases <= ALL_UP_TO
    for case in source if few else map(source.__getitem__, indices):
        try:
            columns.case(case.params)
        except InputError as error:
            raise TargetError(
                f"index {case.index}: {error.what}", where=error.where, next_step=error.next_step
            ) from error
    return {}


def main(arguments: list[str]) -> int:
    """Check and answer. Returns the exit code."""
    return check.main(arguments, check_model)
