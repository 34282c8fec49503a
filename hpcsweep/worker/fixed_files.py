"""Load the files of `fixed:`, once in a child; every case gets their values as arguments."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from hpcsweep.errors import InputError, SweepError
from hpcsweep.files import open_regular
from hpcsweep.ids import sha256_of
from hpcsweep.manifest.frozen import FrozenManifest


class FixedValue(NamedTuple):
    """The value of a file."""

    # What the parameter of a case has instead of it.
    digest: str
    value: Any
    path: str


def load_fixed(manifest: FrozenManifest) -> dict[str, FixedValue]:
    """The values of all files. *Raises* InputError for one that cannot be read."""
    return {name: _load(Path(manifest.root) / path) for name, path in manifest.fixed.items()}


def with_values(params: Mapping[str, Any], fixed: Mapping[str, FixedValue]) -> dict[str, Any]:
    """The params of a case with the values of files. *Raises* SweepError for a changed file."""
    for name, loaded in fixed.items():
        if params.get(name) != loaded.digest:
            raise SweepError(
                f"was changed since the sweep was described, which has {params.get(name)}",
                where=loaded.path,
                next_step="Submit again: a changed file makes other cases.",
            )
    return {**params, **{name: loaded.value for name, loaded in fixed.items()}}


def _load(path: Path) -> FixedValue:
    try:
        with open_regular(path) as stream:
            digest = f"sha256:{sha256_of(stream).hex()}"
            stream.seek(0)
            return FixedValue(digest, _read(stream, path.suffix), str(path))
    except (OSError, ValueError) as error:
        raise InputError(
            f"cannot be loaded: {error}",
            where=str(path),
            next_step="numpy.save and numpy.savez write .npy and .npz; arrays of objects need "
            "pickle, which is not loaded.",
        ) from error


def _read(stream: BinaryIO, suffix: str) -> Any:
    if suffix == ".json":
        return json.load(stream)
    import numpy as np  # noqa: PLC0415  # for sweeps with arrays in files only

    loaded = np.load(stream, allow_pickle=False)
    arrays = loaded if suffix == ".npz" else {"": loaded}
    kept = {name: arrays[name] for name in arrays}
    for array in kept.values():  # cases of one process share them
        array.flags.writeable = False
    return kept if suffix == ".npz" else kept[""]
