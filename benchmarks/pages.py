"""Reports: what making one takes, how large it is, and when a browser has drawn each page.

    python benchmarks/pages.py [CASES]

CASES of the largest sweep, a million by default, on a grid; the others have random params and
metrics, which are what compresses least. The index is up to date; times of pages are of Debian's
Chromium, from the click to the figures.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import measuring
import numpy as np
from ingest import CHUNK, journalled

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from hpcsweep import sources
from tests.support.browser import Browser, browser
from tests.support.past_runs import PastRun, write_past
from tests.support.sweeps import MadeSweep

CASES = 1_000_000
# Cases, params and metrics of the random ones.
RANDOM = ((10_000, 10, 8), (50_000, 3, 3))
PAGES = ("overview", "results", "sensitivity", "run", "resources")
HPCSWEEP = (sys.executable, "-m", "hpcsweep")
IS_DRAWN = """
const open = document.querySelector('section.open');
const last = open.querySelector('.drawn > :last-child');
return !open.querySelector('.drawn') || (report.views.size > 0 && !last.matches('.controls'));
"""


def main(arguments: list[str]) -> None:
    """Measure and print."""
    cases = int(arguments[0] if arguments else CASES) // CHUNK * CHUNK
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-", dir="/var/tmp") as temporary:
        root = Path(temporary)
        print(f"{measuring.machine()}; one round, processor time")
        rows = [_row(name, sweep) for name, sweep in _sweeps(root, cases)]
    head = ("sweep", "`report`", "peak", "file", *(f"*{page}*" for page in PAGES))
    measuring.show("Reports", head, rows)


def _sweeps(root: Path, cases: int) -> Iterator[tuple[str, Path]]:
    """Sweeps with their indices."""
    for n_cases, params, metrics in RANDOM:
        name = f"{n_cases:,} random cases, {params} params, {metrics} metrics"
        yield name, _ingested(_random(root / str(n_cases), n_cases, params, metrics))
    yield f"{cases:,} cases of a grid", _ingested(_grid(root / "grid", cases))


def _grid(root: Path, cases: int) -> Path:
    root.mkdir()
    sweep: Path = journalled(root, cases).path
    return sweep


def _random(root: Path, cases: int, params: int, metrics: int) -> Path:
    root.mkdir()
    space = {f"p{at}": sources.uniform(0, 1) for at in range(params)}
    made = MadeSweep(root, sources.random(space, cases, 1))
    made.plan(chunk_size=CHUNK)
    draws = np.random.default_rng(1)
    runs = (
        PastRun(
            index=at,
            begin=at % CHUNK * 10,
            end=at % CHUNK * 10 + draws.uniform(5, 10),
            host=f"n{at // CHUNK % 50}",
            chunk=at // CHUNK,
            metrics={f"m{of}": draws.normal(of, 1) for of in range(metrics)},
            cpu=draws.uniform(1, 9),
            memory=int(draws.integers(1 << 20, 1 << 30)),
        )
        for at in range(cases)
    )
    write_past(made, runs)
    return made.path


def _ingested(sweep: Path) -> Path:
    measuring.processor_time([*HPCSWEEP, "ingest", str(sweep)])
    return sweep


def _row(name: str, sweep: Path) -> tuple[str, ...]:
    """What the report of a sweep takes."""
    used = measuring.processor_time([*HPCSWEEP, "report", str(sweep)])
    path = sweep / "report.html"
    with browser() as page:
        times = [f"{_drawn_after(page, path, name):.1f} s" for name in PAGES]
    size = f"{path.stat().st_size / 1e6:.2f} MB"
    return name, f"{used.seconds:.1f} s", f"{used.peak_bytes / 1e6:.0f} MB", size, *times


def _drawn_after(page: Browser, path: Path, name: str) -> float:
    """Seconds until a page is there."""
    page.visit("about:blank")
    begin = time.monotonic()
    page.visit(f"{path.as_uri()}#{name}")
    while not page.run(IS_DRAWN):
        time.sleep(0.02)
    return time.monotonic() - begin


if __name__ == "__main__":
    main(sys.argv[1:])
