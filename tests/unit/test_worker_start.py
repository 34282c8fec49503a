"""What a task does before the user's function: few look-ups, few modules (invariant 17)."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import measuring
from tests.support.requirements import strace

__all__ = ["strace"]

LOOKUPS_MAX = 700
HEAVY = {"click", "jinja2", "numpy", "pydantic", "rich", "sqlalchemy", "submitit", "yaml"}
TELL_MODULES = """\
import sys
from pathlib import Path


def run(x):
    Path(__file__).with_name("modules").write_text("\\n".join(sys.modules))
"""


@pytest.mark.usefixtures("strace")
def test_a_task_makes_few_path_lookups(tmp_path: Path) -> None:
    python = measuring.installed(tmp_path / "venv")
    sweep = measuring.prepared(tmp_path / "project")
    argv = measuring.worker_argv(sweep, python)
    found = measuring.lookups(argv, measuring.job_environment(), measuring.REACHED)
    assert found.total() <= LOOKUPS_MAX, found.most_common(50)
    # The whole way was seen: the interpreter's start, and the user's module in the child.
    assert found[python]
    assert found[str(tmp_path / "project" / "target.py")]


@pytest.mark.usefixtures("strace")
def test_path_lookups_are_counted(tmp_path: Path) -> None:
    (tmp_path / "there").touch()
    script = "import os; os.path.exists('missing'); os.fstat(os.open('there', 0)); open('mark')"
    argv = [sys.executable, "-I", "-c", f"import os; os.chdir({str(tmp_path)!r}); {script}"]
    found = measuring.lookups(argv, measuring.environment(), until="mark")
    assert (found["missing"], found["there"], found["mark"], found[""]) == (1, 1, 0, 0)


def test_a_started_task_has_loaded_nothing_heavy(tmp_path: Path) -> None:
    sweep = measuring.prepared(tmp_path / "project", target=TELL_MODULES)
    argv = measuring.worker_argv(sweep, sys.executable)
    subprocess.run(argv, env=measuring.job_environment(), check=True)
    loaded = {
        name.partition(".")[0]
        for name in (tmp_path / "project" / "modules").read_text().splitlines()
    }
    assert "hpcsweep" in loaded
    assert loaded & HEAVY == set()
