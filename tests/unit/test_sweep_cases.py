"""`source: {sweep: OTHER}`: the cases of a second stage from the table of the first."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from hpcsweep import grid
from hpcsweep.errors import ManifestError
from hpcsweep.manifest.mistakes import Mistakes
from hpcsweep.manifest.model import json_schema
from hpcsweep.manifest.user import load_manifest
from hpcsweep.settings import Settings
from hpcsweep.sources import ParameterSource
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.tables.sweep_cases import SweepCases
from tests.support.sweeps import MadeSweep

PYTHON = "def run(x, y):\n    return {'energy': x * y, 'label': f'x{x}'}\n"


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> MadeSweep:
    """A complete sweep `s` of six cases."""
    made = MadeSweep(tmp_path_factory.mktemp("first"), grid(x=[1, 2, 3], y=[0, 1]), python=PYTHON)
    made.plan()
    made.handed_in()
    made.run()
    return made


def second(first: MadeSweep, source: Any, outputs: str = "outputs") -> ParameterSource:
    """The source of a manifest in the directory of the first sweep."""
    path = first.root / "second.json"
    keys = {"name": "b", "command": ["echo", "{params_json}"], "source": source}
    path.write_text(json.dumps(keys))
    with SweepCases(Settings(outputs=outputs), first.root) as cases:
        _, found = load_manifest(path, expand=cases.expand)
    return found


def params(source: ParameterSource) -> list[dict[str, Any]]:
    return [case.params for case in source]


def test_all_parameters_without_columns(first: MadeSweep) -> None:
    found = second(first, {"sweep": "s"})
    assert params(found) == params(first.source)
    assert [case.case_id for case in found] == [case.case_id for case in first.source]


def test_columns_of_some_rows_each_once(first: MadeSweep) -> None:
    found = second(
        first, {"sweep": "s", "where": "energy > 0 and x < 3", "columns": ["x", "energy", "label"]}
    )
    assert params(found) == [
        {"x": 1, "energy": 1, "label": "x1"},
        {"x": 2, "energy": 2, "label": "x2"},
    ]
    assert params(second(first, {"sweep": "s", "columns": ["y"]})) == [{"y": 0}, {"y": 1}]


def test_beside_modifiers_and_inside_of_others(first: MadeSweep) -> None:
    fixed = {"sweep": "s", "columns": ["x"], "fixed": {"z": 5}}
    assert params(second(first, fixed)) == [{"x": x, "z": 5} for x in (1, 2, 3)]
    both = {"product": [{"sweep": "s", "columns": ["x"]}, {"grid": {"sweep": [7, 8]}}]}
    assert params(second(first, both))[:3] == [
        {"x": 1, "sweep": 7},
        {"x": 1, "sweep": 8},
        {"x": 2, "sweep": 7},
    ]


def test_inside_of_branches_and_filters(first: MadeSweep) -> None:
    rows = {"sweep": "s", "columns": ["x"], "where": "energy > 0"}
    source = {"branches": {"m": {"of": rows, "none": {}}}, "where": "x > 1 or m == 'none'"}
    expected = [{"x": 2, "m": "of"}, {"x": 3, "m": "of"}, {"m": "none"}]
    assert params(second(first, source)) == expected
    # A case that stands for those of a sweep which is not over passes every filter around it.
    around = {"product": [source, {"grid": {"a": [1, 2]}, "where": "a > 1"}], "where": "x > 2"}
    mistakes = Mistakes(str, lambda _: (0,))
    with SweepCases(Settings(outputs="outputs"), first.root) as cases:
        replaced = cases.stand_in(around, SweepDirectory.open(first.path), mistakes)
    assert replaced == {
        "product": [
            {"branches": {"m": {"of": {"manual": [{"x": 0}]}, "none": {}}}},
            {"grid": {"a": [1, 2]}, "where": "a > 1"},
        ]
    }


def test_a_sweep_is_named_or_a_path_from_the_manifest(first: MadeSweep, tmp_path: Path) -> None:
    shutil.copytree(first.path, tmp_path / "outputs" / "s")
    for source, outputs in (("./s", "nowhere"), (str(first.path), "nowhere")):
        assert second(first, {"sweep": source}, outputs=outputs).n_cases == 6
    with SweepCases(Settings(outputs=str(tmp_path / "outputs")), tmp_path) as cases:
        assert cases.find("s").path == tmp_path / "outputs" / "s"


def test_the_cases_stay_as_they_were_when_frozen(first: MadeSweep, tmp_path: Path) -> None:
    found = second(first, {"sweep": "s", "columns": ["x"]})
    described, digest = found.frozen()
    found.write_frozen(tmp_path)
    assert described["type"] == "ManualSource"
    assert digest is not None
    lines = (tmp_path / "cases.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"x": 1}, {"x": 2}, {"x": 3}]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"sweep": "nowhere"}, "there is no sweep 'nowhere'"),
        ({"sweep": 3}, "is the number 3, not a sweep"),
        ({"sweep": "s", "columns": ["nothing"]}, "'nothing' is not a column"),
        ({"sweep": "s", "columns": ["seed"]}, "no parameter can be called 'seed'"),
        ({"sweep": "s", "columns": "x"}, "`columns` is the text 'x'"),
        ({"sweep": "s", "where": 1}, "`where` is the number 1"),
        ({"sweep": "s", "when": "done"}, "`when` is the text 'done'"),
        ({"sweep": "s", "where": "energy > 99"}, "no case of s fulfils 'energy > 99'"),
        ({"sweep": "s", "where": "energy >"}, "energy >"),
        ({"sweep": "s", "colums": ["x"]}, "source.colums: unknown key"),
        ({"sweep": "s", "grid": {"x": [1]}}, "source.sweep: stands beside grid"),
    ],
)
def test_mistakes(first: MadeSweep, source: Any, said: str) -> None:
    with pytest.raises(ManifestError) as caught:
        second(first, source)
    assert said in "\n".join(caught.value.mistakes)


def test_a_sweep_that_is_not_complete_is_refused(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 2, 3], y=[0]), python=PYTHON)
    with pytest.raises(ManifestError) as caught:
        second(made, {"sweep": "s"})
    assert "nothing of it was submitted" in "\n".join(caught.value.mistakes)
    made.plan(chunk_size=2)
    made.handed_in()
    made.run()
    with pytest.raises(ManifestError) as caught:
        second(made, {"sweep": "s"})
    (mistake,) = caught.value.mistakes
    assert "the sweep s is not complete: 1 pending, 2 complete of 3" in mistake
    assert f"--after {made.path}" in mistake


def test_a_settled_sweep_gives_its_complete_cases(tmp_path: Path) -> None:
    fails = PYTHON.replace("    return", "    assert x < 3\n    return")
    made = MadeSweep(tmp_path, grid(x=[1, 2, 3], y=[0]), python=fails)
    made.plan(chunk_size=1)
    made.handed_in()
    settled = {"sweep": "s", "when": "settled", "columns": ["x", "energy"]}
    for task in range(3):
        with pytest.raises(ManifestError) as caught:
            second(made, settled)
        assert "the sweep s is not settled" in "\n".join(caught.value.mistakes)
        made.run(task)
    assert params(second(made, settled)) == [{"x": 1, "energy": 0}, {"x": 2, "energy": 0}]
    with pytest.raises(ManifestError) as caught:
        second(made, {"sweep": "s"})
    assert "not complete: 2 complete, 1 failed of 3" in "\n".join(caught.value.mistakes)


def test_the_schema_for_editors_has_it() -> None:
    short = json_schema()["$defs"]["ShortSource"]
    assert {"sweep", "when", "where", "columns"} <= short["properties"].keys()
    assert {"required": ["sweep"]} in short["oneOf"]
