"""Other interpreters than that of the tests, where this machine has them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def find_python(version: str) -> Path | None:
    """An interpreter of this version, of pyenv or on PATH."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    named = filter(None, [shutil.which(f"python{version}")])
    for python in [*sorted(pyenv.glob(f"{version}.*/bin/python")), *map(Path, named)]:
        asked = [str(python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return python
    return None


def other_python(version: str) -> Path:
    """An interpreter of this version; skips the test if this machine has none."""
    python = find_python(version)
    if python is None:
        pytest.skip(f"there is no Python {version} here")
    return python


def bare_python() -> Path:
    """An interpreter without our packages: of another version where there is one."""
    return find_python("3.13") or Path(sys.executable).resolve()


def make_environment(prefix: Path, python: str | Path = sys.executable) -> Path:
    """A virtual environment without any package. Returns its site-packages."""
    subprocess.run([python, "-m", "venv", "--without-pip", prefix], check=True)
    (packages,) = prefix.glob("lib/python*/site-packages")
    return packages
