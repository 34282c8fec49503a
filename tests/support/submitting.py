"""Clusters that submitit submits to, with the interface of the other clusters of the tests."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.support.clusters import QUICK, Cluster
from tests.support.wait import wait_until

PLUGIN = Path(__file__).parents[1] / "data" / "submitit-plugin"
WAIT_S = 60.0


class SlurmBySubmitit(Cluster):
    """A cluster of the tests, to which submitit submits the arrays."""

    kind = "submitit:slurm"

    def __init__(self, inner: Cluster) -> None:
        self.inner = inner

    def env(self, **more: str) -> dict[str, str]:
        """As the inner one's."""
        return self.inner.env(**{"HPCSWEEP_CLUSTER": self.kind} | more)

    def kill_controller(self) -> None:
        """As the inner one's."""
        self.inner.kill_controller()

    def revive_controller(self) -> None:
        """As the inner one's."""
        self.inner.revive_controller()


class WithoutSlurm(Cluster):
    """An executor of submitit that is no Slurm; `root` is the project that submits to it."""

    def __init__(self, kind: str, root: Path, **environment: str) -> None:
        self.kind = kind
        self._root = root
        self._environment = environment

    def env(self, **more: str) -> dict[str, str]:
        """As a user's."""
        return os.environ | QUICK | {"HPCSWEEP_CLUSTER": self.kind} | self._environment | more

    def arrays(self, name: str) -> list[str]:
        """The array of this name, if submitit knows jobs of it."""
        number, part = name.split(".")[-2:]
        place = f"outputs/*/logs/{int(number):04d}/{part}.submitit/jobs.json"
        return [name] if any(self._root.glob(place)) else []

    def kill_controller(self) -> None:
        """It has none."""

    def revive_controller(self) -> None:
        """It has none."""


@contextlib.contextmanager
def tray(root: Path) -> Iterator[WithoutSlurm]:
    """The scheduler of the tests' own plugin, up; its files are in `root`."""
    place = root / "tray"
    place.mkdir(parents=True)
    path = os.pathsep.join([str(PLUGIN), *filter(None, [os.environ.get("PYTHONPATH")])])
    cluster = WithoutSlurm("submitit:tray", root, PYTHONPATH=path, TRAY=str(place))
    with subprocess.Popen(
        [sys.executable, "-m", "submitit_tray"], env=cluster.env(), stdin=subprocess.DEVNULL
    ) as scheduler:
        try:
            yield cluster
        finally:
            (place / "stop").touch()
            wait_until(lambda: scheduler.poll() is not None, WAIT_S, "the end of the tray")
