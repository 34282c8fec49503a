"""Parameter sources: what every one of them promises."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from hpcsweep import ids
from hpcsweep.records import ParamCase
from hpcsweep.sources import (
    ParameterSource,
    ReplicatedSource,
    choice,
    design,
    grid,
    linspace,
    logspace,
    loguniform,
    manual,
    random,
    source_from_manifest_dict,
    uniform,
    zip_,
)
from tests.support.sourcing import frozen, refused

EVEN: list[dict[str, Any]] = [{"y": 1.0, "s": "a"}, {"y": 2.0, "s": "b"}, {"y": 1.0, "s": "c"}]
NESTED: list[dict[str, Any]] = [
    {"x": 1, "y": [1.0, {"z": None}]},
    {"x": 1.5},
    {"text": "é\n\u2028", "n": 2**70},
]
SOURCES: dict[str, Callable[[], ParameterSource]] = {
    "grid": lambda: grid(b=[1, 2.5, "é"], a=[[1], {"k": [2]}]),
    "empty grid": grid,
    "manual": lambda: manual(NESTED, tags=["one", "two"]),
    "random": lambda: random({"x": uniform(0, 1), "c": choice([[1], {"k": [2]}])}, 7, seed=-3),
    "replicated grid": lambda: grid(x=[1, 2]).repeat(3),
    "replicated manual": lambda: manual(NESTED).repeat(2),
    "lazy grid": lambda: grid(x=linspace(0, 1, 4), n={"range": [3]}, y=logspace(-2, 0, 3)),
    "product": lambda: grid(x=[1, 2]) * manual(EVEN) * random({"u": uniform(0, 1)}, 2, 1),
    "concatenation": lambda: manual(NESTED) + grid(x=[1, 2]) + manual(EVEN, ["more"]),
    "concatenated grids": lambda: grid(x=[1, 2]) + grid(x=[2, 3]),
    "zip": lambda: zip_(grid(x=[1, 2, 3]), manual(EVEN), random({"u": uniform(0, 1)}, 3, 1)),
    "slice": lambda: grid(x=range(5), y=["a", [1]])[7:1:-2],
    "empty slice": lambda: grid(x=range(5))[3:3],
    "indices": lambda: grid(x=range(9)).take([7, 0, 1, 5]),
    "indices of a file": lambda: manual(NESTED).take([0, 2]),
    "fixed": lambda: grid(x=[1, 2]).with_params(a=[1], z={"b": 2.0}),
    "shuffled": lambda: grid(x=range(7), y=[1, 2]).shuffle(3),
    "concatenation of parts": lambda: (grid(x=[1, 2]) + grid(y=[3]))[:2],
    "everything": lambda: (
        (grid(x=[1, 2]) * manual(EVEN)).shuffle(1)[1:] + grid(x=[5], y=[7])
    ).repeat(2)[2:9],
    "sobol": lambda: design("sobol", {"u": uniform(0, 1), "c": choice([[1], 2]), "k": 3}, 5, 1),
    "halton": lambda: design("halton", {"u": uniform(0, 1), "v": loguniform(1, 2)}, 5, 1),
    "latin hypercube": lambda: design("latin_hypercube", {"u": uniform(0, 1)}, 5, 1),
}


@pytest.fixture(params=[*SOURCES, *(f"frozen {name}" for name in SOURCES)])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> ParameterSource:
    name = request.param.removeprefix("frozen ")
    made = SOURCES[name]()
    return made if name == request.param else frozen(made, tmp_path)


def test_access_and_iteration_agree(source: ParameterSource) -> None:
    cases = list(source)
    count = len(cases)
    assert count == len(source) == source.n_cases
    assert bool(source) == (count > 0)
    assert [source[i] for i in range(count)] == cases
    assert [source[i - count] for i in range(count)] == cases
    assert [case.index for case in cases] == list(range(count))
    assert all(source[np.int64(i)] == cases[i] for i in range(count))
    for case in cases:
        assert source.params(case.index) == source.params(case.index - count) == case.params
        assert source.tags(case.index) == case.tags
        assert case.params.keys() <= source.names
        assert 0 <= case.replicate < source.replicates
        assert case.case_id == ids.case_id(case.params, case.replicate)
        assert json.dumps(case.params) == json.dumps(ids.plain(case.params))


def test_outside(source: ParameterSource) -> None:
    count = len(source)
    for index in (count, -count - 1, 10**30):
        for read in (source.__getitem__, source.params, source.tags):
            with pytest.raises(IndexError, match=rf"index {index} is outside 0\.\.{count - 1} "):
                read(index)
    with pytest.raises(TypeError):
        source["0"]  # type: ignore[call-overload]


SLICES = [
    slice(None),
    slice(1, 3),
    slice(None, None, -1),
    slice(-2, None),
    slice(5, 1, -2),
    slice(0, 99, 2),
    slice(2, 2),
    slice(-99, 99, 3),
]


def test_slices_are_those_of_a_list(source: ParameterSource) -> None:
    cases = list(source)

    def told(found: Iterable[ParamCase]) -> list[tuple[str, str, int, tuple[str, ...]]]:
        return [(json.dumps(c.params), c.case_id, c.replicate, c.tags) for c in found]

    for wanted in SLICES:
        part = source[wanted]
        assert told(part) == told(cases[wanted])
        assert [case.index for case in part] == list(range(len(cases[wanted])))
        assert told(part[::-2]) == told(cases[wanted][::-2])
        again = source_from_manifest_dict(json.loads(json.dumps(part.to_manifest_dict())))
        assert told(again) == told(part)


def test_columns_are_bit_identical(source: ParameterSource) -> None:
    count = len(source)
    rows = [case.params for case in source]
    if any(row.keys() != source.names for row in rows):
        refused(source.columns, "source.columns")
        return
    whole = source.columns()
    assert whole.keys() == source.names
    for start, stop in ((0, count), (1, count), (count // 2, count), (0, 0), (0, 1)):
        if not start <= stop <= count:
            continue
        columns = source.columns(start, stop)
        for name in source.names:
            found, expected = columns[name].tolist(), [row[name] for row in rows[start:stop]]
            assert json.dumps(found) == json.dumps(expected)
            assert whole[name][start:stop].tolist() == expected


def test_no_user_can_change_a_source(source: ParameterSource) -> None:
    def spoil(value: Any) -> None:
        if isinstance(value, dict):
            for item in value.values():
                spoil(item)
            value["spoilt"] = 1
        elif isinstance(value, list):
            for item in value:
                spoil(item)
            value.append("spoilt")

    before = json.dumps([case.params for case in source])
    for case, text in zip(source, json.loads(before), strict=True):
        assert case.params == text
        spoil(case.params)
    for index in range(len(source)):
        spoil(source[index].params)
        spoil(source.params(index))
    spoil(source.to_manifest_dict())
    spoil(source.to_frozen_dict())
    assert json.dumps([case.params for case in source]) == before


def test_manifest_dict_comes_back(source: ParameterSource) -> None:
    described = source.to_manifest_dict()
    again = source_from_manifest_dict(json.loads(json.dumps(described)))
    assert list(again) == list(source)
    assert again.to_manifest_dict() == described
    assert described["total_cases"] == len(source)
    del described["total_cases"]
    assert list(source_from_manifest_dict(MappingProxyType(described))) == list(source)


def test_find_is_the_inverse_of_access(source: ParameterSource) -> None:
    refused(lambda: source.find([1]), "[1] has the type list")  # type: ignore[arg-type]
    seen: set[str] = set()
    for case in source:
        found = source.find(case.params, case.replicate)
        assert found is not None
        assert source[found].case_id == case.case_id
        assert (found == case.index) == (case.case_id not in seen)
        seen.add(case.case_id)
    for case in source:
        assert source.find(case.params, 99) is None
        assert source.find({**case.params, "other": 1}) is None


def test_wrong_totals_are_refused(source: ParameterSource) -> None:
    for total in (len(source) + 1, -1, True, str(len(source)), float(len(source)), None):
        described = {**source.to_manifest_dict(), "total_cases": total}
        refused(lambda d=described: source_from_manifest_dict(d), "total_cases")  # type: ignore[misc]


def test_files_are_the_same_again(source: ParameterSource, tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    copy = frozen(source, again)
    assert list(copy) == list(source)
    assert copy.frozen() == source.frozen()


# --- replicates --------------------------------------------------------------------------------


def test_replicates() -> None:
    source = grid(x=[1, 2]).repeat(3)
    assert [(case.params["x"], case.replicate) for case in source] == [
        (1, 0),
        (1, 1),
        (1, 2),
        (2, 0),
        (2, 1),
        (2, 2),
    ]
    assert source[0].case_id == grid(x=[1, 2])[0].case_id
    assert len({case.case_id for case in source}) == 6
    assert source.find({"x": 2}) == 3
    assert source.find({"x": 2}, 2) == 5
    assert source.find({"x": 2}, 3) is None
    assert source.find({"x": 2}, -1) is None
    assert source.find({"x": 3}, 1) is None
    by_search = manual([{}, {"x": 1}]).repeat(2)
    assert not by_search.can_find
    assert by_search.find({"x": 1.0}, 1) == 3


def test_one_replicate_changes_nothing() -> None:
    source = grid(x=[1, 2])
    assert source.repeat(1) is source
    assert list(ReplicatedSource(source, 1)) == list(source)


@pytest.mark.parametrize("replicates", [0, -1, 1.0, True, None, "2"])
def test_refused_replicates(replicates: Any) -> None:
    refused(lambda: grid().repeat(replicates), "replicates")


def test_replicates_of_replicates_are_refused() -> None:
    refused(lambda: grid().repeat(2).repeat(2), "already")


# --- manifest dicts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "source: it has the type NoneType"),
        ([], "it has the type list"),
        ({}, "unknown type of source None"),
        ({"type": "GridSorce", "spec": {}}, "Did you mean 'GridSource'?"),
        ({"type": 3}, "unknown type of source 3"),
        ({"type": "Elsewhere"}, "GridSource, RandomSource, DesignSource, ManualSource"),
        ({"type": "GridSource"}, "the key 'spec' is missing"),
        ({"type": "GridSource", "spce": {}}, "Did you mean 'spec'?"),
        ({"type": "GridSource", "spec": [1]}, "source.spec"),
        ({"type": "GridSource", "spec": {}, 3: 4}, "unknown key 3"),
        ({"type": "ManualSource"}, "the key 'cases' is missing"),
        ({"type": "ManualSource", "cases": [{}], "tag": []}, "Did you mean 'tags'?"),
        ({"type": "RandomSource", "space": {}, "n_trials": 1}, "the key 'seed' is missing"),
        ({"type": "ReplicatedSource", "replicates": 2}, "the key 'source' is missing"),
        (
            {"type": "ReplicatedSource", "replicates": 2, "source": {"type": "Grid"}},
            "source.source",
        ),
    ],
)
def test_refused_manifest_dicts(value: Any, words: str) -> None:
    refused(lambda: source_from_manifest_dict(value), words)


def test_the_message_begins_with_where() -> None:
    error = refused(lambda: source_from_manifest_dict({"type": "X"}, where="sweep.json: source"))
    assert str(error).startswith("sweep.json: source.type: unknown type")


def test_import_needs_only_the_standard_library() -> None:
    code = (
        "import sys; before = set(sys.modules); import hpcsweep.sources as s\n"
        "s.grid(x=[1])[0]; s.random({'x': s.uniform(0, 1)}, 1, 1)[0]; s.manual([{}])[0]\n"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "assert 'difflib' not in sys.modules\n"
        "sys.exit(repr(new - sys.stdlib_module_names - {'hpcsweep'}) if new - "
        "sys.stdlib_module_names - {'hpcsweep'} else 0)"
    )
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_repr_has_kind_and_length() -> None:
    assert repr(grid(x=[1, 2])) == "<GridSource of 2 cases>"


def test_case_is_a_record() -> None:
    assert grid(x=[1])[0] == ParamCase(
        index=0, params={"x": 1}, case_id=ids.case_id({"x": 1}), tags=(), replicate=0
    )
