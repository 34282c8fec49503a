"""Filtered and branched spaces on the emulated cluster: what is shown, sent and run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.emulated import Emulated
from tests.support.small_site import Site

# More combinations than a frozen manifest has in itself: x and y are read from a file in each task.
MANIFEST = """
command: [sh, run.sh, "{x}", "{y}", "{model}", "--C={C}", "{run_dir}"]
source:
  product:
    - grid: {x: {range: [0, 100]}, y: {range: [0, 100]}}
      where: "x < y"
    - branches: {model: {svm: {grid: {C: [1, 10]}}, mean: {}}}
  where: "x >= FIRST and x < 4 and y == 4 and (model == 'mean' or C > 1)"
canary: 0
"""
PROGRAM = 'for last; do :; done; echo "{\\"arguments\\": $#}" > "$last/metrics.json"'


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with Emulated(tmp_path / "cluster") as cluster:
        root = tmp_path / "project"
        root.mkdir()
        (root / "run.sh").write_text(PROGRAM)
        yield Site(root, cluster)


def rows(site: Site) -> list[dict[str, Any]]:
    return [
        json.loads(line) for line in site.hpcsweep("collect", "s", "--format", "jsonl").splitlines()
    ]


def test_a_filtered_space_with_branches_runs_and_grows(site: Site) -> None:
    manifest = site.manifest(MANIFEST.replace("FIRST", "2"))
    shown = [
        "where x < y: 4950 of 10000 cases\n",
        "where x >= 2 and x < 4 and y == 4 and (model == 'mean' or C > 1): 4 of 14850 cases\n",
    ]
    validated = site.hpcsweep("validate", manifest)
    planned = site.hpcsweep("plan", manifest)
    sent = site.hpcsweep("submit", manifest, "--wait")
    for line in shown:
        assert line in validated
        assert line.removeprefix("where ") in planned
        assert line in sent
    before = rows(site)
    assert [(row["x"], row["model"], row.get("C"), row["arguments"]) for row in before] == [
        (2, "svm", 10, 5),
        (2, "mean", None, 4),
        (3, "svm", 10, 5),
        (3, "mean", None, 4),
    ]
    # Of 10,000 combinations of x and y, and of the 4950 that are left.
    assert len(list((site.root / "outputs" / "s" / "manifests").glob("*/kept-*.bits"))) == 2
    table = site.hpcsweep("collect", "s", "--format", "csv", "--columns", "x,C,model,status")
    assert "2,10,svm,complete\n2,,mean,complete\n" in table
    site.manifest(MANIFEST.replace("FIRST", "1"))
    sent = site.hpcsweep("submit", manifest, "--wait")
    assert "2 added, 0 removed, 4 kept" in sent
    assert "submission 2, 2 cases" in sent
    after = rows(site)
    assert [row["x"] for row in after] == [1, 1, 2, 2, 3, 3]
    assert [(row["case_id"], row["seed"]) for row in after[2:]] == [
        (row["case_id"], row["seed"]) for row in before
    ]
