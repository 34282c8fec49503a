"""Ingest: journals into rows, against a plain load of the same rows that are there already.

    python benchmarks/ingest.py [RECORDS]

A million records by default. Every case has two, its `begin` and its `end`, and one row. Then the
ingest of new bytes: ten of ten thousand journals grew.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from binascii import crc32
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import measuring
import psycopg
from sqlalchemy import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hpcsweep import sources
from hpcsweep.files import json_bytes, make_directory, write_new
from hpcsweep.indexset import IndexSet
from hpcsweep.journal import VERSION, all_journals, encode, journal_name
from hpcsweep.manifest import freezing, frozen
from hpcsweep.manifest.frozen import FrozenManifest, Target
from hpcsweep.sources import ParameterSource
from hpcsweep.store import SweepIndex, schema
from hpcsweep.store.ingest import Ingest
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.parts import make_parts
from hpcsweep.sweepdir.plan import Layout, Plan
from tests.support.postgres import PrivatePostgres, why_not

RECORDS = 1_000_000
ROUNDS = 3
TARGET = 1.5
JOURNALS = 10_000
# Cases per journal, of which a growing one has got the last half.
GROWING_CHUNKS = (10, 50)
GROWN_ROUNDS = 9
CHUNK = 1000
# Rows of the plain load that are held in memory at once.
ROWS_AT_ONCE = 10_000
TABLES = (schema.cases,)
# Seconds of the processor and of the clock.
Cost = tuple[float, float]
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def main(arguments: list[str]) -> None:
    """Measure and print."""
    cases = int(arguments[0] if arguments else RECORDS) // 2 // CHUNK * CHUNK
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as temporary:
        root = Path(temporary)
        sweep = journalled(root, cases)
        print(f"{measuring.machine()}; {2 * cases:,} records, {cases:,} rows; best of {ROUNDS}")
        rows = [_sqlite(root, sweep, cases)]
        if why_not():
            print(why_not())
        else:
            with PrivatePostgres() as server:
                rows.append(_postgresql(server, root, sweep, cases))
    measuring.show(
        "Ingest into an empty index",
        ("what", "ours", "plain", "processor time: ours/plain", "clock: ours/plain", "budget"),
        rows,
    )
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as temporary:
        grown = [_grown(Path(temporary) / str(chunk), chunk) for chunk in GROWING_CHUNKS]
    measuring.show(
        f"Ingest of what ten of {JOURNALS:,} journals got since; processor time",
        ("new", "ingest", "nothing new", "reading the new bytes", "decoding them"),
        grown,
    )


def journalled(root: Path, cases: int, chunk_size: int = CHUNK) -> SweepDirectory:
    """A sweep of so many cases, a multiple of `chunk_size`, whose tasks all ended."""
    steps = max(chunk_size // 10, cases // 10_000)  # a manifest has a thousand values at most
    source = sources.grid(
        omega=[i / 10 for i in range(cases // steps // 10)],
        dt=[1e-5 * (i + 1) for i in range(steps)],
        order=list(range(10)),
    )
    sweep = SweepDirectory.create(root / "sweep", "sweep")
    manifest = frozen.sealed(
        FrozenManifest(
            name="sweep",
            root=str(root),
            target=Target(file="target.py", function="run"),
            source=source.to_frozen_dict(),
            runs="none",
        )
    )
    freezing.write(sweep.path, manifest, source)
    plan = Plan(
        submission=1,
        manifest=manifest.fingerprint,
        indices=IndexSet.all(cases),
        chunk_size=chunk_size,
        parts=make_parts(cases // chunk_size, max_array_size=1001, throttle=0),
        layout=Layout(runs="none"),
    )
    make_directory(sweep.submission_dir(1))
    cluster = {"kind": "slurm", "name": "nowhere", "state_dir": ""}
    document = plan.to_json() | {"cluster": cluster, "worker": {}}
    write_new(sweep.submission_dir(1) / "plan.json", json_bytes(document))
    for chunk in range(cases // chunk_size):
        token = f"{chunk:016x}"
        path = sweep.journal_dir(1) / journal_name(chunk, 0, token)
        make_directory(path.parent)
        path.write_bytes(
            b"".join(
                _lines(manifest, source, range(chunk * chunk_size, (chunk + 1) * chunk_size), token)
            )
        )
    return sweep


def _lines(
    manifest: FrozenManifest, source: ParameterSource, indices: range, token: str
) -> Iterator[bytes]:
    """What a task writes about its cases: `encode` once, as there are ten million."""
    moment = "2026-11-20T12:00:00.000+00:00"
    common = {"v": VERSION, "manifest": manifest.fingerprint, "attempt": [0, 1, 0, token]}
    chunk = indices.start // len(indices)
    case = {"chunk": chunk, "index": 0.5, "case_id": "%(case_id)s"}
    outcome = {
        "status": "complete",
        "metrics": {"energy": 1.5, "steps": 0.5},
        "started": moment,
        "ended": moment,
        "wall_seconds": 1.25,
        "cpu_seconds": 1.0,
        "max_rss_bytes": 2**25,
        "code_digest": "0" * 16,
    }
    ids = {"word": 2, "host": "n1", "job_id": str(chunk)}
    begin = _payload({"kind": "begin", **common, **case, "started": moment})
    end = _payload({"kind": "end", **common, **case, **ids, **outcome})
    for index in indices:
        values = {"index": index, "case_id": source[index].case_id, "energy": index / 7}
        for payload in (begin % values, end % values):
            yield b"%08x %s\n" % (crc32(payload.encode()), payload.encode())
    over = {"chunk": chunk, "word": 2, "time": moment, "status": "complete", "reason": None}
    yield encode({"kind": "end", **common, **over})


def _payload(record: dict[str, Any]) -> str:
    """The JSON text of a record as a format, with its numbers 0.5 and 1.5 left open."""
    text = encode(record)[9:-1].decode()
    return text.replace(":0.5", ":%(index)d").replace(":1.5", ":%(energy)r")


def _ingest(sweep: SweepDirectory, location: Path | str, processor: Callable[[], float]) -> Cost:
    sweep_index = SweepIndex(location, sweep.key)
    sweep_index.create(sweep.name, sweep.newest_manifest())
    ingest = Ingest(sweep, sweep_index)
    return _cost(ingest.run, processor)


def _processor() -> float:
    """Seconds of this process, and of children that have ended: a large ingest has one."""
    return sum(os.times()[:4])


def _cost(action: Callable[[], object], processor: Callable[[], float]) -> Cost:
    used, begun = processor(), time.perf_counter()
    action()
    return processor() - used, time.perf_counter() - begun


def _row(what: str, cases: int, costs: list[tuple[Cost, Cost]]) -> tuple[str, ...]:
    """The table's row; of each figure the best round, which other work disturbed least."""
    ours, plain = (tuple(map(min, zip(*side, strict=True))) for side in zip(*costs, strict=True))
    rates = [f"{cases / cost[1]:,.0f} rows/s" for cost in (ours, plain)]
    ratios = [f"{mine / theirs:.1f}" for mine, theirs in zip(ours, plain, strict=True)]
    return (what, *rates, *ratios, f"{TARGET:g}")


# --- new bytes ----------------------------------------------------------------------------------


def _grown(root: Path, chunk_size: int) -> tuple[str, ...]:
    """Ten journals of an ingested sweep get their last half of cases, in SQLite."""
    root.mkdir()
    sweep = journalled(root, JOURNALS * chunk_size, chunk_size)
    names = list(all_journals(sweep.journal_root))[:: JOURNALS // 10]
    paths = [sweep.journal_root / name for name in names]
    whole = [path.read_bytes() for path in paths]
    starts = [data.index(b"\n", len(data) // 2) + 1 for data in whole]
    for path, start in zip(paths, starts, strict=True):
        os.truncate(path, start)
    before, index = root / "before.sqlite3", root / "index.sqlite3"
    for _ in range(2):  # the second one keeps which directories it knows
        _ingest(sweep, before, _processor)
    for path, data in zip(paths, whole, strict=True):
        path.write_bytes(data)
    costs = []
    for _ in range(GROWN_ROUNDS):
        shutil.copyfile(before, index)
        costs.append([_ingest(sweep, index, time.process_time)[0] for _ in range(2)])
    grown, rest = map(min, zip(*costs, strict=True))
    tails = list(zip(paths, starts, strict=True))
    reading = min(_cost(lambda: _tails(tails), time.process_time)[0] for _ in range(GROWN_ROUNDS))
    lines = [line[9:] for tail in _tails(tails) for line in tail.splitlines()]
    decode = partial(map, json.loads, lines)
    decoding = min(_cost(lambda: list(decode()), time.process_time)[0] for _ in range(GROWN_ROUNDS))
    cases = sum(line.startswith(b'{"kind":"end"') and b'"index":' in line for line in lines)
    size = sum(len(line) + 10 for line in lines)
    times = [f"{1e3 * seconds:.2f} ms" for seconds in (grown, rest, reading, decoding)]
    return (f"{cases:,} cases, {size / 1000:.0f} kB, of {JOURNALS * chunk_size:,}", *times)


def _tails(parts: list[tuple[Path, int]]) -> list[bytes]:
    """The bytes of files from an offset on."""
    found = []
    for path, start in parts:
        with path.open("rb") as stream:
            stream.seek(start)
            found.append(stream.read())
    return found


# --- SQLite --------------------------------------------------------------------------------------


def _sqlite(root: Path, sweep: SweepDirectory, cases: int) -> tuple[str, ...]:
    costs = []
    for _ in range(ROUNDS):
        ours, theirs = root / "ours.sqlite3", root / "theirs.sqlite3"
        mine = _ingest(sweep, ours, _processor)
        SweepIndex(theirs, sweep.key).create(sweep.name, sweep.newest_manifest())
        costs.append((mine, _executemany(ours, theirs)))
        ours.unlink()
        theirs.unlink()
    return _row("SQLite, against `executemany` in one transaction", cases, costs)


def _executemany(filled: Path, empty: Path) -> Cost:
    total = (0.0, 0.0)
    with closing(sqlite3.connect(filled)) as source, closing(sqlite3.connect(empty)) as target:
        for table in TABLES:
            names = _used_columns(source, table)
            found = source.execute(f"SELECT {', '.join(names)} FROM {table.name}")  # noqa: S608
            marks = ", ".join("?" * len(names))
            insert = f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608
            while some := found.fetchmany(ROWS_AT_ONCE):

                def load(some: list[Any] = some, insert: str = insert) -> None:
                    target.executemany(insert, some)

                total = _plus(total, _cost(load, _processor))
        return _plus(total, _cost(target.commit, _processor))


def _used_columns(connection: sqlite3.Connection, table: Table) -> list[str]:
    """The columns that have a value in any row: an ingest fills no others."""
    names = [column.name for column in schema.columns(table, "sqlite")]
    counts = ", ".join(f"count({name})" for name in names)
    (row,) = connection.execute(f"SELECT {counts} FROM {table.name}")  # noqa: S608
    return [name for name, count in zip(names, row, strict=True) if count]


def _plus(left: Cost, right: Cost) -> Cost:
    return left[0] + right[0], left[1] + right[1]


# --- PostgreSQL ----------------------------------------------------------------------------------


def _postgresql(
    server: PrivatePostgres, root: Path, sweep: SweepDirectory, cases: int
) -> tuple[str, ...]:
    def processor() -> float:
        """Of this process and the server with all its processes, those that ended included."""
        return _processor() + server.processor_seconds()

    costs = []
    for _ in range(ROUNDS):
        ours, theirs = server.database(), server.database()
        mine = _ingest(sweep, ours.url, processor)
        SweepIndex(theirs.url, sweep.key).create(sweep.name, sweep.newest_manifest())
        costs.append((mine, _copy(ours.url, theirs.url, processor)))
        for place in (ours, theirs):
            server.drop(place)
    shutil.rmtree(root / "sweep")
    return _row("PostgreSQL, against `COPY` in one transaction", cases, costs)


def _copy(filled: str, empty: str, processor: Callable[[], float]) -> Cost:
    total = (0.0, 0.0)
    with psycopg.connect(filled) as source, psycopg.connect(empty) as target:
        for table in TABLES:
            names = ", ".join(column.name for column in schema.columns(table))
            with source.cursor(f"all_{table.name}") as found:
                found.execute(f"SELECT {names} FROM {table.name}".encode())  # noqa: S608
                found.itersize = ROWS_AT_ONCE
                rows = iter(found)
                while some := list(islice(rows, ROWS_AT_ONCE)):

                    def load(some: list[Any] = some, names: str = names) -> None:
                        statement = f"COPY {table.name} ({names}) FROM STDIN".encode()  # noqa: B023
                        with target.cursor() as cursor, cursor.copy(statement) as copy:
                            for row in some:
                                copy.write_row(row)

                    total = _plus(total, _cost(load, processor))
        return _plus(total, _cost(target.commit, processor))


if __name__ == "__main__":
    main(sys.argv[1:])
