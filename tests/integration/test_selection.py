"""`submit` limited to some cases, and cases whose files are gone, on the emulated cluster."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.support import clusters
from tests.support.clusters import EmulatedCluster
from tests.support.project import Project, check_arrays

emulated = clusters.emulated

FAILING = """
from pathlib import Path
def run(x):
    if x == 3 and not Path(__file__).with_name("good").exists():
        raise ValueError("no good")
    return {"square": x * x}
"""


def test_selected_cases_are_sent_and_waited_for(emulated: EmulatedCluster, tmp_path: Path) -> None:
    project = Project(emulated, tmp_path / "p", 12, chunk=2)
    said = project.submit("--cases", "3,7,9-10", "--dry-run").stdout
    assert "4 of 12" in said
    said = project.submit("--cases", "3,7,9-10", "--wait").stdout
    assert "submission 1, 4 cases in 2 array tasks" in said
    assert "sweep: 4 complete of 4" in said
    assert set(project.executions()) == {3, 7, 9, 10}
    assert project.status()["unsubmitted"] == 8
    said = project.submit("--cases", "3,7").stdout
    assert "nothing to submit of the 2 selected cases, 2 complete" in said
    project.submit("--cases", "3,4", "--rerun", "all", "--wait")
    assert project.executions() == {3: 2, 4: 1, 7: 1, 9: 1, 10: 1}
    project.submit("--wait")
    assert project.executions() == dict.fromkeys(range(12), 1) | {3: 2}
    check_arrays(project)


def test_a_condition_selects_by_results_and_by_params(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    project = Project(emulated, tmp_path / "p", 8, chunk=2)
    project.submit("--where", "x >= 2 and x < 5", "--wait")
    assert set(project.executions()) == {2, 3, 4}
    said = project.submit("--where", "square > 4 or x > 6", "--cases", "3-7", "--dry-run").stdout
    assert "1 of 8" in said
    project.submit("--where", "square > 4 or x > 6", "--rerun", "all", "--wait")
    assert project.executions() == {2: 1, 3: 2, 4: 2, 7: 1}
    rows = project.cli(
        "collect", "sweep", "--format", "csv", "--columns", "index", "--cases", "2-5"
    )
    assert rows.stdout.split() == ["index", "2", "3", "4", "5"]
    options = ("--columns", "index", "--cases", "2-5", "--where", "square > 4")
    rows = project.cli("collect", "sweep", "--format", "csv", *options)
    assert rows.stdout.split() == ["index", "3", "4"]


def test_cases_whose_files_are_gone_are_computed_again(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    project = Project(emulated, tmp_path / "p", 6, chunk=2)
    project.submit("--wait")
    assert project.status()["lost_files"] is None
    said = project.cli("status", "sweep", "--check").stdout
    assert "the files of every complete case are there" in said
    for index in (1, 4):
        shutil.rmtree(project.sweep / project.rows()[index]["run_dir"])
    found = json.loads(project.cli("status", "sweep", "--check", "--json").stdout)
    assert (found["lost_files"], found["counts"]["complete"]) == (2, 6)
    assert (
        "2 complete cases have lost their files" in project.cli("status", "sweep", "--check").stdout
    )
    project.submit("--rerun", "lost", "--cases", "0-3", "--wait")
    assert project.executions() == dict.fromkeys(range(6), 1) | {1: 2}
    project.submit("--rerun", "lost", "--wait")
    assert project.executions() == dict.fromkeys(range(6), 1) | {1: 2, 4: 2}
    assert "nothing to submit" in project.submit("--rerun", "lost").stdout
    assert len(project.run_directories()) == 6


def test_cases_whose_pack_is_gone_are_computed_again(
    emulated: EmulatedCluster, tmp_path: Path
) -> None:
    project = Project(emulated, tmp_path / "p", 4, chunk=2, runs="packed")
    project.submit("--wait")
    shutil.rmtree(project.sweep / "runs" / "packs")
    assert "4 complete cases have lost" in project.cli("status", "sweep", "--check").stdout
    project.submit("--rerun", "lost", "--wait")
    assert project.executions() == dict.fromkeys(range(4), 2)
    said = project.cli("status", "sweep", "--check").stdout
    assert "the files of every complete case are there" in said


def test_every_command_takes_the_same_selection(emulated: EmulatedCluster, tmp_path: Path) -> None:
    project = Project(emulated, tmp_path / "p", 6, chunk=3, runs="packed", target=FAILING)
    project.submit("--cases", "0-4", "--wait", code=9)
    ids = {row["index"]: row["case_id"] for row in project.collect()}
    (project.root / "some.txt").write_text(f"index\n2-3\n{ids[0]}\n")

    def lines(*arguments: str) -> list[str]:
        return project.cli(*arguments).stdout.splitlines()

    files = ("files", "sweep", "metadata.json", "--paths", "--cases", "@some.txt")
    assert len(lines(*files)) == 3
    assert len(lines(*files, "--status", "complete")) == 2
    logs = ("logs", "sweep", "--json", "--where", "x > 2", "--last", "1")
    found = json.loads(project.cli(*logs).stdout)
    assert [(one["index"], one["state"]) for one in found] == [
        (3, "failed: error: no good"),
        (4, "complete"),
    ]
    assert all(len(one["attempts"]) == 1 for one in found)
    (only,) = lines("unpack", "sweep", "--cases", ids[4][:12])
    assert ids[4] in only
    assert lines("unpack", "sweep", "--case", "4") == []
    assert len(lines("unpack", "sweep", "--where", "index < 2")) == 2
    said = project.cli("plan", "manifest.json", "--status", "pending").stdout
    assert "1 of 6" in said
    (project.root / "good").touch()
    project.cli("retry", "sweep", "--cases", "3", "--wait")
    attempts = project.cli("collect", "sweep", "--attempts", "--cases", "3", "--format", "jsonl")
    rows = [json.loads(line) for line in attempts.stdout.splitlines()]
    assert [(row["attempt"], row["submission"], row["status"]) for row in rows] == [
        (1, 1, "failed"),
        (2, 2, "complete"),
    ]
    assert {(row["asked_mem"], row["asked_time"]) for row in rows} == {("100M", "00:10:00")}
    assert [row["index"] for row in project.collect() if row["status"] == "pending"] == [5]
