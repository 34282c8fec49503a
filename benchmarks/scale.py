"""Reading at scale: how the cost of each look grows from 10^4 to 10^7 cases.

    python benchmarks/scale.py [CASES…]

Journals are those of tasks that all ended, 10,000 at most; ten of them lack a tenth of their
records at first. Times are of the processor: of a whole process for commands, else in this one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import measuring
from ingest import journalled
from logbook import made_run

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hpcsweep.logbook.packs import METADATA, PackWriter, open_packed_run, rank_of
from hpcsweep.logbook.spool import Spool
from hpcsweep.settings import Settings
from hpcsweep.state.status import Checks, status
from hpcsweep.store import SweepIndex
from hpcsweep.store.ingest import INDEX_NAME, Ingest
from hpcsweep.sweepdir.directory import SweepDirectory

CASES = (10_000, 100_000, 1_000_000)
Row = tuple[str, ...]
INDEX_COLUMNS = (
    *("cases", "journals", "index", "ingest", "its peak", "first look", "a look"),
    *(
        "with ten cases more",
        "`status`",
        "over `import sqlalchemy`",
        "ten journals grew",
        "decoding them",
    ),
)
COLLECT_COLUMNS = ("cases", "to Parquet", "its floor", "ratio", "peak", "a thousand", "one")
PACK_COLUMNS = ("cases", "files", "bytes", "bytes per case", "to find one")
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
    f"SELECT {names} FROM cases ORDER BY sweep, idx")
with pq.ParquetWriter(sys.argv[2], schema) as writer:
    while some := rows.fetchmany(20000):
        columns = [pa.array(column, kind) for column, kind in zip(zip(*some), schema.types)]
        writer.write_table(pa.table(columns, schema=schema))
"""


def main(arguments: list[str]) -> None:
    """Measure and print."""
    sizes = [int(text) for text in arguments] or list(CASES)
    print(measuring.machine())
    tables = list(zip(*map(_rows, sizes), strict=True))
    measuring.show("The index, by the count of cases", INDEX_COLUMNS, tables[0])
    measuring.show("Collect, by the count of cases", COLLECT_COLUMNS, tables[1])
    measuring.show("Packs, by the count of cases", PACK_COLUMNS, tables[2])


def _rows(cases: int) -> tuple[Row, Row, Row]:
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as temporary:
        root = Path(temporary)
        sweep = journalled(root, cases, max(CASES_OF_TASK, cases // JOURNALS_MAX))
        count = (f"{cases:,}",)
        return (
            count + indexing(sweep),
            count + collecting(sweep, root),
            count + packing(root / "packed", cases),
        )


def indexing(sweep: SweepDirectory) -> Row:
    """What it costs to bring the index up to date, and to look at it."""
    journals = sorted(sweep.journal_root.rglob("*.jsonl"))
    journal_bytes = sum(path.stat().st_size for path in journals)
    held_back = {path: _cut(path) for path in journals[:: max(1, len(journals) // GROWING)]}
    ingest_s, peak = _used("ingest", str(sweep.path))
    first_s = _look(sweep)
    look_s = min(_look(sweep) for _ in range(ROUNDS))
    more_s = min(_look_at_more(sweep, held_back) for _ in range(ROUNDS))
    decoding_s, grown_s = _grow(sweep, held_back)
    _look(sweep)
    library = [sys.executable, "-c", "import sqlalchemy"]
    status_s = min(_used("status", str(sweep.path))[0] for _ in range(ROUNDS))
    library_s = min(_spent(library)[0] for _ in range(ROUNDS))
    return (
        f"{journal_bytes / 1e6:.0f} MB",
        f"{(sweep.path / INDEX_NAME).stat().st_size / 1e6:.0f} MB",
        f"{ingest_s:.1f} s",
        f"{peak / 1e6:.0f} MB",
        f"{1e3 * first_s:.0f} ms",
        f"{1e3 * look_s:.1f} ms",
        f"{1e3 * more_s:.1f} ms",
        f"{status_s:.2f} s",
        f"{status_s - library_s:.2f} s",
        f"{1e3 * grown_s:.0f} ms",
        f"{1e3 * decoding_s:.1f} ms",
    )


def collecting(sweep: SweepDirectory, root: Path) -> Row:
    """What tables of all cases, of a thousand and of one cost."""
    collect_s, peak = _used("collect", str(sweep.path), "--output", str(root / "table.parquet"))
    floor = [sys.executable, "-c", FLOOR, str(sweep.path / INDEX_NAME), str(root / "floor")]
    floor_s = _spent(floor)[0]
    few = ("collect", str(sweep.path), "--format", "csv", "--cases")
    thousand_s, one_s = (_used(*few, cases)[0] for cases in ("5000-5999", "7"))
    return (
        f"{collect_s:.1f} s",
        f"{floor_s:.1f} s",
        f"{collect_s / floor_s:.1f}",
        f"{peak / 1e6:.0f} MB",
        f"{thousand_s:.2f} s",
        f"{one_s:.2f} s",
    )


def packing(root: Path, cases: int) -> Row:
    """Packs of so many runs, and what it costs to find one: all but one are holes."""
    run, outcome = made_run(0)
    spool = Spool.make(str(root.parent))
    of_task = min(cases, CASES_OF_TASK)
    real = PackWriter(root / "packs" / "0.0.tar")
    rank = rank_of(run.metadata() | {"status": outcome.status.value})
    places = [real.append(run.run_id, rank, spool.pieces(run, outcome)) for _ in range(of_task)]
    real.close()
    spool.close()
    sizes = [real.path.with_suffix(suffix).stat().st_size for suffix in (".tar", ".idx")]
    for chunk in range(1, cases // of_task):
        for suffix, size in zip((".tar", ".idx"), sizes, strict=True):
            with real.path.with_name(f"{chunk}.0{suffix}").open("wb") as stream:
                stream.truncate(size)
    place = replace(places[-1], pack=f"packs/{real.path.name}")

    def find() -> None:
        found = open_packed_run(root, place)
        if found is None or found.read(METADATA) is None:
            raise SystemExit(f"{place} is not there")

    found_s = min(_seconds(find) for _ in range(ROUNDS))
    files = sum(1 for _ in real.path.parent.iterdir())
    total = sum(sizes) * (cases // of_task)
    return (
        f"{files:,}",
        f"{total / 1e9:.2f} GB",
        f"{total / cases:.0f}",
        f"{1e6 * found_s:.0f} µs",
    )


def _cut(path: Path) -> bytes:
    """Take the last tenth of the lines from a journal."""
    lines = path.read_bytes().splitlines(keepends=True)
    kept = len(lines) * 9 // 10
    path.write_bytes(b"".join(lines[:kept]))
    return b"".join(lines[kept:])


def _look_at_more(sweep: SweepDirectory, held_back: dict[Path, bytes]) -> float:
    """A look when each of these journals has got one case more: two of the lines held back."""
    for path, rest in held_back.items():
        lines = rest.splitlines(keepends=True)
        with path.open("ab") as stream:
            stream.write(b"".join(lines[:2]))
        held_back[path] = b"".join(lines[2:])
    return _look(sweep)


def _grow(sweep: SweepDirectory, held_back: dict[Path, bytes]) -> tuple[float, float]:
    """Append what was held back. Returns the time to decode its JSON, and to ingest it."""
    places = {path: path.stat().st_size for path in held_back}
    for path, rest in held_back.items():
        with path.open("ab") as stream:
            stream.write(rest)

    def decode() -> None:
        for path, at in places.items():
            with path.open("rb") as stream:
                stream.seek(at)
                for line in stream:
                    json.loads(line[9:])

    ingest = Ingest(sweep, SweepIndex(sweep.path / INDEX_NAME, sweep.key))
    return _seconds(decode), _seconds(ingest.run)


def _look(sweep: SweepDirectory) -> float:
    directory = SweepDirectory.open(sweep.path)
    return _seconds(lambda: status(directory, None, Settings(), checks=Checks.COUNTS))


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
