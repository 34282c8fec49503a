"""The README does what it says: its blocks are run in their order, in a copy of the repository."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsweep.cli.commands import init as scaffold
from tests.support import clusters
from tests.support.clusters import Cluster
from tests.support.console_blocks import blocks, commands, looks_like

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text()
COMMAND_S = 120

emulated = clusters.emulated


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What a user of the README has: the repository without what grows in it."""
    grown = shutil.ignore_patterns(".*", "outputs", "build", "dist", "__pycache__", "*.egg-info")
    return Path(shutil.copytree(REPOSITORY, tmp_path / "copy", ignore=grown))


def run(*argv: str | Path, cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run(
        argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=COMMAND_S, check=False
    )
    assert done.returncode == 0, f"{argv}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_readme_begins_with_two_commands() -> None:
    first = next(content for language, content in blocks(README) if language == "console")
    assert [command for command, _ in commands(first)] == ["make demo", "make test"]


def promises() -> list[tuple[str, str, str]]:
    """Each promise with the file and the name of the test that holds it."""
    rows = re.findall(r"^\| (.+) \| `(\S+\.py)` `(test_\w+)` \|$", README, re.MULTILINE)
    table = README.partition("| promise | held by |")[2].partition("\n\n")[0]
    assert len(rows) == table.count("\n") - 1, "a promise without a test"
    return rows


@pytest.mark.parametrize(("promise", "file", "name"), promises())
def test_each_promise_has_its_test(promise: str, file: str, name: str) -> None:
    tree = ast.parse((REPOSITORY / "tests" / file).read_text())
    names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    assert name in names, f"{promise!r} is held by nothing"


@pytest.mark.parametrize("target", ["demo", "test", "lint", "soak"])
def test_the_targets_of_make_exist(target: str, copy: Path) -> None:
    assert f"make {target}" in README
    run("make", "-n", target, cwd=copy, env=dict(os.environ))


def test_console_blocks_of_the_readme_show_the_real_output(emulated: Cluster, copy: Path) -> None:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{emulated.env()['PATH']}"
    env = emulated.env() | {"PATH": programs}
    ran = 0
    for language, content in blocks(README):
        if language == "python" and content.startswith("import hpcsweep"):
            printed = run(sys.executable, "-c", content, cwd=copy, env=env)
            assert "'omega': 2.0, 'energy'" in printed
        if language != "console":
            continue
        for command, shown in commands(content):
            if command.startswith("make "):
                continue
            printed = run("bash", "-c", command, cwd=copy, env=env)
            assert not shown or looks_like(shown, printed), f"$ {command}\n{printed}"
            ran += 1
    assert ran >= 10
    (tree,) = (content for _, content in blocks(README) if content.startswith("demo/outputs/"))
    assert missing_of(tree, copy) == ["cancels/0001.json"]  # nothing was cancelled


def missing_of(tree: str, root: Path) -> list[str]:
    """What a block shows below the directory of its first line, and is not there."""
    directory, *lines = re.sub(r"<[^>]*>", "*", tree).splitlines()
    missing = []
    parent = ""
    for line in lines:
        indent = len(line) - len(line.lstrip())
        # Words behind a gap say what it is; a deeper line has several names.
        names = [line.split()[0]] if indent == 2 else line.removesuffix(" …").split()
        for name in names:
            shown = f"{parent}{name}" if indent > 2 else name
            if not list((root / directory).glob(shown.rstrip("/"))):
                missing.append(shown)
        parent = names[0] if indent == 2 else parent
    return missing


def test_the_files_that_are_shown_are_those_of_init() -> None:
    shown = [content for _, content in blocks(README)]
    manifest, target = scaffold.starter("function").values()
    assert manifest.replace(scaffold.NAME, "demo") in shown
    assert target in shown


def test_make_demo(emulated: Cluster, copy: Path) -> None:
    # The installation that runs this test stands in for one that the copy would have to make.
    venv = copy / "venv"
    venv.mkdir()
    (venv / "bin").symlink_to(Path(sys.executable).parent)
    for stamp in ("venv.stamp", "package.stamp"):
        (venv / stamp).touch()
    printed = run("make", "demo", f"VENV={venv}", cwd=copy, env=emulated.env())
    assert "pip install" not in printed
    assert "6 complete of 6" in printed
    outputs = copy / "examples" / "oscillator" / "outputs"
    assert len((outputs / "oscillator.csv").read_text().splitlines()) == 1 + 6
    assert len(list((outputs / "oscillator" / "runs").glob("log_*"))) == 6
