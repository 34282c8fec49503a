"""Every module of the package can be the first one that a program imports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
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

# `import_alone(module)`: the traceback, or "".
ImportAlone = Callable[[str], str]


@pytest.fixture(scope="module")
def import_alone() -> Iterator[ImportAlone]:
    """A process that has loaded the libraries imports each module in a fork of its own."""
    importer = subprocess.Popen(
        [sys.executable, "-m", "tests.support.importer", *LIBRARIES],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with importer:
        assert importer.stdin
        assert importer.stdout
        questions, answers = importer.stdin, importer.stdout

        def ask(module: str) -> str:
            questions.write(module + "\n")
            questions.flush()
            return str(json.loads(answers.readline()))

        yield ask
        questions.close()


@pytest.mark.parametrize("module", MODULES)
def test_each_module_can_be_imported_first(module: str, import_alone: ImportAlone) -> None:
    assert import_alone(module) == ""


def test_an_import_that_fails_is_seen(import_alone: ImportAlone) -> None:
    assert "ModuleNotFoundError" in import_alone("hpcsweep.no_such_module")
    assert import_alone("hpcsweep.errors") == ""
