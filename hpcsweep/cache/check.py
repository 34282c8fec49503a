"""`hpcsweep.cache.check ANSWER SWEEP FINGERPRINT INDEX…`, a program: a check of the model as well.

What `hpcsweep.check` is for other sweeps.
"""

from __future__ import annotations

import os
from pathlib import Path

from hpcsweep import check, target
from hpcsweep.cache.columns import Columns
from hpcsweep.cache.models import Base
from hpcsweep.directory import SweepDirectory
from hpcsweep.errors import InputError, TargetError
from hpcsweep.manifest import frozen
from hpcsweep.manifest.frozen import FrozenManifest

# Up to this many cases all of them are checked; of more, those that are asked for.
ALL_UP_TO = 10_000


def check_with_model(
    sweep: SweepDirectory, fingerprint: str, indices: list[int]
) -> dict[str, object]:
    """As `hpcsweep.check.check`, and whether the model has columns for the params.

    *Raises* TargetError, SweepError.
    """
    found = check.check(sweep, fingerprint, indices)
    directory = sweep.manifest_dir(fingerprint)
    manifest = frozen.read(directory)
    columns = Columns(model_of(manifest).__table__)
    source = frozen.open_source(directory, manifest)
    few = source.n_cases <= ALL_UP_TO
    for case in source if few else map(source.__getitem__, indices):
        try:
            columns.case(case.params)
        except InputError as error:
            raise TargetError(
                f"index {case.index}: {error.what}", where=error.where, next_step=error.next_step
            ) from error
    return found


def model_of(manifest: FrozenManifest) -> type[Base]:
    """The model that a manifest names. *Raises* TargetError."""
    named = manifest.cache.result_cls if manifest.cache else None
    if named is None:
        raise TargetError("the manifest names no result_cls", where=manifest.name)
    os.chdir(manifest.root)
    root = Path(manifest.root)
    model = check.tried(lambda: target.find(named, root), "result_cls", named, manifest)
    if not (isinstance(model, type) and issubclass(model, Base) and hasattr(model, "__table__")):
        raise TargetError(
            f"result_cls is {model!r:.60}, not a model",
            where=named.text,
            next_step="Name a class that inherits from hpcsweep.Base.",
        )
    return model


def main(arguments: list[str]) -> int:
    """Check and answer. Returns the exit code."""
    return check.main(arguments, check_with_model)
