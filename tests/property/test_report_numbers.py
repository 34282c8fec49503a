"""The numbers of a report's pages, against formulas that are written another way."""

from __future__ import annotations

import math
from collections import defaultdict
from itertools import pairwise, product
from statistics import fmean, pvariance

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep.report.case_table import CaseColumn
from hpcsweep.report.failure_rates import wilson
from hpcsweep.report.gantt import Spans, busy_nodes, lanes
from hpcsweep.report.levels import LEVELS_MAX, Levels, levels_of, param_of
from hpcsweep.report.main_effects import bootstrap_interval, main_effect
from hpcsweep.report.run_curves import step_curve
from hpcsweep.report.variance_shares import grid_of, variance_share

MODERATE = st.floats(-1e6, 1e6, allow_subnormal=False)
MOMENTS = st.integers(0, 50).map(float)


@st.composite
def grids(draw: st.DrawFn) -> tuple[list[int], list[tuple[int, ...]], list[float]]:
    """The sizes of a grid, its points, and a metric at each."""
    sizes = draw(st.lists(st.integers(2, 4), min_size=1, max_size=3))
    points = list(product(*map(range, sizes)))
    metric = draw(st.lists(MODERATE, min_size=len(points), max_size=len(points)))
    return sizes, points, metric


@given(grids(), st.integers(1, 3))
def test_shares_on_a_grid_are_the_variance_of_means_over_that_of_all_cases(
    grid: tuple[list[int], list[tuple[int, ...]], list[float]], replicates: int
) -> None:
    sizes, points, metric = grid
    repeated = points * replicates
    values = metric * replicates  # of replicates that are the same, nothing is chance
    columns = [
        CaseColumn(name=f"p{at}", role="param", values=np.array([p[at] for p in repeated], float))
        for at in range(len(sizes))
    ]
    everywhere = np.arange(len(repeated))
    params = [param for column in columns if (param := param_of(column, everywhere))]
    found = grid_of(params)
    assert found is not None
    assert (found.present, found.possible) == (len(points), len(points))
    total = pvariance(values)
    for at, param in enumerate(params):
        share = variance_share(param.codes, np.array(values), found)
        if total < 1e-6:
            continue
        groups = defaultdict(list)
        for point, value in zip(repeated, values, strict=True):
            groups[point[at]].append(value)
        expected = pvariance([fmean(group) for group in groups.values()]) / total
        assert share == pytest.approx(expected, abs=1e-6)


@given(st.lists(st.tuples(st.integers(0, 3), MODERATE), min_size=6, max_size=60))
def test_shares_elsewhere_are_epsilon_squared(cases: list[tuple[int, float]]) -> None:
    _, codes = np.unique([code for code, _ in cases], return_inverse=True)
    values = [value for _, value in cases]
    n, k = len(values), len(set(codes.tolist()))
    share = variance_share(codes, np.array(values), None)
    if pvariance(values) < 1e-6:
        return
    groups = [[v for c, v in zip(codes, values, strict=True) if c == code] for code in range(k)]
    unexplained = sum(pvariance(group) * len(group) for group in groups) / pvariance(values) / n
    expected = 1 - unexplained * (n - 1) / (n - k)
    assert share == pytest.approx(min(1.0, max(0.0, expected)), abs=1e-6)


def test_a_share_is_not_biased_by_the_count_of_levels() -> None:
    generator = np.random.default_rng(7)
    shares = []
    for _ in range(200):
        codes = generator.integers(0, 10, 60)
        _, codes = np.unique(codes, return_inverse=True)
        noise = generator.normal(size=60)
        shares.append(variance_share(codes, noise, None))
    # The plain share of pure noise would be (k - 1) / (n - 1) = 0.15; below zero it is cut.
    assert fmean(share or 0.0 for share in shares) < 0.06


@given(st.lists(st.tuples(st.integers(0, 4), MODERATE), min_size=1, max_size=60))
def test_main_effects_are_means_inside_their_intervals(cases: list[tuple[int, float]]) -> None:
    codes = np.array([code for code, _ in cases])
    levels = Levels(param="p", codes=codes, labels=list("abcde"), places=[None] * 5)
    groups = defaultdict(list)
    for code, value in cases:
        groups[code].append(value)
    means = main_effect(levels, np.array([value for _, value in cases]))
    assert [one.level for one in means] == sorted(groups)
    for one in means:
        group = groups[one.level]
        assert one.cases == len(group)
        assert one.mean == pytest.approx(fmean(group), abs=1e-6)
        assert (one.low is None) == (len(group) == 1)
        if one.low is not None and one.high is not None:
            slack = 1e-9 * (1 + max(map(abs, group)))
            assert min(group) - slack <= one.low <= one.high <= max(group) + slack


@pytest.mark.parametrize("n", [40, 200, 20_000])
def test_a_bootstrap_interval_is_as_wide_as_theory_says(n: int) -> None:
    values = np.random.default_rng(n).normal(3.0, 2.0, n)
    low, high = bootstrap_interval(values)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / math.sqrt(n), rel=0.12)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.1 * (high - low))
    assert bootstrap_interval(values) == (low, high)


@given(st.integers(0, 400), st.integers(1, 400))
def test_the_bounds_of_wilson_are_where_the_rate_is_just_believable(count: int, more: int) -> None:
    of = max(count, more)
    for bound in wilson(count, of):
        squared = 1.959963984540054**2 * bound * (1 - bound) / of
        assert (count / of - bound) ** 2 == pytest.approx(squared, rel=1e-6, abs=1e-15)


@given(st.lists(st.tuples(MOMENTS, st.integers(0, 9)), max_size=40), st.integers(0, 3))
def test_a_curve_counts_what_is_open(intervals: list[tuple[float, int]], endless: int) -> None:
    pairs = [(start, start + length) for start, length in intervals]
    pairs += [(10.0, math.inf)] * endless
    starts, ends = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    curve = step_curve(starts, ends)
    steps = dict(zip(curve.times, curve.values, strict=True))
    value = 0
    for moment in sorted({*starts, *ends[np.isfinite(ends)]}):
        value = steps.get(float(moment), value)
        assert value == sum(a <= moment < b for a, b in pairs)
    assert curve.peak == max(curve.values, default=0)
    few = step_curve(starts, ends, steps=4)
    assert few.peak == curve.peak
    assert few.peak in few.values or not few.values
    assert len(few.times) <= 5


SPANS = st.lists(st.tuples(MOMENTS, st.integers(1, 9), st.integers(0, 2)), min_size=1, max_size=40)


def spans_of(rows: list[tuple[float, int, int]]) -> Spans:
    start = np.array([row[0] for row in rows])
    end = start + np.array([row[1] for row in rows], float)
    host = np.array([row[2] for row in rows])
    return Spans(start=start, end=end, host=host, task=np.arange(len(rows)) // 3)


@given(SPANS)
def test_lanes_do_not_overlap_and_are_as_few_as_ran_at_once(
    rows: list[tuple[float, int, int]],
) -> None:
    spans = spans_of(rows)
    lane = lanes(spans)
    assert lane is not None
    for host in set(spans.host.tolist()):
        here = spans.host == host
        start, end, own = spans.start[here], spans.end[here], lane[here]
        for one in range(len(own)):
            others = (own == own[one]) & (start < end[one]) & (end > start[one])
            others[one] = False
            assert not others.any()
        assert own.max() + 1 == max(1, step_curve(start, end).peak)


@given(SPANS)
def test_busy_nodes_keep_all_seconds(rows: list[tuple[float, int, int]]) -> None:
    spans = spans_of(rows)
    busy = busy_nodes(spans, ["a", "b", "c"])
    for name, means in zip(busy["nodes"], busy["running"], strict=True):
        here = spans.host == "abc".index(name)
        seconds = float((spans.end - spans.start)[here].sum())
        assert sum(means) * busy["step"] == pytest.approx(seconds, abs=0.2)


@given(st.lists(st.one_of(MODERATE, st.just(math.nan)), min_size=2, max_size=300))
def test_each_case_is_at_one_level(values: list[float]) -> None:
    column = CaseColumn(name="p", role="param", values=np.array(values))
    param = param_of(column, np.arange(len(values)))
    if param is None:
        assert len({value for value in values if value == value}) <= 1  # noqa: PLR0124
        return
    levels = levels_of(param, is_gridded=False)
    assert set(levels.codes.tolist()) == set(range(levels.count))
    assert levels.count <= LEVELS_MAX + 1
    places = [place for place in levels.places if place is not None]
    assert places == sorted(places)
    by_level = [np.array(values)[levels.codes == level] for level in range(len(places))]
    assert all(a.max() <= b.min() for a, b in pairwise(by_level))
