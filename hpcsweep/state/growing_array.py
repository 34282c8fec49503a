"""A numpy array that grows at its end, without a second copy of what it holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

# Values of a new array: pieces of a megabyte are given back to the system when they are freed.
_FIRST = 1 << 17


class GrowingArray:
    """The values so far.

    A list of parts, put together at the end, would take twice the memory: what small parts leave
    behind is too scattered for the whole.
    """

    def __init__(self, dtype: npt.DTypeLike) -> None:
        self._values: npt.NDArray[Any] = np.empty(_FIRST, dtype)
        self._count = 0

    def add(self, part: npt.NDArray[Any]) -> None:
        """Append some values."""
        count = self._count + len(part)
        if count > len(self._values):
            larger = np.empty(max(count, 2 * len(self._values)), self._values.dtype)
            larger[: self._count] = self._values[: self._count]
            self._values = larger
        self._values[self._count : count] = part
        self._count = count

    def values(self) -> npt.NDArray[Any]:
        """All of them; what was not filled was never touched, and takes no memory."""
        return self._values[: self._count]
