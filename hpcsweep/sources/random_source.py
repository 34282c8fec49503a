"""Random draws: each value depends only on (seed, parameter name, index)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.records import ParamCase
from hpcsweep.sources.base import ParameterSource
from hpcsweep.sources.distributions import Distribution, distribution
from hpcsweep.sources.keys import (
    COUNT,
    SEED,
    Check,
    Key,
    KeyType,
    Kind,
    Steps,
    check_names,
    names_of,
    whole_number,
)
from hpcsweep.sources.numeric.philox import K_BITS, schedule, word

if TYPE_CHECKING:
    from hpcsweep.sources.numeric.vectors import Array

# Low bits of a 64-bit word that k does not use.
_DROPPED = 64 - K_BITS


def _each_distribution(value: Any, where: str) -> Iterator[tuple[Steps, Check]]:  # noqa: ARG001
    for name, rule in value.items() if isinstance(value, Mapping) else ():
        yield (name,), partial(checked_space, {name: rule})


# A key of random draws and of designs.
SPACE = Key(
    "space",
    KeyType(
        "a mapping of parameters to [distributions](sources.md#distributions), or to single values",
        {"$ref": "#/$defs/Space"},
        parts=_each_distribution,
        names=names_of,
    ),
    "how each parameter is drawn",
)
N_TRIALS = Key("n_trials", COUNT, "the number of cases")


class RandomSource(ParameterSource):
    """`n_trials` independent draws; adding or removing a parameter changes no other parameter.

    *Raises* SourceError.

    Examples:
        >>> source = hs.random({"a": hs.uniform(0, 1)}, n_trials=4, seed=1)
        >>> isinstance(source, hs.RandomSource), source.n_cases
        (True, 4)
    """

    KIND = Kind(
        "independent draws; a parameter added or removed changes no other",
        (SPACE, N_TRIALS, SEED),
        form="random",
        python="random(space, n_trials, seed)",
        example="{space: {x: {type: Uniform, low: 0, high: 1}}, n_trials: 100, seed: 1}",
    )

    def __init__(
        self,
        space: Mapping[str, Any],
        n_trials: int,
        seed: int,
    ) -> None:
        self._space = checked_space(space)
        self._n_trials = whole_number(n_trials, "n_trials", at_least=1)
        self._seed = whole_number(seed, "seed")
        self._keys = {name: stream_key(self._seed, name) for name in self._space}
        self._rules = [
            (name, schedule(self._keys[name]), rule.at) for name, rule in self._space.items()
        ]
        # The quoted name and colon before each value in the canonical JSON of a case.
        self._labels = [f"{ids.canonical(name)}:" for name in self._space]

    def to_manifest_dict(self) -> dict[str, Any]:
        return {
            "type": "RandomSource",
            "space": {name: rule.to_manifest_dict() for name, rule in self._space.items()},
            "n_trials": self._n_trials,
            "seed": self._seed,
            "total_cases": self._n_trials,
        }

    @property
    def n_cases(self) -> int:
        return self._n_trials

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._space)

    def _params(self, index: int) -> dict[str, Any]:
        return {name: at(word(keys, index) >> _DROPPED) for name, keys, at in self._rules}

    def _tags(self, index: int) -> tuple[str, ...]:
        return (f"trial_{index}",)

    def _case(self, index: int) -> ParamCase:
        params = self._params(index)
        members = zip(self._labels, params.values())
        text = ",".join([f"{label}{ids.canonical(value)}" for label, value in members])
        return ParamCase(
            index=index,
            params=params,
            case_id=ids.case_id_of(f"{{{text}}}"),
            tags=(f"trial_{index}",),
        )

    def _columns(self, start: int, stop: int) -> dict[str, Array]:
        from hpcsweep.sources.numeric import vectors  # noqa: PLC0415  # numpy, for columns alone

        return {
            name: rule.column(vectors.draws(self._keys[name], start, stop))
            for name, rule in self._space.items()
        }


def random(space: Mapping[str, Any], n_trials: int, seed: int) -> RandomSource:
    """Independent draws: `random({"x": uniform(0, 1), "n": 5}, n_trials=100, seed=42)`.

    Examples:
        >>> source = hs.random({"a": hs.uniform(0, 1)}, n_trials=4, seed=1)
        >>> source[2] == hs.random({"a": hs.uniform(0, 1)}, n_trials=9, seed=1)[2]
        True
    """
    return RandomSource(space, n_trials, seed)


def checked_space(space: Any) -> dict[str, Distribution]:
    """The distribution of each parameter, in canonical order. *Raises* SourceError."""
    if not isinstance(space, Mapping) or not space:
        raise SourceError(
            f"{ids.shown(space)} is not a space of parameters",
            where="space",
            next_step="Give a mapping of at least one name to its distribution.",
        )
    check_names(space, "space")
    return {
        name: distribution(space[name], ids.member("space", name)) for name in ids.in_order(space)
    }


def stream_key(seed: int, name: str) -> int:
    """The 128-bit Philox key of one parameter."""
    # Hexadecimal, as Python limits the digits of decimal text and a seed may be any int.
    text = f"hpcsweep random 1\n{seed:x}\n{name}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")
