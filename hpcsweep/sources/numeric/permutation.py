"""A keyed permutation of 0 .. count-1, computed for one index at a time, for any count."""

from __future__ import annotations

import hashlib

_ROUNDS = 6


class Permutation:
    """A Feistel network over the next power of four, with cycle walking into 0 .. count-1.

    Luby and Rackoff, "How to construct pseudorandom permutations", SIAM J. Comput. 17 (1988);
    Black and Rogaway, "Ciphers with arbitrary finite domains" (CT-RSA 2002), for cycle walking,
    which takes fewer than four steps on average.
    """

    def __init__(self, count: int, key: bytes) -> None:
        """`key` has at most 64 bytes."""
        self._count = count
        self._half_bits = max(1, ((count - 1).bit_length() + 1) // 2)
        self._mask = (1 << self._half_bits) - 1
        self._bytes = (self._half_bits + 7) // 8
        self._keyed = hashlib.blake2b(key=key, digest_size=min(64, max(8, self._bytes)))

    def at(self, index: int) -> int:
        """The position of `index`."""
        left, right = index >> self._half_bits, index & self._mask
        while True:
            for number in range(_ROUNDS):
                left, right = right, left ^ self._mixed(number, right)
            position = left << self._half_bits | right
            if position < self._count:
                return position

    def index_of(self, position: int) -> int:
        """The index whose position is `position`."""
        left, right = position >> self._half_bits, position & self._mask
        while True:
            for number in reversed(range(_ROUNDS)):
                left, right = right ^ self._mixed(number, left), left
            index = left << self._half_bits | right
            if index < self._count:
                return index

    def _mixed(self, number: int, half: int) -> int:
        """The round function: bits of a keyed hash of the round's number and one half."""
        text = bytes([number]) + half.to_bytes(self._bytes, "little")
        mixed = b""
        # Counts above 2**1024 need more than one digest.
        for block in range(-(-self._bytes // 64)):
            digest = self._keyed.copy()
            digest.update(block.to_bytes(4, "little") + text)
            mixed += digest.digest()
        return int.from_bytes(mixed, "little") & self._mask
