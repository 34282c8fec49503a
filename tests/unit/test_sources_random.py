"""Random sources, their generator, and the plain distributions."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hpcsweep.sources import (
    Choice,
    RandInt,
    RandomSource,
    Uniform,
    choice,
    randint,
    random,
    uniform,
)
from hpcsweep.sources.distributions import distribution
from hpcsweep.sources.numeric.philox import block, schedule
from hpcsweep.sources.random_source import stream_key
from hpcsweep.sources.registry import DISTRIBUTIONS
from tests.support.sourcing import GOLDEN, refused

LAST_K = 2**53 - 1


# --- random ------------------------------------------------------------------------------------


def words_of(*values: str) -> int:
    """Words of 64 bits in hexadecimal, the lowest first."""
    return sum(int(value, 16) << 64 * place for place, value in enumerate(values))


# The known-answer vectors of Random123 for philox4x64-10: counter, key, result.
KNOWN_ANSWERS = [
    (
        words_of("0", "0", "0", "0"),
        words_of("0", "0"),
        ("16554d9eca36314c", "db20fe9d672d0fdc", "d7e772cee186176b", "7e68b68aec7ba23b"),
    ),
    (
        2**256 - 1,
        2**128 - 1,
        ("87b092c3013fe90b", "438c3c67be8d0224", "9cc7d7c69cd777b6", "a09caebf594f0ba0"),
    ),
    (
        words_of("243f6a8885a308d3", "13198a2e03707344", "a4093822299f31d0", "082efa98ec4e6c89"),
        words_of("452821e638d01377", "be5466cf34e90c6c"),
        ("a528f45403e61d95", "38c72dbd566e9788", "a5a1610e72fd18b5", "57bd43b5e52b7fe6"),
    ),
]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN_ANSWERS)
def test_known_answers_of_philox(counter: int, key: int, result: tuple[str, ...]) -> None:
    assert block(counter, schedule(key)) == tuple(int(value, 16) for value in result)


@pytest.mark.parametrize("one", GOLDEN["distributions"])
def test_golden_draws(one: dict[str, Any]) -> None:
    source = random({one["name"]: one["distribution"]}, len(one["values"]), one["seed"])
    found = [case.params[one["name"]] for case in source]
    assert json.dumps(found) == json.dumps(one["values"])


def test_golden_draws_cover_every_distribution() -> None:
    found = {one["distribution"]["type"] for one in GOLDEN["distributions"]}
    # A custom one computes as it likes.
    assert found == set(DISTRIBUTIONS) - {"CustomDistribution"}


def test_random_source() -> None:
    source = random({"x": uniform(0, 1), "n": randint(1, 3)}, n_trials=3, seed=42)
    assert source[2].tags == ("trial_2",)
    assert list(source[0].params) == ["n", "x"]
    assert not source.can_find
    assert source.to_manifest_dict() == {
        "type": "RandomSource",
        "space": {
            "n": {"type": "RandInt", "low": 1, "high": 3},
            "x": {"type": "Uniform", "low": 0.0, "high": 1.0},
        },
        "n_trials": 3,
        "seed": 42,
        "total_cases": 3,
    }
    far = random({"x": uniform(0, 1)}, 10**30, 42)
    assert far[10**30 - 1].params != far[10**30 - 2].params


def test_seeds_and_names_make_streams_of_their_own() -> None:
    names = ["x", "y", "1", "-1", "2\nx", "é"]
    seeds = [0, 1, -1, 2, 12, 2**64, -(2**64), 2**20000]
    assert len({stream_key(seed, name) for seed in seeds for name in names}) == 48


@pytest.mark.parametrize(
    ("space", "n_trials", "seed", "words"),
    [
        ({}, 1, 1, "space"),
        (None, 1, 1, "space"),
        ([("x", 1)], 1, 1, "space"),
        ({"x": [1, 2]}, 1, 1, "space.x"),
        ({"x": Uniform}, 1, 1, "space.x"),
        ({"x": uniform(0, 1)}, 0, 1, "n_trials"),
        ({"x": uniform(0, 1)}, -1, 1, "n_trials"),
        ({"x": uniform(0, 1)}, 1.0, 1, "n_trials"),
        ({"x": uniform(0, 1)}, True, 1, "n_trials"),
        ({"x": uniform(0, 1)}, 1, True, "seed"),
        ({"x": uniform(0, 1)}, 1, 1.0, "seed"),
        ({"x": uniform(0, 1)}, 1, None, "seed"),
        ({"x": uniform(0, 1)}, 1, "1", "seed"),
        ({"x": uniform(0, 1)}, 1, math.nan, "seed"),
    ],
)
def test_refused_random_sources(space: Any, n_trials: Any, seed: Any, words: str) -> None:
    refused(lambda: RandomSource(space, n_trials, seed), words)


# --- distributions -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bounds",
    [(0.0, 1.0), (-1.0, 0.0), (1.0, math.nextafter(1, 2)), (0.1, 0.7), (-8.9e307, 8.9e307), (1, 2)],
)
def test_uniform_includes_low_and_never_high(bounds: tuple[float, float]) -> None:
    low, high = bounds
    rule = uniform(low, high)
    assert rule.at(0) == low
    assert low <= rule.at(LAST_K) < high
    assert {type(rule.at(k)) for k in (0, 1, LAST_K)} == {float}


def test_uniform_steps_back_from_high() -> None:
    rule = Uniform(1.0, 1.0 + 2**-52)  # no float between: half of all draws round to high
    assert {rule.at(k) for k in range(0, 2**53, 2**49)} == {1.0}


def test_randint_reaches_both_ends() -> None:
    rule = randint(-2, 2)
    assert rule.at(0) == -2
    assert rule.at(LAST_K) == 2
    assert [rule.at(k) for k in range(0, 2**53, 2**53 // 5)][:5] == [-2, -2, -1, 0, 1]
    assert {randint(3, 3).at(k) for k in (0, LAST_K)} == {3}
    wide = randint(-(2**52), 2**52 - 1)
    assert [wide.at(k) for k in (0, 1, LAST_K)] == [-(2**52), 1 - 2**52, 2**52 - 1]
    far = randint(10**40, 10**40 + 1)
    assert far.at(LAST_K) == 10**40 + 1


def test_choice() -> None:
    rule = choice(["a", "b", "a"])
    assert [rule.at(k) for k in (0, 2**53 // 2, LAST_K)] == ["a", "b", "a"]
    inner = choice([[1]])
    inner.at(0).append(2)
    assert inner.at(0) == [1]
    assert Choice((np.int64(1), (2,))).options == (1, [2])


def test_distributions_are_values() -> None:
    assert Uniform(0, 1) == uniform(np.float64(0), np.int64(1))  # type: ignore[arg-type]
    assert hash(RandInt(1, 2)) == hash(randint(1, 2))
    with pytest.raises(AttributeError):
        Uniform(0, 1).low = 5  # type: ignore[misc]
    for rule in (uniform(-1, 2.5), randint(0, 9), choice([1, 1.0, "a", None, [1]])):
        described = json.loads(json.dumps(rule.to_manifest_dict()))
        assert distribution(described, "space.x") == rule
        assert distribution(rule, "space.x") is rule


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: uniform(1, 1), "low 1.0 is not below high 1.0"),
        (lambda: uniform(2, 1), "low 2.0 is not below high 1.0"),
        (lambda: uniform(math.nan, 1), "uniform.low"),
        (lambda: uniform(0, math.inf), "uniform.high"),
        (lambda: uniform(-1.7e308, 1.7e308), "beyond the largest float"),
        (lambda: uniform(True, 2), "uniform.low"),
        (lambda: uniform("0", 1), "uniform.low"),  # type: ignore[arg-type]
        (lambda: uniform(0, None), "uniform.high"),  # type: ignore[arg-type]
        (lambda: uniform(2**53 + 1, 1e30), "9007199254740993 is not exactly a float"),
        (lambda: uniform(0, 10**400), "not exactly a float"),
        (lambda: uniform(0, np.float32(1)), "uniform.high"),  # type: ignore[arg-type]
        (lambda: randint(2, 1), "low 2 is above high 1"),
        (lambda: randint(0, 1.0), "randint.high"),  # type: ignore[arg-type]
        (lambda: randint(False, 1), "randint.low"),
        (lambda: randint(0, 2**53), "more than 2**53 integers"),
        (lambda: choice([]), "the list is empty"),
        (lambda: choice("abc"), "not a list"),
        (lambda: choice({1: 2}), "not a list"),  # type: ignore[arg-type]
        (lambda: choice(None), "not a list"),  # type: ignore[arg-type]
    ],
)
def test_refused_distributions(make: Callable[[], object], words: str) -> None:
    refused(make, words)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"type": "Lognormal", "low": 1, "high": 2}, "Known types: Uniform, RandInt, Choice"),
        ({"low": 1, "high": 2}, "unknown type of distribution None"),
        ({"type": ["Uniform"]}, "unknown type"),
        ({"type": "Uniform", "low": 0}, "the key 'high' is missing"),
        ({"type": "Uniform", "low": 0, "hihg": 1}, "Did you mean 'high'?"),
        ({"type": "Uniform", "low": 1, "high": 0}, "space.x: uniform"),
        ({"type": "Choice", "options": []}, "space.x: choice.options"),
    ],
)
def test_refused_distribution_dicts(value: Any, words: str) -> None:
    refused(lambda: random({"x": value}, 1, 1), "space.x", words)
