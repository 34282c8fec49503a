"""Distributions: their ends, their shape at fixed seeds, and their columns."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import pytest

from hpcsweep import ids
from hpcsweep.errors import IdentityError, SourceError
from hpcsweep.sources import (
    Distribution,
    choice,
    constant,
    lognormal,
    loguniform,
    loguniform_int,
    manual,
    normal,
    quniform,
    randint,
    random,
    source_from_manifest_dict,
    truncnormal,
    uniform,
    weighted_choice,
)
from hpcsweep.sources.distributions import distribution
from tests.support.sourcing import refused

LAST_K = 2**53 - 1
N = 20_000

RULES: dict[str, Distribution] = {
    "uniform": uniform(-2.5, 1e3),
    "narrow uniform": uniform(1.0, 1.0 + 2**-52),
    "randint": randint(1, 10),
    "wide randint": randint(-5, 2**40),
    "widest randint": randint(0, 2**53 - 1),
    "huge randint": randint(2**70, 2**70 + 9),
    "choice": choice(["a", 1, 1.0, [2]]),
    "choice of ints": choice([3, 1, 2]),
    "choice of bools": choice([True, False]),
    "loguniform": loguniform(1e-5, 1.0),
    "widest loguniform": loguniform(5e-324, 1.7e308),
    "narrow loguniform": loguniform(1.0, 1.1),
    "loguniform_int": loguniform_int(1, 10),
    "wide loguniform_int": loguniform_int(3, 2**53 - 1),
    "normal": normal(),
    "scaled normal": normal(1e3, 0.25),
    "lognormal": lognormal(-1.0, 2.0),
    "truncnormal": truncnormal(0.0, 1.0, -1.0, 2.0),
    "far truncnormal": truncnormal(0.0, 1.0, 5.0),
    "truncnormal below": truncnormal(3.0, 2.0, None, 4.0),
    "truncnormal in the tail": truncnormal(0.0, 1.0, 30.0, 31.0),
    "quniform": quniform(0.0, 1.0, 0.1),
    "fine quniform": quniform(-1.0, 1e6, 1e-3),
    "weighted_choice": weighted_choice(["a", None, {"k": [1]}], [0.1, 0.2, 0.7]),
    "constant": constant(5),
    "nested constant": constant([1, {"a": 2}]),
}


@pytest.fixture(params=RULES)
def rule(request: pytest.FixtureRequest) -> Distribution:
    return RULES[request.param]


def draws(rule: Distribution, n: int = N, seed: int = 1) -> list[Any]:
    """n draws, by columns, which are those of single reads."""
    found: list[Any] = random({"x": rule}, n, seed).columns()["x"].tolist()
    return found


def chi_square(found: list[Any], probabilities: dict[Any, float]) -> float:
    """How probable a worse fit is."""
    counts = Counter(found)
    assert set(counts) <= set(probabilities)
    expected = {value: share * len(found) for value, share in probabilities.items()}
    distance = sum((counts[value] - count) ** 2 / count for value, count in expected.items())
    degrees = len(expected) - 1
    return float(mpmath.gammainc(degrees / 2, distance / 2, regularized=True))


# --- every distribution -----------------------------------------------------------------------


def some_k() -> list[int]:
    generator = np.random.default_rng(3)
    inside = generator.integers(0, 2**53, 9000).tolist()
    small = (2 ** generator.uniform(0, 53, 500)).astype(int).tolist()
    return [
        0,
        1,
        LAST_K,
        LAST_K - 1,
        2**52,
        2**52 - 1,
        *inside,
        *small,
        *(LAST_K - k for k in small),
    ]


def test_columns_are_bit_identical(rule: Distribution) -> None:
    ks = some_k()
    column = rule.column(np.array(ks, np.uint64))
    expected = [rule.at(k) for k in ks]
    assert column.tolist() == expected
    assert [*map(type, column.tolist())] == [*map(type, expected)]
    kinds = {*map(type, expected)}
    typed = len(kinds) == 1 and kinds < {int, float, bool} and abs(expected[0]) < 2**63
    assert (column.dtype != object) == typed
    assert rule.column(np.array([], np.uint64)).dtype == column.dtype


def test_values_hardly_ever_fall(rule: Distribution) -> None:
    ks = sorted({*some_k(), *range(2**51, 2**51 + 300)})
    values = [rule.at(k) for k in ks]
    if not all(isinstance(value, (int, float)) for value in values) or "Choice" in repr(rule):
        return
    for one, other in pairwise(values):
        assert other >= one - 4 * math.ulp(one)


def test_round_trip(rule: Distribution) -> None:
    described = json.loads(json.dumps(rule.to_manifest_dict()))
    again = distribution(described, "x")
    assert again == rule
    assert [again.at(k) for k in (0, 2**52, LAST_K)] == [rule.at(k) for k in (0, 2**52, LAST_K)]


def test_values_are_fresh(rule: Distribution) -> None:
    value = rule.at(LAST_K)
    before = json.dumps(value)
    columns = rule.column(np.array([LAST_K, LAST_K], np.uint64))
    for one in (value, columns[0]):
        if isinstance(one, list):
            one.append(3)
        elif isinstance(one, dict):
            one["spoilt"] = 1
    assert json.dumps(rule.at(LAST_K)) == before
    assert json.dumps(columns.tolist()[1]) == before


# --- shape ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(1, 10), (1, 2), (7, 7), (90, 110)])
def test_loguniform_int_is_exact_at_the_ends(low: int, high: int) -> None:
    """M6: rounding the exponential gave both ends half of what is theirs."""
    total = math.log((high + 1) / low)
    shares = {i: math.log((i + 1) / i) / total for i in range(low, high + 1)}
    rule = loguniform_int(low, high)
    if low == high:
        assert {*draws(rule, 100)} == {low}
        return
    assert chi_square(draws(rule), shares) > 0.01
    # The first k of which it is not low any more.
    k = round(shares[low] * 2**53)
    assert (rule.at(k - 64), rule.at(k + 64)) == (low, low + 1)
    k = round((1 - shares[high]) * 2**53)
    assert (rule.at(k - 64), rule.at(k + 64)) == (high - 1, high)


def test_discrete_ones_fit() -> None:
    assert chi_square(draws(randint(-2, 2)), dict.fromkeys(range(-2, 3), 0.2)) > 0.01
    assert chi_square(draws(choice(["a", "b", "c"])), dict.fromkeys("abc", 1 / 3)) > 0.01
    tenths = dict.fromkeys([0, 0.1, 0.2, 0.3, 0.4, 0.5], 1 / 6)
    assert chi_square(draws(quniform(0, 0.5, 0.1)), tenths) > 0.01
    weighted = weighted_choice([1, 2, 3], [1, 2, 5])
    assert chi_square(draws(weighted), {1: 1 / 8, 2: 2 / 8, 3: 5 / 8}) > 0.01


@pytest.mark.xdist_group("scipy")
@pytest.mark.parametrize(
    ("rule", "law"),
    [
        (uniform(-1, 3), lambda stats: stats.uniform(-1, 4)),
        (loguniform(1e-5, 10), lambda stats: stats.loguniform(1e-5, 10)),
        (normal(2, 3), lambda stats: stats.norm(2, 3)),
        (lognormal(1, 0.5), lambda stats: stats.lognorm(0.5, scale=math.e)),
        (truncnormal(1, 2, 0, 4), lambda stats: stats.truncnorm(-0.5, 1.5, loc=1, scale=2)),
        (truncnormal(0, 1, 5), lambda stats: stats.truncnorm(5, math.inf)),
    ],
)
def test_continuous_ones_fit(rule: Distribution, law: Callable[[Any], Any]) -> None:
    from scipy import stats  # noqa: PLC0415  # one worker of a test run loads it

    assert stats.kstest(draws(rule), law(stats).cdf).pvalue > 0.01


def test_weights_are_exact() -> None:
    rule = weighted_choice(["a", "b", "c"], [1, 1, 2])
    assert [rule.at(k) for k in (0, 2**51 - 1, 2**51, 2**52 - 1, 2**52, LAST_K)] == list("aabbcc")
    assert weighted_choice(["a", "b"], [1, 2**53 - 1]).at(0) == "a"
    assert weighted_choice(["a", "b"], [1, 2**53 - 1]).at(1) == "b"


# --- ends -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high"), [(10.0, math.nextafter(10, 11)), (1e-300, 1e300), (0.1, 0.3), (5e-324, 1e-323)]
)
def test_loguniform_stays_inside(low: float, high: float) -> None:
    """M7: exp(log(10)) is above 10."""
    rule = loguniform(low, high)
    assert rule.at(0) == low
    assert low <= rule.at(LAST_K) < high
    assert all(low <= rule.at(k) < high for k in some_k()[:200])


def test_loguniform_is_exact_enough() -> None:
    rule = loguniform(1e-300, 1e300)
    with mpmath.workprec(300):
        log = mpmath.log(mpmath.mpf(1e300) / mpmath.mpf(1e-300))
        for k in some_k()[:300]:
            exact = mpmath.mpf(1e-300) * mpmath.exp(log * k / 2**53)
            assert abs(rule.at(k) / exact - 1) < (log + 4) / 2**53


def test_truncnormal_stays_inside() -> None:
    rule = truncnormal(0.0, 1.0, -1.0, math.nextafter(-1.0, 0))
    assert {rule.at(k) for k in (0, 2**52, LAST_K)} == {-1.0}
    above = truncnormal(0.0, 1.0, 5.0)
    assert 5.0 <= above.at(0) < 5.0 + 1e-15
    assert 9 < above.at(LAST_K) < 11


def test_quniform_is_decimal() -> None:
    rule = quniform(0, 1, 0.1)
    values = sorted({rule.at(k) for k in range(0, 2**53, 2**47)})
    assert values == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert quniform(0, 1, 0.3).at(LAST_K) == 0.9
    assert quniform(1, 2, 5).at(LAST_K) == 1.0


# --- constants --------------------------------------------------------------------------------


def test_constants_in_a_random_space() -> None:
    """M10: AttributeError, 'int' object has no attribute 'sample'."""
    source = random({"x": uniform(0, 1), "n": 5, "t": "a", "e": None, "b": True}, 3, 1)
    assert source[1].params == {**source[1].params, "n": 5, "t": "a", "e": None, "b": True}
    described = json.loads(json.dumps(source.to_manifest_dict()))
    assert described["space"]["n"] == {"type": "Constant", "value": 5}
    assert list(source_from_manifest_dict(described)) == list(source)
    assert random({"n": np.int64(5)}, 1, 1)[0].params == {"n": 5}
    without = random({"x": uniform(0, 1)}, 3, 1)
    assert source[2].params["x"] == without[2].params["x"]


def test_repeated_draws_are_cases_of_their_own() -> None:
    """M5: choice may repeat; each index is a case, equal ones have one case id."""
    source = random({"c": choice([1, 2])}, 10, 1)
    assert len(source) == 10
    assert len({case.case_id for case in source}) == 2


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: loguniform(0, 1), "loguniform.low: 0.0 is not above 0"),
        (lambda: loguniform(-1, 1), "is not above 0"),
        (lambda: loguniform(1, 1), "low 1.0 is not below high 1.0"),
        (lambda: loguniform(2, 1), "low 2.0 is not below high 1.0"),
        (lambda: loguniform(1, math.inf), "loguniform.high"),
        (lambda: loguniform_int(0, 5), "loguniform_int.low: 0 is not above 0"),
        (lambda: loguniform_int(5, 4), "low 5 is above high 4"),
        (lambda: loguniform_int(1, 1.5), "loguniform_int.high"),  # type: ignore[arg-type]
        (lambda: loguniform_int(1, 2**53), "could never be drawn"),
        (lambda: normal(0, 0), "normal.std: 0.0 is not above 0"),
        (lambda: normal(math.nan, 1), "normal.mean"),
        (lambda: normal(1.7e308, 1e307), "beyond the largest float"),
        (lambda: lognormal(0, 100), "outside the range of floats"),
        (lambda: truncnormal(0, 1, 2, 1), "low 2.0 is not below high 1.0"),
        (lambda: truncnormal(0, 1, 50, 51), "almost no probability"),
        (lambda: truncnormal(0, -1), "truncnormal.std"),
        (lambda: quniform(0, 1, 0), "quniform.step: 0.0 is not above 0"),
        (lambda: quniform(0, 1, 1e-300), "could never be drawn"),
        (lambda: quniform(1e10, 1e10 + 1, 1e-7), "two values may be the same float"),
        (lambda: quniform(1, 0, 0.1), "low 1.0 is not below"),
        (lambda: weighted_choice([1, 2], [1]), "1 weight for 2 options"),
        (lambda: weighted_choice([1, 2], [1, 0]), "weights[1]: 0.0 is not above 0"),
        (lambda: weighted_choice([1, 2], [1, -1]), "weights[1]"),
        (lambda: weighted_choice([1, 2], [1, 1e-30]), "so small that the option"),
        (lambda: weighted_choice([], []), "the list is empty"),
        (lambda: weighted_choice("ab", [1, 2]), "not a list"),
        (lambda: weighted_choice([1, 2], "ab"), "weighted_choice.weights"),  # type: ignore[arg-type]
    ],
)
def test_refused(make: Callable[[], object], words: str) -> None:
    refused(make, words)


@pytest.mark.parametrize("value", [math.nan, np.float32(1), {"k": {1}}])
def test_constants_need_a_canonical_form(value: Any) -> None:
    with pytest.raises((IdentityError, SourceError)):
        constant(value)
    with pytest.raises((IdentityError, SourceError)):
        random({"x": value}, 1, 1)


def test_the_message_names_the_parameter_and_the_value() -> None:
    described = {"type": "LogUniform", "low": -1, "high": 1}
    refused(lambda: random({"lr": described}, 1, 1), "space.lr", "loguniform.low", "-1.0")
    refused(lambda: random({"lr": [1, 2]}, 1, 1), "space.lr", "[1, 2] is not a distribution")


# --- columns of sources -----------------------------------------------------------------------


def test_columns_of_a_random_source_start_anywhere() -> None:
    source = random({"x": uniform(0, 1), "n": randint(0, 9)}, 2**80, 5)
    for start in (0, 1, 2, 3, 4, 7, 2**64 - 2, 2**66 - 5, 2**80 - 3):
        columns = source.columns(start, min(start + 11, 2**80))
        rows = [source.params(i) for i in range(start, min(start + 11, 2**80))]
        assert {name: column.tolist() for name, column in columns.items()} == {
            name: [row[name] for row in rows] for name in ("n", "x")
        }
    assert [len(column) for column in source.columns(5, 5).values()] == [0, 0]


def test_columns_outside() -> None:
    source = random({"x": uniform(0, 1)}, 5, 5)
    for start, stop in ((-1, 2), (3, 2), (0, 6)):
        with pytest.raises(IndexError, match=r"not inside 0\.\.5"):
            source.columns(start, stop)


def test_columns_need_the_same_parameters() -> None:
    refused(lambda: manual([{"x": 1}, {"y": 1}]).columns(), "has not the parameters")
    columns = manual([{"x": 1}, {"x": 2}]).columns()
    assert columns["x"].dtype == np.int64
    assert manual([{"x": 1}, {"x": 2.5}]).columns()["x"].tolist() == [1, 2.5]


def test_a_case_id_is_that_of_the_params() -> None:
    source = random({"é": choice([2**60, 1.0, True, None, "\n", [1.5]]), "z": normal()}, 200, 1)
    for case in source:
        assert case.case_id == ids.case_id(case.params)
