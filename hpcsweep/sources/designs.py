"""Space-filling designs with random access to their points: Sobol, Halton, Latin hypercube.

All points of a design belong together: another parameter, or another count in a Latin hypercube,
makes another design. Every dimension gives the 53 bits from which a distribution draws.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.sources.base import ParameterSource
from hpcsweep.sources.discrete import Constant
from hpcsweep.sources.keys import SEED, Key, KeyType, Kind, as_one_part, nearest, whole_number
from hpcsweep.sources.numeric.permutation import Permutation
from hpcsweep.sources.numeric.philox import K_BITS, schedule, word
from hpcsweep.sources.numeric.sobol_numbers import POLYNOMIALS
from hpcsweep.sources.random_source import N_TRIALS, SPACE, checked_space

_WORD_BITS = 64
# Primes for the dimensions of Halton's sequence.
_SIEVE = 320


class _Bits:
    """A stream of random numbers of one dimension."""

    def __init__(self, key: int) -> None:
        self._keys = schedule(key)
        self._position = 0

    def below(self, count: int) -> int:
        """A number of `0 .. count-1`, for a count far below 2**64."""
        number = word(self._keys, self._position) * count >> _WORD_BITS
        self._position += 1
        return number


class Design(ABC):
    """Points of the unit cube, as k of each dimension: u = k * 2**-53."""

    def __init__(self, dimensions: int, count: int, seed: int) -> None:
        self._keys = [self._key(seed, dimension) for dimension in range(dimensions)]
        self._count = count

    @abstractmethod
    def point(self, index: int) -> list[int]:
        """The k of each dimension at a point."""

    def _key(self, seed: int, dimension: int) -> int:
        text = f"hpcsweep design 1\n{type(self).__name__}\n{seed:x}\n{dimension}"
        return int.from_bytes(blake2b(text.encode(), digest_size=16).digest(), "big")


class Sobol(Design):
    """Sobol's sequence in Gray-code order, with a random linear matrix scramble and a shift.

    J. Matousek, "On the L2-discrepancy for anchored boxes", J. Complexity 14 (1998). The first 2**m
    points are a net for every m.
    """

    most_dimensions = len(POLYNOMIALS) + 1
    most_points = 2**K_BITS

    def __init__(self, dimensions: int, count: int, seed: int) -> None:
        super().__init__(dimensions, count, seed)
        self._directions = []
        self._shifts = []
        for dimension, key in enumerate(self._keys):
            bits = _Bits(key)
            self._directions.append(_scrambled(_directions(dimension), bits))
            self._shifts.append(bits.below(2**K_BITS))

    def point(self, index: int) -> list[int]:
        code = index ^ index >> 1
        coordinates = self._shifts.copy()
        place = 0
        while code:
            if code & 1:
                for dimension, directions in enumerate(self._directions):
                    coordinates[dimension] ^= directions[place]
            code >>= 1
            place += 1
        return coordinates


def _directions(dimension: int) -> list[int]:
    """The direction numbers of a dimension, as integers of 53 bits."""
    if dimension == 0:
        return [1 << (K_BITS - 1 - place) for place in range(K_BITS)]
    polynomial, initial = POLYNOMIALS[dimension - 1]
    degree = len(initial)
    numbers = [m << (K_BITS - 1 - place) for place, m in enumerate(initial)]
    for place in range(degree, K_BITS):
        number = numbers[place - degree] ^ numbers[place - degree] >> degree
        for back in range(1, degree):
            if polynomial >> (degree - back) & 1:
                number ^= numbers[place - back]
        numbers.append(number)
    return numbers


def _scrambled(directions: list[int], bits: _Bits) -> list[int]:
    """The numbers times a random lower triangular matrix over GF(2) with ones on its diagonal."""
    # Row r, the r-th bit from above, depends on the bits above it and on its own.
    rows = [
        bits.below(1 << row) << (K_BITS - row) | 1 << (K_BITS - 1 - row) for row in range(K_BITS)
    ]
    numbers = []
    for number in directions:
        mixed = 0
        for row in rows:
            mixed = mixed << 1 | bin(number & row).count("1") & 1
        numbers.append(mixed)
    return numbers


class Halton(Design):
    """Halton's sequence, each digit of each base by a random permutation of its own.

    A. B. Owen, "A randomized Halton algorithm in R" (2017), arXiv:1706.02808.
    """

    most_dimensions = 64
    most_points = 2**K_BITS

    def __init__(self, dimensions: int, count: int, seed: int) -> None:
        super().__init__(dimensions, count, seed)
        primes = [n for n in range(2, _SIEVE) if all(n % p for p in range(2, int(n**0.5) + 1))]
        self._bases = primes[:dimensions]
        self._digits = [
            [_permuted(base, bits) for _ in range(_places(base))]
            for base, bits in zip(self._bases, map(_Bits, self._keys))
        ]

    def point(self, index: int) -> list[int]:
        coordinates = []
        for base, digits in zip(self._bases, self._digits):
            rest, value = index, 0
            for permutation in digits:
                rest, digit = divmod(rest, base)
                value = value * base + permutation[digit]
            coordinates.append((value << K_BITS) // base ** len(digits))
        return coordinates


def _places(base: int) -> int:
    """How many digits 53 bits have in this base."""
    places = 1
    while base**places < 2**K_BITS:
        places += 1
    return places


def _permuted(count: int, bits: _Bits) -> list[int]:
    """0 .. count-1 in random order (Fisher and Yates)."""
    order = list(range(count))
    for last in range(count - 1, 0, -1):
        other = bits.below(last + 1)
        order[last], order[other] = order[other], order[last]
    return order


class LatinHypercube(Design):
    """One point in each of `count` equal slices of every dimension, anywhere in its slice.

    M. D. McKay, R. J. Beckman and W. J. Conover, Technometrics 21 (1979).
    """

    most_dimensions = 100_000
    most_points = 2**K_BITS

    def __init__(self, dimensions: int, count: int, seed: int) -> None:
        super().__init__(dimensions, count, seed)
        self._orders = [Permutation(count, key.to_bytes(16, "big")) for key in self._keys]
        self._streams = [schedule(key) for key in self._keys]

    def point(self, index: int) -> list[int]:
        return [
            (order.at(index) << K_BITS | word(keys, index) >> (_WORD_BITS - K_BITS)) // self._count
            for order, keys in zip(self._orders, self._streams)
        ]


METHODS: dict[str, type[Sobol | Halton | LatinHypercube]] = {
    "sobol": Sobol,
    "halton": Halton,
    "latin_hypercube": LatinHypercube,
}


def _checked_method(method: Any, where: str = "design.method") -> str:
    """A name of `METHODS`. *Raises* SourceError."""
    if not isinstance(method, str) or method not in METHODS:
        raise SourceError(
            f"unknown method {ids.shown(method)}",
            where=where,
            next_step=nearest(method, METHODS, "method"),
        )
    return method


_METHOD = KeyType(
    f"{', '.join(METHODS)}, see [designs](sources.md#designs)",
    {"enum": list(METHODS)},
    parts=as_one_part(_checked_method),
)


class DesignSource(ParameterSource):
    """The points of a design over a space; constants take no dimension. *Raises* SourceError.

    Examples:
        >>> source = hs.design("sobol", {"a": hs.uniform(0, 1)}, n_trials=4, seed=1)
        >>> isinstance(source, hs.DesignSource), source.n_cases
        (True, 4)
    """

    KIND = Kind(
        "points that fill the space evenly",
        (Key("method", _METHOD, "the design method"), SPACE, N_TRIALS, SEED),
        form="design",
        python="design(method, space, n_trials, seed)",
        example="{method: sobol, space: {x: {type: Uniform, low: 0, high: 1}}, "
        "n_trials: 64, seed: 1}",
    )

    def __init__(self, method: str, space: Mapping[str, Any], n_trials: int, seed: int) -> None:
        self._method = _checked_method(method)
        self._space = checked_space(space)
        self._n_trials = whole_number(n_trials, "n_trials", at_least=1)
        self._seed = whole_number(seed, "seed")
        kind = METHODS[method]
        self._drawn = [name for name, rule in self._space.items() if type(rule) is not Constant]
        for count, most, what in (
            (len(self._drawn), kind.most_dimensions, "parameters"),
            (self._n_trials, kind.most_points, "points"),
        ):
            if count > most:
                raise SourceError(
                    f"{count} {what}; the method {method} has {most} at most",
                    where="design",
                    next_step="Use fewer, or latin_hypercube or random.",
                )
        self._design = kind(len(self._drawn), self._n_trials, self._seed)

    def to_manifest_dict(self) -> dict[str, Any]:
        return {
            "type": "DesignSource",
            "method": self._method,
            "space": {name: rule.to_manifest_dict() for name, rule in self._space.items()},
            "n_trials": self._n_trials,
            "seed": self._seed,
            "total_cases": self._n_trials,
        }

    @property
    def n_cases(self) -> int:
        return self._n_trials

    @property
    def keeps_points(self) -> bool:
        """Whether a longer design of the same seed begins with these points.

        Examples:
            >>> hs.design("sobol", {"x": hs.uniform(0, 1)}, 4, seed=1).keeps_points
            True
        """
        return self._method != "latin_hypercube"

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._space)

    def _params(self, index: int) -> dict[str, Any]:
        draws = dict(zip(self._drawn, self._design.point(index)))
        return {name: rule.at(draws.get(name, 0)) for name, rule in self._space.items()}

    def _tags(self, index: int) -> tuple[str, ...]:
        return (f"trial_{index}",)


def design(method: str, space: Mapping[str, Any], n_trials: int, seed: int) -> DesignSource:
    """Points that fill a space evenly: `design("sobol", {"x": uniform(0, 1)}, 1024, seed=1)`.

    Methods: sobol (best where the count is a power of two), halton, latin_hypercube.

    Examples:
        >>> source = hs.design("sobol", {"a": hs.uniform(0, 1)}, n_trials=4, seed=1)
        >>> source.n_cases
        4
    """
    return DesignSource(method, space, n_trials, seed)
