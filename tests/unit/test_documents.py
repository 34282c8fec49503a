"""What commands print with `--json` has the keys of its schema, and no other."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator, ValidationError

from hpcsweep.cli import main
from hpcsweep.cli.documents import DOCUMENTS, json_schema
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import COMPLETE
from hpcsweep.records import Resources, Status
from hpcsweep.settings import Settings
from hpcsweep.sources import grid
from hpcsweep.state.canary import CanaryCounts
from hpcsweep.state.pace import Pace
from hpcsweep.state.paused import Paused
from hpcsweep.state.reduced import Reduced
from hpcsweep.state.running import RunningCase
from hpcsweep.state.standstill import Standstill
from hpcsweep.state.status import status
from hpcsweep.state.stopped import FailureKind, Stopped
from hpcsweep.state.summary import Summary
from hpcsweep.sweepdir.nodes import NodeFact
from hpcsweep.tables.column_names import FIRST, LAST
from tests.support.documents import checked
from tests.support.sweeps import MadeSweep

# NaN and infinities differ between the two sweeps, and case 3 failed.
PYTHON = """\
def run(x):
    held = bytearray(40 << 20)
    if x == 3: raise ValueError("no good")
    return {"y": float("nan") if x == 2 else SIGN * float("inf"), "z": SIGN * x}
"""
NODE = NodeFact(node="n1", time=1.0, first="a", last="b", cases=[0], messages=["no good"])
PARTS: list[dict[str, Any]] = [
    {"waiting": {"Priority": 2, "JobHeldUser": 1}, "tasks": {"PENDING": 3}},
    {
        "stopped": Stopped(
            name="s",
            path="/s",
            failures=1,
            kind="E",
            is_held=True,
            kinds=(FailureKind(kind="E", indices=IndexSet.of([3])),),
        )
    },
    {"paused": Paused(name="s", path="/s", file_system="", cases=IndexSet.of([1]))},
    {"standstill": Standstill(name="s", path="/s", cases=1, stages=("t",), why="no job")},
    {"excluded_nodes": (NODE,)},
    {"reduced": Reduced(sweep="s", path="/s", when=COMPLETE)},
    {"reduced": Reduced(sweep="s", path="/s", when=COMPLETE, status=Status.FAILED, reason="error")},
    {"canary": CanaryCounts(cases=5, complete=1, under_way=4, others=10)},
    {"followers": {"t": COMPLETE}, "lost": 0, "given_up": {"error": IndexSet.of([1, 3])}},
    {"pace": Pace(ended=3, seconds=60.0, left=4)},
    {"pace": Pace(ended=30, seconds=60.0, left=4)},
    {"running": (RunningCase(index=1, case_id="0" * 16, host=None, seconds=1.5),)},
    {"next_start": "2026-11-29T10:00:00+01:00", "torn": {"a.jsonl": 2}, "problem": "no answer"},
]


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> list[MadeSweep]:
    """Two that ran, with metrics that differ, a failure, and more memory than was asked for."""
    made = []
    for sign in ("+1", "-1"):
        root = tmp_path_factory.mktemp("documents")
        resources = Resources(options={"mem": "10M", "time": "60"})
        python = PYTHON.replace("SIGN", sign)
        sweep = MadeSweep(root, grid(x=[1, 2, 3, 4]), python=python, resources=resources)
        sweep.plan()
        sweep.handed_in()
        sweep.run()
        made.append(sweep)
    return made


@pytest.fixture(scope="module")
def summary(sweeps: list[MadeSweep]) -> Summary:
    return status(sweeps[0].directory, None, Settings())


def printed(command: str, *arguments: object, schema: str = "", code: int = 0) -> Any:
    """The document of a command, which agrees with its schema."""
    done = CliRunner().invoke(main, [*command.split(), *map(str, arguments), "--json"])
    assert done.exit_code == code, done.output
    return checked(schema or command.replace(" ", "-"), json.loads(done.stdout))


def test_status(sweeps: list[MadeSweep]) -> None:
    document = printed("status", sweeps[0].path, "--check")
    assert document["schema"] == "hpcsweep.status/1"
    assert document["failures"]
    assert document["memory_excess"]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: next(iter(part)))
def test_each_part_of_a_status(summary: Summary, part: dict[str, Any]) -> None:
    document = json.loads(json.dumps(replace(summary, **part).to_json()))
    assert document != summary.to_json()
    checked("status", document)


def test_collect(sweeps: list[MadeSweep]) -> None:
    done = CliRunner().invoke(main, ["collect", str(sweeps[0].path), "--format", "jsonl"])
    lines = [checked("collect", json.loads(line)) for line in done.stdout.splitlines()]
    assert [line["x"] for line in lines] == [1, 2, 3, 4]
    assert json_schema("collect")["properties"].keys() == {*FIRST, *LAST}


def test_logs(sweeps: list[MadeSweep]) -> None:
    assert printed("logs", sweeps[0].path, 2)["schema"] == "hpcsweep.logs/1"
    assert len(printed("logs", sweeps[0].path, "--cases", "0-3")) == 4


def test_compare(sweeps: list[MadeSweep]) -> None:
    document = printed("compare", sweeps[0].path, sweeps[1].path)
    assert document["schema"] == "hpcsweep.compare/1"
    assert {difference["metric"] for difference in document["differences"]} == {"y", "z"}


def test_efficiency(sweeps: list[MadeSweep]) -> None:
    document = printed("efficiency", sweeps[0].path)
    assert document["schema"] == "hpcsweep.efficiency/1"
    assert document["uses"]


def test_list(sweeps: list[MadeSweep]) -> None:
    assert printed("list", sweeps[0].root)


def test_doctor(sweeps: list[MadeSweep]) -> None:
    assert printed("doctor", sweeps[0].path, "--cluster", "submitit:local")


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    (tmp_path / "target.py").write_text("def run(x): return {}\n")
    path = tmp_path / "manifest.yaml"
    path.write_text("name: t\ntarget: target.py:run\nsource: {grid: {x: [1, 2]}}\n")
    return path


def test_validate(manifest: Path) -> None:
    document = printed("validate", manifest)
    assert (document["name"], document["cases"]) == ("t", 2)


def test_plan(manifest: Path) -> None:
    (submission,) = printed("plan", manifest)["submissions"]
    assert (submission["indices"], submission["script"], submission["calls"]) == ("0-1", None, [])
    (submission,) = printed("plan", manifest, "--script", "--cases", "1")["submissions"]
    assert submission["indices"] == "1"
    assert submission["script"].startswith("#!/bin/bash")
    assert submission["calls"]


def test_submit(manifest: Path) -> None:
    cluster = "--cluster=submitit:local"
    dry = printed("submit", manifest, cluster, "--dry-run", schema="plan")
    assert [one["cases"] for one in dry["submissions"]] == [2]
    sent = printed("submit", manifest, cluster, "--wait")
    assert [(one["cases"], len(one["job_ids"])) for one in sent["submissions"]] == [(2, 1)]
    again = printed("retry", manifest, schema="submit")
    assert (again["submissions"], again["complete"]) == ([], 2)
    assert printed("advance", manifest, schema="submit")["submissions"] == []


def test_emulator_status(tmp_path: Path) -> None:
    document = printed("emulator status", "--dir", tmp_path / "none")
    assert document["schema"] == "hpcsweep.emulator-status/1"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_schemas_are_printed(name: str) -> None:
    done = CliRunner().invoke(main, ["schema", name])
    assert done.exit_code == 0, done.output
    schema = json.loads(done.stdout)
    Draft202012Validator.check_schema(schema)
    assert schema == json_schema(name)


def test_keys_have_descriptions() -> None:
    keys = json_schema("status")["properties"]
    assert keys["unsubmitted"]["description"] == "Count of pending cases that a submit would send."
    assert "title" not in keys["name"]


def test_readers_let_later_keys_pass_and_tests_do_not(summary: Summary) -> None:
    later = summary.to_json() | {"later": 1}
    Draft202012Validator(json_schema("status")).validate(later)
    with pytest.raises(ValidationError, match="later"):
        checked("status", later)
    with pytest.raises(ValidationError, match="'counts' is a required"):
        checked("status", {key: value for key, value in later.items() if key != "counts"})
