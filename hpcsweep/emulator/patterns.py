"""Expand patterns of file names, and format counts by node."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping

_PATTERN = re.compile(r"%(\d*)([a-zA-Z%])")
# Symbols that are padded with zeros: `%4a`.
_NUMBERS = "AabjJnt"


def fill(pattern: str, symbols: Mapping[str, str]) -> str:
    """Expand a file name pattern (--output); unknown symbols stay."""

    def text(match: re.Match[str]) -> str:
        width, symbol = match[1], match[2]
        if symbol == "%":
            return "%"
        if symbol not in symbols:
            return match[0]
        return symbols[symbol].zfill(int(width or 0)) if symbol in _NUMBERS else symbols[symbol]

    return _PATTERN.sub(text, pattern)


def per_node(counts: Iterable[int]) -> str:
    """Counts of nodes in Slurm's format: `2(x3),1`."""
    groups = [(count, len(list(some))) for count, some in itertools.groupby(counts)]
    return ",".join(f"{count}(x{times})" if times > 1 else str(count) for count, times in groups)
