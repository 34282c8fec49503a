"""The cache keys of a manifest, checked together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpcsweep.manifest import target_spec
from hpcsweep.manifest.frozen import CACHE_FILLS, Cache, Target
from hpcsweep.manifest.mistakes import Mistakes
from hpcsweep.manifest.model import UserManifest
from hpcsweep.manifest.source_spec import Spec

# Either of them requests a cache.
REQUESTING = ("result_cls", "results_dir")
# The default of `Store`.
RESULTS_DIR = "results"
# Keys that need a cache.
DEPENDENT = ("file_suffix", "db_url", "use_cache", "custom_data")


def is_wanted(raw: dict[str, Any]) -> bool:
    """Whether a manifest has a cache."""
    return any(raw.get(key) is not None for key in REQUESTING)


def read(
    fields: UserManifest,
    root: Path,
    spec: Spec,
    target: Target | None,
    mistakes: Mistakes,
) -> Cache | None:
    """The cache of a manifest; None if it has none, or after adding mistakes."""
    if not is_wanted(fields.__dict__):
        for key in DEPENDENT:
            if key in fields.model_fields_set:
                mistakes.add(
                    (key,),
                    "needs a cache, and the manifest has none",
                    "Write result_cls: file.py:Class or results_dir: results, or remove it.",
                )
        return None
    inner = spec.source.replicates if spec.source is not None else 1
    if fields.replicates > 1 or inner > 1:
        own = fields.replicates > 1
        mistakes.add(
            ("replicates",) if own else ("source",),
            f"{f'is {fields.replicates}' if own else f'has {inner} replicates'}, and a cache has "
            "one result for the same params",
            "Make the replicate a parameter, e.g. replicate: [0, 1, 2].",
        )
    for name, path in (spec.parameters or {}).items():
        if name in CACHE_FILLS:
            mistakes.add(
                path,
                f"{name} is filled by the cache and cannot be a parameter",
                "Rename the parameter.",
            )
    if (
        target is not None
        and target.is_command
        and not target_spec.has_placeholder(target, "result_file")
    ):
        mistakes.add(
            ("command",),
            "has no {result_file}, the path where the cache expects the result",
            'Give it to the program, e.g. --out, "{result_file}".',
        )
    model = None
    if fields.result_cls is not None:
        model = target_spec.named(("result_cls",), fields.result_cls, "Class", root, mistakes)
    return Cache(
        results_dir=fields.results_dir or RESULTS_DIR,
        file_suffix=fields.file_suffix,
        result_cls=model,
        db_url=fields.db_url,
        use_cache=fields.use_cache,
        custom_data=fields.custom_data,
    )
