"""What docker/cluster.py says where it cannot work; a stand-in answers for the engine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "docker" / "cluster.py"
# Gives the first answer whose words are in the question, and refuses any other question.
STAND_IN = """\
#!{python} -I
import json, sys
asked = " ".join(sys.argv[1:])
for words, (code, answer) in json.loads({answers!r}).items():
    if words in asked:
        print(answer, file=sys.stderr if code else sys.stdout)
        sys.exit(code)
sys.exit(f"unexpected: {{asked}}")
"""
COMPOSE = {"compose version": (0, "v2")}


def said(bin_dir: Path, action: str, version: str = "22.05") -> str:
    """What the program says when it fails, with nothing but `bin_dir` on PATH."""
    environment = {"PATH": str(bin_dir), "SLURM": version, "HOME": os.environ["HOME"]}
    done = subprocess.run(
        [sys.executable, PROGRAM, action],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr


@pytest.fixture
def bin_dir(tmp_path: Path) -> Path:
    """A directory that is the whole PATH."""
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def answer(bin_dir: Path, answers: dict[str, tuple[int, str]]) -> None:
    """Let `docker` answer with an exit code and a text, by words of the question."""
    program = bin_dir / "docker"
    program.write_text(STAND_IN.format(python=sys.executable, answers=json.dumps(answers)))
    program.chmod(0o755)


@pytest.mark.parametrize("action", ["up", "down", "build"])
def test_without_docker(bin_dir: Path, action: str) -> None:
    assert said(bin_dir, action) == (
        "cluster: there is no Docker here: apt-get install docker.io docker-compose\n"
    )


def test_without_compose(bin_dir: Path) -> None:
    answer(bin_dir, {"compose version": (1, "docker: 'compose' is not a docker command.")})

    assert said(bin_dir, "down") == (
        "cluster: there is no Compose here: apt-get install docker-compose\n"
    )


@pytest.mark.parametrize("action", ["up", "build"])
def test_an_unknown_version(bin_dir: Path, action: str) -> None:
    assert said(bin_dir, action, "23.11") == (
        "cluster: no image has Slurm '23.11': SLURM is 22.05, 24.11, 26.05\n"
    )


def test_down_needs_no_version(bin_dir: Path) -> None:
    answer(bin_dir, COMPOSE | {"down --volumes": (1, "this is where it removes all")})

    assert "this is where it removes all" in said(bin_dir, "down", "23.11")


@pytest.mark.parametrize("action", ["up", "build"])
def test_without_rights(bin_dir: Path, action: str) -> None:
    refusal = "permission denied while trying to connect to the Docker daemon socket"
    answer(bin_dir, {"ls": (1, refusal)})

    assert refusal in said(bin_dir, action)


def test_volumes_of_another_version(bin_dir: Path) -> None:
    volume = {"Name": "hpcsweep_shared", "Labels": {"hpcsweep.slurm": "26.05"}}
    volumes = {"volume ls": (0, "hpcsweep_shared"), "volume inspect": (0, json.dumps([volume]))}
    answer(bin_dir, volumes)

    assert said(bin_dir, "up") == (
        "cluster: the volume hpcsweep_shared is of a cluster with Slurm 26.05, not 22.05: "
        "`make cluster-down` removes it and all that is in it\n"
    )


def test_a_container_that_ended(bin_dir: Path) -> None:
    answers = {
        "volume ls": (0, ""),
        "network ls": (0, "f00"),
        "build --quiet": (0, ""),
        "up --detach": (0, ""),
        "ps": (0, "slurmdbd"),
        "logs": (0, "slurmdbd: fatal: mysql gone"),
    }
    answer(bin_dir, COMPOSE | answers)

    assert said(bin_dir, "up") == (
        "cluster: slurmdbd ended; `make cluster` starts it again. It said:\n"
        "slurmdbd: fatal: mysql gone\n\n"
    )
