"""Reading at scale: how the cost of each look grows from 10^4 to 10^7 cases.

    python benchmarks/scale.py [CASES…]

Journals are those of tasks that all ended, 10,000 at most; ten of them lack a tenth of their
records at first. Times are of the processor: of a whole process for `ingest` and `collect`, else in
this one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import measuring
from ingest import journalled

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hpcsweep.settings import Settings
from hpcsweep.state.status import status
from hpcsweep.store import SweepIndex
from hpcsweep.store.ingest import INDEX_NAME, Ingest
from hpcsweep.sweepdir.directory import SweepDirectory

CASES = (10_000, 100_000, 1_000_000)
JOURNALS_MAX = 10_000
CASES_OF_TASK = 1000
GROWING = 10
ROUNDS = 5
HPCSWEEP = (sys.executable, "-m", "hpcsweep")
# What collect cannot avoid: the same columns from the same table, in a Parquet file.
FLOOR = """\
import sqlite3, sys
import pyarrow as pa, pyarrow.parquet as pq
names = ("idx, case_id, replicate, status, reason, params, metrics, seed, started, ended, "
         "wall_seconds, cpu_seconds, max_rss_bytes, host, job_id, run_dir, code_digest, error")
kinds = ["int64"] + ["string"] * 17
for at in (2, 12):
    kinds[at] = "int64"
for at in (10, 11):
    kinds[at] = "float64"
schema = pa.schema(list(zip(names.split(", "), kinds)))
rows = sqlite3.connect(sys.argv[1]).execute(
    f"SELECT {names} FROM places JOIN cases USING (sweep, case_id) ORDER BY places.sweep, idx")
with pq.ParquetWriter(sys.argv[2], schema) as writer:
    while some := rows.fetchmany(20000):
        columns = [pa.array(column, kind) for column, kind in zip(zip(*some), schema.types)]
        writer.write_table(pa.table(columns, schema=schema))
"""


def main(arguments: list[str]) -> None:
    """Measure and print."""
    sizes = [int(text) for text in arguments] or list(CASES)
    print(measuring.machine())
    table = [_row(cases) for cases in sizes]
    names = ("cases", "journals", "index", "ingest", "first look", "a look", "ten journals grew")
    more = ("reading them", "collect", "its floor", "ratio", "peak", "one case")
    measuring.show("Commands, by the count of cases", (*names, *more), table)


def _row(cases: int) -> tuple[str, ...]:
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as temporary:
        root = Path(temporary)
        chunk_size = max(CASES_OF_TASK, cases // JOURNALS_MAX)
        sweep = journalled(root, cases, chunk_size)
        journals = sorted(sweep.journal_root.rglob("*.jsonl"))
        journal_bytes = sum(path.stat().st_size for path in journals)
        held_back = {path: _cut(path) for path in journals[:: max(1, len(journals) // GROWING)]}
        ingest_s = _used("ingest", str(sweep.path))[0]
        first_s = _look(sweep)
        look_s = min(_look(sweep) for _ in range(ROUNDS))
        reading_s, grown_s = _grow(sweep, held_back)
        _look(sweep)
        index = sweep.path / INDEX_NAME
        output = root / "table.parquet"
        collect_s, peak = _used("collect", str(sweep.path), "--output", str(output))
        floor_s = _spent([sys.executable, "-c", FLOOR, str(index), str(root / "floor")])[0]
        one_s = _used("collect", str(sweep.path), "--cases", "7", "--format", "csv")[0]
        return (
            f"{cases:,}",
            f"{journal_bytes / 1e6:.0f} MB",
            f"{index.stat().st_size / 1e6:.0f} MB",
            f"{ingest_s:.1f} s",
            f"{1e3 * first_s:.0f} ms",
            f"{1e3 * look_s:.1f} ms",
            f"{1e3 * grown_s:.0f} ms",
            f"{1e3 * reading_s:.1f} ms",
            f"{collect_s:.1f} s",
            f"{floor_s:.1f} s",
            f"{collect_s / floor_s:.1f}",
            f"{peak / 1e6:.0f} MB",
            f"{one_s:.2f} s",
        )


def _cut(path: Path) -> bytes:
    """Take the last tenth of the lines from a journal."""
    lines = path.read_bytes().splitlines(keepends=True)
    kept = len(lines) * 9 // 10
    path.write_bytes(b"".join(lines[:kept]))
    return b"".join(lines[kept:])


def _grow(sweep: SweepDirectory, held_back: dict[Path, bytes]) -> tuple[float, float]:
    """Append what was held back. Returns the time to read it, and to ingest it."""
    places = {path: path.stat().st_size for path in held_back}
    for path, rest in held_back.items():
        with path.open("ab") as stream:
            stream.write(rest)

    def read() -> None:
        for path, at in places.items():
            with path.open("rb") as stream:
                stream.seek(at)
                stream.read()

    ingest = Ingest(sweep, SweepIndex(sweep.path / INDEX_NAME, sweep.key))
    return _seconds(read), _seconds(ingest.run)


def _look(sweep: SweepDirectory) -> float:
    directory = SweepDirectory.open(sweep.path)
    return _seconds(lambda: status(directory, None, Settings()))


def _seconds(action: Callable[[], object]) -> float:
    begun = time.process_time()
    action()
    return time.process_time() - begun


def _used(*arguments: str) -> tuple[float, int]:
    return _spent([*HPCSWEEP, *arguments])


def _spent(argv: list[str]) -> tuple[float, int]:
    """Processor seconds and the highest resident set of a process."""
    process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    _, state, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(state)
    if process.returncode:
        raise SystemExit(f"{' '.join(argv)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


if __name__ == "__main__":
    main(sys.argv[1:])
