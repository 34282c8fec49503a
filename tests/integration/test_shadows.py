"""A file of the user's that hides a module of Python's or of a library: named, in one line."""

from __future__ import annotations

import importlib
import os
import py_compile
import site
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hpcsweep import shadowed_modules
from hpcsweep.cli import commands, main
from hpcsweep.errors import SweepError
from tests.support.clusters import HPCSWEEP, emulated
from tests.support.here import Here, here, holds

__all__ = ["emulated", "here"]

# What may be hidden, and what the user's file holds.
HIDING = {
    "click.py": "",
    "yaml.py": "raise ValueError('a\\nb')\n",
    "sqlalchemy/__init__.py": "x = 1\n",
    "json.py": "def f(:\n",
    "token.py": "",
    "math.py": "pi = 3\n",
    "threading.py": "",
    "msvcrt.py": "",
}


def said_by(*argv: str, cwd: Path, **more: str) -> str:
    """The one line of a program that cannot begin."""
    env = dict(os.environ) | more
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


@pytest.mark.parametrize("name", HIDING)
def test_a_shadow_on_pythonpath(tmp_path: Path, name: str) -> None:
    path = tmp_path / "mine" / name
    path.parent.mkdir(parents=True)
    path.write_text(HIDING[name])
    # A command loads its modules when it is called: `status` loads all of these but yaml.
    (tmp_path / "m.yaml").write_text("name: s\n")
    argv = ("validate", "m.yaml") if name == "yaml.py" else ("status", "s")
    said = said_by(HPCSWEEP, *argv, cwd=tmp_path, PYTHONPATH=f"{tmp_path}/mine")
    module = path.parent.name if path.stem == "__init__" else path.stem
    holds(said, f"hpcsweep: {path} is imported in place of ", module, f"{tmp_path}/mine off PYTHON")


@pytest.mark.parametrize("name", ["click.py", "signal.py"])
def test_a_shadow_in_the_current_directory(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    manifest = "name: s\ncommand: [echo, '{x}']\nsource: {grid: {x: [1]}}\n"
    (tmp_path / "m.yaml").write_text(manifest)
    argv = ("run", "m.yaml", "--index", "0")
    said = said_by(sys.executable, "-m", "hpcsweep", *argv, cwd=tmp_path)
    holds(said, f"hpcsweep: {tmp_path / name} is imported in place of ", ": rename it\n")


@pytest.mark.parametrize("name", ["json.py", "signal.py"])
def test_a_shadow_in_a_task(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    argv = (sys.executable, "-P", "-m", "hpcsweep.worker", "outputs/s", "1", "0")
    said = said_by(*argv, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    holds(said, f"hpcsweep: {tmp_path / name} is imported in place of ", "off PYTHONPATH")


def test_a_shadow_beside_a_target(here: Here) -> None:
    """An import in C code, `from secrets import randbits`, has no file in its traceback."""
    here.write("t.py", "import numpy.random\ndef f(x): pass\n")
    hiding = here.write("secrets.py", "")
    said = here.refuses(4, "submit", "m.yaml")
    holds(said, "t.py:1: the target cannot be imported", f"{hiding} is imported in place of ")
    hiding.unlink()
    here.does("submit", "m.yaml", "--wait")


def test_a_shadow_of_an_extra(here: Here) -> None:
    here.does("submit", "m.yaml", "--wait")
    hiding = here.write("matplotlib.py", "")
    env = here.cluster.env() | {"PYTHONPATH": str(here.path)}
    argv = [HPCSWEEP, "plot", "s", "--x", "x", "--y", "y"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    holds(done.stderr, f"hpcsweep: {hiding} is imported in place of ", "off PYTHONPATH")
    assert "pip install" not in done.stderr


def test_a_shadow_of_submitit(here: Here) -> None:
    hiding = here.write("mine/submitit.py", "")
    here.patch.setenv("PYTHONPATH", str(hiding.parent))
    said = here.cli("submit", "m.yaml", "--cluster", "submitit:local", code=7).stderr
    holds(said, f"submitit:local: {hiding} is imported in place of ", "off PYTHONPATH")


def test_a_shadow_in_the_users_site_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "click.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(site, "USER_SITE", str(tmp_path))
    error = ImportError("cannot import name 'group'", name="click", path=f"{tmp_path}/click.py")
    holds(
        shadowed_modules.explain_shadowing(error) or "",
        f"{tmp_path}/click.py is ",
        "PYTHONNOUSERSITE=1",
    )


def test_other_errors_are_not_blamed_on_names(tmp_path: Path) -> None:
    """A module that hides nothing, and one that hides a module of ours but causes no error."""
    (tmp_path / "mine.py").write_text("import nowhere\n")
    (tmp_path / "numpy.py").write_text("")
    script = "import sys; from hpcsweep import program; program.begin(); import numpy, mine"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        env=dict(os.environ) | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    holds(done.stderr, "Traceback", f'File "{tmp_path}/mine.py"', "No module named 'nowhere'")
    assert shadowed_modules.explain_shadowing(None) is None
    assert shadowed_modules.explain_shadowing(KeyboardInterrupt()) is None
    assert shadowed_modules.explain_shadowing(ValueError("a")) is None


def test_a_damaged_copy_of_a_module_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an older Python leaves it on a full disk; click took the error for Ctrl-C."""
    (tmp_path / "users_halved.py").write_text(f"TEXT = {'x' * 1000!r}\n")
    copy = Path(py_compile.compile(str(tmp_path / "users_halved.py"), doraise=True) or "")
    os.truncate(copy, 100)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(EOFError) as caught:
        importlib.import_module("users_halved")
    said = shadowed_modules.explain_shadowing(caught.value) or ""
    holds(said, str(copy), "is damaged", "remove it")
    monkeypatch.setitem(commands.COMMANDS, "list", ("users_halved", ""))
    result = CliRunner().invoke(main, ["list"])
    assert result.exit_code == SweepError.exit_code
    holds(result.stderr, f"hpcsweep: {copy} is damaged")
    assert shadowed_modules.explain_shadowing(EOFError()) is None
