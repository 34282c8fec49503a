"""`hpcsweep run`: one case here, as the cluster runs it, and in the debugger."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.clusters import HPCSWEEP, EmulatedCluster, emulated

__all__ = ["emulated"]

TARGET = """\
import os

def run(x, seed):
    import of_the_site
    if x == 3:
        unlucky = 10 * x
        raise ValueError("no luck")
    names = ("GREETING", "OMP_NUM_THREADS", "UNSET_BY_SETUP")
    return {"x": x, "seed": f"{seed:x}"} | {name: os.environ.get(name, "") for name in names}
"""
MANIFEST = """\
name: s
target: t.py:run
source: {grid: {x: [1, 2, 3]}}
seed: 5
cpus_per_case: 2
setup:
  - export GREETING='how do "you" do' PYTHONPATH="$PWD/site"
  - unset UNSET_BY_SETUP
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "site").mkdir()
    (tmp_path / "site/of_the_site.py").touch()
    (tmp_path / "t.py").write_text(TARGET)
    (tmp_path / "m.yaml").write_text(MANIFEST)
    return tmp_path


def call(
    project: Path, cluster: EmulatedCluster, *arguments: str, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HPCSWEEP, *arguments],
        cwd=project,
        env=cluster.env(UNSET_BY_SETUP="1"),
        input=typed,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("debugged", [[], ["--pdb"]], ids=["child", "pdb"])
def test_a_case_is_as_on_the_cluster(
    emulated: EmulatedCluster, project: Path, debugged: list[str]
) -> None:
    call(project, emulated, "submit", "m.yaml", "--wait", "--cluster", "emulated")
    table = call(project, emulated, "collect", "s", "--format", "jsonl").stdout
    row = json.loads(table.splitlines()[1])
    assert row["GREETING"] == 'how do "you" do'
    which = ["--case", row["case_id"][:8]]
    for arguments in (["--index", "1"], which):
        done = call(project, emulated, "run", "m.yaml", *arguments, *debugged)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(f"case {row['case_id']}, index 1: complete\n")
        metrics = json.loads(done.stdout[done.stdout.index("{") : done.stdout.rindex("}") + 1])
        columns = {"x": "metric.x", "seed": "metric.seed"}
        assert metrics == {name: row[columns.get(name, name)] for name in metrics}
        assert metrics["OMP_NUM_THREADS"] == "2"


def test_an_exception_opens_the_debugger_where_it_was_raised(
    emulated: EmulatedCluster, project: Path
) -> None:
    done = call(project, emulated, "run", "m.yaml", "--index", "2", "--pdb", typed="p unlucky\nq\n")
    assert done.returncode == 1
    assert "(Pdb) 30" in done.stdout
    assert "ValueError: no luck" in done.stderr
    assert "case" in done.stdout.rpartition("(Pdb)")[2]
    (run,) = (project / "outputs/s.local").glob("log_*")
    assert json.loads((run / "metadata.json").read_text())["status"] == "failed"
    assert not (project / "outputs/s").exists()


def test_a_failing_setup_line_is_reported(emulated: EmulatedCluster, project: Path) -> None:
    (project / "m.yaml").write_text(f"{MANIFEST}  - 'false'\n")
    done = call(project, emulated, "run", "m.yaml", "--index", "0")
    assert done.returncode == 4
    assert "the setup line `false` ended with exit code 1" in done.stderr
    assert f"m.yaml:{len(MANIFEST.splitlines()) + 1}" in done.stderr
    assert "outputs" not in os.listdir(project)  # noqa: PTH208  # names are what is meant
