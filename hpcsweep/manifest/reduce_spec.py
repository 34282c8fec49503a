"""The keys of a manifest about `reduce`, checked together."""

from __future__ import annotations

from pathlib import Path

from hpcsweep.manifest import target_spec
from hpcsweep.manifest.mistakes import Mistakes
from hpcsweep.manifest.model import UserManifest
from hpcsweep.manifest.policies import GIVEN, Reduce
from hpcsweep.manifest.slurm_options import options_text


def read(fields: UserManifest, root: Path, mistakes: Mistakes) -> Reduce | None:
    """What runs over the whole sweep; None for nothing, or after adding mistakes."""
    raw = fields.reduce
    if raw is None:
        for key in ("reduce_when", "reduce_slurm"):
            if key in fields.model_fields_set:
                mistakes.add(
                    (key,),
                    "needs a reduce, and the manifest has none",
                    "Write reduce: file.py:function, or remove it.",
                )
        return None
    if isinstance(raw, str):
        target = target_spec.named(("reduce",), raw, "function", root, mistakes)
    else:
        target = target_spec.command("reduce", raw, target_spec.Usable({}, GIVEN), mistakes)
    if target is None:
        return None
    return Reduce(target=target, when=fields.reduce_when, options=options_text(fields.reduce_slurm))
