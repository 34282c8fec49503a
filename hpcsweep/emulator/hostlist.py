"""Node lists: `n[1-3,7]`."""

from __future__ import annotations

from collections.abc import Iterable

from hpcsweep.emulator import arrays


def fold(nodes: Iterable[str]) -> str:
    """The shortest text for nodes `n1`, `n2`, ..."""
    numbers = sorted(int(name.removeprefix("n")) for name in nodes)
    if len(numbers) < 2:
        return "".join(f"n{number}" for number in numbers)
    return f"n[{arrays.format_ids(numbers)}]"
