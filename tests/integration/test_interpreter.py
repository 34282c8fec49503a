"""hpcsweep apart from the user's environment: it says which interpreter runs the target."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.support.clusters import HPCSWEEP, EmulatedCluster, emulated

__all__ = ["emulated"]

MANIFEST = """\
name: s
target: t.py:f
source: {grid: {x: [1]}}
setup: [source proj/bin/activate]
"""
TARGET = """\
import mypackage
def f(x):
    return {"answer": mypackage.ANSWER}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An environment that has a package, which a setup line activates."""
    venv.create(tmp_path / "proj", symlinks=True)
    (packages,) = tmp_path.glob("proj/lib/python*/site-packages")
    (packages / "mypackage.py").write_text("ANSWER = 42\n")
    (tmp_path / "m.yaml").write_text(MANIFEST)
    return tmp_path


def said(
    project: Path,
    cluster: EmulatedCluster,
    *arguments: str,
    code: int,
    shell: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """What a command says, with further variables of a shell."""
    done = subprocess.run(
        [HPCSWEEP, *arguments],
        cwd=project,
        env=cluster.env() | dict(shell),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("line", ["source proj/bin/activate", "export PATH=$PWD/proj/bin:$PATH"])
def test_the_python_of_setup_runs_a_target_that_needs_it(
    line: str, project: Path, emulated: EmulatedCluster
) -> None:
    (project / "t.py").write_text(TARGET)
    (project / "m.yaml").write_text(MANIFEST.replace("source proj/bin/activate", line))
    python = f"{project}/proj/bin/python"
    notice = f"t.py:f is run by {python}, which `setup` put first on PATH; {sys.executable}, "
    assert notice in said(project, emulated, "submit", "m.yaml", "--dry-run", code=0)
    assert not (project / "outputs").exists()
    message = said(project, emulated, "submit", "m.yaml", "--wait", code=0)
    assert message.count(notice) == 1
    assert "No module named 'mypackage'" in message
    (kept,) = project.glob("outputs/s/manifests/*/sweep.json")
    assert json.loads(kept.read_text())["interpreter"]["python"] == python
    assert "nothing to submit" in said(project, emulated, "submit", "m.yaml", code=0)
    assert '"answer": 42' in said(project, emulated, "collect", "s", "--format", "jsonl", code=0)


def test_a_case_runs_here_as_it_would_when_submitted(
    project: Path, emulated: EmulatedCluster
) -> None:
    (project / "t.py").write_text(TARGET)
    message = said(project, emulated, "run", "m.yaml", "--index", "0", code=0)
    assert "which `setup` put first on PATH" in message


def test_an_environment_that_the_shell_has_activated_is_named(
    project: Path, emulated: EmulatedCluster
) -> None:
    (project / "t.py").write_text(TARGET)
    (project / "m.yaml").write_text(MANIFEST.replace("source proj/bin/activate", "export A=1"))
    prefix = project / "proj"
    shell = {"VIRTUAL_ENV": str(prefix), "PATH": f"{prefix}/bin:{os.environ['PATH']}"}
    message = said(project, emulated, "submit", "m.yaml", code=4, shell=shell)
    for words in (
        "No module named 'mypackage'",
        f"The target is run by {sys.executable}, the interpreter that hpcsweep is installed in",
        f"`python: {prefix}`",
        f"`{sys.executable} -m pip install ",
    ):
        assert words in message


def test_it_makes_no_difference_that_the_shell_has_activated_what_setup_does(
    project: Path, emulated: EmulatedCluster
) -> None:
    (project / "t.py").write_text(TARGET)
    prefix = project / "proj"
    shell = {"VIRTUAL_ENV": str(prefix), "PATH": f"{prefix}/bin:{os.environ['PATH']}"}
    message = said(project, emulated, "submit", "m.yaml", "--dry-run", code=0, shell=shell)
    assert f"is run by {prefix}/bin/python, which `setup` put first on PATH" in message


def test_a_module_that_neither_interpreter_has(project: Path, emulated: EmulatedCluster) -> None:
    (project / "t.py").write_text("import nowhere\ndef f(x): return {}\n")
    message = said(project, emulated, "submit", "m.yaml", code=4)
    for words in (
        "No module named 'nowhere'",
        f"run by {project}/proj/bin/python, which setup names: install 'nowhere' there",
        f"{sys.executable}, which hpcsweep is installed in, lacks a module, too",
    ):
        assert words in message
    assert not (project / "outputs").exists()


def test_a_python_of_setup_that_is_of_no_use(project: Path, emulated: EmulatedCluster) -> None:
    (project / "t.py").write_text(TARGET)
    for name in ("python", "python3"):
        python = project / "proj/bin" / name
        python.unlink()
        python.write_text("#!/bin/sh\nexit 3\n")
        python.chmod(0o755)
    message = said(project, emulated, "submit", "m.yaml", code=4)
    assert "No module named 'mypackage'" in message
    assert "which `setup` put first" not in message


def test_a_module_that_only_the_case_imports(project: Path, emulated: EmulatedCluster) -> None:
    (project / "t.py").write_text("def f(x):\n    import mypackage\n")
    said(project, emulated, "run", "m.yaml", "--index", "0", code=1)
    (found,) = project.glob("outputs/s.local/log_*/metadata.json")
    assert f"in {sys.executable}, which runs the target" in found.read_text()


def test_a_source_of_a_missing_module(project: Path, emulated: EmulatedCluster) -> None:
    (project / "t.py").write_text("def f(x): return {}\n")
    text = MANIFEST.replace("{grid: {x: [1]}}", "{grid: {x: [1]}, derive: 'mypackage:f'}")
    (project / "m.yaml").write_text(text)
    message = said(project, emulated, "validate", "m.yaml", code=3)
    assert "No module named 'mypackage'" in message
    assert f"is run by {sys.executable}" in message
