"""A Slurm with scripted answers, and a sweep that is polled when a test asks for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hpcsweep.cluster.jobs import AccountingRow, Element, Queued
from hpcsweep.cluster.limits import Limits
from hpcsweep.errors import ClusterUnavailable
from hpcsweep.settings import Settings
from hpcsweep.sources import grid
from hpcsweep.state import cluster_memory, scheduler
from hpcsweep.state.array_tasks import ArrayTasks, Chunk, ChunksBy
from hpcsweep.state.scheduler import poll
from hpcsweep.store.ingest import fresh_index
from hpcsweep.tables.collect import collect
from hpcsweep.tables.columns import TableColumns
from tests.support.journals import write_journal
from tests.support.sweeps import MadeSweep

INTERVAL_S, GRACE_S = 60.0, 60.0
SETTINGS = Settings(query_interval_s=INTERVAL_S, grace_s=GRACE_S)


@dataclass
class Scripted:
    """A Slurm with scripted answers; every query is counted."""

    kind: str = "slurm"
    name: str = "test"
    state_dir: str = ""
    address: str = "here"
    is_own: bool = False
    # State by array task id of job 100; an element that is not in it is not in the queue.
    queue: dict[int, str] = field(default_factory=dict)
    job_id: str = "100"
    # The reasons for which some of them wait.
    reasons: dict[int, str] = field(default_factory=dict)
    # (task, state, is final); None for a site without accounting.
    rows: list[tuple[int, str, bool]] | None = None
    down: bool = False
    asked: list[str] = field(default_factory=list)

    def limits(self) -> Limits:
        self._answer("config")
        return Limits(cluster_name=self.name, max_array_size=1001, kill_wait_s=30.0)

    def poll_queue(self, job_ids: list[str]) -> Mapping[tuple[str, int], Queued]:
        self._answer("squeue")
        return {
            (self.job_id, task): Queued(state, self.reasons.get(task, ""))
            for task, state in self.queue.items()
            if self.job_id in job_ids
        }

    def poll_accounting(self, elements: list[Element]) -> list[AccountingRow] | None:
        self._answer("sacct")
        if self.rows is None:
            return None
        return [
            AccountingRow(elements[0][0], (task,), state, final) for task, state, final in self.rows
        ]

    def _answer(self, question: str) -> None:
        self.asked.append(question)
        if self.down:
            raise ClusterUnavailable(f"{question}: Unable to contact slurm controller")


TIME = "2026-01-01T00:00:00.000+00:00"


def by_chunk(sets: ChunksBy) -> dict[Chunk, str]:
    """Texts about chunks, by submission and chunk."""
    return {
        (submission, chunk): text
        for text, of in sets.items()
        for submission, chunks in of.items()
        for chunk in chunks
    }


class World:
    """A sweep of two tasks of two cases each, its cluster, and the time.

    `plan`: other arguments of the plan of its four cases.
    """

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch, **plan: Any) -> None:
        self.now = 1_000_000.0
        clock = SimpleNamespace(time=lambda: self.now)
        monkeypatch.setattr(scheduler, "time", clock)
        self.made = MadeSweep(root, grid(x=[0, 1, 2, 3]))
        self.made.plan(**{"chunk_size": 2} | plan)
        self.made.handed_in()
        self.cluster = Scripted(queue={0: "PENDING", 1: "PENDING"})

    def poll(self, after_s: float = 0.0, cluster: Any = ...) -> ArrayTasks:
        """Poll some seconds later, as `status` does."""
        self.now += after_s
        asking = self.cluster if cluster is ... else cluster
        with fresh_index(self.made.directory) as sweep_index:
            return poll(self.made.directory, sweep_index, asking, SETTINGS)  # type: ignore[arg-type]

    def begin(self, chunk: int, *indices: int, restart: int = 0, token: str = "a" * 16) -> None:
        """A task start that began these cases and wrote nothing more."""
        common = {
            "v": 1,
            "manifest": self.made.manifest.fingerprint,
            "attempt": [0, 1, restart, token],
            "chunk": chunk,
        }
        name = f"0001/0/{chunk}.{restart}.{token}.jsonl"
        records = [
            common
            | {"kind": "task", "time": TIME, "node": "n1", "job_id": "100", "array_job_id": "100"}
        ]
        for index in indices:
            case_id = self.made.source[index].case_id
            record = common | {"kind": "begin", "index": index, "case_id": case_id}
            records.append(record | {"started": TIME})
        write_journal(self.made.directory.journal_root / name, *records)

    def terminated(self, chunk: int, index: int, reason: str = "terminated") -> None:
        """Write the record of a worker that a signal ended: it cannot know the reason."""
        record = {
            "kind": "end",
            "v": 1,
            "manifest": self.made.manifest.fingerprint,
            "attempt": [0, 1, 0, "a" * 16],
            "chunk": chunk,
            "index": index,
            "case_id": self.made.source[index].case_id,
            "word": 0,
            "status": "interrupted",
            "reason": reason,
            "wall_seconds": 2.5,
        }
        write_journal(self.made.directory.journal_root / f"0001/0/{chunk}.0.b.jsonl", record)

    def tasks(self) -> dict[int, str]:
        """The reason of the verdict on each chunk that has one."""
        with fresh_index(self.made.directory) as sweep_index:
            return {task["chunk"]: task["reason"] for task in sweep_index.tasks() if task["status"]}

    def cases(self) -> dict[int, tuple[str, str | None]]:
        """Status and reason of each index, as `collect` tells them."""
        outcomes: dict[int, tuple[str, str | None]] = {}

        def take(_: TableColumns, rows: Iterator[dict[str, Any]]) -> None:
            outcomes.update({row["index"]: (row["status"], row.get("reason")) for row in rows})

        collect(self.made.directory, None, SETTINGS, take)
        return outcomes

    @property
    def memory(self) -> dict[str, Any]:
        memory: dict[str, Any] = json.loads((self.made.path / cluster_memory.FILE).read_text())
        return memory

    def vanish(self, *tasks: int) -> None:
        """Remove these elements from the queue."""
        for task in tasks:
            self.cluster.queue.pop(task)

    def verdict_after(self, looks: int) -> dict[int, str]:
        """The verdicts after so many further polls, each an interval later."""
        for _ in range(looks):
            self.poll(INTERVAL_S)
        return self.tasks()
