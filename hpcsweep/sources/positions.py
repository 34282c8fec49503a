"""The positions that a condition keeps of `0 .. size-1`, one bit each."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import accumulate

# Bytes whose count of bits is known beforehand.
_BLOCK = 128
# The count of bits of every byte; Python 3.9 has no int.bit_count.
_BITS = bytes(bin(byte).count("1") for byte in range(256))


class Positions:
    """An immutable set of positions; its *rank* counts the kept positions below another.

    Both look-ups cost a bisection and one block of bits.
    """

    def __init__(self, bits: bytes, size: int) -> None:
        """`bits`: bit p % 8 of byte p // 8 is set where position p is kept."""
        self.bits = bits
        self.size = size
        blocks = (_ones(bits[at : at + _BLOCK]) for at in range(0, len(bits), _BLOCK))
        # The rank of the first position of each block, then the count of all.
        self._ranks = array("Q", accumulate(blocks, initial=0))

    @property
    def count(self) -> int:
        """Count of kept positions."""
        return self._ranks[-1]

    def rank(self, position: int) -> int:
        """Count of the kept positions below `position`, which is at most `size`."""
        byte, bit = divmod(position, 8)
        block = byte // _BLOCK
        before = self._ranks[block] + _ones(self.bits[block * _BLOCK : byte])
        return before + (_BITS[self.bits[byte] & (1 << bit) - 1] if bit else 0)

    def select(self, rank: int) -> int:
        """The kept position of a rank of `0 .. count-1`."""
        block = bisect_right(self._ranks, rank) - 1
        left = rank - self._ranks[block]
        byte = block * _BLOCK
        while left >= (ones := _BITS[self.bits[byte]]):
            left -= ones
            byte += 1
        rest = self.bits[byte]
        for _ in range(left):
            rest &= rest - 1  # clears the lowest bit
        return byte * 8 + (rest & -rest).bit_length() - 1


def _ones(some: bytes) -> int:
    return sum(some.translate(_BITS))
