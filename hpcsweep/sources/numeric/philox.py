"""Philox4x64-10, the counter-based random generator.

Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC11).
"""

from __future__ import annotations

_MASK = 2**64 - 1
_MULTIPLIER_0 = 0xD2E7470EE14C6C93
_MULTIPLIER_1 = 0xCA5A826395121157
# Increments of the key per round: the golden ratio - 1 and sqrt(3) - 1, times 2**64.
_WEYL_0 = 0x9E3779B97F4A7C15
_WEYL_1 = 0xBB67AE8584CAA73B
_ROUNDS = 10
# The bits of a 64-bit word that make a value: as many as the significand of a float.
K_BITS = 53


Keys = tuple[tuple[int, int], ...]


def schedule(key: int) -> Keys:
    """The keys of the ten rounds. `key` has 128 bits; the lowest 64 are its first word."""
    k0, k1 = key & _MASK, key >> 64 & _MASK
    return tuple((k0 + i * _WEYL_0 & _MASK, k1 + i * _WEYL_1 & _MASK) for i in range(_ROUNDS))


def block(counter: int, keys: Keys) -> tuple[int, int, int, int]:
    """The four 64-bit words of one block; `counter` has 256 bits, the lowest 64 come first."""
    c0, c1 = counter & _MASK, counter >> 64 & _MASK
    c2, c3 = counter >> 128 & _MASK, counter >> 192 & _MASK
    for k0, k1 in keys:
        product_0, product_1 = c0 * _MULTIPLIER_0, c2 * _MULTIPLIER_1
        c0, c1 = product_1 >> 64 ^ c1 ^ k0, product_1 & _MASK
        c2, c3 = product_0 >> 64 ^ c3 ^ k1, product_0 & _MASK
    return c0, c1, c2, c3


def word(keys: Keys, position: int) -> int:
    """`numpy.random.Philox(key=key).random_raw()[position]`, without numpy, at any position."""
    # numpy increments the counter before the first block.
    return block((position >> 2) + 1, keys)[position & 3]
