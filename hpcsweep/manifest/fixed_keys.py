"""The key `fixed` of a manifest: arguments of the target that every case gets from a file."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, WithJsonSchema

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.files import open_regular
from hpcsweep.manifest.frozen import Target
from hpcsweep.manifest.key_values import refuse
from hpcsweep.manifest.mistakes import Mistakes, described, shown
from hpcsweep.manifest.source_spec import Spec

SUFFIXES = (".npy", ".npz", ".json")
_NEXT = "Write arguments with their files, as {data: data.npz}."
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _fixed(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not value:
        refuse(f"is {described(value)}, not a mapping of arguments to files", _NEXT)
    for name, path in value.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            refuse(f"has {described(name)}, which is not the name of an argument", _NEXT)
        if not isinstance(path, str) or not path or "\0" in path:
            refuse(f"has {described(path)} for {name}, not the path of a file", _NEXT)
        if not path.endswith(SUFFIXES):
            refuse(
                f"has {shown(path)} for {name}, which is none of {', '.join(SUFFIXES)}",
                "Pickle would run code on loading: write arrays with numpy.savez, others as JSON.",
            )
    return dict(value)


Fixed = Annotated[
    dict[str, str],
    BeforeValidator(_fixed),
    WithJsonSchema(
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": "string", "pattern": r"\.(npy|npz|json)$"},
        }
    ),
]


def add(  # noqa: PLR0913  # what a manifest says, and where
    fixed: Mapping[str, str],
    spec: Spec,
    target: Target | None,
    root: Path,
    mistakes: Mistakes,
    *,
    generated: Mapping[str, bytes],
) -> Spec:
    """The cases with a parameter for each file: its digest, which is part of a case's identity."""
    if not fixed or spec.source is None:
        return spec
    if target is not None and target.is_command:
        mistakes.add(
            ("fixed",), "is for functions", "A command takes the path of a file as an argument."
        )
        return spec
    digests = {}
    for name, path in fixed.items():
        try:
            data = generated.get(path)
            with open_regular(root / path) if data is None else io.BytesIO(data) as stream:
                digests[name] = f"sha256:{ids.sha256_of(stream).hex()}"
        except OSError as error:
            what = f"{shown(path)} cannot be read: {error.strerror}"
            mistakes.add(("fixed", name), what, "Paths start at the manifest's directory.")
            return spec
    try:
        return replace(spec, source=spec.source.with_params(**digests))
    except SourceError as error:
        mistakes.add(("fixed",), error.what, error.next_step)
        return spec
