"""The index against a model: a dict for each table, with the higher rank in it."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hpcsweep.indexset import IndexSet
from hpcsweep.store import SweepIndex, blocks
from hpcsweep.store.case_groups import CaseGroup
from hpcsweep.store.column_kinds import ColumnKinds, learn
from hpcsweep.store.upsert import RowBatch
from tests.support.rows import MANIFEST, batch, case

# A local directory in memory: no test waits for a disk.
MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else None
STATUSES = ("complete", "failed", "running")
# Of each new order: above all indices of batches, as an index has one case.
SHIFT = 40


@dataclass
class Model:
    """The expected content of an index."""

    cases: dict[str, dict[str, Any]] = field(default_factory=dict)
    places: dict[int, str] = field(default_factory=dict)
    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)

    def merge(self, batch: RowBatch) -> None:
        for line in zip(*batch.cases.values(), strict=True):
            row = dict(zip(batch.cases, line, strict=True))
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

    def reorder(self) -> None:
        """Every case has one index, `SHIFT` after its first one; what has no row has none."""
        first = {case_id: index for index, case_id in sorted(self.places.items(), reverse=True)}
        self.places = {
            index + SHIFT: case_id for case_id, index in first.items() if case_id in self.cases
        }

    def rows(self) -> list[tuple[int, dict[str, Any]]]:
        placed = sorted(self.places.items())
        return [(index, self.cases[case_id]) for index, case_id in placed if case_id in self.cases]

    def kinds(self) -> ColumnKinds:
        kinds = ColumnKinds({}, {}, {})
        for _, row in self.rows():
            for of, name in zip(kinds[:2], ("params", "metrics"), strict=True):
                learn(of, [json.loads(row[name])])
        return kinds


def slow_aggregate(sweep_index: SweepIndex) -> dict[tuple[Any, ...], Any]:
    """What `case_groups` must say, from every row and every attempt."""
    found: dict[tuple[Any, ...], Any] = {}
    attempts = list(sweep_index.attempts(IndexSet.all(10 * SHIFT + 100)))
    for row in sweep_index.rows():
        uncounted = [
            one
            for one in attempts
            if one["idx"] == row["idx"]
            and (one["generation"] < row["generation"] or one["reason"] == "quota")
        ]
        tries = 1 if row["attempt"] == 1 else row["attempt"] - len(uncounted)
        names = ("status", "reason", "generation", "submission", "attempt", "code_digest")
        key = (*(row[name] for name in names), tries)
        indices, seconds, largest = found.setdefault(key, ([], [], []))
        indices.append(row["idx"])
        seconds += [] if row["wall_seconds"] is None else [row["wall_seconds"]]
        largest += [] if row["max_rss_bytes"] is None else [row["max_rss_bytes"]]
    return {
        key: (indices, max(seconds, default=None), max(largest, default=None))
        for key, (indices, seconds, largest) in found.items()
    }


def said(known: Iterable[CaseGroup]) -> dict[tuple[Any, ...], Any]:
    """What `case_groups` says, as `slow_aggregate` does."""
    return {
        (
            one.status,
            one.reason,
            one.generation,
            one.submission,
            one.attempt,
            one.code_digest,
            one.tries,
        ): (list(one.indices), one.wall_seconds, one.max_rss_bytes)
        for one in known
    }


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
        metrics = json.dumps(draw(st.sampled_from([{"by": by}, {"by": 0.5, "n": {"m": "x"}}, {}])))
        used = {
            "wall_seconds": draw(st.sampled_from([None, 1.5, 2.0 + by])),
            "max_rss_bytes": draw(st.sampled_from([None, 7, 2**40 - by])),
            "reason": draw(st.sampled_from([None, "quota"])),
            "code_digest": "d",
        }
        if status == "running" and draw(st.booleans()):  # as a `begin` record says it
            metrics, used = "{}", {}
        own = {"rank": rank, "generation": by // 2, "submission": 1 + by // 2, "status": status}
        rows.append(base | used | own | {"metrics": metrics})
    places = {
        ten + int(row["case_id"], 16): row["case_id"]
        for row in rows
        for ten in draw(st.lists(st.sampled_from([0, 10, 20]), min_size=1, max_size=2, unique=True))
    }
    # Of `same` records: an index of a case that may have no row yet.
    for number in draw(st.lists(st.integers(0, 5), max_size=2)):
        places.setdefault(30 + number, f"{number:016x}")
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
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="hs-", dir=MEMORY) as directory,
    ):
        patch.setattr(blocks, "BLOCK", 4)
        patch.setattr(blocks, "TOTAL_MIN", 1)
        yield SweepIndex(Path(directory) / "store.sqlite3", "k")


def moved(row: dict[str, Any]) -> int | None:
    """The place of a case in another order."""
    return None if row["idx"] is None else row["idx"] + SHIFT


@settings(max_examples=settings().max_examples * 2 // 5)
@given(
    st.lists(batches(), max_size=8),
    st.integers(1, 4),
    st.lists(st.sampled_from(["", "known", "kinds", "reorder"]), min_size=5, max_size=5),
)
def test_the_index_equals_its_model(
    sweep_index: SweepIndex, found: list[RowBatch], page: int, between: list[str]
) -> None:
    sweep_index.clear()
    sweep_index.create("s", MANIFEST)
    model = Model()
    for made, then in zip([*found, *found[::2]], cycle(between), strict=False):  # some twice
        assert sweep_index.merge(made)
        model.merge(made)
        if then == "known":
            assert said(sweep_index.case_groups()) == slow_aggregate(sweep_index)
        elif then == "kinds":
            assert sweep_index.kinds() == model.kinds()
        elif then == "reorder":
            assert sweep_index.reorder(MANIFEST, MANIFEST, moved)
            model.reorder()
    assert said(sweep_index.case_groups()) == slow_aggregate(sweep_index)
    assert sweep_index.kinds() == model.kinds()
    assert said(sweep_index.case_groups()) == slow_aggregate(sweep_index)
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
