"""What a user is told about a target that cannot be imported."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hpcsweep import target
from hpcsweep.errors import TargetError
from hpcsweep.manifest.frozen import FrozenManifest, Target
from hpcsweep.user_import import import_user_code
from tests.support.here import holds


@pytest.fixture(autouse=True)
def own_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees what another one imported."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))


def refusal(root: Path, named: Target) -> str:
    manifest = FrozenManifest(name="s", root=str(root), target=named, source={})
    with pytest.raises(TargetError) as caught:
        import_user_code(lambda: target.load(manifest), "the target", named, manifest)
    return str(caught.value)


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_file_of_a_package_is_named_as_its_module(tmp_path: Path) -> None:
    write(tmp_path, pkg__core="from .util import f\n", pkg__util="def f(): pass\n")
    message = refusal(tmp_path, Target(file="pkg/core.py", function="run"))
    holds(message, "pkg/core.py:1: ", "ImportError: attempted relative", "`target: pkg.core:run`")


def test_a_relative_import_beside_a_file(tmp_path: Path) -> None:
    write(tmp_path, t="from . import other\n", other="")
    message = refusal(tmp_path, Target(file="t.py", function="run"))
    holds(message, "t.py:1: ", "leave out the dot")


def test_a_package_of_a_source_directory(tmp_path: Path) -> None:
    write(tmp_path, src__simulator__core="def run(): pass\n")
    message = refusal(tmp_path, Target(module="simulator.core", function="run"))
    holds(message, "No module named 'simulator'", "src/simulator", "PYTHONPATH=$PWD/src")
    message = refusal(tmp_path, Target(module="other.core", function="run"))
    assert "src/" not in message


def test_a_variable_of_jobs_is_no_error_of_every_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    write(tmp_path, t="import os\nN = int(os.environ['SLURM_CPUS_PER_TASK'])\ndef run(): pass\n")
    message = refusal(tmp_path, Target(file="t.py", function="run"))
    holds(message, "t.py:2: ", "Only jobs have the variable SLURM_CPUS_PER_TASK", "in the function")
    assert "Every task" not in message


def test_a_program_that_ends_when_it_is_imported(tmp_path: Path) -> None:
    write(tmp_path, t="import sys\ndef run(): pass\nsys.exit(2)\n")
    message = refusal(tmp_path, Target(file="t.py", function="run"))
    holds(message, "SystemExit: 2", "Every task", '`if __name__ == "__main__":`')


def test_a_notebook_or_a_file_without_a_suffix(tmp_path: Path) -> None:
    (tmp_path / "t.ipynb").write_text("{}")
    message = refusal(tmp_path, Target(module="t.ipynb", function="run"))
    holds(message, "No module named 't'", "t.ipynb is there", "the name of a .py file")
