"""Edits of the user's code do not change the tasks of an earlier submission."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.support.small_site import Site, site

__all__ = ["site"]  # fixtures are found by their names

# The first case waits for a file; it and the later ones import a module when they are called.
SIM = """\
import time
from pathlib import Path
import used

HERE = Path(__file__).parent


def run(x):
    import late

    (HERE / f"begun.{x}").touch()
    while not (HERE / "go").exists():
        time.sleep(0.05)
    if late.FAILS and not (HERE / "mended").exists():
        raise ValueError("not yet")
    return {"y": used.V + late.V}
"""
MANIFEST = "target: sim.py:run\nsource: {grid: {x: [1, 2, 3]}}\nslurm: {time: 10}\n"


def write(root: Path, used: int, late: int, *, fails: bool = False) -> None:
    (root / "sim.py").write_text(SIM)
    (root / "used.py").write_text(f"V = {used}\n")
    (root / "late.py").write_text(f"V = {late}\nFAILS = {fails}\n")


def rows(site: Site) -> list[dict[str, object]]:
    """The rows of the results."""
    lines = site.hpcsweep("collect", "s", "--format", "jsonl").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_queued_tasks_run_the_code_that_was_submitted(site: Site) -> None:
    write(site.root, used=1, late=10)
    site.hpcsweep("submit", site.manifest(MANIFEST), "--throttle", "1")
    write(site.root, used=2, late=20)
    (site.root / "sim.py").write_text("raise ValueError('an edit in between')\n")
    (site.root / "go").touch()
    site.wait_for(complete=3)
    assert [row["y"] for row in rows(site)] == [11, 11, 11]
    assert "3 of 3 complete cases of s were computed with other code" in site.hpcsweep(
        "collect", "s"
    )
    said = site.hpcsweep("plot", "s", "--x", "x", "--y", "y", "--output", "a.svg")
    assert "3 of 3 complete cases of s were computed with other code" in said
    # Files beside the original were written there, and none beside the copy.
    assert {path.name for path in site.root.glob("begun.*")} == {"begun.1", "begun.2", "begun.3"}
    write(site.root, used=2, late=20)
    site.hpcsweep("submit", "m.yaml", "--rerun", "stale", "--wait")
    assert [row["y"] for row in rows(site)] == [22, 22, 22]
    assert len(list((site.root / "outputs" / "s" / "code").iterdir())) == 2


def test_a_retry_runs_the_code_that_was_submitted(site: Site) -> None:
    write(site.root, used=1, late=10, fails=True)
    (site.root / "go").touch()
    site.hpcsweep(
        *("submit", "--throttle", "1"),
        site.manifest(
            f"{MANIFEST}retry: {{max_attempts: 2, on: [error]}}\nclosing: {{partition: nonesuch}}\n"
        ),
    )
    site.wait_for(failed=3)
    write(site.root, used=2, late=20)
    (site.root / "mended").touch()
    site.hpcsweep("advance", "s")
    site.wait_for(complete=3)
    assert [row["y"] for row in rows(site)] == [11, 11, 11]


@pytest.mark.parametrize("snapshot", ["auto", "none"])
def test_a_script_of_a_command(site: Site, snapshot: str) -> None:
    (site.root / "run.sh").write_text("echo before\n")
    text = "command: [sh, run.sh, '{x}']\nsource: {grid: {x: [1]}}\n"
    text += f"snapshot: {snapshot}\nslurm: {{time: 10, hold: true}}\n"
    site.hpcsweep("submit", site.manifest(text))
    (site.root / "run.sh").write_text("echo after\n")
    job = site.cluster.out("squeue", "-h", "-o", "%A").split()[0]
    site.cluster.out("scontrol", "release", job)
    site.wait_for(complete=1)
    (found,) = (site.root / "outputs" / "s" / "runs").glob("log_*/stdout.txt")
    assert found.read_text() == {"auto": "before\n", "none": "after\n"}[snapshot]


def test_without_the_copy_no_case_runs_and_none_fails(site: Site) -> None:
    write(site.root, used=1, late=10)
    (site.root / "go").touch()
    site.hpcsweep(
        "submit",
        site.manifest(
            f"{MANIFEST}slurm: {{time: 10, hold: true}}\n".replace("slurm: {time: 10}\n", "")
        ),
    )
    shutil.rmtree(site.root / "outputs" / "s" / "code")
    job = site.cluster.out("squeue", "-h", "-o", "%A").split()[0]
    site.cluster.out("scontrol", "release", job)
    site.wait_for(interrupted=3)
    assert "the code of submission 1 is gone" in site.hpcsweep("logs", "s", "0")
    site.hpcsweep("submit", "m.yaml", "--set", "slurm.hold=false", "--wait")
    assert [row["y"] for row in rows(site)] == [11, 11, 11]
