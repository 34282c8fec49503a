"""One selection of cases means the same in every command that takes one, and in Python.

`compare` takes two sweeps: test_several_sweeps.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from typing import Any

import pytest

import hpcsweep as hs
from hpcsweep.indexset import IndexSet
from tests.support.clusters import emulated
from tests.support.here import Here, here

__all__ = ["emulated", "here"]

MANIFEST = """
name: s
target: t.py:f
source: {grid: {x: [0, 1, 2, 3, 4, 5, 6, 7]}}
chunk: 8
runs: packed
"""
TARGET = """
def f(x):
    if x == 3:
        raise ValueError("no good")
    return {"y": 2 * x}
"""
SELECTION: dict[str, Any] = {
    "where": "x > 1 and x != 4",
    "cases": "0-6",
    "status": ("complete", "failed"),
    "last": 1,
}
OPTIONS = (
    "--where",
    "x > 1 and x != 4",
    "--cases",
    "0-6",
    "--status",
    "complete,failed",
    "--last",
    "1",
)
SELECTED = [2, 3, 5, 6]


def indices(paths: Iterable[str], ids: dict[str, int]) -> list[int]:
    """The indices of the cases whose ids are in these paths."""
    return sorted(index for path in paths for one, index in ids.items() if one in path)


def planned(document: dict[str, Any]) -> list[int]:
    """The indices in the document of a plan."""
    return [index for one in document["submissions"] for index in IndexSet.parse(one["indices"])]


@pytest.fixture
def ids(here: Here) -> dict[str, int]:
    """The sweep `s` of eight cases that ran, one failed; the indices by case id."""
    here.write("m.yaml", MANIFEST)
    here.write("t.py", TARGET)
    here.cli("submit", "m.yaml", "--wait", code=9)
    here.tasks_end()
    return {row["case_id"]: row["index"] for row in here.rows()}


def test_every_command_takes_one_selection(here: Here, ids: dict[str, int]) -> None:
    def lines(*arguments: str) -> list[str]:
        return here.does(*arguments, *OPTIONS).splitlines()

    def rows(*arguments: str) -> list[Any]:
        return [json.loads(line) for line in lines(*arguments, "--format", "jsonl")]

    _every_verb_takes_it(ids)
    for path in here.sweep.glob("runs/log_*"):
        shutil.rmtree(path)
    rerun = ("submit", "m.yaml", "--rerun", "all", "--dry-run", "--json")
    found: dict[str, list[int]] = {
        "collect": [row["index"] for row in rows("collect", "s")],
        "attempts": [row["index"] for row in rows("collect", "s", "--attempts")],
        "sql": [row["x"] for row in rows("collect", "s", "--sql", "SELECT x FROM cases")],
        "files": indices(lines("files", "s", "metadata.json", "--paths"), ids),
        "logs": [one["index"] for one in json.loads(here.does("logs", "s", "--json", *OPTIONS))],
        "unpack": indices(lines("unpack", "s"), ids),
        "submit": planned(json.loads(here.does(*rerun, *OPTIONS))),
    }
    assert found == dict.fromkeys(found, SELECTED)
    plotted = here.cli("plot", "s", "--x", "x", "--y", "y", *OPTIONS, code=0)
    assert "3 of 4 cases are drawn; not drawn: 1 failed" in plotted.stderr
    here.cli("report", "s", "-o", "r.html", *OPTIONS, code=0)
    assert "about 4 of 8 cases: --cases 0-6 --where" in (here.path / "r.html").read_text()
    # Of the selected cases one failed.
    (sent,) = json.loads(here.does("retry", "s", "--json", *OPTIONS))["submissions"]
    assert sent["indices"] == "3"
    here.tasks_end()
    sweep = hs.Sweep(manifest="m.yaml", cluster="emulated")
    (plan,) = sweep.retry(notify=None, **SELECTION | {"last": 2}).plans
    assert list(plan.indices) == [3]
    here.tasks_end()


def _every_verb_takes_it(ids: dict[str, int]) -> None:
    sweep = hs.Sweep(manifest="m.yaml", cluster="emulated")
    found = {
        "query": [row["index"] for row in sweep.query(columns=["index"], **SELECTION)],
        "to_dataframe": list(sweep.to_dataframe(**SELECTION)["index"]),
        "to_arrow": sweep.to_arrow(**SELECTION)["index"].to_pylist(),
        "files": [file.index for file in sweep.files("metadata.json", **SELECTION)],
        "logs": [logs.index for logs in sweep.logs(**SELECTION)],
        "unpack": indices(map(str, sweep.unpack(**SELECTION)), ids),
        "plan": planned(sweep.plan(rerun="all", **SELECTION).to_json()),
    }
    assert found == dict.fromkeys(found, SELECTED)
    notes = sweep.plot("x", "y", notify=None, **SELECTION).notes
    assert notes[0] == "3 of 4 cases are drawn; not drawn: 1 failed"


def test_selected_cases_are_cancelled(here: Here) -> None:
    """`cancel` on the command line: test_cancel_cases.py."""
    held = MANIFEST.replace("chunk: 8", "chunk: 1\nslurm: {hold: true}")
    here.write("m.yaml", held)
    here.write("t.py", TARGET)
    here.does("submit", "m.yaml")
    hs.Sweep(manifest="m.yaml").cancel(**SELECTION | {"status": "pending"}, notify=None)
    (fact,) = (json.loads(path.read_bytes()) for path in (here.sweep / "cancels").iterdir())
    assert [i for start, stop in fact["indices"] for i in range(start, stop)] == SELECTED
    here.does("cancel", "s")
