"""Index sets: ranges in, ranges out, whatever the number of indices."""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsweep.errors import InputError
from hpcsweep.indexset import IndexSet

HUGE = 10**40

sets = st.sets(st.integers(0, 60))


def test_ranges_are_normalised() -> None:
    assert IndexSet([(5, 7), (0, 2), (2, 3), (6, 9), (4, 4)]).ranges == ((0, 3), (5, 9))
    assert IndexSet([(0, 10), (2, 3)]).ranges == ((0, 10),)
    assert IndexSet().ranges == IndexSet.all(0).ranges == ()
    assert IndexSet.of([3, 1, 2, 7, 1]).ranges == ((1, 4), (7, 8))
    assert IndexSet.of(np.array([1, 2])).ranges == ((1, 3),)


@given(sets, sets)
def test_agrees_with_python_sets(first: set[int], second: set[int]) -> None:
    ours, theirs = IndexSet.of(first), IndexSet.of(second)
    assert list(ours) == sorted(first)
    assert len(ours) == ours.count == len(first)
    assert bool(ours) == bool(first)
    assert list(ours | theirs) == sorted(first | second)
    assert list(ours & theirs) == sorted(first & second)
    assert list(ours - theirs) == sorted(first - second)
    assert [index in ours for index in range(62)] == [index in first for index in range(62)]
    assert (ours == theirs) == (first == second)
    assert hash(ours) == hash(IndexSet.of(sorted(first, reverse=True)))
    for result in (ours | theirs, ours & theirs, ours - theirs):
        assert IndexSet(result.ranges) == result


@given(sets, st.integers(0, 70), st.integers(0, 70))
def test_ranks(members: set[int], start: int, stop: int) -> None:
    found, ordered = IndexSet.of(members), sorted(members)
    assert [found.select(rank) for rank in range(len(ordered))] == ordered
    assert [found.rank(index) for index in ordered] == list(range(len(ordered)))
    assert list(found.slice(start, stop)) == ordered[start:stop]


@given(sets)
def test_both_texts_come_back(members: set[int]) -> None:
    found = IndexSet.of(members)
    assert IndexSet.parse(str(found)) == found
    assert IndexSet.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_text() -> None:
    assert str(IndexSet.parse("0-9,12")) == "0-9,12"
    assert IndexSet.parse("0-9,12").to_json() == [[0, 10], [12, 13]]
    assert IndexSet.parse("7,3-4,5").ranges == ((3, 6), (7, 8))
    assert repr(IndexSet.parse("0-9,12")) == "IndexSet(0-9,12; 11 indices)"
    assert repr(IndexSet()) == "IndexSet(the empty set; 0 indices)"


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "1,",
        ",1",
        "1-",
        "-1",
        "3-1",
        "1 ,2",
        "1..2",
        "0x1",
        "1.0",
        "1-2-3",
        "a",
        "1\n",
        "²",
        "１",
    ],
)
def test_strict_parsing(text: str) -> None:
    with pytest.raises(InputError, match="0-9,12"):
        IndexSet.parse(text)


@pytest.mark.parametrize(
    "ranges",
    [
        [(1, 0)],
        [(-1, 2)],
        [(0, 1.0)],
        [(True, 2)],
        [("0", "1")],
        [(0,)],
        [[0, 1]],
        [3],
        [(0, None)],
    ],
)
def test_refused_ranges(ranges: Any) -> None:
    with pytest.raises(InputError, match="index set"):
        IndexSet(ranges)


@pytest.mark.parametrize(
    "value", [None, {}, "0-9", [[0]], [[0, 1, 2]], [3], [[1, 0]], [["0", "1"]]]
)
def test_refused_json(value: Any) -> None:
    with pytest.raises(InputError):
        IndexSet.from_json(value)


@pytest.mark.parametrize("indices", [[-1], [1.5], [True], ["1"], [None]])
def test_refused_indices(indices: Any) -> None:
    with pytest.raises(InputError):
        IndexSet.of(indices)


def test_outside() -> None:
    found = IndexSet.parse("2-3")
    for rank in (-1, 2):
        with pytest.raises(IndexError, match=r"0\.\.1"):
            found.select(rank)
    with pytest.raises(IndexError):
        IndexSet().select(0)
    with pytest.raises(InputError, match="4 is not in 2-3"):
        found.rank(4)
    with pytest.raises(InputError, match="negative"):
        found.slice(-1, 2)
    assert "2" not in found
    assert 2.5 not in found


def test_cost_does_not_depend_on_the_number_of_indices() -> None:
    everything = IndexSet.all(HUGE)
    assert everything.count == HUGE > sys.maxsize
    with pytest.raises(OverflowError):
        len(everything)
    without = everything - IndexSet.of([5, HUGE // 2])
    assert without.count == HUGE - 2
    assert without.select(HUGE - 3) == HUGE - 1
    assert without.rank(HUGE - 1) == HUGE - 3
    assert HUGE // 2 not in without
    assert HUGE // 2 + 1 in without
    assert without.slice(4, HUGE).ranges[0] == (4, 5)
    assert without | IndexSet.parse("5") != everything
    assert (without | IndexSet.parse(f"5,{HUGE // 2}")) == everything
    assert IndexSet.parse(str(without)) == without
    assert next(iter(without)) == 0


def test_immutable() -> None:
    found = IndexSet.all(3)
    with pytest.raises(AttributeError):
        found.ranges = ()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        found.other = 1  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        found | {1}  # type: ignore[operator]
    assert found != {0, 1, 2}
