"""Branches are the cases of each branch with its name, in every order and frozen."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from hpcsweep import ids
from hpcsweep.sources import (
    ParameterSource,
    branches,
    grid,
    manual,
    random,
    source_from_manifest_dict,
    uniform,
)

values = st.integers(-2, 2) | st.sampled_from(["x", None, True, 0.5])
axes = st.dictionaries(
    st.sampled_from("abc"), st.lists(values, min_size=1, max_size=3, unique_by=ids.canonical)
)
inner = (
    axes.map(lambda found: grid(**found))
    | st.just(manual([{"a": 1}, {"b": 2}, {}]))
    | st.integers(1, 4).map(lambda n: random({"r": uniform(0, 1)}, n_trials=n, seed=n))
)
groups = st.dictionaries(st.text("pqr", min_size=1, max_size=2), inner, min_size=1, max_size=4)


@given(groups, st.integers(1, 3), st.booleans())
def test_branches(of: dict[str, ParameterSource], outer: int, shuffled: bool) -> None:
    source: ParameterSource = grid(o=range(outer)) * branches("model", of)
    expected = [
        {"o": o, **params.params, "model": name}
        for o in range(outer)
        for name, of_branch in of.items()
        for params in of_branch
    ]
    if shuffled:
        source = source.shuffle(3)
        expected = [
            expected[(grid(i=range(len(expected))).shuffle(3))[i].params["i"]]
            for i in range(len(expected))
        ]
    assert [case.params for case in source] == expected
    assert [source[i].case_id for i in range(source.n_cases)] == list(map(ids.case_id, expected))
    with tempfile.TemporaryDirectory() as directory:
        source.write_frozen(Path(directory))
        frozen = source_from_manifest_dict(source.to_frozen_dict(), Path(directory))
        assert list(map(repr, frozen)) == list(map(repr, source))
        for params in expected:
            found = frozen.find(params)
            assert found is not None
            assert ids.canonical(frozen.params(found)) == ids.canonical(params)
