"""Golden values are the same with every numpy: the installed and the oldest allowed."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from tests.support import golden

REPOSITORY = Path(__file__).parents[2]
OLDEST = "1.26"
INSTALL_S = 240


def test_the_installed_numpy() -> None:
    assert int(np.__version__.partition(".")[0]) >= 2
    assert list(golden.differences()) == []


def test_a_numpy_difference_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison reports single reads that change by one bit."""
    monkeypatch.setattr("hpcsweep.sources.distributions.Uniform.at", lambda _, k: k * 2.0**-53)
    assert any("Uniform" in line for line in golden.differences())


def test_the_oldest_tested_numpy_is_the_oldest_allowed() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert f"numpy>={OLDEST}" in project["dependencies"]


@pytest.mark.soak
def test_the_oldest_numpy(tmp_path: Path) -> None:
    python = tmp_path / "venv" / "bin" / "python"
    assert run([sys.executable, "-m", "venv", tmp_path / "venv"]).returncode == 0
    install = ["-m", "pip", "install", "--quiet", "--only-binary", ":all:"]
    done = run([python, *install, f"numpy=={OLDEST}.*"])
    if done.returncode and os.environ.get("CI", "") not in ("true", "1"):
        pytest.skip(f"numpy {OLDEST} cannot be installed here: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    # Standard library, numpy and the checkout: nothing else is there.
    told = run([python, "-m", "tests.support.golden"])
    assert told.stdout.startswith(f"numpy {OLDEST}."), told.stderr
    assert told.stdout.splitlines()[0].endswith(": 0 differences"), told.stdout
    assert told.returncode == 0


def run(argv: list[str | Path]) -> subprocess.CompletedProcess[str]:
    """A program in the checkout."""
    return subprocess.run(
        argv, cwd=REPOSITORY, timeout=INSTALL_S, capture_output=True, text=True, check=False
    )
