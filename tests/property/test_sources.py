"""Parameter sources, for arbitrary spaces."""

from __future__ import annotations

import json
import math
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from hpcsweep import ids, yamltext
from hpcsweep.logbook.yamlwrite import params_yaml
from hpcsweep.sources import (
    RESERVED_NAMES,
    GridSource,
    ParameterSource,
    choice,
    constant,
    grid,
    linspace,
    lognormal,
    loguniform,
    loguniform_int,
    manual,
    normal,
    randint,
    random,
    source_from_manifest_dict,
    truncnormal,
    uniform,
    weighted_choice,
)
from hpcsweep.sources.distributions import Distribution
from hpcsweep.sources.numeric.permutation import Permutation
from hpcsweep.sources.numeric.philox import schedule, word

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5).filter(
    lambda name: name not in RESERVED_NAMES
)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers() | floats | st.text("ab", max_size=3)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=5,
)
axes = st.dictionaries(
    names, st.lists(values, min_size=1, max_size=4, unique_by=ids.canonical), max_size=4
)
grids = axes.map(GridSource.from_axes)
manuals = st.lists(
    st.dictionaries(names, values, max_size=4), min_size=1, max_size=5, unique_by=ids.canonical
).map(manual)


@st.composite
def uniforms(draw: st.DrawFn) -> Distribution:
    low, high = draw(floats), draw(floats)
    assume(low < high and math.isfinite(high - low))
    return uniform(low, high)


@st.composite
def randints(draw: st.DrawFn) -> Distribution:
    low = draw(st.integers())
    return randint(low, low + draw(st.integers(0, 2**53 - 1)))


positive = st.floats(5e-324, 1.7e308)
bounds = st.tuples(positive, positive).filter(lambda pair: pair[0] < pair[1])
whole_bounds = st.tuples(st.integers(1, 2**53 - 1), st.integers(1, 2**53 - 1)).map(sorted)
means = st.floats(-1e6, 1e6)
weights = st.lists(st.integers(1, 100), min_size=1, max_size=4)
distributions = (
    uniforms()
    | randints()
    | st.lists(values, min_size=1, max_size=4).map(choice)
    | bounds.map(lambda pair: loguniform(*pair))
    | whole_bounds.map(lambda pair: loguniform_int(*pair))
    | st.builds(normal, means, st.floats(1e-6, 1e6))
    | st.builds(lognormal, st.floats(-100, 100), st.floats(1e-3, 10))
    | st.builds(
        lambda m, s, a: truncnormal(m, s, m - a * s, m + s),
        means,
        st.floats(0.5, 9),
        st.floats(0, 9),
    )
    | weights.map(lambda found: weighted_choice(list(range(len(found))), found))
    | values.map(constant)
)
spaces = st.dictionaries(names, distributions, min_size=1, max_size=4)
randoms = st.builds(random, spaces, st.integers(1, 12), st.integers())
plain_sources = grids | manuals | randoms


def renamed(source: ParameterSource, mark: str) -> ParameterSource:
    """The same cases with other names: explicit, so that any two can be multiplied."""
    return manual(
        [{f"{mark}{k}": v for k, v in c.params.items()} | {mark: c.index} for c in source]
    )


@st.composite
def composed(draw: st.DrawFn) -> ParameterSource:
    inner: ParameterSource = draw(plain_sources)
    for step in draw(st.lists(st.sampled_from("*+:<s"), max_size=3)):
        if step == "*":
            inner = renamed(inner, "a") * renamed(draw(manuals), "b")
        elif step == "+":
            inner += draw(plain_sources)
        elif step == ":":
            inner = inner[draw(st.slices(inner.n_cases))] or inner
        elif step == "<" and inner:
            inner = inner.take(draw(st.sets(st.integers(0, inner.n_cases - 1), min_size=1)))
        else:
            inner = inner.shuffle(draw(st.integers()))
        inner = inner if inner.n_cases < 200 else inner[:200]
    return inner


sources = st.builds(ParameterSource.repeat, plain_sources | composed(), st.integers(1, 3))


@given(sources)
def test_access_is_iteration(source: ParameterSource) -> None:
    cases = list(source)
    assert [source[index] for index in range(source.n_cases)] == cases
    assert [case.case_id for case in cases] == [
        ids.case_id(case.params, case.replicate) for case in cases
    ]


@given(sources)
def test_json_round_trip(source: ParameterSource) -> None:
    described = json.loads(json.dumps(source.to_manifest_dict()))
    again = source_from_manifest_dict(described)
    assert json.dumps([case.params for case in again]) == json.dumps(
        [case.params for case in source]
    )
    assert list(again) == list(source)


@given(sources)
def test_yaml_and_json_manifests_give_the_same_cases(source: ParameterSource) -> None:
    described = source.to_manifest_dict()
    written = {"source": described}
    for document in (
        yamltext.document(params_yaml(written).decode(), "m.yaml"),
        yamltext.json_document(json.dumps(written), "m.json"),
    ):
        again = source_from_manifest_dict(document.value["source"])
        assert list(again) == list(source)
        assert json.dumps(again.to_manifest_dict()) == json.dumps(described)


@given(sources, st.data())
def test_slices_are_those_of_a_list(source: ParameterSource, data: st.DataObject) -> None:
    wanted = data.draw(st.slices(source.n_cases))
    cases = [(case.case_id, case.replicate) for case in source]
    assert [(case.case_id, case.replicate) for case in source[wanted]] == cases[wanted]


@given(sources)
def test_columns_are_single_reads(source: ParameterSource) -> None:
    rows = [case.params for case in source]
    assume(all(row.keys() == source.names for row in rows))
    columns = source.columns()
    assert columns.keys() == source.names
    for name, column in columns.items():
        assert json.dumps(column.tolist()) == json.dumps([row[name] for row in rows])


@given(sources)
def test_find_gives_the_first(source: ParameterSource) -> None:
    first: dict[str, int] = {}
    for case in source:
        index = first.setdefault(case.case_id, case.index)
        assert source.find(case.params, case.replicate) == index
        assert case.index in source.find_all(case.params, case.replicate)


@given(sources)
def test_frozen_and_read_again(source: ParameterSource) -> None:
    with tempfile.TemporaryDirectory() as name:
        source.write_frozen(Path(name))
        described = json.loads(json.dumps(source.to_frozen_dict()))
        assert list(source_from_manifest_dict(described, Path(name))) == list(source)


@given(st.integers(1, 300) | st.integers(1, 2**3000), st.binary(max_size=64), st.data())
def test_a_permutation_is_a_bijection(count: int, key: bytes, data: st.DataObject) -> None:
    permutation = Permutation(count, key)
    index = data.draw(st.integers(0, count - 1))
    assert 0 <= permutation.at(index) < count
    assert permutation.index_of(permutation.at(index)) == index
    if count <= 300:
        assert {permutation.at(i) for i in range(count)} == {*range(count)}


steps = st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-99, max_value=99)


@given(steps, steps, st.integers(1, 60))
def test_ranges_are_decimal(start: Decimal, step: Decimal, count: int) -> None:
    assume(step != 0)
    axis = linspace(float(start), float(start + (count - 1) * step), count)
    expected = [float(start + i * step) for i in range(count)]
    assert list(axis) == expected
    assert [axis.find(value) for value in expected] == list(range(count))
    ours = grid(x=axis).columns()["x"].tolist()
    assert ours == expected


@given(axes, st.integers(1, 3))
def test_grid_find_is_the_inverse(found: dict[str, list[Any]], replicates: int) -> None:
    source = GridSource.from_axes(found).repeat(replicates)
    assert source.n_cases == math.prod(map(len, found.values())) * replicates
    for case in source:
        assert source.find(case.params, case.replicate) == case.index
    assert len({case.case_id for case in source}) == source.n_cases


@given(axes)
def test_grid_does_not_depend_on_the_order_of_names(found: dict[str, list[Any]]) -> None:
    reverse = {name: found[name] for name in reversed(found)}
    assert list(GridSource.from_axes(reverse)) == list(GridSource.from_axes(found))


@given(spaces, names, distributions, st.integers())
def test_a_further_parameter_changes_no_draw(
    space: dict[str, Distribution], name: str, rule: Distribution, seed: int
) -> None:
    assume(name not in space)
    for one, other in zip(
        random(space, 5, seed), random({name: rule, **space}, 9, seed), strict=False
    ):
        del other.params[name]
        assert other.params == one.params


@given(distributions, st.integers(0, 2**53 - 1), st.integers(0, 2**53 - 1))
def test_draws_are_monotone_and_in_range(rule: Distribution, first: int, second: int) -> None:
    described = rule.to_manifest_dict()
    low, high = sorted([first, second])
    found = [rule.at(0), rule.at(low), rule.at(high), rule.at(2**53 - 1)]
    match described["type"]:
        case "Uniform":
            assert found == sorted(found)
            assert described["low"] == found[0]
            assert found[-1] < described["high"]
        case "RandInt":
            assert found == sorted(found)
            # u is too coarse for the last of the widest ranges only where n > 2**53.
            assert (found[0], found[-1]) == (described["low"], described["high"])
        case "Choice" | "WeightedChoice":
            assert found[0] == described["options"][0]
            assert found[-1] == described["options"][-1]
        case "LogUniform":
            assert described["low"] == found[0]
            assert found[-1] < described["high"]
        case "LogUniformInt":
            assert described["low"] == found[0]
            assert found[-1] <= described["high"]
        case _:
            pass
    column = rule.column(np.array([0, low, high, 2**53 - 1], np.uint64))
    assert json.dumps(column.tolist()) == json.dumps(found)


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**40) | st.integers(0, 2**66 + 3))
def test_philox_is_that_of_numpy(key: int, position: int) -> None:
    generator = np.random.Philox(key=key)
    generator.advance(position // 4)
    assert word(schedule(key), position) == generator.random_raw(4)[position % 4]


@given(floats, floats, st.lists(st.integers(0, 2**53 - 1), min_size=1, max_size=20))
def test_uniform_is_what_numpy_computes(low: float, high: float, draws: list[int]) -> None:
    assume(low < high and math.isfinite(high - low))
    fractions = np.array(draws, dtype=np.float64) * 2.0**-53
    expected = low + (high - low) * fractions
    expected[expected >= high] = np.nextafter(high, low)
    rule = uniform(low, high)
    assert [rule.at(k) for k in draws] == expected.tolist()
