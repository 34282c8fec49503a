"""A sweep of ada's on a cluster of containers."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

from tests.support.container_cluster import ContainerCluster
from tests.support.docker_engine import Completed


class ContainerSweep:
    """A sweep in `home`, whose last part is its name.

    `code` becomes its target.py; `more` are further keys of its manifest.
    """

    def __init__(self, cluster: ContainerCluster, home: str, code: str, **more: Any) -> None:
        self.cluster = cluster
        self.home = home
        name = PurePosixPath(home).name
        self.directory = f"{home}/outputs/{name}"
        common = {"name": name, "seed": 7, "slurm": {"time": "00:20:00", "mem": "100M"}}
        cluster.write(f"{home}/target.py", code)
        cluster.write(f"{home}/manifest.json", json.dumps(common | more))

    def hpcsweep(self, arguments: str, *, environment: str = "", check: bool = True) -> Completed:
        """Run `hpcsweep` in `home`."""
        command = f"cd {self.home}; {environment} hpcsweep {arguments}"
        return self.cluster.run(command, check=check)

    def submit(self, *, check: bool = False) -> int:
        """Submit it, wait for its end, and return the exit code."""
        return self.hpcsweep("submit manifest.json --wait", check=check).returncode

    def is_complete(self) -> bool | str:
        """Whether every case is complete; the counts if not."""
        document = self.hpcsweep(f"status {self.directory} --json", check=False).stdout
        counts = json.loads(document)["counts"] if document else {}
        statuses = {status for status, count in counts.items() if count}
        return statuses == {"complete"} or str(counts)

    def collect(self, options: str = "") -> list[dict[str, Any]]:
        """Its table."""
        command = f"collect {self.directory} --format jsonl {options}"
        lines = self.hpcsweep(command, check=False).stdout
        return [json.loads(line) for line in lines.splitlines()]
