"""A condition keeps what a list comprehension keeps, in the same order, also frozen."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep.errors import SourceError
from hpcsweep.sources import (
    ParameterSource,
    grid,
    kept,
    manual,
    random,
    source_from_manifest_dict,
    uniform,
)

NAMES = ["a", "b", "c", "d", "e"]
numbers = st.integers(-3, 3) | st.sampled_from([0.5, 1.5, -0.25])
axes = st.dictionaries(
    st.sampled_from(NAMES), st.lists(numbers, min_size=1, max_size=4, unique=True), min_size=1
)


@st.composite
def sources(draw: st.DrawFn) -> ParameterSource:
    """A source with parameters out of `NAMES` and `r`, all numbers."""
    source: ParameterSource = grid(**draw(axes))
    steps = draw(st.lists(st.sampled_from("*m+s<fr"), max_size=3))
    for step in steps:
        if step == "*" and "r" not in source.names:
            source *= random({"r": uniform(0, 1)}, n_trials=3, seed=draw(st.integers(0, 9)))
        elif step == "m" and "m" not in source.names:
            source = manual([{"m": 1}, {"m": 2.5}]) * source
        elif step == "+":
            source += source
        elif step == "s":
            source = source.shuffle(7)
        elif step == "<":
            source = source[draw(st.integers(0, 2)) :] or source
        elif step == "f" and "f" not in source.names:
            source = source.with_params(f=draw(numbers))
        elif step == "r" and source.replicates == 1:
            return source.repeat(2)
        source = source if source.n_cases < 400 else source[:400]
    return source


@st.composite
def conditions(draw: st.DrawFn, names: list[str], depth: int = 2) -> str:
    """A condition over these names that Python evaluates, too."""
    inner = conditions(names, depth - 1)
    match draw(st.sampled_from("=<x&&|!" if depth else "=<x")):
        case "&":
            return f"{draw(inner)} and {draw(inner)}"
        case "|":
            return f"({draw(inner)} or {draw(inner)})"
        case "!":
            return f"not ({draw(inner)})"
        case "=":
            values = ", ".join(map(str, draw(st.lists(numbers, min_size=1, max_size=3))))
            membership = draw(st.sampled_from(["in", "not in"]))
            return f"{draw(st.sampled_from(names))} {membership} [{values}]"
    terms = [draw(st.sampled_from(names)), draw(st.sampled_from(names) | numbers.map(str))]
    if draw(st.booleans()):
        operator = draw(st.sampled_from("+-*"))
        terms[0] = f"{terms[0]} {operator} {draw(st.sampled_from(names))}"
    return f"{terms[0]} {draw(st.sampled_from(['<', '<=', '>', '>=', '==', '!=']))} {terms[1]}"


@st.composite
def filtered(draw: st.DrawFn) -> tuple[ParameterSource, str]:
    source = draw(sources())
    return source, draw(conditions(sorted(source.names)))


def obvious(source: ParameterSource, condition: str) -> list[Any]:
    """The params and ids of the cases that are kept."""
    code = compile(condition, "condition", "eval")
    return [
        (case.params, case.case_id, case.replicate)
        for case in source
        if eval(code, {}, case.params)  # noqa: S307  # the test's own text
    ]


def read(source: ParameterSource) -> list[Any]:
    return [(case.params, case.case_id, case.replicate) for case in source]


@given(filtered(), st.sampled_from([0, kept.INLINE_MAX]))
def test_what_a_condition_keeps(example: tuple[ParameterSource, str], inline: int) -> None:
    source, condition = example
    expected = obvious(source, condition)
    if not expected:
        with pytest.raises(SourceError, match="keeps none of"):
            source.where(condition)
        return
    where = source.where(condition)
    assert read(where) == expected
    again = source_from_manifest_dict(where.to_manifest_dict())
    assert again.n_cases == len(expected)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as directory:
        patch.setattr(kept, "INLINE_MAX", inline)
        where.write_frozen(Path(directory))
        frozen = source_from_manifest_dict(where.to_frozen_dict(), Path(directory))
        assert frozen.to_frozen_dict() == where.to_frozen_dict()
        assert read(frozen) == expected
        check_look_ups(frozen, expected)


def check_look_ups(source: ParameterSource, expected: list[Any]) -> None:
    cases = read(source)
    for case in expected:
        found = source.find(case[0], case[2])
        assert found is not None
        assert cases[found] == case
    columns = source.columns()
    for name in source.names:
        assert list(columns[name]) == [params[name] for params, _, _ in expected]


@given(filtered(), filtered())
def test_a_condition_on_a_filtered_source(
    example: tuple[ParameterSource, str], other: tuple[ParameterSource, str]
) -> None:
    """Two conditions, one after another, are one that joins them by `and`."""
    source, first = example
    second = first if not other[0].names <= source.names else other[1]
    expected = obvious(source, f"({first}) and ({second})")
    if expected:
        assert read(source.where(first).where(second)) == expected
