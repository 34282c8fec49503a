"""hpcsweep alone as an image: it runs as whoever starts it, and needs no network."""

from __future__ import annotations

import shutil
from pathlib import Path

import hpcsweep
from tests.support.container_cluster import REPOSITORY
from tests.support.docker_engine import docker

DOCKERFILE = REPOSITORY / "docker" / "hpcsweep.Dockerfile"
IMAGE = "hpcsweep:test"


def test_a_plan_in_the_image(images: frozenset[str], tmp_path: Path) -> None:
    assert images
    docker(
        "build", "--quiet", "--network=host", f"--file={DOCKERFILE}", f"--tag={IMAGE}", REPOSITORY
    )
    project = shutil.copytree(REPOSITORY / "examples" / "oscillator", tmp_path / "project")
    project.chmod(0o755)
    run = ("run", "--rm", "--network=none", f"--volume={project}:/work")

    user = docker(*run, "--entrypoint=id", IMAGE, "--user").stdout.strip()
    version = docker(*run, IMAGE, "--version").stdout
    plan = docker(*run, "--user=1234:1234", IMAGE, "plan", "manifest.json").stdout

    assert user != "0"
    assert hpcsweep.__version__ in version
    assert "6 of 6" in plan
