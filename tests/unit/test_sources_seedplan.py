"""Seeds of replicates, and the named streams below a seed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from hpcsweep import ids
from hpcsweep.sources import SeedBundle, SeedPlan, seeds
from hpcsweep.sources.seedplan import stream_seed
from tests.support.sourcing import GOLDEN, refused


def test_plan() -> None:
    plan = seeds(42, 3)
    assert plan == SeedPlan(42, 3)
    assert len(plan) == 3
    assert [bundle.replicate_index for bundle in plan] == [0, 1, 2]
    assert plan[-1] == plan[2]
    with pytest.raises(IndexError):
        plan[3]
    assert plan.to_manifest_dict() == {"type": "SeedPlan", "base": 42, "replicates": 3}
    assert SeedPlan.from_manifest_dict(json.loads(json.dumps(plan.to_manifest_dict()))) == plan


def test_no_replicate_is_replicate_0() -> None:
    """M16: the same stream, but another fingerprint."""
    assert SeedBundle(42) == SeedBundle(42, 0)
    assert SeedBundle(42).fingerprint() == SeedBundle(42, 0).fingerprint()
    assert SeedBundle(42).derive("x") == SeedBundle(42, 0).derive("x")


def test_streams_have_128_bits() -> None:
    """M16: 32 bits, which collide among 100,000 replicates."""
    found = [bundle.numpy_seed for bundle in seeds(1, 2000)]
    assert len(set(found)) == 2000
    assert max(found) > 2**127
    assert len({value & 2**64 - 1 for value in found}) == 2000


def test_streams_depend_on_the_case() -> None:
    """M16: all cases shared their random numbers."""
    one, other = SeedBundle(42, 1, ids.case_id({"x": 1})), SeedBundle(42, 1, ids.case_id({"x": 2}))
    assert one.derive("noise") != other.derive("noise")
    assert one.seed == ids.case_seed(42, ids.case_id({"x": 1}), 1)
    assert SeedBundle.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_generators() -> None:
    bundle = seeds(42, 2)[1]
    assert bundle.rng("a").random() == bundle.rng("a").random()
    assert bundle.rng("a").random() != bundle.rng("b").random()
    expected = np.random.default_rng(bundle.derive("a")).random()
    assert bundle.numpy("a").random() == expected
    assert bundle.numpy().random() == np.random.default_rng(bundle.numpy_seed).random()
    assert bundle.rng("a").random() != seeds(42, 2)[0].rng("a").random()


def test_negative_seeds_are_others() -> None:
    """M9: -1 and 1 were one seed."""
    assert SeedBundle(-1).derive("x") != SeedBundle(1).derive("x")


def test_preprocessing_has_streams_of_its_own() -> None:
    once = SeedBundle.for_preprocessing(42)
    assert once == SeedBundle.for_preprocessing(42)
    assert once.derive("x") not in {bundle.derive("x") for bundle in seeds(42, 100)}


def test_no_replicate_is_kept_as_none_and_has_the_streams_of_the_first() -> None:
    once = SeedBundle.for_preprocessing(42)
    assert once.replicate_index is None
    assert SeedBundle.from_dict(once.to_dict()).replicate_index is None
    first = SeedBundle(once.root_seed, 0)
    assert (once, hash(once), once.fingerprint()) == (first, hash(first), first.fingerprint())
    assert once.derive("x") == first.derive("x")
    assert once != SeedBundle(once.root_seed, 1)


@pytest.mark.parametrize("one", GOLDEN["seeds"], ids=str)
def test_golden_streams(one: dict[str, Any]) -> None:
    bundle = SeedBundle(one["root_seed"], one["replicate_index"], one["case_id"])
    found = {name: f"{bundle.derive(name):032x}" for name in one["derive"]}
    assert found == one["derive"]
    assert stream_seed(bundle.seed, "noise") == bundle.derive("noise")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: seeds(1.0), "seeds.base"),  # type: ignore[arg-type]
        (lambda: seeds(True), "seeds.base"),
        (lambda: seeds(1, 0), "seeds.replicates"),
        (lambda: SeedBundle(1, -1), "seeds.replicate_index"),
        (lambda: SeedBundle("1"), "seeds.root_seed"),  # type: ignore[arg-type]
        (
            lambda: SeedPlan.from_manifest_dict({"type": "X", "base": 1, "replicates": 1}),
            "seeds.type",
        ),
        (lambda: SeedBundle.from_dict({}), "'root_seed' is missing"),
    ],
)
def test_refused(make: Any, words: str) -> None:
    refused(make, words)
