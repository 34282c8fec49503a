"""Names that will go: each place that uses one is warned, and told what to write instead."""

from __future__ import annotations

import warnings


def deprecated(name: str, *, since: str, instead: str, stacklevel: int = 2) -> None:
    """Warn the caller of the function that calls this: `name` is deprecated since a version.

    `stacklevel` counts as that of `warnings.warn`, from the function that calls this: 1 is that
    function, 2 its caller. Python shows a DeprecationWarning once for each place, and by default
    only where the place is in `__main__` or a test.
    """
    text = f"{name} is deprecated since hpcsweep {since}: use {instead}"
    warnings.warn(text, DeprecationWarning, stacklevel=stacklevel + 1)
