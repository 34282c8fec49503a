"""The `%`-fields of --format, as squeue and sinfo take them."""

from __future__ import annotations

import re

# A field: its width, and its letter.
FIELD = re.compile(r"%(\.?\d*)(.)")


def fitted(text: str, width: str) -> str:
    """Cut and pad: `.8` to the right, `8` to the left; an empty width leaves the text as it is."""
    size = int(width.removeprefix(".") or 0)
    if not size:
        return text
    return text[:size].rjust(size) if width.startswith(".") else text[:size].ljust(size)
