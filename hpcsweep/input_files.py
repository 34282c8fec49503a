"""The input files of cases: which they are, what is known of them, and whether they changed."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from glob import escape, glob, has_magic
from pathlib import Path
from stat import S_ISREG
from typing import Any

from hpcsweep.files import open_regular
from hpcsweep.records import ParamCase

# Bytes: of larger files no digest is made, and of one case none of more than this together.
DIGESTED_MAX = 16 * 1024 * 1024
DIGESTED_OF_CASE_MAX = 64 * 1024 * 1024
# A placeholder of a pattern, or a brace that stands for itself.
PLACEHOLDER = re.compile(r"\{\{|\}\}|\{(?P<name>[^{}]*)\}")

# `size` in bytes, `mtime_ns`, the time of the last change, and `sha256` if it was made.
FileFacts = dict[str, Any]


def names_of(inputs: Iterable[str], case: ParamCase) -> Iterator[str]:
    """The files that a case reads: paths as its cells have them, and patterns.

    `inputs` are names of parameters or carried columns, and patterns with their placeholders. What
    a case has no value for names nothing.
    """
    values = {**case.carried, **case.params}
    for text in inputs:
        if text in values:
            value = values[text]
            paths = value if isinstance(value, list) else [value]
            yield from (str(path) for path in paths if path not in (None, ""))
        elif all(values.get(name) is not None for name in placeholders(text)):
            yield _filled(text, values, case.written)


def placeholders(pattern: str) -> list[str]:
    """The names of the placeholders in a pattern."""
    names = (match["name"] for match in PLACEHOLDER.finditer(pattern))
    return [name for name in names if name is not None]


def _filled(pattern: str, values: Mapping[str, Any], written: Mapping[str, str]) -> str:
    def text_of(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            return match[0][0]
        value = values[name]
        text = value if isinstance(value, str) else written.get(name, json.dumps(value))
        # Of a value a star is a star.
        return escape(text)

    return PLACEHOLDER.sub(text_of, pattern)


def paths_of(inputs: Iterable[str], case: ParamCase, root: str) -> dict[str, Path]:
    """The paths of the files that a case reads, by their names relative to `root`.

    A pattern without any file stands for itself.
    """
    paths: dict[str, Path] = {}
    for name in names_of(inputs, case):
        names = [name]
        if has_magic(name) and not exists(Path(root, name)):
            # Path.glob refuses absolute patterns.
            found = glob(f"{Path(escape(root), name)}", recursive=True)  # noqa: PTH207
            if not Path(name).is_absolute():
                found = [os.path.relpath(path, root) for path in found]
            names = sorted(found) or names
        paths.update((one, Path(root, one)) for one in names)
    return paths


def exists(path: Path) -> bool:
    """Whether there is something at a path."""
    return _stat(path) is not None


def facts_of(inputs: Iterable[str], case: ParamCase, root: str) -> dict[str, FileFacts | None]:
    """What is known now of each file that a case reads, by its name."""
    facts: dict[str, FileFacts | None] = {}
    digested = 0
    for name, path in paths_of(inputs, case, root).items():
        known = _stat(path)
        if known is not None and known["size"] <= DIGESTED_MAX:
            digested += known["size"]
            digest = _digest(path) if digested <= DIGESTED_OF_CASE_MAX else None
            if digest is not None:
                known["sha256"] = digest
        facts[name] = known
    return facts


def has_changed(path: Path, facts: FileFacts | None) -> bool:
    """Whether a file is another one than it was. A file that is gone now is not.

    Its size decides, then its time, and if that differs its digest.
    """
    now = _stat(path)
    if now is None or facts is None:
        return now is not None
    if now["size"] != facts.get("size"):
        return True
    if now["mtime_ns"] == facts.get("mtime_ns"):
        return False
    return "sha256" not in facts or _digest(path) != facts["sha256"]


def _stat(path: Path) -> FileFacts | None:
    try:
        status = path.stat()
    except (OSError, ValueError):  # a NUL in a cell
        return None
    # What a directory has is not looked at: its own size says nothing.
    size = status.st_size if S_ISREG(status.st_mode) else 0
    return {"size": size, "mtime_ns": status.st_mtime_ns}


def _digest(path: Path) -> str | None:
    """The SHA-256 of a regular file in hex; None if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open_regular(path) as stream:
            while data := stream.read(1 << 20):
                digest.update(data)
    except OSError:
        return None
    return digest.hexdigest()
