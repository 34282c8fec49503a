"""The index against a model: a dict for each table, with the higher rank in it."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcsweep.store import SweepIndex
from hpcsweep.store.record_rows import CASE_COLUMNS
from hpcsweep.store.upsert import RowBatch
from tests.support.rows import MANIFEST, batch, case

# Local, and without a disk to wait for.
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
STATUSES = ("complete", "failed", "running")


@dataclass
class Model:
    """What an index must hold."""

    cases: dict[str, dict[str, Any]] = field(default_factory=dict)
    places: dict[int, str] = field(default_factory=dict)
    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)

    def merge(self, batch: RowBatch) -> None:
        for line in batch.cases:
            row = dict(zip(CASE_COLUMNS, line, strict=True))
            known = self.cases.get(row["case_id"])
            if known is None or row["rank"] > known["rank"]:
                self.cases[row["case_id"]] = row
        self.places = batch.places | self.places
        for row, rank, names in (
            *((row, "start_rank", ("host", "job_id", "time")) for row in batch.starts),
            *((row, "verdict_rank", ("status", "reason")) for row in batch.verdicts),
        ):
            empty = dict.fromkeys(("host", "job_id", "time", "status", "reason"))
            known = self.tasks.setdefault(
                row["chunk"], empty | {"start_rank": "", "verdict_rank": ""}
            )
            if row[rank] > known[rank]:
                known.update({name: row[name] for name in (*names, rank)})

    def rows(self) -> list[tuple[int, dict[str, Any]]]:
        return [(index, self.cases[self.places[index]]) for index in sorted(self.places)]


# --- batches -------------------------------------------------------------------------------------


@st.composite
def batches(draw: st.DrawFn) -> RowBatch:
    rows = []
    # Each case once: an ingest keeps the best record of a batch.
    for number in draw(st.lists(st.integers(0, 5), max_size=4, unique=True)):
        by = draw(st.integers(0, 3))
        status = STATUSES[(number + by) % 3]
        base = case(number)
        rank = f"{by:06d}{base['rank'][6:]}"
        metrics = json.dumps({"by": by})
        rows.append(base | {"rank": rank, "generation": by, "status": status, "metrics": metrics})
    places = {
        ten + int(row["case_id"], 16): row["case_id"]
        for row in rows
        for ten in draw(st.lists(st.sampled_from([0, 10, 20]), min_size=1, max_size=2, unique=True))
    }
    task = {
        "submission": 1,
        "job_id": "1",
        "host": None,
        "time": None,
        "status": None,
        "reason": None,
        "start_rank": "",
        "verdict_rank": "",
    }
    ranks = draw(st.lists(st.tuples(st.booleans(), st.integers(0, 1), st.integers(0, 3))))
    starts = [
        task | {"chunk": chunk, "start_rank": f"{n:06d}.a", "host": f"n{n}", "time": f"t{n}"}
        for is_start, chunk, n in ranks
        if is_start
    ]
    verdicts = [
        task
        | {
            "chunk": chunk,
            "job_id": None,
            "verdict_rank": f"{n:06d}.t.c",
            "status": "interrupted",
            "reason": f"r{n}",
        }
        for is_start, chunk, n in ranks
        if not is_start
    ]
    return batch(*rows, places=places, starts=starts, verdicts=verdicts)


@pytest.fixture(scope="module")
def sweep_index() -> Iterator[SweepIndex]:
    with tempfile.TemporaryDirectory(prefix="hs-", dir=MEMORY) as directory:
        yield SweepIndex(Path(directory) / "store.sqlite3", "k")


@settings(max_examples=settings().max_examples * 2 // 5)
@given(st.lists(batches(), max_size=8), st.integers(1, 4))
def test_the_index_equals_its_model(
    sweep_index: SweepIndex, found: list[RowBatch], page: int
) -> None:
    sweep_index.clear()
    sweep_index.create("s", MANIFEST)
    model = Model()
    for made in [*found, *found[::2]]:  # some of them twice
        assert sweep_index.merge(made)
        model.merge(made)
    rows = list(sweep_index.rows(batch=page))
    assert [row["idx"] for row in rows] == [index for index, _ in model.rows()]
    for row, (_, known) in zip(rows, model.rows(), strict=True):
        assert {name: row[name] for name in known} == known
    counts = Counter((row["status"], row["reason"]) for _, row in model.rows())
    assert sweep_index.counts() == dict(counts)
    stored = [
        (index, one.status, one.reason, one.generation)
        for one in sweep_index.case_groups()
        for index in one.indices
    ]
    assert sorted(stored) == [
        (index, row["status"], row["reason"], row["generation"]) for index, row in model.rows()
    ]
    assert sweep_index.max_generation() == max(
        (r["generation"] for r in model.cases.values()), default=0
    )
    tasks = {task["chunk"]: task for task in sweep_index.tasks()}
    assert tasks.keys() == model.tasks.keys()
    for chunk, known in model.tasks.items():
        assert {name: tasks[chunk][name] for name in known} == known
