"""Starts and stops the cluster of compose.yaml: `make cluster`, `make cluster-down`.

    [SLURM=22.05|24.11|26.05] python3 docker/cluster.py up|down|build

Needs a Docker engine and Compose, of either generation. `COMPOSE_PROJECT_NAME` gives a second
cluster a name of its own, and `HPCSWEEP_COMPOSE_FILES` names files that add to it. Standard
library only: it runs before anything is installed. *Safe to repeat.*
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
COMPOSE_FILE = REPOSITORY / "docker" / "compose.yaml"
# The Debian suite that has each Slurm.
SUITES = {"22.05": "bookworm", "24.11": "trixie", "26.05": "forky"}
DEFAULT_VERSION = "22.05"
NODES = ("c1", "c2", "c3")
VERSION_LABEL = "hpcsweep.slurm"
START_TIMEOUT_S = 120.0
# The states of a node that takes jobs.
WORKING = ("idle", "mixed", "allocated", "completing")


class ClusterError(Exception):
    """Why the cluster cannot be started or stopped, as one sentence."""


class Cluster:
    """One cluster of containers: a version of Slurm, and the name of its Compose project."""

    def __init__(self, version: str, project: str) -> None:
        if version not in SUITES:
            raise ClusterError(f"no image has Slurm {version!r}: SLURM is {', '.join(SUITES)}")
        self.version = version
        self.project = project
        self._mine = f"label=com.docker.compose.project={project}"

    def build(self) -> None:
        """Build the image; layers that did not change come from the engine's cache."""
        # An engine without the usual bridge builds in the machine's own network.
        bridge = docker("network", "ls", "--quiet", "--filter", "name=^bridge$")
        docker(
            *("build", "--quiet", "--file", str(COMPOSE_FILE.with_name("Dockerfile"))),
            *("--network", "default" if bridge else "host"),
            *("--build-arg", f"SUITE={SUITES[self.version]}"),
            *("--tag", f"hpcsweep-slurm:{self.version}", str(REPOSITORY)),
        )

    def up(self) -> None:
        """Build, start every container that does not run, wait until all nodes take jobs.

        *Raises* ClusterError: the volumes are of another version, or a container ended.
        """
        self._check_volumes()
        self.build()
        self._compose("up", "--detach", "--no-build")
        deadline = time.monotonic() + START_TIMEOUT_S
        while seen := self._not_ready():
            if time.monotonic() > deadline:
                raise ClusterError(
                    f"after {START_TIMEOUT_S:.0f} s not every node takes jobs: {seen}. `make "
                    f"cluster` tries again, `make cluster-down` removes what there is"
                )
            time.sleep(0.5)

    def down(self) -> None:
        """Remove the containers, the network and the volumes, whatever version they are of."""
        self._compose("down", "--volumes", "--remove-orphans", "--timeout", "5")

    def _check_volumes(self) -> None:
        names = docker("volume", "ls", "--quiet", "--filter", self._mine).split()
        for volume in json.loads(docker("volume", "inspect", *names)) if names else ():
            other = (volume["Labels"] or {}).get(VERSION_LABEL)
            if other != self.version:
                raise ClusterError(
                    f"the volume {volume['Name']} is of a cluster with Slurm {other}, not "
                    f"{self.version}: `make cluster-down` removes it and all that is in it"
                )

    def _not_ready(self) -> str:
        """What is missing; empty when every node takes jobs and the accounting answers."""
        template = '{{.Label "com.docker.compose.service"}}'
        ended = docker(
            "ps", "--filter", self._mine, "--filter", "status=exited", "--format", template
        )
        if ended:
            logs = self._compose("logs", "--tail", "5", *ended.split())
            names = ", ".join(ended.split())
            raise ClusterError(f"{names} ended; `make cluster` starts it again. It said:\n{logs}")
        ask = ("exec", "-T", "login", "timeout", "5")
        try:
            nodes = self._compose(*ask, "sinfo", "-h", "-N", "-o", "%N %T")
            self._compose(*ask, "sacct", "-n", "-X")
        except ClusterError as error:
            return str(error)
        states = dict(line.split() for line in nodes.splitlines())
        return "" if all(states.get(node) in WORKING for node in NODES) else nodes.strip()

    def _compose(self, *arguments: str) -> str:
        chosen = {"SLURM": self.version, "SUITE": SUITES[self.version]}
        more = filter(None, os.environ.get("HPCSWEEP_COMPOSE_FILES", "").split(os.pathsep))
        files = [f"--file={path}" for path in (COMPOSE_FILE, *more)]
        project = f"--project-name={self.project}"
        return run([*compose_program(), project, *files, *arguments], chosen)


def compose_program() -> list[str]:
    """The argv of Compose, of the second generation if it is there. *Raises* ClusterError."""
    if shutil.which("docker") is None:
        raise ClusterError("there is no Docker here: apt-get install docker.io docker-compose")
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise ClusterError("there is no Compose here: apt-get install docker-compose")


def docker(*arguments: str) -> str:
    """Run `docker` and return what it printed. *Raises* ClusterError with what it complained of."""
    if shutil.which("docker") is None:
        raise ClusterError("there is no Docker here: apt-get install docker.io docker-compose")
    return run(["docker", *arguments], {})


def run(argv: list[str], environment: dict[str, str]) -> str:
    """Run a program with more environment variables, and return its standard output."""
    done = subprocess.run(
        argv,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ClusterError(f"`{' '.join(argv)}` ended with {done.returncode}: {done.stderr}")
    return done.stdout


def main(arguments: list[str]) -> int:
    """Do what the command line says; what does not work is a sentence on standard error."""
    actions: dict[str, Callable[[Cluster], None]] = {
        "up": bring_up,
        "down": Cluster.down,
        "build": Cluster.build,
    }
    if len(arguments) != 1 or arguments[0] not in actions:
        print("usage: [SLURM=VERSION] python3 docker/cluster.py up|down|build", file=sys.stderr)
        return 2
    action = arguments[0]
    # Whatever SLURM says, `down` removes what is there.
    asked = "" if action == "down" else os.environ.get("SLURM")
    version = asked or DEFAULT_VERSION
    project = os.environ.get("COMPOSE_PROJECT_NAME") or "hpcsweep"
    try:
        actions[action](Cluster(version, project))
    except ClusterError as error:
        print(f"cluster: {error}", file=sys.stderr)
        return 1
    return 0


def bring_up(cluster: Cluster) -> None:
    """Start the cluster and print how a sweep is submitted there."""
    cluster.up()
    enter = f"{' '.join(compose_program())} -p {cluster.project} -f docker/compose.yaml exec login"
    print(GREETING.format(enter=enter, version=cluster.version))


GREETING = """\
Slurm {version} runs on c1, c2 and c3. To sweep examples/oscillator there:

  {enter} su - ada -c \\
    "hpcsweep submit /opt/examples/oscillator/manifest.json --wait"
  {enter} su - ada -c \\
    "hpcsweep collect outputs/oscillator"

`make cluster-down` ends the cluster and removes its volumes."""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
