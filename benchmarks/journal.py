"""Journals: how fast records are written and read; `ingest.py` measures the rest of their way.

python benchmarks/journal.py
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import measuring

from hpcsweep import ids
from hpcsweep.journal import VERSION, JournalWriter, Record, encode, read
from hpcsweep.sweepdir.directory import SweepDirectory

ROUNDS = 5
CASES = 10_000
# A task makes its journal durable after so many records, see `worker.task`.
SYNC_RECORDS = 100


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as temporary:
        sweep = measuring.prepared(Path(temporary) / "project", CASES)
        records = list(_records(sweep))
        print(f"{measuring.machine()}; median of {ROUNDS} rounds of {CASES} cases")
        _appends(Path(temporary), records)
        _reads(Path(temporary), records)


def _records(sweep: SweepDirectory) -> Iterator[Record]:
    """What a task writes about its cases: a `begin` and an `end` for each."""
    moment = "2026-11-20T12:00:00.000+00:00"
    common = {"v": VERSION, "manifest": sweep.newest_manifest(), "attempt": [0, 1, 0, "0" * 16]}
    for index in range(CASES):
        case = {"chunk": 0, "index": index, "case_id": ids.case_id({"x": index})}
        yield {"kind": "begin", **common, **case, "started": moment}
        yield {
            "kind": "end",
            **common,
            **case,
            "word": 2,
            "job_id": "1",
            "host": "n1",
            "status": "complete",
            "metrics": {"energy": index / 7},
            "started": moment,
            "ended": moment,
            "wall_seconds": 1.25,
            "cpu_seconds": 1.0,
            "max_rss_bytes": 2**25,
            "code_digest": "0" * 16,
            "run_dir": f"runs/log_x={index}-{case['case_id']}",
        }


def _appends(directory: Path, records: list[Record]) -> None:
    lines, numbers = [encode(record) for record in records], count()
    ours, synced, peer = measuring.medians(
        ROUNDS,
        lambda: _append(directory / f"{next(numbers)}.jsonl", records, len(records)),
        lambda: _append(directory / f"{next(numbers)}.jsonl", records, SYNC_RECORDS),
        lambda: _write(directory / f"{next(numbers)}.jsonl", lines),
    )
    _show(
        "Append",
        len(records),
        [
            ("append against one write(2) per finished line", ours, peer),
            (f"append, an fsync every {SYNC_RECORDS} records, against the same", synced, peer),
        ],
    )


def _append(path: Path, records: list[Record], sync_records: int) -> float:
    writer = JournalWriter(path)

    def every() -> None:
        for number, record in enumerate(records, start=1):
            writer.append(record)
            if number % sync_records == 0:
                writer.sync()

    return measuring.seconds(every)


def _write(path: Path, lines: list[bytes]) -> float:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    taken = measuring.seconds(lambda: [os.write(descriptor, line) for line in lines])
    os.fsync(descriptor)
    os.close(descriptor)
    return taken


def _reads(directory: Path, records: list[Record]) -> None:
    path = directory / "read.jsonl"
    path.write_bytes(b"".join(map(encode, records)))
    ours, peer = measuring.medians(
        ROUNDS,
        lambda: measuring.seconds(lambda: [reading.records for reading in read(path)]),
        lambda: measuring.seconds(lambda: _plain_json(path)),
    )
    _show("Read", len(records), [("read and check against json.loads of each line", ours, peer)])


def _plain_json(path: Path) -> list[Record]:
    with path.open("rb") as lines:
        return [json.loads(line[9:]) for line in lines]


def _show(title: str, number: int, rows: list[tuple[str, float, float]]) -> None:
    texts = [
        (
            what,
            f"{number / ours:,.0f} records/s",
            f"{number / peer:,.0f} records/s",
            f"{ours / peer:.1f}",
        )
        for what, ours, peer in rows
    ]
    measuring.show(title, ("what", "ours", "peer", "times the peer's time"), texts)


if __name__ == "__main__":
    main()
