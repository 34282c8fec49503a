"""hpcsweep apart from the user's environment: it says which interpreter runs the target."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.support.clusters import HPCSWEEP, EmulatedCluster, emulated

__all__ = ["emulated"]

MANIFEST = """\
name: s
target: t.py:f
source: {grid: {x: [1]}}
setup: [source proj/bin/activate]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """An environment that has a package, which a setup line activates."""
    venv.create(tmp_path / "proj", symlinks=True)
    (packages,) = tmp_path.glob("proj/lib/python*/site-packages")
    (packages / "mypackage.py").write_text("ANSWER = 42\n")
    (tmp_path / "m.yaml").write_text(MANIFEST)
    return tmp_path


def said(project: Path, cluster: EmulatedCluster, *arguments: str, code: int) -> str:
    done = subprocess.run(
        [HPCSWEEP, *arguments],
        cwd=project,
        env=cluster.env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_a_module_of_an_environment_that_setup_activates(
    project: Path, emulated: EmulatedCluster
) -> None:
    (project / "t.py").write_text("import mypackage\ndef f(x): return {}\n")
    message = said(project, emulated, "submit", "m.yaml", code=4)
    for words in (
        "No module named 'mypackage'",
        f"The target is run by {sys.executable}, ",
        "`setup:` does not change that",
        f"`python: {project}/proj`",
        f"`{sys.executable} -m pip install ",
    ):
        assert words in message


def test_a_python_that_setup_puts_first_on_path(project: Path, emulated: EmulatedCluster) -> None:
    (project / "t.py").write_text("import mypackage\ndef f(x): return {}\n")
    setup = "export PATH=$PWD/proj/bin:$PATH"
    (project / "m.yaml").write_text(MANIFEST.replace("source proj/bin/activate", setup))
    message = said(project, emulated, "submit", "m.yaml", code=4)
    assert f"`python: {project}/proj/bin/python3`" in message


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
