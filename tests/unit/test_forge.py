"""What the forge runs and shows: the workflows, the metadata of the package, CONTRIBUTING.md."""

from __future__ import annotations

import itertools
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hpcsweep

REPOSITORY = Path(__file__).parents[2]
WORKFLOWS = sorted((REPOSITORY / ".github" / "workflows").glob("*.yml"))
with (REPOSITORY / "pyproject.toml").open("rb") as stream:
    CONFIGURATION: dict[str, Any] = tomllib.load(stream)
PROJECT = CONFIGURATION["project"]
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


def test_the_extra_all_names_every_other_one() -> None:
    extras = PROJECT["optional-dependencies"]
    (everything,) = extras["all"]
    named = re.fullmatch(r"hpcsweep\[(.*)\]", everything)
    assert named
    assert set(named[1].split(",")) == set(extras) - {"all"}


def test_the_conda_recipe_is_of_this_package() -> None:
    recipe = yaml.safe_load((REPOSITORY / "packaging/conda/recipe.yaml").read_text())
    python = f"python{PROJECT['requires-python']}"
    needed = [one.replace(" ", "") for one in recipe["requirements"]["run"]]
    assert needed == [python, *PROJECT["dependencies"]]
    hook = CONFIGURATION["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    to_build = {one.replace(" ", "") for one in recipe["requirements"]["host"]}
    backend = CONFIGURATION["build-system"]["requires"]
    assert to_build == {python, "pip", *backend, *hook["dependencies"]}
    assert set(hook["dependencies"]) <= set(PROJECT["dependencies"])
    about = recipe["about"]
    assert about["license"] == PROJECT["license"]
    assert about["license_file"] == PROJECT["license-files"]


def test_the_pinned_versions_satisfy_the_bounds() -> None:
    lines = (REPOSITORY / "packaging/dev-requirements.txt").read_text().splitlines()
    assert [line for line in lines if "://" in line] == []
    pinned = [Requirement(line) for line in lines if not line.startswith("#")]
    groups = CONFIGURATION["dependency-groups"]
    extras = PROJECT["optional-dependencies"] | {"all": []}
    texts = [*PROJECT["dependencies"], *itertools.chain(*extras.values())]
    texts += [*groups["dev"], *groups["docs"]]
    for wanted in [Requirement(text) for text in texts if isinstance(text, str)]:
        versions = [next(iter(one.specifier)).version for one in pinned if _is_of(one, wanted)]
        assert versions, f"{wanted} is not pinned: see the first lines of the file"
        assert all(map(wanted.specifier.contains, versions)), wanted


def _is_of(pinned: Requirement, wanted: Requirement) -> bool:
    return canonicalize_name(pinned.name) == canonicalize_name(wanted.name)
