"""Provenance: which commit and changes, host, Python and packages; once, not per run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

import hpcsweep.provenance
from hpcsweep import ExperimentReader, Logbook, LogReader
from hpcsweep.provenance import packages, packages_digest, provenance, save_provenance
from hpcsweep.sources import grid
from hpcsweep.worker.local import run_one
from tests.support import clusters
from tests.support.clusters import Cluster
from tests.support.project import Project
from tests.support.sweeps import MadeSweep

emulated = clusters.emulated
TARGET = "def run(x):\n    return {'y': x}\n"


def git(directory: Path, *arguments: str) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(directory), *who, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A repository with one commit, in a directory below it."""
    directory = tmp_path / "repository" / "code"
    directory.mkdir(parents=True)
    (directory / "target.py").write_text(TARGET)
    git(directory.parent, "init", "-q")
    git(directory, "add", ".")
    git(directory, "commit", "-qm", "first")
    return directory


def of_git(directory: Path) -> dict[str, Any]:
    found = provenance(directory)["git"]
    assert isinstance(found, dict)
    return found


# --- what it says --------------------------------------------------------------------------------


def test_a_clean_commit(code: Path) -> None:
    assert of_git(code) == {
        "commit": git(code, "rev-parse", "HEAD"),
        "dirty": False,
        "diff": "",
        "diff_bytes": 0,
        "untracked": [],
        "untracked_count": 0,
    }


def test_the_diff_to_the_commit_can_be_applied(code: Path, tmp_path: Path) -> None:
    git(code, "config", "diff.noprefix", "true")
    git(code, "config", "color.ui", "always")
    (code / "target.py").write_text("changed\n")
    (code.parent / "other.py").write_text("added\n")
    git(code.parent, "add", "other.py")
    (code / "new").mkdir()
    (code / "new" / "one.py").touch()
    found = of_git(code)
    assert found["dirty"] is True
    assert found["untracked"] == ["code/new/"]
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(code.parent), str(clone))
    (tmp_path / "diff").write_text(found["diff"])
    git(clone, "apply", str(tmp_path / "diff"))
    assert (clone / "code" / "target.py").read_text() == "changed\n"
    assert (clone / "other.py").read_text() == "added\n"


def test_provenance_has_no_password(code: Path) -> None:
    (code / "target.py").write_text("URL = 'postgresql://me:sesame@db/x'\npassword = 'sesame'\n")
    found = of_git(code)
    assert "sesame" not in json.dumps(found)
    assert "postgresql://me:***@db/x" in found["diff"]


def test_limit_of_the_diff(code: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code / "target.py").write_text("".join(f"line {n}\n" for n in range(1000)))
    whole = of_git(code)
    assert len(whole["diff"]) == whole["diff_bytes"]
    monkeypatch.setattr(hpcsweep.provenance, "DIFF_BYTES_MAX", whole["diff_bytes"])
    assert of_git(code) == whole
    monkeypatch.setattr(hpcsweep.provenance, "DIFF_BYTES_MAX", whole["diff_bytes"] - 1)
    cut = of_git(code)
    assert cut["diff_bytes"] == whole["diff_bytes"]
    assert whole["diff"].splitlines()[:-1] == cut["diff"].splitlines()


def test_no_program_of_the_repository_is_run(code: Path, tmp_path: Path) -> None:
    spy = f"touch {tmp_path}/ran"
    git(code, "config", "core.fsmonitor", spy)
    git(code, "config", "diff.external", spy)
    git(code, "config", "diff.odd.textconv", spy)
    (code.parent / ".gitattributes").write_text("*.py diff=odd\n")
    (code / "target.py").write_text("changed\n")
    assert "+changed" in of_git(code)["diff"]
    assert not (tmp_path / "ran").exists()


def test_without_a_repository_there_is_nothing(tmp_path: Path) -> None:
    assert provenance(tmp_path)["git"] is None


def test_missing_answers_of_git_are_reported(
    code: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new").mkdir()
    git(tmp_path / "new", "init", "-q")
    assert of_git(tmp_path / "new")["problem"].startswith("git rev-parse: ")
    with monkeypatch.context() as patch:
        patch.setattr(hpcsweep.provenance, "GIT_S", 1e-6)
        assert "took longer" in of_git(code)["problem"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert of_git(code) == {"problem": "git is not installed"}


def plain(name: str) -> str:
    return name.lower().replace("-", "_")


def test_packages_are_those_that_are_installed() -> None:
    found = packages()
    assert f"numpy {metadata.version('numpy')}" in found
    assert found == sorted(set(found))
    normal = {
        str(one.metadata["Name"]).lower().replace("-", "_") for one in metadata.distributions()
    }
    assert {one.partition(" ")[0].lower().replace("-", "_") for one in found} == normal
    assert packages_digest(found) != packages_digest(found[1:])


# --- a run that stands alone ---------------------------------------------------------------------

ALONE = """
import os, subprocess, sys
from hpcsweep import Logbook
real, asked = subprocess.run, []
subprocess.run = lambda argv, *a, **k: (asked.append(argv), real(argv, *a, **k))[1]
for number in range(20):
    with Logbook(str(number), sys.argv[1]):
        pass
    if number == 0:
        first = len(asked)
assert len(asked) == first > 0, asked
"""


def test_a_process_determines_provenance_once(code: Path, tmp_path: Path) -> None:
    (code / "alone.py").write_text(ALONE)
    for _ in range(2):
        subprocess.run([sys.executable, str(code / "alone.py"), str(tmp_path / "out")], check=True)
        shutil.rmtree(tmp_path / "kept", ignore_errors=True)
        shutil.move(tmp_path / "out", tmp_path / "kept")
    (file,) = (tmp_path / "kept").glob(".provenance.*")
    named = {LogReader(one).meta["provenance"] for one in (tmp_path / "kept").glob("log_*")}
    assert named == {file.name}
    found = LogReader(tmp_path / "kept" / "log_7").provenance
    assert found["git"]["commit"] == git(code, "rev-parse", "HEAD")
    assert found["git"]["untracked"] == ["code/alone.py"]
    assert found["host"] == os.uname().nodename
    assert found["python"] == {
        "version": sys.version.split()[0],
        "executable": sys.executable,
    }
    assert found["packages_digest"] == packages_digest(found["packages"])


def test_removed_provenance_is_written_again(tmp_path: Path) -> None:
    first = save_provenance(tmp_path)
    (tmp_path / first).unlink()
    assert save_provenance(tmp_path) == first
    assert json.loads((tmp_path / first).read_text())["format"] == 1


def test_a_run_without_provenance_has_an_empty_one(tmp_path: Path) -> None:
    log = Logbook("a", tmp_path)
    assert LogReader(log.path).provenance["host"] == os.uname().nodename
    log.meta(provenance="none.json")
    assert LogReader(log.path).provenance == {}
    log.meta(provenance=None)
    assert LogReader(log.path).provenance == {}


# --- a sweep -------------------------------------------------------------------------------------


@pytest.mark.parametrize("runs", ["all", "packed"])
def test_a_case_refers_to_its_submission(emulated: Cluster, tmp_path: Path, runs: str) -> None:
    project = Project(emulated, tmp_path, 3, target=TARGET, runs=runs)
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "target.py")
    git(tmp_path, "commit", "-qm", "first")
    (tmp_path / "target.py").write_text(f"{TARGET}\nURL = 'x://me:sesame@db'\n")
    project.submit("--wait")
    file = project.sweep / "submissions" / "0001" / "provenance.json"
    found = json.loads(file.read_text())
    assert found["git"]["commit"] == git(tmp_path, "rev-parse", "HEAD")
    assert "+URL" in found["git"]["diff"]
    assert all(b"sesame" not in one.read_bytes() for one in project.sweep.glob("s*/**/*.json"))
    for run in ExperimentReader(project.sweep):
        assert run.meta["provenance"] == "submissions/0001/provenance.json"
        assert run.provenance == found


def test_a_task_records_its_own_provenance(tmp_path: Path) -> None:
    """So that a package that was replaced between submit and start is seen."""
    made = MadeSweep(tmp_path, grid(x=[1, 2]), python=TARGET)
    made.plan(chunk_size=1)
    made.run(0)
    site = tmp_path / "site"
    (site / "newer-2.0.dist-info").mkdir(parents=True)
    made.run(1, PYTHONPATH=str(site))
    first, second = made.records("task")
    assert first["python"] == second["python"] == sys.version.split()[0]
    assert first["packages"] == packages_digest(packages())
    assert second["packages"] == packages_digest(sorted([*packages(), "newer 2.0"]))


def test_a_single_run_here_has_one(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 2]), python=TARGET)
    _, outcome, path = run_one(made.manifest, made.source, 0, tmp_path / "outputs")
    assert outcome.metrics == {"y": 1}
    found = LogReader(path).provenance
    assert (found["host"], found["git"]) == (os.uname().nodename, None)
