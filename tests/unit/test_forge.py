"""What the forge runs and shows: the workflows, the metadata of the package, CONTRIBUTING.md."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import hpcsweep

REPOSITORY = Path(__file__).parents[2]
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
with (REPOSITORY / "pyproject.toml").open("rb") as stream:
    PROJECT: dict[str, Any] = tomllib.load(stream)["project"]
TARGETS = set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
# `make docker-test` comes with the folder docker/, for which its step asks.
LATER = {"docker-test"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_grants_little_and_ends(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_tests_run_on_every_python_that_is_promised() -> None:
    workflow = yaml.safe_load((REPOSITORY / ".github/workflows/ci.yml").read_text())
    tried = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    promised = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    assert tried == promised
    assert PROJECT["requires-python"] == f">={promised[0]}"


def test_every_target_that_is_named_exists() -> None:
    pages = [*WORKFLOWS, REPOSITORY / "CONTRIBUTING.md", REPOSITORY / "README.md"]
    command = r"(?:`|\$ |run: )make ([a-z-]+)"
    named = {name for page in pages for name in re.findall(command, page.read_text())}
    assert {"lint", "test", "quick"} <= named
    assert named - LATER <= TARGETS


def test_the_version_stands_in_one_place() -> None:
    pages = [REPOSITORY / name for name in ("CITATION.cff", "README.md", "Makefile")]
    modules = REPOSITORY.glob("hpcsweep/**/*.py")
    version = rf"(?<![\d.]){re.escape(hpcsweep.__version__)}(?![\d.])"
    places = [path for path in [*pages, *modules] if re.search(version, path.read_text())]
    assert places == [REPOSITORY / "hpcsweep/__init__.py"]
