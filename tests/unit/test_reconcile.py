"""A part without an answer of sbatch, one of whose tasks left a journal."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.cluster.limits import Limits
from hpcsweep.cluster.slurm.client import Slurm
from hpcsweep.errors import ClusterError
from hpcsweep.settings import Settings
from hpcsweep.sources import grid
from hpcsweep.submission.reconcile import resolve_unanswered
from tests.support.journals import write_journal
from tests.support.sweeps import MadeSweep


class Forgetful(Slurm):
    """A cluster that knows no array by its name."""

    def limits(self) -> Limits:
        return Limits(cluster_name="test", max_array_size=1001, kill_wait_s=30.0)

    def find_by_name(self, name: str, since: float) -> str | None:  # noqa: ARG002  # any array
        return None


@pytest.mark.parametrize(
    ("more", "job_id"), [({"array_job_id": "77"}, "77"), ({}, "78")], ids=["array", "element"]
)
def test_a_task_that_ran_proves_that_its_part_was_accepted(
    tmp_path: Path, more: dict[str, Any], job_id: str
) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 2]))
    made.plan()
    made.fact("intent", job_name="s.1.0", time=time.time())
    task = {
        "v": 1,
        "kind": "task",
        "chunk": 0,
        "attempt": [0, 1, 0, "0123456789abcdef"],
        "manifest": made.manifest.fingerprint,
        "node": "n1",
        "job_id": "78",
        "time": "2026-01-01T00:00:00.000+00:00",
    }
    write_journal(made.directory.journal_dir(1) / "0" / "0.0.0123456789abcdef.jsonl", task | more)
    cluster = Forgetful(kind="slurm", timeout_s=60, sbatch_timeout_s=60)
    resolve_unanswered(made.directory, cluster, Settings(), print)
    assert made.directory.part_facts(1)[0]["job"]["job_id"] == job_id


@pytest.mark.parametrize("content", [b"", b"torn"], ids=["empty", "torn"])
def test_a_journal_without_the_job_id_proves_that_the_part_was_accepted(
    tmp_path: Path, content: bytes
) -> None:
    made = MadeSweep(tmp_path, grid(x=[1, 2]))
    made.plan()
    made.fact("intent", job_name="s.1.0", time=0.0)  # long ago: without a journal it is void
    journal = made.directory.journal_dir(1) / "0" / "0.0.0123456789abcdef.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_bytes(content)
    cluster = Forgetful(kind="slurm", timeout_s=60, sbatch_timeout_s=60)
    with pytest.raises(ClusterError) as refused:
        resolve_unanswered(made.directory, cluster, Settings(), print)
    assert refused.value.where == str(journal)
    assert "s.1.0" in refused.value.next_step
    assert made.directory.part_facts(1)[0].keys() == {"intent"}
    journal.unlink()
    resolve_unanswered(made.directory, cluster, Settings(), print)
    assert made.directory.part_facts(1)[0].keys() == {"intent", "void"}
