"""Lives of stages, to be killed at each of their calls: a reduce, and a sweep after another one.

The cluster takes every array, notes its name, and runs none: what was sent twice is there twice.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcsweep.cluster.jobs import Array, Element, Queued
from hpcsweep.cluster.limits import Limits
from hpcsweep.cluster.slurm.client import Slurm
from hpcsweep.manifest.user import load_manifest
from hpcsweep.settings import Settings
from hpcsweep.state.status import status
from hpcsweep.state.summary import Summary
from hpcsweep.submission.advance import advance
from hpcsweep.submission.cancel import cancel
from hpcsweep.submission.followers import Follower, send_after
from hpcsweep.submission.request import SubmitRequest
from hpcsweep.submission.submit import submit
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.followers import followers, goes_before

SETTINGS = Settings(query_interval_s=0.0, grace_s=0.0, unanswered_s=0.0)
TARGET = """\
def run(x):
    return {"y": x * x}


def combine(table):
    return {"rows": 2}
"""
FIRST = """\
name: first
target: t.py:run
source: {grid: {x: [1, 2]}}
reduce: t.py:combine
closing: false
"""
SECOND = "name: second\ntarget: t.py:run\nsource: {grid: {x: [3]}}\n"


@dataclass(frozen=True, kw_only=True)
class Noting(Slurm):
    """A cluster that notes each array in a file."""

    queue: Path

    @classmethod
    def of(cls, base: Path) -> Noting:
        """The one in a directory."""
        return cls(kind="slurm", timeout_s=60, sbatch_timeout_s=60, queue=base / "queue")

    @property
    def names(self) -> list[str]:
        """The job names of all arrays, in the order in which they came."""
        return self.queue.read_text().split() if self.queue.exists() else []

    def limits(self) -> Limits:
        return Limits(cluster_name="noting", max_array_size=1001, kill_wait_s=30.0)

    def with_room(self, limits: Limits, options: object, own: object = None) -> Limits:  # noqa: ARG002
        return limits

    def submit(self, array: Array, notify: object) -> str:  # noqa: ARG002
        with self.queue.open("a") as stream:
            stream.write(f"{array.job_name}\n")
        return str(len(self.names))

    def find_by_name(self, name: str, since: float) -> str | None:  # noqa: ARG002
        known = self.names
        return str(known.index(name) + 1) if name in known else None

    def poll_queue(self, job_ids: Sequence[str]) -> dict[Element, Queued]:
        return {(job_id, 0): Queued("PENDING") for job_id in job_ids}

    def poll_accounting(self, elements: Sequence[Element]) -> None:  # noqa: ARG002
        return None


def request(base: Path, name: str, text: str) -> SubmitRequest:
    """What `hpcsweep submit` of a manifest asks for."""
    path = base / f"{name}.yaml"
    path.write_text(text)
    manifest, source = load_manifest(path)
    return SubmitRequest(manifest=manifest, source=source, path=base / "outputs" / name)


def first(base: Path) -> SweepDirectory:
    """The sweep that goes before."""
    return SweepDirectory.open(base / "outputs" / "first")


def second(base: Path) -> Path:
    """The directory of the sweep that follows it."""
    return base / "outputs" / "second"


def run_task(sweep: SweepDirectory) -> None:
    """Run the only array task of a sweep, as its script does."""
    slurm = {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_JOB_ID": "1", "SLURM_JOB_ID": "1"}
    argv = [sys.executable, "-m", "hpcsweep.worker", str(sweep.path), "1", "0"]
    subprocess.run(argv, env=os.environ | slurm, check=True, capture_output=True)


def summary(sweep: SweepDirectory, base: Path) -> Summary:
    """What `status` says."""
    return status(sweep, Noting.of(base), SETTINGS)


class _Stages:
    """The first sweep is complete; its reduce and the second one were not sent."""

    def prepare(self, base: Path) -> None:
        ready = base.with_name(f"ready-{base.name}")
        if not ready.exists():
            self._make(base)
            shutil.copytree(base, ready)
        else:
            shutil.copytree(ready, base, dirs_exist_ok=True)

    def _make(self, base: Path) -> None:
        (base / "t.py").write_text(TARGET)
        submit(request(base, "first", f"{FIRST}chunk: 2\n"), Noting.of(base), SETTINGS)
        self.ready(base)

    def ready(self, base: Path) -> None:
        """Go on from the submission of the first sweep."""
        assert self.ask(base)
        run_task(first(base))
        assert summary(first(base), base).is_complete

    def ask(self, base: Path) -> bool:
        """Ask for the second sweep; False if the first one is complete."""
        follower = Follower(request=request(base, "second", SECOND))
        return send_after(follower, first(base), Noting.of(base), SETTINGS)


class Advanced(_Stages):
    """`advance` sends the reduce, and what follows the sweep."""

    def live(self, base: Path) -> None:
        advance(first(base), Noting.of(base), SETTINGS)

    def look(self, base: Path) -> None:
        assert summary(first(base), base).is_complete
        assert len(Noting.of(base).names) == len(set(Noting.of(base).names))

    def check(self, base: Path) -> None:
        names = Noting.of(base).names
        assert sorted(name.partition(".")[0] for name in names) == [
            "first",
            "first-reduce",
            "second",
        ]
        assert followers(first(base).path) == []
        assert goes_before(second(base)) is None
        table = first(base).table(1)
        assert len(table.read_text().splitlines()) == 3
        advance(first(base), Noting.of(base), SETTINGS)
        assert Noting.of(base).names == names


class Awaited(_Stages):
    """`submit --after` of a sweep that is not complete."""

    def ready(self, base: Path) -> None:
        """The first sweep waits in the queue."""

    def live(self, base: Path) -> None:
        assert self.ask(base)

    def look(self, base: Path) -> None:
        assert not summary(first(base), base).is_complete
        assert len(followers(first(base).path)) <= 1

    def check(self, base: Path) -> None:
        (fact,) = followers(first(base).path)
        assert (Path(fact["sweep"]), goes_before(second(base))) == (second(base), first(base).path)
        assert len(Noting.of(base).names) == 1


class GivenUp(Awaited):
    """`cancel` of a sweep that was not sent yet."""

    def ready(self, base: Path) -> None:
        assert self.ask(base)

    def live(self, base: Path) -> None:
        if goes_before(second(base)) is not None:
            assert cancel(SweepDirectory.open(second(base)), None, SETTINGS).jobs == ()

    def check(self, base: Path) -> None:
        assert followers(first(base).path) == []
        assert goes_before(second(base)) is None
