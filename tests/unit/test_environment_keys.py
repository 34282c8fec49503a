"""The keys of the tasks' environment: what they freeze to, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hpcsweep.manifest.frozen import FrozenManifest, SetupLine, TaskInterpreter
from tests.support.manifests import GOOD, Load, load, mistakes, write

__all__ = ["load", "mistakes", "write"]  # fixtures are found by their names


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with environments and an image."""
    for program in ("venv/bin/python", "named/bin/python3", "bin/tool"):
        path = tmp_path / program
        path.parent.mkdir(parents=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    (tmp_path / "conda/conda-meta").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    (tmp_path / "plain").write_text("")
    (tmp_path / "image.sif").write_text("")
    (tmp_path / "moved").symlink_to("/nowhere/python")
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path


def test_modules_conda_and_setup_in_this_order(here: Path, load: Load) -> None:
    text = f"{GOOD}setup: [export A=1]\nconda: ./conda\nmodules: [gcc/12, cuda]\n"
    manifest = load(text)
    assert manifest.setup == (
        SetupLine(text="gcc/12", where="m.yaml:6 modules[0]", kind="module"),
        SetupLine(text="cuda", where="m.yaml:6 modules[1]", kind="module"),
        SetupLine(text=f"{here}/conda", where="m.yaml:5", kind="conda"),
        SetupLine(text="export A=1", where="m.yaml:4"),
    )
    # The environment that the key names has the interpreter of its function.
    assert manifest.interpreter == TaskInterpreter(python="python", where="m.yaml:5 conda")


@pytest.mark.parametrize(
    ("value", "python"),
    [
        ("venv", "{here}/venv/bin/python"),
        ("named/", "{here}/named/bin/python3"),
        ("empty/../bin/tool", "{here}/bin/tool"),
        ("{here}/bin/tool", "{here}/bin/tool"),
        ("python3.12", "python3.12"),
    ],
)
def test_an_interpreter_by_path_prefix_or_name(
    here: Path, load: Load, value: str, python: str
) -> None:
    manifest = load(f"{GOOD}python: {value.format(here=here)}\n")
    assert manifest.interpreter == TaskInterpreter(
        python=python.format(here=here), where="m.yaml:4"
    )


def test_a_command_in_a_conda_environment_keeps_the_worker_where_it_is(load: Load) -> None:
    command = GOOD.replace("target: osc.py:simulate", 'command: [sim, "{omega}", "{dt}"]')
    assert load(f"{command}conda: tools\n").interpreter is None


def test_an_image_and_an_interpreter_in_it(here: Path, load: Load) -> None:
    def interpreter(manifest: FrozenManifest) -> TaskInterpreter:
        assert manifest.interpreter is not None
        return manifest.interpreter

    usual = interpreter(load(f"{GOOD}container: image.sif\n"))
    assert (usual.container, usual.python) == (f"{here}/image.sif", "python3")
    given = "container: image.sif\npython: venv/bin/python\ncontainer_args: [--bind, /scratch]\n"
    found = interpreter(load(f"{GOOD}{given}"))
    assert (found.python, found.container_args) == (
        f"{here}/venv/bin/python",
        ("--bind", "/scratch"),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("python: nowhere", "there is no nowhere"),
        ("python: empty", "the directory 'empty' has no bin/python"),
        ("python: plain", "plain cannot be executed"),
        ("python: moved", "moved is a link to /nowhere/python, which does not exist"),
        ("python: 3.12", "is the number 3.12, not a line of text"),
        (f"python: {'x' * 300}", "there is no"),
        ("python: ~nobody-has-this-name/x", "there is no"),
        ("python: loop/x", "there is no"),
        ("conda: ./loop", "is no conda environment"),
        ("container: loop", "is a link to loop"),
        ("conda: ./empty", "is no conda environment"),
        ("conda: x\ncontainer: image.sif", "excludes container (m.yaml:5)"),
        ("container: none.sif", "there is no none.sif"),
        ("container: docker://ubuntu", "every task would make an image of its own"),
        ("container_args: [--bind]", "there is no container"),
        ("container: image.sif\ncontainer_args: [--cleanenv]", "hides the variables of Slurm"),
        (
            "container: image.sif\ncontainer_args: [--docker-password, hunter2]",
            "holds what looks like a secret",
        ),
        (
            "container: image.sif\ncontainer_args: [--env, PGPASSWORD=hunter2]",
            "holds what looks like a secret",
        ),
        ("modules: gcc", "not a list"),
        ("modules: [-x]", "not the name of a module"),
        ('modules: ["a; b"]', "not the name of a module"),
        ("modules: ['$(id)']", "not the name of a module"),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_is_refused(mistakes: Callable[..., list[str]], text: str, words: str) -> None:
    (mistake,) = mistakes(f"{GOOD}{text}\n")
    assert words in mistake
    assert mistake.startswith(("m.yaml:4: ", "m.yaml:5: "))
