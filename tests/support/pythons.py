"""Other interpreters than that of the tests, where this machine has them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def other_python(version: str) -> Path:
    """An interpreter of this version, on PATH or of pyenv; skips the test if there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    named = filter(None, [shutil.which(f"python{version}")])
    for found in [*sorted(pyenv.glob(f"{version}.*/bin/python")), *map(Path, named)]:
        asked = [str(found), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.stdout.strip() == version:
            return found
    pytest.skip(f"there is no Python {version} here")


def make_environment(prefix: Path, python: str | Path = sys.executable) -> Path:
    """A virtual environment without any package. Returns its site-packages."""
    subprocess.run([python, "-m", "venv", "--without-pip", prefix], check=True)
    (packages,) = prefix.glob("lib/python*/site-packages")
    return packages
