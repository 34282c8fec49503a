"""What `doctor` says of modules that are compiled at each start."""

from __future__ import annotations

import os
import py_compile
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsweep.submission import bytecode
from hpcsweep.submission.bytecode import compiled_at_each_start


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    directory = tmp_path / "a package"
    (directory / "inner").mkdir(parents=True)
    for name in ("__init__.py", "one.py", "inner/__init__.py"):
        (directory / name).write_text("x = 1\n")
    return directory


def test_the_next_start_writes_bytecode_where_it_can(package: Path) -> None:
    assert compiled_at_each_start(package) == ""


def test_the_command_that_it_names_helps(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    text = compiled_at_each_start(package)
    assert text.startswith("of 3 of 3 modules")
    assert "PYTHONDONTWRITEBYTECODE is set" in text
    command = shlex.split(text.split("`")[1])
    without = {key: value for key, value in os.environ.items() if key != "PYTHONPYCACHEPREFIX"}
    subprocess.run(command, env=without, check=True)
    assert compiled_at_each_start(package) == ""
    (package / "one.py").write_text("x = 11\n")
    assert compiled_at_each_start(package).startswith("of 1 of 3 modules")


def test_libraries_without_bytecode_are_named_too(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    library = tmp_path / "library"
    library.mkdir()
    (library / "__init__.py").write_text("x = 1\n")
    py_compile.compile(str(package / "one.py"))
    text = compiled_at_each_start(package, library)
    assert text.startswith("of 3 of 4 modules")
    assert shlex.split(text.split("`")[1])[-2:] == [str(package), str(library)]
    py_compile.compile(str(library / "__init__.py"))
    assert shlex.split(compiled_at_each_start(package, library).split("`")[1])[-1] == str(package)


def test_the_libraries_that_commands_load_are_looked_at() -> None:
    assert {path.name for path in bytecode.command_packages()} >= {
        "hpcsweep",
        "sqlalchemy",
        "click",
    }


def test_a_directory_that_cannot_be_written(package: Path) -> None:
    program = "import sys, pathlib\nfrom hpcsweep.submission import bytecode\n"
    program += "print(bytecode.compiled_at_each_start(pathlib.Path(sys.argv[1])))"
    environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.environ["PATH"]}
    for directory in (package, package / "inner"):
        directory.chmod(0o555)
    argv = [sys.executable, "-c", program, str(package)]
    if os.geteuid() == 0:  # root may write everywhere
        argv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", *argv]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    assert "and it cannot be written" in done.stdout
