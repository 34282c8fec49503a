"""The file of explicit cases in a frozen manifest, while it is written."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

# One compact JSON object per line.
CASES_FILE = "cases.jsonl"
# Byte offset of each line, and of the end: little-endian unsigned 64-bit integers.
OFFSETS_FILE = "cases.idx"
OFFSET_BYTES = 8


class CaseLines:
    """Lines of several sources, one after another: a source has those from its first on."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def add(self, lines: Iterable[bytes]) -> int:
        """Put lines of `line_of` at the end; the number of the first of them."""
        first = len(self._lines)
        self._lines += lines
        return first

    def files(self) -> dict[str, bytes]:
        """The two files, by name; none where there is no line."""
        if not self._lines:
            return {}
        offsets = array("Q", accumulate(map(len, self._lines), initial=0))
        return {
            CASES_FILE: b"".join(self._lines),
            OFFSETS_FILE: b"".join(at.to_bytes(OFFSET_BYTES, "little") for at in offsets),
        }


def line_of(params: dict[str, Any]) -> bytes:
    """The line of plain params."""
    text = json.dumps(params, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode() + b"\n"
