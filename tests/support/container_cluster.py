"""A cluster of docker/compose.yaml, as tests use it: by its own program and by `docker exec`."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.support.docker_engine import Completed, docker

REPOSITORY = Path(__file__).parents[2]
PROGRAM = REPOSITORY / "docker" / "cluster.py"
DOCKERFILE = REPOSITORY / "docker" / "Dockerfile"
# The Debian suite of each version of Slurm.
SUITES = {"22.05": "bookworm", "24.11": "trixie", "26.05": "forky"}
NODES = ("c1", "c2", "c3")


class ContainerCluster:
    """A cluster of one version. Use it in a `with` block; `project` is its name for Compose.

    `purpose` tells it from others of its version; `more` are Compose files over its own.
    """

    def __init__(self, version: str, purpose: str = "", *more: Path) -> None:
        self.version = version
        self.project = f"hstest{purpose}{version.replace('.', '')}-{os.getpid()}"
        self._files = os.pathsep.join(map(str, more))

    def __enter__(self) -> Self:
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self) -> None:
        """Start the cluster as `make cluster` does."""
        done = self.program("up")
        assert done.returncode == 0, done.stderr

    def down(self) -> None:
        """Stop the cluster as `make cluster-down` does."""
        done = self.program("down")
        assert done.returncode == 0, done.stderr

    def program(self, action: str, version: str = "") -> Completed:
        """Run docker/cluster.py on this cluster."""
        chosen = {
            "SLURM": version or self.version,
            "COMPOSE_PROJECT_NAME": self.project,
            "HPCSWEEP_COMPOSE_FILES": self._files,
        }
        return subprocess.run(
            [sys.executable, PROGRAM, action],
            env={**os.environ, **chosen},
            capture_output=True,
            text=True,
            check=False,
        )

    def container(self, service: str) -> str:
        """The id of the container of a service, whether it runs or not."""
        labels = {"project": self.project, "service": service}
        filters = [f"--filter=label=com.docker.compose.{key}={labels[key]}" for key in labels]
        return docker("ps", "--all", "--quiet", *filters).stdout.strip()

    def run(
        self, script: str, *, user: str = "ada", check: bool = True, service: str = "login"
    ) -> Completed:
        """Run a shell script as a user logs in, in that user's home."""
        login = ("su", "-", user, "-c", f"set -eu; {script}")
        return docker("exec", self.container(service), *login, check=check)

    def start(self, script: str) -> subprocess.Popen[str]:
        """Run a shell script as ada on the login node, and do not wait for its end."""
        return subprocess.Popen(
            ["docker", "exec", self.container("login"), "su", "-", "ada", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )

    def write(self, path: str, text: str, user: str = "ada") -> None:
        """Write a file of a user's, with its directories."""
        quoted = shlex.quote(path)
        self.run(
            f'mkdir -p "$(dirname {quoted})"; printf %s {shlex.quote(text)} >{quoted}', user=user
        )
