"""Reading a large table: selections, orders, formats and frames, against what SQL and csv take.

    python benchmarks/reading.py [CASES]

A million cases of three params and two metrics by default. Each figure is the processor time of a
whole process, the better one of two rounds; the ratio *without starts* is that of what both sides
take more than for the same of ten thousand cases. The floor of a selection is `sqlite3` on a table
that has these columns, without JSON and without a join; of a format the same SELECT from the index
and the csv module; of a DataFrame `pandas.read_parquet` of the result.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import starmap
from operator import attrgetter
from pathlib import Path

import measuring
from ingest import CHUNK, journalled

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hpcsweep.store.ingest import INDEX_NAME

CASES = 1_000_000
SMALL = 10_000
ROUNDS = 2
HPCSWEEP = (sys.executable, "-m", "hpcsweep")
# The columns of `collect`, as the index has them.
INDEX_COLUMNS = (
    "idx, case_id, replicate, status, reason, params, metrics, seed, started, ended, "
    "wall_seconds, cpu_seconds, max_rss_bytes, host, job_id, run_dir, code_digest, error"
)
IN_ORDER = "FROM cases ORDER BY sweep, idx"
OF_INDEX = f"SELECT {INDEX_COLUMNS} {IN_ORDER}"
FLAT_COLUMNS = INDEX_COLUMNS.replace(
    "params, metrics",
    """json_extract(params, '$.dt') AS dt, json_extract(params, '$.omega') AS omega,
    json_extract(params, '$.order') AS "order", json_extract(metrics, '$.energy') AS energy,
    json_extract(metrics, '$.steps') AS steps""",
)
FLAT = f"CREATE TABLE flat.flat AS SELECT {FLAT_COLUMNS} {IN_ORDER}"
SQL_TO_CSV = """\
import csv, sqlite3, sys
path, sql, output = sys.argv[1:]
with open(output, "w", newline="") as stream:
    writer = csv.writer(stream)
    writer.writerows(sqlite3.connect(path).execute(sql))
"""
FRAME = """\
import sys
from hpcsweep import Sweep
Sweep(sys.argv[1]).to_dataframe()
"""
READ_PARQUET = "import sys, pandas; pandas.read_parquet(sys.argv[1])"
MANIFEST = """\
name: run
target: target.py:run
source: {{grid: {{omega: {{linspace: [0, 1, {steps}]}}, order: {{range: [0, 100]}}}}}}
"""
TARGET = "def run(omega, order):\n    return {'energy': omega * order}\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """One way to read a table, and what it is measured against."""

    name: str
    argv: Sequence[str]
    # None without one.
    floor: Sequence[str] | None = None
    # The largest ratio to the floor, or time.
    budget: str = ""


def main(arguments: list[str]) -> None:
    """Measure and print."""
    cases = int(arguments[0] if arguments else CASES) // CHUNK * CHUNK
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-", dir="/var/tmp") as temporary:
        root = Path(temporary)
        print(f"{measuring.machine()}; {cases:,} cases; processor time, best of {ROUNDS}")
        large, small = _ingested(root / "large", cases), _ingested(root / "small", SMALL)
        show_tables(root, {SMALL: small, cases: large})
        show_aggregates(large, cases)
        show_single_cases(root, {SMALL: small, cases: large})


def _ingested(root: Path, cases: int) -> Path:
    """A sweep whose index is up to date and was looked at."""
    root.mkdir()
    sweep = journalled(root, cases).path
    for command in ("ingest", "collect"):
        measuring.processor_time([*HPCSWEEP, command, str(sweep)])
    return sweep


def show_tables(root: Path, sweeps: Mapping[int, Path]) -> None:
    """Print what tables of the whole sweep take, from those of the small one on."""
    rows = []
    for small, large in zip(*starmap(partial(_readings, root), sweeps.items()), strict=True):
        start, used = _best(small.argv).seconds, _best(large.argv)
        figures = [f"{used.seconds:.2f} s", f"{max(sweeps) / used.seconds:,.0f}"]
        ratios = ["", "", ""]
        if large.floor and small.floor:
            least, floor = (_best(argv).seconds for argv in (small.floor, large.floor))
            ratios = [f"{floor:.2f} s", f"{used.seconds / floor:.1f}", ""]
            if floor > 2 * least:
                ratios[2] = f"{(used.seconds - start) / (floor - least):.1f}"
        rows.append(
            (large.name, *figures, f"{used.peak_bytes / 1e6:.0f} MB", *ratios, large.budget)
        )
    names = ("what", "time", "rows/s", "peak", "floor", "ratio", "without starts", "budget")
    measuring.show("Tables", names, rows)


def _readings(root: Path, cases: int, sweep: Path) -> list[Reading]:
    here = root / f"tables-{cases}"
    here.mkdir()
    return [*_selections(here, sweep, cases), *_formats(here, sweep)]


def show_aggregates(sweep: Path, cases: int) -> None:
    """Print what tables of the whole sweep that put cases together take, and a comparison."""
    collect = (*HPCSWEEP, "collect", str(sweep), "--format", "csv")
    by_dt = ["--group-by", "dt"]
    rows = []
    for name, argv in (
        ("`--mean-over order`", [*collect, "--mean-over", "order"]),
        ("`--group-by dt`", [*collect, *by_dt]),
        ("the same, `--stats median,q1,q3`", [*collect, *by_dt, "--stats", "median,q1,q3"]),
        (
            "`--mean-over omega --pivot dt,order:energy`",
            [*collect, "--mean-over", "omega", "--pivot", "dt,order:energy"],
        ),
        ("`--pivot omega,dt,order:energy`", [*collect, "--pivot", "omega,dt,order:energy"]),
        ("`compare`, a quarter differs", [*HPCSWEEP, "compare", str(sweep), str(_other(sweep))]),
    ):
        used = measuring.processor_time(argv)
        figures = f"{used.seconds:.1f} s", f"{used.peak_bytes / 1e6:.0f} MB"
        rows.append((name, figures[0], f"{cases / used.seconds:,.0f}", figures[1]))
    measuring.show("Aggregates and comparisons", ("what", "time", "cases/s", "peak"), rows)


def _other(sweep: Path) -> Path:
    """A copy of a sweep in whose index a quarter of the cases has another energy."""
    other = shutil.copytree(sweep, sweep.with_name("other"))
    change = "json_set(metrics, '$.energy', json_extract(metrics, '$.energy') + 0.5)"
    with closing(sqlite3.connect(other / INDEX_NAME)) as connection:
        # Without their columns, these numbers are read from the text.
        connection.execute(f"UPDATE cases SET metrics = {change}, m1 = NULL WHERE case_id < '4'")  # noqa: S608
        connection.commit()
    return other


def _selections(root: Path, sweep: Path, cases: int) -> Iterator[Reading]:
    """Selections and orders, against SQL on a table with the columns of `collect`."""
    flat = str(root / "flat.sqlite3")
    with closing(sqlite3.connect(sweep / INDEX_NAME)) as connection:
        connection.execute("ATTACH ? AS flat", (flat,))
        connection.execute(FLAT)
        connection.commit()
    few, half = f"energy < {cases / 700}", f"energy < {cases / 14}"
    collect = (*HPCSWEEP, "collect", str(sweep), "--format", "csv")
    yield Reading(name="`--limit 10`", argv=[*collect, "--limit", "10"], budget="0.5 s")
    for name, options, sql in (
        ("`--where`, of 1 %", ["--where", few], f"WHERE {few}"),
        ("`--where`, of half", ["--where", half], f"WHERE {half}"),
        ("`--where`, of half, `--limit 10`", ["--where", half, "--limit", "10"],
         f"WHERE {half} LIMIT 10"),
        ("`--sort energy --limit 10`", ["--sort", "energy", "--limit", "10"],
         "ORDER BY energy, idx LIMIT 10"),
        ("the same with `--desc`", ["--sort", "energy", "--desc", "--limit", "10"],
         "ORDER BY energy DESC, idx LIMIT 10"),
        ("the same of half", ["--sort", "energy", "--desc", "--limit", "10", "--where", half],
         f"WHERE {half} ORDER BY energy DESC, idx LIMIT 10"),
        ("`--sort dt,energy`", ["--sort", "dt,energy"], "ORDER BY dt, energy, idx"),
    ):  # fmt: off
        floor = _to_csv(root, flat, f"SELECT * FROM flat {sql}")  # noqa: S608  # our own words
        yield Reading(name=name, argv=[*collect, *options], floor=floor, budget="3")
    groups = "SELECT dt, avg(energy) AS mean FROM {} GROUP BY dt"
    yield Reading(
        name="`--sql`, means of groups",
        argv=[*collect, "--sql", groups.format("cases")],
        floor=_to_csv(root, flat, groups.format("flat")),
    )


def _formats(root: Path, sweep: Path) -> Iterator[Reading]:
    """All rows in each format, against the same SELECT and the csv module."""
    parquet = str(root / "table.parquet")
    floor = _to_csv(root, str(sweep / INDEX_NAME), OF_INDEX)
    for name, suffix in (("to CSV", "csv"), ("to JSON lines", "jsonl")):
        argv = [*HPCSWEEP, "collect", str(sweep), "--output", str(root / f"table.{suffix}")]
        yield Reading(name=name, argv=argv, floor=floor, budget="2")
    yield Reading(name="to Parquet", argv=[*HPCSWEEP, "collect", str(sweep), "--output", parquet])
    yield Reading(
        name="`to_dataframe()`",
        argv=[sys.executable, "-c", FRAME, str(sweep)],
        floor=[sys.executable, "-c", READ_PARQUET, parquet],
        budget="3",
    )
    yield Reading(name="`report`", argv=[*HPCSWEEP, "report", str(sweep)], budget="20 s, 300 MB")


def show_single_cases(root: Path, sweeps: Mapping[int, Path]) -> None:
    """Print what one case takes in sweeps of different sizes."""
    rows = []
    for command in ("logs", "collect", "run"):
        times = [
            _best(_of_one_case(command, root, sweep, cases)).seconds
            for cases, sweep in sweeps.items()
        ]
        rows.append((f"`{command}`", *(f"{seconds:.2f} s" for seconds in times)))
    measuring.show("One case", ("of", *(f"{cases:,} cases" for cases in sweeps)), rows)


def _of_one_case(command: str, root: Path, sweep: Path, cases: int) -> Sequence[str]:
    last = str(cases - 1)
    if command == "run":
        directory = root / f"run-{cases}"
        directory.mkdir(exist_ok=True)
        (directory / "target.py").write_text(TARGET)
        (directory / "manifest.yaml").write_text(MANIFEST.format(steps=cases // 100))
        return [*HPCSWEEP, "run", str(directory / "manifest.yaml"), "--index", last]
    options = {
        "logs": [last],
        "collect": ["--cases", last],
    }
    return [*HPCSWEEP, command, str(sweep), *options[command]]


def _to_csv(root: Path, database: str, sql: str) -> Sequence[str]:
    return [sys.executable, "-c", SQL_TO_CSV, database, sql, str(root / "floor.csv")]


def _best(argv: Sequence[str]) -> measuring.Used:
    return min((measuring.processor_time(argv) for _ in range(ROUNDS)), key=attrgetter("seconds"))


if __name__ == "__main__":
    main(sys.argv[1:])
