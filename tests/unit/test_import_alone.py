"""Every module of the package can be the first one that a program imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# Loaded beforehand, once for all modules: they cost more than all of ours.
LIBRARIES = ("click", "jinja2", "numpy", "pydantic", "rich", "sqlalchemy", "submitit", "yaml")
MODULES = sorted(
    ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
    for path in (REPOSITORY / "hpcsweep").rglob("*.py")
)

# One worker of a test run loads them.
pytestmark = pytest.mark.xdist_group("imports")


def import_each(root: Path, package: str, *libraries: str) -> dict[str, str]:
    """The traceback, or "", of each module that is imported first.

    A module is left out if one that it imports cannot be imported.
    """
    importer = [sys.executable, "-m", "tests.support.importer", str(root), package, *libraries]
    done = subprocess.run(importer, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def problems() -> dict[str, str]:
    """What goes wrong when each module of hpcsweep is imported first."""
    return import_each(REPOSITORY, "hpcsweep", *LIBRARIES)


@pytest.mark.parametrize("module", MODULES)
def test_each_module_can_be_imported_first(module: str, problems: dict[str, str]) -> None:
    assert problems.get(module, "it imports a module that cannot be imported") == ""


def test_an_import_that_fails_is_seen(tmp_path: Path) -> None:
    package = tmp_path / "toy"
    package.mkdir()
    modules = {
        "__init__": "",
        "ground": "x = 1",
        # Goes well only where `left` is imported first.
        "left": "import toy.ground\ny = 1\nfrom toy.right import z",
        "right": "from toy.left import y\nz = 1",
        # Goes well only where another module has loaded `ground`.
        "borrower": "import toy\nx = toy.ground.x",
        "missing": "import toy.no_such_module",
        "above": "import toy.missing",
    }
    for name, text in modules.items():
        (package / f"{name}.py").write_text(text)

    problems = import_each(tmp_path, "toy")

    assert {name for name, problem in problems.items() if not problem} == {
        "toy",
        "toy.ground",
        "toy.left",
    }
    assert "partially initialized module 'toy.right'" in problems["toy.right"]
    assert "has no attribute 'ground'" in problems["toy.borrower"]
    assert "No module named 'toy.no_such_module'" in problems["toy.missing"]
    assert "toy.above" not in problems
