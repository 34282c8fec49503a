"""docs/agents.md says of every command what it changes; those that read change nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from hpcsweep.cli import main
from hpcsweep.sources import grid
from tests.support.here import picture
from tests.support.sweeps import MadeSweep

PAGE = (Path(__file__).parents[2] / "docs/agents.md").read_text()
# A call of each command that reads; `view` serves until it is ended.
READS = {
    "schema": ["status"],
    "completion": ["bash"],
    "validate": ["manifest.yaml"],
    "plan": ["manifest.yaml"],
    "list": ["outputs"],
    "status": ["s", "--check"],
    "logs": ["s", "0"],
    "compare": ["s", "other"],
    "efficiency": ["s"],
    "doctor": ["s", "--cluster", "submitit:local"],
    "collect": ["s"],
    "files": ["s", "artifacts/metrics.json"],
    "ingest": ["s", "--rebuild"],
    "db status": ["s"],
    "emulator status": ["--dir", "emulator"],
}
# The index of the sweep is a file.
CODES = {"db status": 8}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a manifest, and two sweeps that ran."""
    root = tmp_path_factory.mktemp("project")
    (root / "outputs").mkdir()
    for name in ("s", "other"):
        made = MadeSweep(root / "outputs", grid(x=[1, 2]), name=name)
        made.plan()
        made.handed_in()
        made.run()
    (root / "target.py").write_text("def run(x):\n    return {}\n")
    (root / "manifest.yaml").write_text(
        "name: t\ntarget: target.py:run\nsource: {grid: {x: [1, 2]}}\n"
    )
    return root


def test_every_command_that_reads_is_called_here() -> None:
    rows = re.findall(r"^\| (`.*`) \| reads.* \|.* \|$", PAGE, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([a-z ]+)`", row)}
    assert named == {*READS, "view"}


@pytest.mark.parametrize("command", READS)
def test_a_command_that_reads_changes_nothing(
    command: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    before = picture(project)
    done = CliRunner().invoke(main, [*command.split(), *READS[command]])
    assert done.exit_code == CODES.get(command, 0), done.output
    assert picture(project) == before


def test_no_command_but_rm_asks() -> None:
    asking = {
        path.stem
        for path in (Path(__file__).parents[2] / "hpcsweep").rglob("*.py")
        if re.search(r"\bclick\.(confirm|prompt)\(|\binput\(|\bgetpass\(", path.read_text())
    }
    assert asking == {"rm"}
