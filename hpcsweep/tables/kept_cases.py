"""The cases of one sweep while another one is compared with it: columns instead of objects."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

# Index, status and the metrics of a case, None for each that it lacks.
ComparedCase = tuple[Any, ...]

# The arrays that keep all values of a type: 8 bytes for each.
_TYPE_CODES = {float: "d", int: "q"}


class KeptCases:
    """Cases by what identifies them."""

    def __init__(self, batches: Iterable[Sequence[tuple[Any, ComparedCase]]]) -> None:
        """`batches` has each case once, with its key."""
        self.positions: dict[Any, int] = {}
        self._columns: list[_KeptColumn] = []
        for batch in batches:
            if not batch:
                continue
            keys, cases = zip(*batch, strict=True)
            columns = list(zip(*cases, strict=True))
            self._columns = self._columns or [_KeptColumn() for _ in columns]
            start = len(self.positions)
            self.positions |= zip(keys, range(start, start + len(keys)), strict=True)
            for column, values in zip(self._columns, columns, strict=True):
                column.extend(values)

    def get(self, key: Any) -> ComparedCase | None:
        """The case with this key."""
        position = self.positions.get(key)
        if position is None:
            return None
        return tuple([column.values[position] for column in self._columns])


class KeysBeside:
    """Keys as a dict of each to itself has them; those of kept cases take a byte each."""

    def __init__(self, kept: KeptCases) -> None:
        self._positions = kept.positions
        self._came = bytearray(len(kept.positions))
        self._n_came = 0
        self._others: set[Any] = set()

    def __len__(self) -> int:
        return self._n_came + len(self._others)

    def setdefault(self, key: Any, _: Any) -> Any:
        """Add a key, and return it."""
        position = self._positions.get(key)
        if position is None:
            self._others.add(key)
        elif not self._came[position]:
            self._came[position] = 1
            self._n_came += 1
        return key


class _KeptColumn:
    """Values, without an object for each while all are numbers of one type."""

    def __init__(self) -> None:
        self.values: array[Any] | list[Any] = []

    def extend(self, values: Sequence[Any]) -> None:
        """Add values."""
        types = set(map(type, values))
        code = _TYPE_CODES.get(types.pop()) if len(types) == 1 else None
        more: array[Any] | list[Any] = list(values)
        if code:
            with suppress(OverflowError):  # an integer beyond 64 bits
                more = array(code, values)
        kept = self.values
        if not kept:
            self.values = more
        elif isinstance(kept, list) or (isinstance(more, array) and more.typecode == kept.typecode):
            kept.extend(more)
        else:
            self.values = [*kept, *more]
