"""A permutation of 0 .. count-1 by a key, for one index at a time, however many there are."""

from __future__ import annotations

import hashlib

_ROUNDS = 6


class Permutation:
    """A Feistel network over the next power of four, walked until it ends below `count`.

    Luby and Rackoff, "How to construct pseudorandom permutations", SIAM J. Comput. 17 (1988);
    Black and Rogaway, "Ciphers with arbitrary finite domains" (CT-RSA 2002), for the walk, which
    takes fewer than four steps on average.
    """

    def __init__(self, count: int, key: bytes) -> None:
        """`key` has at most 64 bytes."""
        self._count = count
        self._half_bits = max(1, ((count - 1).bit_length() + 1) // 2)
        self._mask = (1 << self._half_bits) - 1
        self._bytes = (self._half_bits + 7) // 8
        self._keyed = hashlib.blake2b(key=key, digest_size=min(64, max(8, self._bytes)))

    def at(self, index: int) -> int:
        """Where `index` is taken to."""
        left, right = index >> self._half_bits, index & self._mask
        while True:
            for number in range(_ROUNDS):
                left, right = right, left ^ self._mixed(number, right)
            found = left << self._half_bits | right
            if found < self._count:
                return found

    def index_of(self, position: int) -> int:
        """The index that is taken to `position`."""
        left, right = position >> self._half_bits, position & self._mask
        while True:
            for number in reversed(range(_ROUNDS)):
                left, right = right ^ self._mixed(number, left), left
            found = left << self._half_bits | right
            if found < self._count:
                return found

    def _mixed(self, number: int, half: int) -> int:
        """Bits of a keyed hash of a round's number and half."""
        text = bytes([number]) + half.to_bytes(self._bytes, "little")
        mixed = b""
        # One digest but for counts beyond 2**1024.
        for block in range(-(-self._bytes // 64)):
            digest = self._keyed.copy()
            digest.update(block.to_bytes(4, "little") + text)
            mixed += digest.digest()
        return int.from_bytes(mixed, "little") & self._mask
