"""Axes by a rule: decimal-exact, lazy, and found again."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hpcsweep.sources import arange, grid, linspace, logspace, source_from_manifest_dict
from hpcsweep.sources.ranges import Range, from_spec, whole_range
from tests.support.sourcing import refused

EXAMPLES: list[tuple[Range, list[Any]]] = [
    (linspace(0, 1, 11), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]),
    (linspace(1, -1, 5), [1.0, 0.5, 0.0, -0.5, -1.0]),
    (linspace(5, 5, 1), [5.0]),
    (linspace(0.1, 0.7, 3), [0.1, 0.4, 0.7]),
    (arange(0, 1, 0.1), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]),
    (arange(1.0, 0.35, -0.1), [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4]),
    (arange(0, 10, 3), [0, 3, 6, 9]),
    (arange(0, 3.0, 1), [0.0, 1.0, 2.0]),
    (arange(1e-3, 4e-3, 1e-3), [0.001, 0.002, 0.003]),
    (logspace(-3, 1, 5), [0.001, 0.01, 0.1, 1.0, 10.0]),
    (logspace(1, -1, 5), [10.0, 3.1622776601683795, 1.0, 0.31622776601683794, 0.1]),
    (logspace(0, 3, 4, 2), [1.0, 2.0, 4.0, 8.0]),
    (logspace(0, 2, 3, 0.1), [1.0, 0.1, 0.01]),
    (whole_range(3), [0, 1, 2]),
    (whole_range(5, -4, -3), [5, 2, -1]),
    (whole_range(2**70, 2**70 + 4, 2), [2**70, 2**70 + 2]),
]


@pytest.mark.parametrize(("axis", "values"), EXAMPLES, ids=lambda one: str(one)[:30])
def test_values_are_decimal_exact(axis: Range, values: list[Any]) -> None:
    assert json.dumps(list(axis)) == json.dumps(values)
    assert len(axis) == len(values)
    assert axis[-1] == values[-1]
    assert axis[1:3] == values[1:3]
    assert from_spec(json.loads(json.dumps(axis.spec)), "x") == axis


@pytest.mark.parametrize(("axis", "values"), EXAMPLES, ids=lambda one: str(one)[:30])
def test_values_are_found(axis: Range, values: list[Any]) -> None:
    assert [axis.find(value) for value in values] == list(range(len(values)))
    for other in (1234.5, -77, True, "0", None, [0]):
        assert axis.find(other) is None
    if len(values) > 1 and isinstance(values[0], float):
        assert axis.find(values[0] + (values[1] - values[0]) / 7) is None


@pytest.mark.parametrize(("axis", "values"), EXAMPLES, ids=lambda one: str(one)[:30])
def test_a_grid_of_a_rule_is_that_of_the_list(axis: Range, values: list[Any]) -> None:
    lazy, listed = grid(x=axis, y=[1, 2]), grid(x=values, y=[1, 2])
    assert list(lazy) == list(listed)
    for case in lazy:
        assert lazy.find(case.params) == case.index
    for name in ("x", "y"):
        ours, theirs = lazy.columns(1)[name], listed.columns(1)[name]
        assert json.dumps(ours.tolist()) == json.dumps(theirs.tolist())
        assert ours.dtype == theirs.dtype


def test_manifest_form() -> None:
    spec = {"x": {"linspace": [0, 1, 11]}, "n": {"range": [0, 10, 5]}, "y": {"logspace": [0, 1, 2]}}
    source = source_from_manifest_dict({"type": "GridSource", "spec": spec})
    assert source.to_manifest_dict()["spec"] == spec
    assert source.n_cases == 44
    assert source[3].params == {"n": 0, "x": 0.1, "y": 10.0}
    assert source.params(3)["x"] == 0.1


def test_long_ranges_are_lazy() -> None:
    tracemalloc.start()
    try:
        source = grid(x=range(10**18), y=linspace(0, 1, 10**12 + 1), z=arange(0, 1e9, 1e-3))
        assert source.n_cases == 10**18 * (10**12 + 1) * 10**12
        case = source[source.n_cases // 3]
        assert source.find(case.params) == case.index
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert source.to_manifest_dict()["spec"]["x"] == {"range": [0, 10**18, 1]}


def test_columns_of_long_ranges() -> None:
    for axis in (
        linspace(0, 1, 10**12 + 1),
        arange(0, 1e9, 1e-3),
        linspace(0.1, 0.7, 10**9 + 7),
        logspace(-5, 5, 10**6),
        whole_range(2**63 - 3, 2**63 + 5),
    ):
        source = grid(x=axis)
        start = len(axis) // 3
        column = source.columns(start, min(start + 50, len(axis)))["x"]
        expected = [axis[i] for i in range(start, min(start + 50, len(axis)))]
        assert column.tolist() == expected
        assert [*map(type, column.tolist())] == [*map(type, expected)]


def test_logspace_is_correctly_rounded() -> None:
    import mpmath  # noqa: PLC0415

    axis = logspace(-300, 300, 1001)
    with mpmath.workprec(400):
        for i in (1, 333, 500, 999):
            exponent = mpmath.mpf(-300) + mpmath.mpf(600) * i / 1000
            assert axis[i] == float(mpmath.mpf(10) ** exponent)


def test_they_agree_with_numpy_up_to_rounding() -> None:
    assert np.allclose(list(linspace(-2, 3, 17)), np.linspace(-2, 3, 17), rtol=1e-15)
    assert np.allclose(list(logspace(-2, 3, 17)), np.logspace(-2, 3, 17), rtol=1e-14)
    assert np.allclose(list(arange(0, 7, 0.25)), np.arange(0, 7, 0.25), rtol=1e-15)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: linspace(0, 1, 0), "linspace[2]"),
        (lambda: linspace(0, 1, 2.0), "linspace[2]"),  # type: ignore[arg-type]
        (lambda: linspace(0, 0, 2), "start and stop are both 0"),
        (lambda: linspace("0", 1, 2), "linspace[0]: '0' is not a number"),  # type: ignore[arg-type]
        (lambda: linspace(0, float("inf"), 2), "linspace[1]"),
        (lambda: linspace(1, 1 + 1e-15, 100), "may be the same float"),
        (lambda: arange(0, 1, 0), "give no value"),
        (lambda: arange(0, 1, -0.1), "give no value"),
        (lambda: arange(1, 1, 0.1), "give no value"),
        (lambda: arange(0, 10**300, 1), "too many"),
        (lambda: logspace(0, 400, 5), "outside the range of floats"),
        (lambda: logspace(0, 1, 5, 1), "1 cannot be the base"),
        (lambda: logspace(0, 1, 5, -2), "-2 cannot be the base"),
        (lambda: logspace(0, 1e-12, 10**5), "too close"),
        (lambda: whole_range(0), "the range is empty"),
        (lambda: whole_range(0, 5, 0), "must not be zero"),
        (lambda: whole_range(0, 5.0), "range[1]"),  # type: ignore[arg-type]
        (whole_range, "range"),
        (
            lambda: grid(x={"linspace": [0, 1]}),
            "grid.x.linspace: [0, 1] does not fit linspace",
        ),
        (lambda: grid(x={"linspce": [0, 1, 2]}), "Did you mean 'linspace'?"),
        (lambda: grid(x={"linspace": [0, 1, 2], "range": [3]}), "is a dict"),
        (lambda: grid(x={}), "is a dict"),
        (lambda: grid(x={"range": 3}), "grid.x.range"),
        (lambda: grid(x={"range": ["a"]}), "grid.x.range[0]"),
    ],
)
def test_refused(make: Callable[[], object], words: str) -> None:
    refused(make, words)
