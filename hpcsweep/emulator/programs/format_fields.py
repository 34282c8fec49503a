"""The `%` fields of --format, for squeue and sinfo."""

from __future__ import annotations

import re

# A field: its width, and its letter.
FIELD = re.compile(r"%(\.?\d*)(.)")


def fitted(text: str, width: str) -> str:
    """Truncate and pad: `.8` aligns right, `8` left; an empty width leaves the text unchanged."""
    size = int(width.removeprefix(".") or 0)
    if not size:
        return text
    return text[:size].rjust(size) if width.startswith(".") else text[:size].ljust(size)
