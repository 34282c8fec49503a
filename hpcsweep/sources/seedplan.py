"""Seeds of replicates, and named random streams derived from a seed."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any, SupportsIndex

from hpcsweep import ids
from hpcsweep.errors import SourceError
from hpcsweep.older_python import dataclass
from hpcsweep.records import ParamCase
from hpcsweep.sources.keys import checked_keys, whole_number

if TYPE_CHECKING:
    from numpy.random import Generator


@dataclass(frozen=True)
class SeedBundle:
    """The random streams of one replicate: an independent stream for each name.

    A bundle with a case id has other streams than a bundle without one.

    Examples:
        >>> [isinstance(bundle, hs.SeedBundle) for bundle in hs.seeds(42, replicates=2)]
        [True, True]
    """

    # Any integer.
    root_seed: int
    # None, without replicates, is the same as 0: same streams, same fingerprint, equal bundles.
    replicate_index: int | None = field(default=None, compare=False)
    # Id of the case that has these streams; "" if all cases share them.
    case_id: str = ""
    seed: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "root_seed", whole_number(self.root_seed, "seeds.root_seed"))
        if self.replicate_index is not None:
            replicate = whole_number(self.replicate_index, "seeds.replicate_index", at_least=0)
            object.__setattr__(self, "replicate_index", replicate)
        object.__setattr__(
            self, "seed", ids.case_seed(self.root_seed, self.case_id, self.replicate_index or 0)
        )

    @classmethod
    def for_preprocessing(cls, base: int) -> SeedBundle:
        """The streams of work that is done once for all replicates.

        Examples:
            >>> hs.SeedBundle.for_preprocessing(42) == hs.SeedBundle(42)
            False
        """
        return cls(SeedBundle(base).derive("preprocessing"))

    @classmethod
    def from_dict(cls, value: Any) -> SeedBundle:
        """Make the bundle from a dict of `to_dict`. *Raises* SourceError.

        Examples:
            >>> bundle = hs.SeedBundle(42, 1)
            >>> hs.SeedBundle.from_dict(bundle.to_dict()) == bundle
            True
        """
        fields = checked_keys(value, ("root_seed",), ("replicate_index", "case_id"), "seeds")
        return cls(fields["root_seed"], fields.get("replicate_index"), fields.get("case_id", ""))

    def to_dict(self) -> dict[str, Any]:
        """The bundle as plain JSON.

        Examples:
            >>> hs.SeedBundle(42, 1).to_dict()
            {'root_seed': 42, 'replicate_index': 1}
        """
        named = {"case_id": self.case_id} if self.case_id else {}
        return {"root_seed": self.root_seed, "replicate_index": self.replicate_index, **named}

    def derive(self, name: str) -> int:
        """The 128-bit seed of the stream of this name.

        Examples:
            >>> bundle = hs.SeedBundle(42)
            >>> bundle.derive("noise") == bundle.derive("start")
            False
        """
        return stream_seed(self.seed, name)

    def rng(self, name: str = "default") -> random.Random:
        """A Python generator at the start of the stream of this name.

        Examples:
            >>> bundle = hs.SeedBundle(42)
            >>> bundle.rng("noise").random() == bundle.rng("noise").random()
            True
        """
        return random.Random(self.derive(name))  # noqa: S311  # for simulations, not cryptography

    def numpy(self, name: str = "default") -> Generator:
        """A numpy generator at the start of the stream of this name.

        Examples:
            >>> hs.SeedBundle(42).numpy("noise").normal(size=3).shape
            (3,)
        """
        return _generator(self.derive(name))

    @property
    def numpy_seed(self) -> int:
        """The seed of the default stream: 128 bits, for numpy.random.SeedSequence.

        Examples:
            >>> bundle = hs.SeedBundle(42)
            >>> bundle.numpy_seed == bundle.derive("default")
            True
        """
        return self.derive("default")

    def fingerprint(self) -> str:
        """16 hex digits that differ between bundles with different streams.

        Examples:
            >>> hs.SeedBundle(42).fingerprint() == hs.SeedBundle(43).fingerprint()
            False
        """
        return ids.fingerprint(self.to_dict() | {"replicate_index": self.replicate_index or 0})


@dataclass(frozen=True)
class SeedPlan:
    """A sequence of bundles, one for each replicate of a base seed.

    Examples:
        >>> isinstance(hs.seeds(42, replicates=3), hs.SeedPlan)
        True
    """

    # Any integer.
    base_seed: int
    # >= 1.
    replicates: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "base_seed", whole_number(self.base_seed, "seeds.base"))
        object.__setattr__(
            self, "replicates", whole_number(self.replicates, "seeds.replicates", at_least=1)
        )

    @classmethod
    def from_manifest_dict(cls, value: Mapping[str, Any]) -> SeedPlan:
        """Make the plan from a dict of `to_manifest_dict`. *Raises* SourceError.

        Examples:
            >>> plan = hs.seeds(42, replicates=3)
            >>> hs.SeedPlan.from_manifest_dict(plan.to_manifest_dict()) == plan
            True
        """
        fields = checked_keys(value, ("type", "base", "replicates"), (), "seeds")
        if fields["type"] != "SeedPlan":
            raise SourceError(
                f"unknown type {ids.shown(fields['type'])}",
                where="seeds.type",
                next_step="Write SeedPlan.",
            )
        return cls(fields["base"], fields["replicates"])

    def to_manifest_dict(self) -> dict[str, Any]:
        """The plan as plain JSON.

        Examples:
            >>> hs.seeds(42, replicates=3).to_manifest_dict()
            {'type': 'SeedPlan', 'base': 42, 'replicates': 3}
        """
        return {"type": "SeedPlan", "base": self.base_seed, "replicates": self.replicates}

    def __len__(self) -> int:
        return self.replicates

    def __iter__(self) -> Iterator[SeedBundle]:
        return (SeedBundle(self.base_seed, replicate) for replicate in range(self.replicates))

    def __getitem__(self, replicate: SupportsIndex) -> SeedBundle:
        position = range(self.replicates)[replicate]
        return SeedBundle(self.base_seed, position)


def seeds(base: int, replicates: int = 1) -> SeedPlan:
    """The seeds of `replicates` repetitions: `for bundle in seeds(42, 5): bundle.rng("noise")`.

    Examples:
        >>> len(list(hs.seeds(42, replicates=3)))
        3
    """
    return SeedPlan(base, replicates)


@dataclass(frozen=True, kw_only=True, slots=True)
class SeededCase(ParamCase):
    """A case of a sweep as its target receives it: with its seed and its random streams."""

    # 128 bits, from the sweep's seed, the case id and the replicate.
    seed: int

    @classmethod
    def of(cls, case: ParamCase, sweep_seed: int) -> SeededCase:
        """Add to a case its seed in a sweep with this seed."""
        return cls(
            index=case.index,
            params=case.params,
            case_id=case.case_id,
            tags=case.tags,
            replicate=case.replicate,
            written=case.written,
            carried=case.carried,
            seed=ids.case_seed(sweep_seed, case.case_id, case.replicate),
        )

    def stream(self, name: str) -> Generator:
        """A numpy generator at the start of the case's stream of this name.

        The stream is the same in every attempt and independent of other streams and of `rng`.
        """
        return _generator(stream_seed(self.seed, name))


def stream_seed(seed: int, name: str) -> int:
    """The 128-bit seed of a named stream. *Raises* IdentityError for a name unfit for UTF-8."""
    text = f"hpcsweep stream 1\n{seed:x}\n{ids.plain(name, 'name')}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest(), "big")


def _generator(seed: int) -> Generator:
    import numpy as np  # noqa: PLC0415  # a worker imports numpy on demand only (invariant 17)

    return np.random.default_rng(seed)
