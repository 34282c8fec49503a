"""The file of explicit cases in a frozen manifest, written line by line, never kept in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from hpcsweep.files import create_file, parse_json

if TYPE_CHECKING:
    from typing_extensions import Self

# One compact JSON object per line; see `format_line`.
CASES_FILE = "cases.jsonl"
# Byte offset of each line, and of the end: little-endian unsigned 64-bit integers.
OFFSETS_FILE = "cases.idx"
OFFSET_BYTES = 8


# What next, where a file of cases or of a condition is missing or is not what was written. A submit
# writes the files that are missing and refuses changed ones. Sizes do not say which of two is
# wrong, and a version does not say whether a manifest has its cases: nothing may be removed.
REWRITE = (
    f"Restore it from a copy. Or, if a manifest has its cases, move it aside ({CASES_FILE} and "
    f"{OFFSETS_FILE} together) and run `hpcsweep submit` with that manifest, which writes what is "
    "missing."
)
# The same of cases that `Sweep.append`, an executor or a search has added.
ONLY_HERE = "Restore it from a copy: its cases were appended, and no manifest has them."


# One for all lines: json.dumps makes one for each.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
# How JSON writes a null character; also a part of texts that have none.
_NULL = rb"\u0000"


class CaseLines:
    """Lines of several sources, one after another: a source has those from its first on.

    In a `directory` they are written as they come, to two files that are whole and durable at the
    end of the `with` block, which *raises* SweepError; where there is no line, none is made.
    Without a directory they are only counted and digested.
    """

    def __init__(self, directory: Path | None = None) -> None:
        # Where the files of a frozen manifest are written; None for a trial.
        self.directory = directory
        # The first text with a null character of each parameter that has one.
        self.nulls: dict[str, str] = {}
        self._digest = hashlib.sha256()
        self._count = 0
        # Bytes of all lines.
        self._end = 0
        self._open = ExitStack()
        self._files: tuple[IO[bytes], IO[bytes]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, error, trace)

    @property
    def sha256(self) -> str | None:
        """The digest of the lines so far, in hex; None without lines."""
        return self._digest.hexdigest() if self._count else None

    def add(self, lines: Iterable[bytes]) -> int:
        """Append lines of `format_line`. Returns the number of the first."""
        first = self._count
        for line in lines:
            if self.directory is not None:
                self._write(self.directory, line)
            self._digest.update(line)
            if _NULL in line:
                self._note_nulls(line)
            self._count += 1
            self._end += len(line)
        return first

    def _note_nulls(self, line: bytes) -> None:
        for name, value in parse_line(line).params.items():
            if isinstance(value, str) and "\0" in value:
                self.nulls.setdefault(name, value)

    def _write(self, directory: Path, line: bytes) -> None:
        if self._files is None:
            paths = (directory / CASES_FILE, directory / OFFSETS_FILE)
            cases, offsets = (self._open.enter_context(create_file(path)) for path in paths)
            self._files = cases, offsets
            offsets.write(bytes(OFFSET_BYTES))
        cases, offsets = self._files
        cases.write(line)
        offsets.write((self._end + len(line)).to_bytes(OFFSET_BYTES, "little"))


class CaseLine(NamedTuple):
    """What the line of a case says; see `ParamCase`."""

    params: dict[str, Any]
    written: dict[str, str]
    carried: dict[str, Any]


def format_line(
    params: dict[str, Any],
    written: dict[str, str] | None = None,
    carried: dict[str, Any] | None = None,
) -> bytes:
    """The line of plain params; a list if there are texts of a table unlike JSON, or carried cells.

    As short as possible, so that lines of older sweeps stay as they are.
    """
    document: Any = params
    if carried:
        document = [params, written or {}, carried]
    elif written:
        document = [params, written]
    return _ENCODER.encode(document).encode() + b"\n"


def parse_line(line: bytes) -> CaseLine:
    """What a line says of its case. *Raises* ValueError."""
    document = parse_json(line)
    parts = document if isinstance(document, list) and len(document) in (2, 3) else [document]
    if all(isinstance(part, dict) for part in parts):
        params, written, carried = (*parts, {}, {})[:3]
        return CaseLine(params, written, carried)
    raise ValueError("it is not an object")
