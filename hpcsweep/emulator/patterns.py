"""Patterns of file names, and counts by node, of jobs and steps."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping

_PATTERN = re.compile(r"%(\d*)([AajJnNstux%])")
# Those that are padded with zeros: `%4a`.
_NUMBERS = "AajJnt"


def fill(pattern: str, symbols: Mapping[str, str]) -> str:
    """A pattern of --output and its like, filled in; symbols that are not known stay."""

    def text(match: re.Match[str]) -> str:
        width, symbol = match[1], match[2]
        if symbol == "%":
            return "%"
        return symbols[symbol].zfill(int(width or 0)) if symbol in _NUMBERS else symbols[symbol]

    return _PATTERN.sub(text, pattern)


def per_node(counts: Iterable[int]) -> str:
    """`2(x3),1`: counts of nodes as Slurm writes them."""
    groups = [(count, len(list(some))) for count, some in itertools.groupby(counts)]
    return ",".join(f"{count}(x{times})" if times > 1 else str(count) for count, times in groups)
