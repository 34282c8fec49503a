"""The texts of many cases at once are those of the cases one by one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep import ids
from hpcsweep.sources import ParameterSource, grid, manual, random, uniform
from hpcsweep.store.record_rows import json_text, json_texts

SOURCES = {
    "grid": grid(b=[1, 1.0 + 2**-52, None, True], a=["ä", '"', "\\"], c=[[1], {"x": 0.1}]),
    "an axis that is longer than what is kept": grid(a=range(5000), b=[1, 2]),
    "long axes behind a short one": grid(a=[1, 2], b=range(3000), c=range(2)),
    "one axis": grid(a=[1e22, 1e-7, -0.0]),
    "no axis": grid(),
    "replicates": grid(a=[1, 2], b=[3, 4]).repeat(3),
    "a view": (grid(a=[1, 2], b=[3, 4]) * grid(c=[0.5]))[1:],
    "tags": manual([{"a": 1}, {"b": "x"}], tags=["t"]),
    "draws": random({"x": uniform(0, 1)}, 8, seed=3),
}


@pytest.mark.parametrize("which", SOURCES)
def test_texts_are_those_of_the_cases(which: str) -> None:
    source: ParameterSource = SOURCES[which]
    texts = source.texts(json_text)
    last = source.n_cases - 1
    some = [*range(min(last, 20), -1, -1), last, 0, last // 2]
    for indices in ([index] for index in some), [some], [[*range(last + 1)]]:
        for few in indices:
            cases = [source[index] for index in few]
            made = texts(few)
            assert made.case_ids == [case.case_id for case in cases]
            assert made.params == [json_text(case.params) for case in cases]
            assert made.replicates == [case.replicate for case in cases]
            assert made.tags == [case.tags for case in cases]


def test_seeds_of_many_cases() -> None:
    case_ids, replicates = ["0" * 16, "f" * 16], [0, 3]
    for seed in (0, -5, 10**30):
        expected = [
            f"{ids.case_seed(seed, *one):032x}" for one in zip(case_ids, replicates, strict=True)
        ]
        assert ids.case_seeds(seed, case_ids, replicates) == expected


objects = st.dictionaries(
    st.text(), st.none() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
values: st.SearchStrategy[Any] = st.recursive(objects, lambda inner: st.lists(inner) | objects)


@given(st.lists(objects | st.dictionaries(st.sampled_from(["a", "},{"]), values), min_size=1))
def test_many_objects_as_texts(documents: list[dict[str, Any]]) -> None:
    assert json_texts(documents) == list(map(json_text, documents))
