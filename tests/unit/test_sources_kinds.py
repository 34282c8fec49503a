"""Grids and explicit cases: what they give, what they refuse, what they write."""

from __future__ import annotations

import hashlib
import json
import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcsweep.errors import IdentityError, SweepError
from hpcsweep.sources import (
    RESERVED_NAMES,
    FileCases,
    GridSource,
    choice,
    grid,
    manual,
    random,
    source_from_manifest_dict,
    uniform,
)
from tests.support.sourcing import frozen, refused

NESTED: list[dict[str, Any]] = [
    {"x": 1, "y": [1.0, {"z": None}]},
    {"x": 1.5},
    {"text": "é\n\u2028", "n": 2**70},
]


# --- grid --------------------------------------------------------------------------------------


def test_grid_order_and_types() -> None:
    source = grid(omega=[1, 2.0], dt=(1e-2, 1e-3), n=range(2))
    assert [case.params for case in source][:3] == [
        {"dt": 0.01, "n": 0, "omega": 1},
        {"dt": 0.01, "n": 0, "omega": 2.0},
        {"dt": 0.01, "n": 1, "omega": 1},
    ]
    assert list(source[0].params) == ["dt", "n", "omega"]
    assert [type(source[i].params["omega"]) for i in (0, 1)] == [int, float]
    assert source[0].tags == ()
    assert source.to_manifest_dict() == {
        "type": "GridSource",
        "spec": {"dt": [0.01, 0.001], "n": [0, 1], "omega": [1, 2.0]},
        "total_cases": 8,
    }


def test_empty_grid_is_one_case() -> None:
    assert [case.params for case in grid()] == [{}]
    assert grid()[-1].params == {}
    assert grid().find({}) == 0


def test_grid_of_any_name() -> None:
    source = grid(**{"self": [1], "cls": [2], "axes": [3], "a b": [4]})
    assert source[0].params == {"self": 1, "cls": 2, "axes": 3, "a b": 4}
    assert GridSource.from_axes({"self": [1]})[0].params == {"self": 1}


def test_grid_of_numpy_axes() -> None:
    source = grid(x=np.linspace(0, 1, 3), n=np.arange(2, dtype=np.uint8), b=np.array([True]))
    assert json.dumps(source.to_manifest_dict()["spec"]) == (
        '{"b": [true], "n": [0, 1], "x": [0.0, 0.5, 1.0]}'
    )
    assert source.find({"x": np.float64(0.5), "n": np.int64(1), "b": True}) == 4


def test_grid_finds_by_value() -> None:
    source = grid(x=[1, 2.5, None, "1", True], y=[[1, {"a": 0.0}], [2]])
    assert source.find({"x": 1.0, "y": (1, {"a": -0.0})}) == 0
    assert source.find({"x": True, "y": [2.0]}) == 9
    assert source.find({"x": 3, "y": [2]}) is None
    assert source.find({"x": 1}) is None
    with pytest.raises(IdentityError, match=r"params\.x"):
        source.find({"x": math.nan, "y": [2]})


def test_grid_larger_than_any_integer_of_a_machine() -> None:
    source = GridSource.from_axes({f"p{i:02}": range(1000) for i in range(30)})
    assert source.n_cases == 10**90
    assert source
    with pytest.raises(OverflowError):
        len(source)
    last = source[-1]
    assert last.index == 10**90 - 1
    assert set(last.params.values()) == {999}
    index = 123456789 * 10**70 + 42
    assert source.find(source[index].params) == index
    assert next(iter(source)).params["p00"] == 0
    assert source.repeat(7).n_cases == 7 * 10**90


def test_grid_costs_nothing_for_its_length() -> None:
    def peak(axes: int) -> int:
        tracemalloc.start()
        try:
            source = GridSource.from_axes({f"p{i}": [0, 1] for i in range(axes)})
            assert source[-1].index == 2**axes - 1
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert peak(60) < 20 * peak(6)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "the list is empty"),
        ("abc", "'abc' has the type str, not a list"),
        (1, "1 has the type int, not a list"),
        (None, "NoneType"),
        ({"a": 1}, "dict"),
        ({1, 2}, "set"),
        ((i for i in "ab"), "generator"),
        (np.array([1, 2], dtype=np.float32), "array of float32 with 1 dim"),
        (np.ones((2, 2)), "with 2 dim"),
        (np.array(1.0), "with 0 dim"),
        (np.array([1, "a"], dtype=object), "object"),
        (np.array([]), "the list is empty"),
        ([1, 2, 1.0], "the values at 0 and 2 are the same: 1 and 1.0"),
        ([0.0, -0.0], "the values at 0 and 1 are the same"),
        ([[1, 2], (1, 2)], "the values at 0 and 1"),
    ],
)
def test_refused_axes(values: Any, words: str) -> None:
    refused(lambda: grid(ok=[1], omega=values), "grid.omega", words)


@pytest.mark.parametrize("value", [math.nan, math.inf, {1}, b"a", np.float32(1), {"k": [object()]}])
def test_values_without_identity_are_refused_at_construction(value: Any) -> None:
    for make in (
        lambda: grid(x=[1, value]),
        lambda: manual([{"a": 0}, {"x": [1, value]}]),
        lambda: choice([1, value]),
    ):
        with pytest.raises(IdentityError, match=r"(grid\.x|cases\[1\]\.x|choice\.options)\[1\]"):
            make()


def test_different_values_are_no_duplicates() -> None:
    assert len(grid(x=[1, True, "1", None, [1], [[1]], 0, False, "", {}, []])) == 11
    assert len(grid(x=[2**60, 1152921504606847000])) == 2


@pytest.mark.parametrize("name", sorted(RESERVED_NAMES))
def test_reserved_names_are_refused(name: str) -> None:
    for make in (
        lambda: grid(**{name: [1]}),
        lambda: manual([{name: 1}]),
        lambda: random({name: uniform(0, 1)}, 1, 1),
    ):
        refused(make, repr(name), "target")


@pytest.mark.parametrize("name", ["", 1, None, ("a",)])
def test_names_are_text(name: Any) -> None:
    for make in (
        lambda: GridSource.from_axes({name: [1]}),
        lambda: manual([{name: 1}]),
        lambda: random({name: uniform(0, 1)}, 1, 1),
    ):
        refused(make, repr(name), "is not a parameter name")


def test_names_are_utf_8() -> None:
    with pytest.raises(IdentityError, match="surrogate"):
        grid(**{"\ud800": [1]})


# --- manual ------------------------------------------------------------------------------------


def test_manual_cases() -> None:
    source = manual(NESTED, tags=("t",))
    assert [case.params for case in source] == NESTED
    assert source[1].tags == ("t", "manual_1")
    assert manual(NESTED)[-1].tags == ("manual_2",)
    assert not source.can_find
    assert source.to_manifest_dict() == {
        "type": "ManualSource",
        "cases": NESTED,
        "tags": ["t"],
        "total_cases": 3,
    }


@pytest.mark.parametrize(
    ("cases", "words"),
    [
        ([], "not a list of cases"),
        ({}, "not a list of cases"),
        ("ab", "not a list of cases"),
        (None, "not a list of cases"),
        ([{"x": 1}, 3], "cases[1]"),
        ([{"x": 1}, None], "cases[1]"),
        ([{"x": 1}, {"x": 2}, {"x": 1.0}], "the cases at 0 and 2 are the same"),
        ([{"x": 1, "y": 2}, {"y": 2, "x": 1}], "the cases at 0 and 1 are the same"),
    ],
)
def test_refused_cases(cases: Any, words: str) -> None:
    refused(lambda: manual(cases), words)


@pytest.mark.parametrize("tags", ["ab", [1], {"a": 1}, 3])
def test_refused_tags(tags: Any) -> None:
    refused(lambda: manual([{}], tags), "tags")


def test_frozen_files_of_manual_cases(tmp_path: Path) -> None:
    source = manual([{"a": 1.0, "b": [1, "é\n"]}, {"a": 2}], tags=["t"])
    read = frozen(source, tmp_path)
    lines = (tmp_path / "cases.jsonl").read_bytes()
    assert lines.decode() == '{"a":1.0,"b":[1,"é\\n"]}\n{"a":2}\n'
    assert np.fromfile(tmp_path / "cases.idx", "<u8").tolist() == [0, 25, 33]
    assert source.frozen()[1] == hashlib.sha256(lines).hexdigest()
    assert source.to_frozen_dict() == {
        "type": "ManualSource",
        "file": "cases.jsonl",
        "first": 0,
        "names": ["a", "b"],
        "tags": ["t"],
        "total_cases": 2,
    }
    assert isinstance(read, FileCases)
    assert read[1] == source[1]
    assert type(read[0].params["a"]) is float


def test_one_case_costs_one_line(tmp_path: Path) -> None:
    source = manual([{"i": i, "pad": "x" * 1000} for i in range(2000)])
    read = frozen(source, tmp_path)
    tracemalloc.start()
    try:
        assert read[1999].params["i"] == 1999
        size = (tmp_path / "cases.jsonl").stat().st_size
        assert tracemalloc.get_traced_memory()[1] < size / 10
    finally:
        tracemalloc.stop()


def _frozen_manual(directory: Path) -> dict[str, Any]:
    source = manual([{"x": i} for i in range(5)])
    frozen(source, directory)
    return source.to_frozen_dict()


@pytest.mark.parametrize("name", ["cases.jsonl", "cases.idx"])
def test_damaged_files_are_refused(tmp_path: Path, name: str) -> None:
    described = _frozen_manual(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    for data in (whole[:-1], whole + b"\n", b""):
        path.write_bytes(data)
        with pytest.raises(SweepError, match=name):
            FileCases(tmp_path, described)
    path.unlink()
    with pytest.raises(SweepError, match=f"{name}: cannot be read"):
        FileCases(tmp_path, described)


def test_damage_after_opening_is_noticed(tmp_path: Path) -> None:
    described = _frozen_manual(tmp_path)
    read = FileCases(tmp_path, described)
    lines, offsets = tmp_path / "cases.jsonl", tmp_path / "cases.idx"
    size = lines.stat().st_size
    for text in ("{" * size, "[1]\n" * (size // 4), "1\n" * (size // 2), ""):
        lines.write_text(text)
        with pytest.raises(SweepError, match=r"cases\.jsonl"):
            read[1]
        with pytest.raises(SweepError, match=r"cases\.jsonl"):
            list(read)
    # The offsets that were read stay known; whoever opens the cases anew meets the damage.
    offsets.write_bytes(bytes(offsets.stat().st_size))
    with pytest.raises(SweepError, match="case 1 is from byte 0 to 0"):
        FileCases(tmp_path, described)[1]
    lines.unlink()
    with pytest.raises(SweepError, match="cannot be read"):
        list(read)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"file": "../cases.jsonl"}, "source.file"),
        ({"file": None}, "source.file"),
        ({"total_cases": 0}, "source.total_cases"),
        ({"total_cases": "5"}, "source.total_cases"),
        ({"tags": "t"}, "tags"),
        ({"cases": []}, "unknown key 'cases'"),
    ],
)
def test_refused_frozen_dicts(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    described = {**_frozen_manual(tmp_path), **change}
    refused(lambda: source_from_manifest_dict(described, tmp_path), words)


def test_cases_in_a_file_need_their_directory(tmp_path: Path) -> None:
    refused(lambda: source_from_manifest_dict(_frozen_manual(tmp_path)), "frozen manifest")
