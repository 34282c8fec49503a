"""A project beside a small emulated Slurm, for sweeps that closing jobs continue."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcsweep.journal import all_journals, read
from hpcsweep.records import Status
from hpcsweep.settings import Settings
from hpcsweep.state.status import status
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory
from tests.support import preloaded
from tests.support.clusters import HPCSWEEP, INGEST_LATER
from tests.support.emulated import Emulated
from tests.support.wait import wait_until

# One array holds 5 tasks, and 8 jobs and array tasks fit into the queue.
SMALL = {"max_array_size": 6, "max_submit_jobs": 8, "account": "physics"}
CLI_S = 120.0
GRACES = {
    "HPCSWEEP_GRACE_S": "1",
    "HPCSWEEP_QUERY_INTERVAL_S": "0",
    "HPCSWEEP_CLUSTER": "slurm",
    **INGEST_LATER,
}


class Site:
    """A project beside a small emulated cluster, whose Slurm programs are on PATH."""

    def __init__(self, root: Path, cluster: Emulated) -> None:
        self.root = root
        self.cluster = cluster

    def hpcsweep(self, *arguments: str, code: int = 0, **more: str) -> str:
        """Run a command; return its output and notices."""
        done = self.run(*arguments, **more)
        assert done.returncode == code, (arguments, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        env = self.cluster.env(**GRACES, **more)
        return preloaded.run([HPCSWEEP, *arguments], self.root, env, CLI_S)

    def manifest(self, text: str) -> str:
        """Write a manifest of the sweep `s`; return its name."""
        (self.root / "m.yaml").write_text(f"name: s\n{text}")
        return "m.yaml"

    def status(self) -> dict[str, int]:
        """Cases by status."""
        document = json.loads(self.hpcsweep("status", "s", "--json"))
        return {name: count for name, count in document["counts"].items() if count}

    def wait_for(self, **counts: int) -> None:
        """Wait until the cases have these statuses, with no process of ours on this host."""
        sweep = SweepDirectory.open(self.root / "outputs" / "s")

        def poll() -> bool | str:
            if "interrupted" in counts:  # a task that left no word: only the queue tells
                seen = self.status()
                return seen == counts or str(seen)
            # The journals first: the command, which also asks the queue, takes 0.2 s.
            by_status = status(sweep, None, Settings()).counts
            seen = {name.value: count for name, count in by_status.items() if count}
            return (seen == counts and self.status() == counts) or str(seen)

        wait_until(poll, 90, f"{counts}", poll_s=0.1)

    def wait_complete(self, name: str, count: int) -> None:
        """Wait until a sweep that is sent by itself has so many complete cases, by its journals."""
        path = self.root / "outputs" / name

        def poll() -> bool | str:
            sweep = SweepDirectory.open(path) if (path / MARKER).exists() else None
            if sweep is None or not sweep.submissions():
                return f"{name} was not submitted"
            summary = status(sweep, None, Settings())
            return summary.counts[Status.COMPLETE] == count or summary.counts_text

        wait_until(poll, 90, f"{count} complete cases of {name}", poll_s=0.1)

    def plans(self) -> list[dict[str, object]]:
        """The plans of all submissions."""
        paths = sorted((self.root / "outputs" / "s" / "submissions").glob("*/plan.json"))
        return [json.loads(path.read_text()) for path in paths]

    def completions(self) -> Counter[int]:
        """How often each index completed, by the journals."""
        journals = self.root / "outputs" / "s" / "journal"
        return Counter(
            record["index"]
            for name in all_journals(journals)
            for reading in read(journals / name)
            for record in reading.records
            if record["kind"] == "end" and record.get("status") == "complete" and "index" in record
        )


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    root = tmp_path / "project"
    root.mkdir()
    with Emulated(tmp_path / "cluster", **SMALL) as cluster:
        yield Site(root, cluster)
