"""Designs: even, reproducible, any point on its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hpcsweep.sources import (
    choice,
    constant,
    design,
    loguniform,
    normal,
    randint,
    source_from_manifest_dict,
    uniform,
)
from hpcsweep.sources.designs import Halton, LatinHypercube, Sobol
from hpcsweep.sources.numeric.sobol_numbers import POLYNOMIALS
from tests.support.sourcing import GOLDEN, refused

METHODS = ("sobol", "halton", "latin_hypercube")
# One worker of a test run loads scipy, which takes more than a second.
WITH_SCIPY = pytest.mark.xdist_group("scipy")


@pytest.fixture
def qmc() -> Any:
    """The designs of scipy."""
    from scipy.stats import qmc as found  # noqa: PLC0415

    return found


def cube(dimensions: int) -> dict[str, Any]:
    return {f"p{i:02}": uniform(0, 1) for i in range(dimensions)}


def points(method: str, dimensions: int, count: int, seed: int) -> np.ndarray[Any, Any]:
    source = design(method, cube(dimensions), count, seed)
    return np.column_stack([*source.columns().values()])


@WITH_SCIPY
@pytest.mark.parametrize("dimensions", [2, 5, 10])
@pytest.mark.parametrize("method", METHODS)
def test_as_even_as_those_of_scipy(qmc: Any, method: str, dimensions: int) -> None:
    peers: dict[str, Callable[[int], Any]] = {
        "sobol": lambda seed: qmc.Sobol(dimensions, rng=seed).random(256),
        "halton": lambda seed: qmc.Halton(dimensions, rng=seed).random(256),
        "latin_hypercube": lambda seed: qmc.LatinHypercube(dimensions, rng=seed).random(256),
    }
    ours = [qmc.discrepancy(points(method, dimensions, 256, seed)) for seed in range(8)]
    theirs = [qmc.discrepancy(peers[method](seed)) for seed in range(8)]
    chance = [
        qmc.discrepancy(np.random.default_rng(seed).random((256, dimensions))) for seed in range(8)
    ]
    assert np.mean(ours) < 1.25 * np.mean(theirs)
    assert np.mean(ours) < 0.9 * np.mean(chance)


@WITH_SCIPY
def test_sobol_without_scramble_is_that_of_scipy(qmc: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpcsweep.sources.designs._scrambled", lambda numbers, _: numbers)
    monkeypatch.setattr("hpcsweep.sources.designs._Bits.below", lambda *_: 0)
    ours = Sobol(64, 1024, 1)
    theirs = qmc.Sobol(64, scramble=False).random(1024)
    assert [[k * 2.0**-53 for k in ours.point(i)] for i in range(1024)] == theirs.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_sobol_is_a_net_in_every_dimension(seed: int) -> None:
    found = points("sobol", 64, 256, seed)
    for m in range(9):
        cells = np.sort(np.floor(found[: 2**m] * 2**m), axis=0)
        assert (cells == np.arange(2**m)[:, None]).all()


def test_the_first_dimensions_of_sobol_are_a_net_together() -> None:
    found = points("sobol", 2, 256, 9)
    for bits in range(9):
        cells = {(int(x * 2**bits), int(y * 2 ** (8 - bits))) for x, y in found}
        assert len(cells) == 256


def test_halton_is_even_in_every_base() -> None:
    found = points("halton", 6, 2 * 3 * 5 * 7 * 11, 4)
    for column, base in zip(found.T, (2, 3, 5, 7, 11, 13), strict=True):
        block = column[: base * base]
        assert sorted(np.floor(block * base * base)) == list(range(base * base))


def test_a_latin_hypercube_has_one_point_in_each_slice() -> None:
    for count in (1, 2, 7, 100, 257):
        found = points("latin_hypercube", 3, count, 4)
        for column in found.T:
            assert sorted(np.floor(column * count)) == list(range(count))


@pytest.mark.parametrize("method", METHODS)
def test_a_single_point_needs_no_others(method: str) -> None:
    space = {"x": normal(), "y": loguniform(1e-3, 1), "c": choice(["a", "b"]), "n": randint(0, 9)}
    source = design(method, space, 2**50, 3)
    last = source[-1]
    assert last.tags == (f"trial_{2**50 - 1}",)
    assert 1e-3 <= last.params["y"] < 1
    again = source_from_manifest_dict(json.loads(json.dumps(source.to_manifest_dict())))
    assert again[2**49 + 1] == source[2**49 + 1]
    assert design(method, space, 2**50, 4)[5].params != source[5].params


@pytest.mark.parametrize("method", METHODS)
def test_constants_take_no_dimension(method: str) -> None:
    with_constants = {"a": constant([1]), **cube(2), "z": "text"}
    source, other = design(method, with_constants, 8, 1), design(method, cube(2), 8, 1)
    for one, two in zip(source, other, strict=True):
        assert one.params == {"a": [1], **two.params, "z": "text"}


@pytest.mark.parametrize(
    "one", GOLDEN["designs"], ids=lambda one: f"{one['method']} {one['n_trials']}"
)
def test_golden_points(one: dict[str, Any]) -> None:
    source = design(one["method"], one["space"], one["n_trials"], one["seed"])
    found = [source.params(index) for index in one["indices"]]
    assert json.dumps(found) == json.dumps(one["values"])


def test_golden_points_cover_every_method() -> None:
    assert {one["method"] for one in GOLDEN["designs"]} == set(METHODS)


def test_the_table_of_polynomials() -> None:
    assert len(POLYNOMIALS) == Sobol.most_dimensions - 1 == 63
    for polynomial, numbers in POLYNOMIALS:
        assert len(numbers) == polynomial.bit_length() - 1
        assert all(number & 1 and number < 2 ** (i + 1) for i, number in enumerate(numbers))


def test_64_dimensions_of_halton() -> None:
    assert len(Halton(64, 10, 1).point(3)) == 64
    assert len(LatinHypercube(1000, 10, 1).point(3)) == 1000


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: design("sobl", cube(1), 4, 1), "Did you mean 'sobol'?"),
        (lambda: design(None, cube(1), 4, 1), "unknown method None"),  # type: ignore[arg-type]
        (lambda: design("sobol", cube(65), 4, 1), "65 parameters; the method sobol has 64"),
        (lambda: design("halton", cube(1), 2**53 + 1, 1), "points; the method halton"),
        (lambda: design("sobol", {}, 4, 1), "space"),
        (lambda: design("sobol", cube(1), 0, 1), "n_trials"),
        (lambda: design("sobol", cube(1), 4, 1.5), "seed"),  # type: ignore[arg-type]
        (lambda: design("sobol", {"seed": uniform(0, 1)}, 4, 1), "'seed'"),
        (lambda: source_from_manifest_dict({"type": "DesignSource"}), "'method' is missing"),
    ],
)
def test_refused(make: Callable[[], object], words: str) -> None:
    refused(make, words)
