"""Import the model that a sweep's manifest names."""

from __future__ import annotations

import os
from pathlib import Path

from hpcsweep import target
from hpcsweep.cache.models import Base
from hpcsweep.errors import TargetError
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.user_import import import_user_code


def model_of(manifest: FrozenManifest) -> type[Base]:
    """The model that a manifest names. *Raises* TargetError."""
    named = manifest.cache.result_cls if manifest.cache else None
    if named is None:
        raise TargetError("the manifest names no result_cls", where=manifest.name)
    os.chdir(manifest.root)
    root = Path(manifest.root)
    model = import_user_code(
        lambda: target.import_object(named, root), "result_cls", named, manifest
    )
    if not (isinstance(model, type) and issubclass(model, Base) and hasattr(model, "__table__")):
        raise TargetError(
            f"result_cls is {model!r:.60}, not a model",
            where=named.text,
            next_step="Name a class that inherits from hpcsweep.Base.",
        )
    return model
