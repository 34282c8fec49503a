"""The keys of a manifest whose results a cache keeps: what they say together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hpcsweep.manifest import target_spec
from hpcsweep.manifest.frozen import CACHE_FILLS, Cache, Target
from hpcsweep.manifest.mistakes import Mistakes
from hpcsweep.manifest.model import UserManifest
from hpcsweep.manifest.source_spec import Spec

# Either of them asks for a cache.
ASKING = ("result_cls", "results_dir")
# As a `Store` has it.
RESULTS_DIR = "results"
# What says more of one.
MORE = ("file_suffix", "db_url", "use_cache", "custom_data")


def is_wanted(raw: dict[str, Any]) -> bool:
    """Whether a manifest has a cache."""
    return any(raw.get(key) is not None for key in ASKING)


def read(
    fields: UserManifest,
    root: Path,
    spec: Spec,
    target: Target | None,
    mistakes: Mistakes,
) -> Cache | None:
    """The cache of a manifest; None where it has none, or with mistakes added."""
    if not is_wanted(fields.__dict__):
        for key in MORE:
            if key in fields.model_fields_set:
                mistakes.add(
                    (key,),
                    "there is no cache that it could be of",
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
            mistakes.add(path, f"{name} is filled by the cache and cannot be a parameter")
    if (
        target is not None
        and target.is_command
        and not target_spec.has_placeholder(target, "result_file")
    ):
        mistakes.add(
            ("command",),
            "it takes no {result_file}, where a cache takes the result from",
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
