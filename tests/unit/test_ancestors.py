"""Defects M1 to M19 and M35 of the ancestor's parameters: each test fails on what it did."""

from __future__ import annotations

import json
import math
from collections import Counter
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

import hpcsweep as hs
from hpcsweep import ids
from hpcsweep.errors import IdentityError, SourceError
from hpcsweep.settings import Settings
from hpcsweep.sources import source_from_manifest_dict
from hpcsweep.sources.distributions import distribution
from hpcsweep.state.status import status
from hpcsweep.store.ingest import fresh_index
from tests.support.sweeps import MadeSweep


class Colour(Enum):
    RED = "red"


def case_id(**params: Any) -> str:
    return ids.case_id(params)


def through_json(source: hs.ParameterSource) -> hs.ParameterSource:
    """The source as a worker makes it again."""
    return source_from_manifest_dict(json.loads(json.dumps(source.to_manifest_dict())))


def test_m01_a_float_is_not_its_text() -> None:
    assert case_id(x=0.1) != case_id(x="0.1")
    assert case_id(x=1) != case_id(x="1")


def test_m02_numpy_floats_are_the_floats_that_a_worker_reads() -> None:
    source = hs.grid(x=[np.float64(0.1), np.float64(0.3)])
    assert source[0].case_id == case_id(x=0.1) == case_id(x=np.float64(0.1))
    assert [case.case_id for case in through_json(source)] == [case.case_id for case in source]


def test_m03_integers_of_numpy_ranges_and_paths_are_values() -> None:
    assert case_id(x=np.int64(3)) == case_id(x=3)
    assert case_id(x=Colour.RED) == case_id(x="red")
    assert case_id(x=PurePosixPath("a/b")) == case_id(x="a/b")
    for axis in (range(3), np.arange(3), np.linspace(0, 1, 3)):
        source = hs.grid(x=axis)
        assert [case.case_id for case in through_json(source)] == [case.case_id for case in source]
    with pytest.raises(IdentityError, match=r"grid\.x\[0\]"):  # when it is made, not at submit
        hs.grid(x=[np.float32(0.1)])


def test_m04_what_has_no_canonical_form_is_refused() -> None:
    for value in (len, object(), {1, 2}, {1: "a"}, math.nan, math.inf, b"x", hs.ParamCase):
        with pytest.raises(IdentityError):
            case_id(x=value)
    assert case_id(x=(1, 2)) == case_id(x=[1, 2])
    assert case_id(x={"a": 1}) != case_id(x={"a": "1"})


def test_m05_a_repeated_case_counts_at_each_index(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="the values at 0 and 1 are the same"):
        hs.grid(x=[1, 1])
    source = hs.random({"x": hs.choice(["a", "b"])}, 6, seed=1)
    assert len({case.case_id for case in source}) < 6
    made = MadeSweep(tmp_path, source)
    made.plan()
    made.handed_in()
    made.run()
    summary = status(made.directory, None, Settings())
    assert summary.is_complete
    assert {known.value: n for known, n in summary.counts.items() if n} == {"complete": 6}


def test_m06_the_ends_of_loguniform_int_have_their_share() -> None:
    source = hs.random({"n": hs.loguniform_int(1, 10)}, 40_000, seed=3)
    found = Counter(source.columns()["n"].tolist())
    for n in range(1, 11):
        expected = 40_000 * math.log((n + 1) / n) / math.log(11)
        assert abs(found[n] - expected) < 5 * math.sqrt(expected)


def test_m07_bounds_are_checked_when_made_and_never_left() -> None:
    for make in (
        lambda: hs.loguniform(10, 10),
        lambda: hs.uniform(5, 1),
        lambda: hs.randint(5, 1),
        lambda: hs.choice([]),
        lambda: hs.loguniform(0, 1),
        lambda: hs.loguniform_int(-1, 1),
    ):
        with pytest.raises(SourceError):
            make()
    top = 2**53 - 1
    for made, high in ((hs.loguniform(1, 10), 10), (hs.uniform(0.1, 0.3), 0.3)):
        assert made.at(top) < high
        assert made.at(0) >= (made.low if hasattr(made, "low") else 0)


def test_m08_another_parameter_changes_no_draw() -> None:
    space = {"b": hs.uniform(0, 1)}
    alone = hs.random(space, 20, seed=1)
    beside = hs.random({"a": hs.randint(1, 9), **space, "c": hs.choice([1, 2])}, 20, seed=1)
    assert [case.params["b"] for case in beside] == [case.params["b"] for case in alone]


def test_m09_every_seed_is_another() -> None:
    def draws(seed: int) -> list[float]:
        return [case.params["x"] for case in hs.random({"x": hs.uniform(0, 1)}, 3, seed)]

    assert draws(-1) != draws(1)
    shifted = hs.random({"x": hs.uniform(0, 1)}, 1_000_000_008, seed=0)
    assert shifted.params(1_000_000_007)["x"] != draws(1)[0]
    for seed in (1.0, None, True, "1"):
        with pytest.raises(SourceError):
            hs.random({"x": hs.uniform(0, 1)}, 1, seed)  # type: ignore[arg-type]


def test_m10_constants_stand_beside_distributions() -> None:
    source = hs.random({"x": hs.uniform(0, 1), "n": 5, "s": "text", "z": None}, 2, seed=1)
    assert {key: source.params(1)[key] for key in ("n", "s", "z")} == {
        "n": 5,
        "s": "text",
        "z": None,
    }


def test_m11_what_a_worker_cannot_make_is_refused_when_made() -> None:
    class Mine:
        def sample(self, _: object) -> float:
            return 0.5

    with pytest.raises(SourceError, match="is not a distribution"):
        hs.random({"x": Mine()}, 1, 1)
    with pytest.raises(SourceError, match="unknown type"):
        distribution({"type": "Mine"}, "space.x")
    own = hs.random({"x": hs.custom("tests.support.sourcing:Square", low=1)}, 3, 1)
    assert list(through_json(own)) == list(own)


def test_m12_derived_parameters_are_the_same_in_a_task(tmp_path: Path) -> None:
    (tmp_path / "rules_m12.py").write_text("def add(params): return {**params, 'y': 2}\n")
    described = {
        "type": "DerivedSource",
        "source": hs.grid(x=[1]).to_manifest_dict(),
        "derive": "rules_m12:add",
        "path": str(tmp_path),
    }
    made = MadeSweep(tmp_path, source_from_manifest_dict(described))
    made.plan()
    made.run()
    (end,) = made.ends().values()
    assert end["metrics"] == {"x": 1, "y": 2} == made.source[0].params
    assert end["case_id"] == made.source[0].case_id


def test_m13_a_function_gets_the_types_of_json_everywhere() -> None:
    here = hs.grid(x=[(1, 2.0)], p=[PurePosixPath("a")])[0].params
    there = through_json(hs.grid(x=[(1, 2.0)], p=[PurePosixPath("a")]))[0].params
    assert here == there == {"p": "a", "x": [1, 2.0]}
    assert [type(item) for item in here["x"]] == [type(item) for item in there["x"]] == [int, float]
    with pytest.raises(IdentityError):
        hs.grid(x=[{1: "a"}])


def test_m14_a_source_is_immutable() -> None:
    values = [[1]]
    source = hs.grid(x=values)
    before = source[0].case_id
    source[0].params["x"].append(99)
    values[0].append(98)
    assert source[0].params == {"x": [1]}
    assert source[0].case_id == before


def test_m15_grids_of_any_size_and_name() -> None:
    for wrong in ("abc", 1, (i for i in range(3))):
        with pytest.raises(SourceError, match=r"grid\.x"):
            hs.grid(x=wrong)
    assert hs.grid(self=[1, 2])[1].params == {"self": 2}
    huge = hs.grid(**{f"p{i:02}": range(1000) for i in range(10)})
    assert huge.n_cases == 10**30
    assert huge[10**29].index == 10**29
    assert [case.index for case in huge[10**29 :: 10**29][:2]] == [0, 1]
    assert hs.grid()[-1].params == {}


def test_m16_seeds_are_wide_and_depend_on_case_and_replicate() -> None:
    assert hs.SeedBundle(42) == hs.SeedBundle(42, 0)
    assert hs.SeedBundle(42).fingerprint() == hs.SeedBundle(42, 0).fingerprint()
    found = {ids.case_seed(42, case_id(x=x), r) for x in range(100) for r in range(100)}
    assert len(found) == 10_000
    assert max(found) > 2**120


def test_m17_tags_seed_and_replicate_are_in_the_index(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, hs.manual([{"x": 1}], tags=["first"]), replicates=2, seed=7)
    made.plan()
    made.handed_in()
    made.run()
    with fresh_index(made.directory) as sweep_index:
        rows = list(sweep_index.rows())
    assert [row["replicate"] for row in rows] == [0, 1]
    assert [json.loads(row["tags"]) for row in rows] == [["first", "manual_0"]] * 2
    seeds = [ids.case_seed(7, case.case_id, case.replicate) for case in made.source]
    assert [int(row["seed"], 16) for row in rows] == seeds
    assert all(row["host"] and row["code_digest"] for row in rows)


def test_m18_code_is_no_part_of_a_case_and_helpers_are_part_of_the_code(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, hs.grid(x=[1]), python="import aid\ndef run(x): return aid.f(x)\n")
    (tmp_path / "aid.py").write_text("def f(x): return {'y': x}\n")
    made.plan()
    made.run()
    (tmp_path / "aid.py").write_text("def f(x): return {'y': x + 1}\n")
    made.plan(generation=1)
    made.run(submission=2)
    first, second = (one for one in made.records("end") if "index" in one)
    assert first["case_id"] == second["case_id"]
    assert first["code_digest"] != second["code_digest"]


def test_m19_a_path_is_its_text() -> None:
    """In the ancestor, copying or touching a file changed every id."""
    path = Path(__file__)
    before = case_id(file=path)
    assert before == case_id(file=str(path))
    assert hs.grid(file=[path])[0].params == {"file": str(path)}


def test_m35_what_only_the_submitting_program_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="which a task cannot import"):
        hs.grid(x=[1]).derive("__main__:double")

    def inner(x: int) -> None: ...

    with pytest.raises(hs.InputError, match="no name that a task could import"):
        hs.Sweep("s", hs.grid(x=[1]), target=inner, root=tmp_path)
