"""Sources made of sources: order, finding, what is refused, and that nothing is made for them."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcsweep import ids
from hpcsweep.errors import SweepError
from hpcsweep.indexset import IndexSet
from hpcsweep.sources import (
    ConcatSource,
    FileCases,
    GridSource,
    ParameterSource,
    ProductSource,
    ShuffleSource,
    SliceSource,
    ZipSource,
    grid,
    manual,
    random,
    source_from_manifest_dict,
    uniform,
    zip_,
)
from tests.support.sourcing import GOLDEN, frozen, refused

HUGE = GridSource.from_axes({f"p{i:02}": range(1000) for i in range(30)})


def params(source: ParameterSource) -> list[dict[str, Any]]:
    return [case.params for case in source]


# --- product ----------------------------------------------------------------------------------


def test_product_order() -> None:
    source = grid(x=[1, 2]) * manual([{"y": 1}, {"y": 2, "z": 3}])
    assert params(source) == [
        {"x": 1, "y": 1},
        {"x": 1, "y": 2, "z": 3},
        {"x": 2, "y": 1},
        {"x": 2, "y": 2, "z": 3},
    ]
    assert source[3].tags == ("manual_1",)
    assert source[1].case_id == ids.case_id({"z": 3, "y": 2, "x": 1})


def test_product_of_grids_is_the_grid() -> None:
    whole = grid(a=[1, 2], b=["x", "y", "z"], c=[True, None])
    assert list(grid(a=[1, 2]) * grid(b=["x", "y", "z"]) * grid(c=[True, None])) == list(whole)


def test_products_are_flat() -> None:
    one = grid(a=[1]) * grid(b=[2]) * grid(c=[3])
    other = grid(a=[1]) * (grid(b=[2]) * grid(c=[3]))
    assert isinstance(one, ProductSource)
    assert one.to_manifest_dict() == other.to_manifest_dict()
    assert len(one.sources) == 3


def test_product_finds_in_every_part() -> None:
    source = grid(x=[1, 2, 3]) * (grid(y=[1]) + grid(z=[5, 6])) * grid(w=range(4))
    for case in source:
        assert source.find(case.params) == case.index
    assert source.find({"x": 1, "y": 1, "z": 5, "w": 0}) is None
    assert source.find({"x": 1, "w": 0}) is None


def test_name_clashes_are_refused() -> None:
    for make in (
        lambda: grid(x=[1], y=[2]) * grid(y=[2]),
        lambda: zip_(grid(x=[1], y=[2]), grid(y=[2])),
        lambda: manual([{"x": 1}, {"y": 2}]) * grid(y=[2]),
    ):
        refused(make, "the parameter 'y' is in the sources 0 and 1")
    refused(lambda: grid(x=[1]).with_params(x=2), "has the parameter 'x' already")


def test_a_clash_with_a_file_is_refused(tmp_path: Path) -> None:
    read = frozen(manual([{"x": 1}, {"y": 2}]), tmp_path)
    refused(lambda: grid(y=[1]) * read, "'y'")


def test_replicates_come_last() -> None:
    refused(lambda: grid(x=[1]).repeat(2) * grid(y=[1]), "has replicates", "(a * b).repeat(n)")
    refused(lambda: zip_(grid(y=[1, 2]), grid(x=[1]).repeat(2)), "has replicates")
    refused(lambda: (grid(x=[1]).repeat(2) + grid(y=[1])).repeat(2), "already")
    assert [case.replicate for case in (grid(x=[1]) * grid(y=[1])).repeat(3)] == [0, 1, 2]


@pytest.mark.parametrize("other", [5, None, [grid()], {"x": [1]}])
def test_operators_want_sources(other: Any) -> None:
    with pytest.raises(TypeError):
        grid(x=[1]) * other
    with pytest.raises(TypeError):
        grid(x=[1]) + other


@pytest.mark.parametrize("kind", [ProductSource, ConcatSource, ZipSource])
@pytest.mark.parametrize("sources", [[], None, [5], [grid(), "x"], "ab"])
def test_lists_of_sources(kind: Callable[[Any], object], sources: Any) -> None:
    refused(lambda: kind(sources), "source")


# --- concatenation ----------------------------------------------------------------------------


def test_concatenation_allows_duplicates() -> None:
    source = grid(x=[1, 2]) + grid(x=[2, 3])
    assert params(source) == [{"x": 1}, {"x": 2}, {"x": 2}, {"x": 3}]
    assert source[1].case_id == source[2].case_id
    assert source.find({"x": 2}) == 1
    # The second one is in the slice, the first is not.
    assert source[2:].find({"x": 2}) == 0
    assert source[:0:-1].find({"x": 2}) == 1
    assert source[3:].find({"x": 2}) is None
    assert list(source.find_all({"x": 2}, 0)) == [1, 2]
    assert source.shuffle(1)[1:].can_find


def test_concatenation_finds_replicates() -> None:
    source = grid(x=[1, 2]).repeat(3) + grid(y=[1])
    assert source.find({"x": 2}, 1) == 4
    assert source.find({"y": 1}) == 6
    assert source.find({"y": 1}, 1) is None
    assert source.replicates == 3


# --- zip --------------------------------------------------------------------------------------


def test_zip() -> None:
    source = zip_(grid(x=[1, 2]), grid(y=[3, 4]))
    assert params(source) == [{"x": 1, "y": 3}, {"x": 2, "y": 4}]
    assert source.find({"x": 2, "y": 4}) == 1
    assert source.find({"x": 2, "y": 3}) is None
    assert source.find({"x": 2}) is None


def test_zip_finds_among_duplicates() -> None:
    twice = grid(y=[1]) + grid(y=[1])
    assert zip_(twice, grid(x=[1, 2])).find({"y": 1, "x": 2}) == 1
    assert zip_(twice, manual([{"x": 1}, {"x": 2}])).find({"y": 1, "x": 2}) == 1


def test_zip_wants_equal_lengths() -> None:
    refused(lambda: zip_(grid(x=[1, 2]), grid(y=[3])), "2, 1 cases", "source[:n]")


# --- views ------------------------------------------------------------------------------------


def test_a_slice_of_a_slice() -> None:
    source = grid(x=range(100))
    assert params(source[10:90:7][::-1][1:4]) == [{"x": x} for x in (80, 73, 66)]
    assert source[10:90:7].find({"x": 17}) == 1
    assert source[10:90:7].find({"x": 18}) is None
    assert source[10:90:7].find({"x": 94}) is None
    assert source[90:10:-7].find({"x": 83}) == 1


def test_slices_beyond_any_machine() -> None:
    part = HUGE[10**89 : 10**90 - 5 : 3]
    assert part.n_cases == -(-(9 * 10**89 - 5) // 3)
    assert part[10**88].params == HUGE[10**89 + 3 * 10**88].params
    assert part.find(HUGE[10**89 + 3].params) == 1
    assert [case.index for case in (HUGE[-2:])] == [0, 1]


@pytest.mark.parametrize(
    ("first", "step", "count"),
    [(0, 1, 6), (5, 1, 1), (4, -1, 6), (0, 0, 2), (-1, 1, 1), (0, 1, -1)],
)
def test_slices_outside(first: int, step: int, count: int) -> None:
    refused(lambda: SliceSource(grid(x=range(5)), first, step, count), "slice")


def test_take() -> None:
    source = grid(x=range(10))
    taken = source.take(IndexSet([(7, 9), (0, 2)]))
    assert params(taken) == [{"x": 0}, {"x": 1}, {"x": 7}, {"x": 8}]
    assert taken.find({"x": 7}) == 2
    assert taken.find({"x": 5}) is None
    assert taken.to_manifest_dict()["indices"] == "0-1,7-8"


@pytest.mark.parametrize("indices", [[], [10], [-1], ["a"], 10, -1, None, True, "x", [1.5]])
def test_refused_indices(indices: Any) -> None:
    refused(lambda: grid(x=range(10)).take(indices), "take.indices")


def test_fixed() -> None:
    source = grid(x=[1, 2]).repeat(2).with_params(b=1.0, a=[1])
    assert source[3].params == {"x": 2, "a": [1], "b": 1.0}
    assert source[3].case_id == ids.case_id({"x": 2, "a": [1], "b": 1.0}, 1)
    assert source.find({"x": 2, "a": [1.0], "b": 1}, 1) == 3
    assert source.find({"x": 2, "a": [1], "b": 2}, 1) is None
    assert source.find({"x": 2, "a": [1]}, 1) is None


@pytest.mark.parametrize("values", [{"seed": 1}, {}, {"": 1}])
def test_refused_fixed(values: dict[str, Any]) -> None:
    refused(lambda: grid(x=[1]).with_params(**values), "fixed")


# --- shuffle ----------------------------------------------------------------------------------


def test_keys_make_orders_of_their_own() -> None:
    source = grid(x=range(1000))
    orders = {json.dumps(params(source.shuffle(seed))) for seed in (0, 1, -1, 2**70)}
    assert len(orders) == 4
    assert json.dumps(params(source.shuffle(1))) in orders


def test_every_prefix_is_a_fair_sample() -> None:
    source = grid(x=range(100), y=range(100)).shuffle(7)
    first = params(source[:1000])
    for name in ("x", "y"):
        mean = sum(case[name] for case in first) / 1000
        # The mean of 1000 of these has a standard deviation of 0.9.
        assert abs(mean - 49.5) < 3.5


def test_shuffled_sources_find() -> None:
    source = HUGE.shuffle(3)
    for index in (0, 1, 10**89):
        assert source.find(source[index].params) == index


@pytest.mark.parametrize("seed", [None, 1.0, "a", True])
def test_refused_seeds(seed: Any) -> None:
    refused(lambda: ShuffleSource(grid(x=[1]), seed), "shuffle.seed")


@pytest.mark.parametrize("one", GOLDEN["shuffles"], ids=lambda one: str(one["count"]))
def test_golden_orders(one: dict[str, Any]) -> None:
    axes = {"x": range(one["count"])}
    if one["count"] > 2**60:
        axes = {"x": range(2**40), "y": range(2**40)}
    source = GridSource.from_axes(axes).shuffle(one["seed"])
    assert source.n_cases == one["count"]
    assert [source.params(index) for index in one["indices"]] == one["values"]


# --- cost and files ---------------------------------------------------------------------------


def test_the_length_costs_nothing() -> None:
    tracemalloc.start()
    try:
        whole = (HUGE.shuffle(1)[5:-5] + HUGE).with_params(z=1)
        source = (whole * random({"u": uniform(0, 1)}, 10**20, 1)).repeat(3)
        assert source.n_cases == (2 * 10**90 - 10) * 10**20 * 3
        assert source[10**100].index == 10**100
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_columns_of_huge_sources() -> None:
    source = (HUGE * grid(q=[0.5, 1.5, 2.5]) * GridSource.from_axes({"w": range(10**18)})).repeat(2)
    for start in (0, 10**18 * 2 - 4, 10**100 + 1, source.n_cases - 7):
        columns = source.columns(start, start + 7)
        for offset in (0, 3, 6):
            row = {name: column[offset] for name, column in columns.items()}
            assert row == source.params(start + offset)


def test_several_lists_of_cases_share_one_file(tmp_path: Path) -> None:
    source = (manual([{"x": 1}, {"x": 2}], ["a"]) * manual([{"y": "é"}])) + manual([{"z": 1}])
    read = frozen(source, tmp_path)
    assert list(read) == list(source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cases.idx", "cases.jsonl"]
    assert (tmp_path / "cases.jsonl").read_text("utf-8").count("\n") == 4
    assert isinstance(read, ConcatSource)
    assert isinstance(read.sources[1], FileCases)
    (tmp_path / "cases.jsonl").write_text("{}")
    with pytest.raises(SweepError, match="bytes, but"):
        source_from_manifest_dict(source.to_frozen_dict(), tmp_path)


def test_lines_beyond_the_file_are_refused(tmp_path: Path) -> None:
    source = manual([{"x": 1}, {"x": 2}])
    frozen(source, tmp_path)
    described = source.to_frozen_dict() | {"first": 1}
    with pytest.raises(SweepError, match=r"cases\.idx"):
        source_from_manifest_dict(described, tmp_path)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"type": "ProductSource"}, "the key 'sources' is missing"),
        ({"type": "ProductSource", "sources": {}}, "source.sources: it has the type dict"),
        ({"type": "ZipSource", "sources": []}, "zip"),
        ({"type": "ConcatSource", "sources": [{"type": "X"}]}, "source.sources[0].type"),
        ({"type": "ShuffleSource", "seed": 1}, "the key 'source' is missing"),
        ({"type": "SliceSource", "source": {}, "first": 0}, "the key 'step' is missing"),
        (
            {"type": "TakeSource", "source": {"type": "GridSource", "spec": {}}, "indices": "1-"},
            "take",
        ),
        (
            {"type": "FixedSource", "source": {"type": "GridSource", "spec": {}}, "params": 3},
            "fixed",
        ),
    ],
)
def test_refused_manifest_dicts(value: Any, words: str) -> None:
    refused(lambda: source_from_manifest_dict(value), words)
