"""Run directories: what one costs, plain and packed, and how fast many are read.

python benchmarks/logbook.py

On /dev/shm where there is one. The ancestor is measured where it is installed: pip install notata
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import measuring

from hpcsweep import ExperimentReader, Logbook, ids
from hpcsweep.logbook import run_directory as rundir
from hpcsweep.logbook.packs import PackWriter, rank_of
from hpcsweep.logbook.run_directory import Run
from hpcsweep.logbook.spool import Spool, SpoolStorage
from hpcsweep.logbook.yamlwrite import params_yaml
from hpcsweep.records import Attempt, Outcome, ParamCase, Status
from hpcsweep.sweepdir.plan import Layout

ROUNDS = 25
RUNS = 100
READ = 100_000
READ_ROUNDS = 3
MOMENT = "2026-11-20T12:00:00.000+00:00"


def main() -> None:
    """Measure and print."""
    shared = Path("/dev/shm")  # noqa: S108  # a place, not a name for a file
    place = shared if shared.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-", dir=place) as temporary:
        directory = Path(temporary)
        print(f"{measuring.machine()}, {directory.parent}")
        _writes(directory)
        _reads(directory / "reads", READ)


# --- writing -------------------------------------------------------------------------------------


def _writes(directory: Path) -> None:
    numbers = count()
    for number in range(5 * ROUNDS * RUNS):  # what a worker knows of a case anyhow
        made_run(number)
    with contextlib.ExitStack() as stack:
        named: list[tuple[str, Callable[[int], object]]] = [
            ("floor: one mkdir, four small files", lambda n: _floor(directory / f"f{n}")),
            ("plain: a Logbook that stands alone", lambda n: _alone(Logbook, directory, n)),
            ("plain: a case of a task, published", lambda n: _case(directory, n)),
            ("packed: a case of a task", stack.enter_context(_packing(directory))),
        ]
        ancestor = _ancestor()
        if ancestor is not None:
            named.append(("the ancestor's Logbook", lambda n: _alone(ancestor, directory, n)))
        found = measuring.medians(
            ROUNDS,
            *(
                lambda one=one: measuring.seconds(lambda: [one(next(numbers)) for _ in range(RUNS)])
                for _, one in named
            ),
        )
    floor = found[0]
    rows = [
        (what, f"{taken / RUNS * 1e6:,.0f}", f"{taken / floor:.2f}")
        for (what, _), taken in zip(named, found, strict=True)
    ]
    title = (
        f"One run: params, metadata at start and end, a log line, one metrics JSON; "
        f"median of {ROUNDS} rounds of {RUNS}, taking turns"
    )
    measuring.show(title, ("what", "µs per run", "times the floor"), rows)


def _ancestor() -> Any:
    if len(sys.argv) > 1:  # where it is installed, if not here
        sys.path.append(sys.argv[1])
    with contextlib.suppress(ImportError):
        return importlib.import_module("notata").Logbook
    return None


def _floor(path: Path) -> None:
    path.mkdir()
    for name in "abcd":
        with (path / name).open("w") as stream:
            stream.write("x" * 200)


def _alone(logbook: Any, directory: Path, number: int) -> None:
    params = {"omega": 1.0, "dt": 0.001, "steps": number}
    with logbook(f"{logbook.__module__}{number}", base_dir=directory, params=params) as log:
        log.info("hello")
        log.json("metrics", {"energy": 0.5})


@cache
def made_run(number: int) -> tuple[Run, Outcome]:
    """A run and its outcome, made once."""
    params = {"omega": 1.0, "dt": 0.001, "steps": number}
    text = ids.canonical(params)
    case = ParamCase(index=number, params=params, case_id=ids.case_id_of(text))
    attempt = Attempt(generation=0, submission=1, restart=0, token="0" * 16)
    run = Run(
        run_id=ids.run_id(text, case.case_id),
        case=case,
        attempt=attempt,
        chunk=0,
        manifest="0" * 16,
        seed=1,
        host="n1",
    )
    outcome = Outcome(
        status=Status.COMPLETE,
        metrics={"energy": 0.5},
        started=MOMENT,
        ended=MOMENT,
        wall_seconds=1.0,
        cpu_seconds=1.0,
        max_rss_bytes=2**25,
        run_dir=f"runs/log_{run.run_id}",
    )
    return run, outcome


def _case(directory: Path, number: int) -> None:
    run, outcome = made_run(number)
    path = directory / "runs" / ".attempts" / f"{run.case.case_id}.{run.attempt.token}"
    rundir.begin(path, run, MOMENT)
    Logbook.attached(run.run_id, path, params=run.case.params).info("hello")
    rundir.finish(path, run, outcome)
    final = directory / "runs" / f"log_{run.run_id}"
    rundir.publish(directory, path, final, run, outcome.status)


@contextlib.contextmanager
def _packing(directory: Path) -> Iterator[Callable[[int], object]]:
    spool, pack = Spool.make(str(directory)), PackWriter(directory / "packs" / "0.0.tar")

    def packed(number: int) -> None:
        run, outcome = made_run(number)
        place = SpoolStorage(spool, run.run_id)
        Logbook.attached(run.run_id, place, params=run.case.params).info("hello")
        rank = rank_of(run.metadata() | {"status": outcome.status.value})
        pack.append(run.run_id, rank, spool.pieces(run, outcome))
        spool.clear()

    yield packed
    pack.close()
    spool.close()


# --- reading -------------------------------------------------------------------------------------


def _reads(directory: Path, number: int) -> None:
    plain, packed = directory / "plain", directory / "packed"
    made_run.cache_clear()  # a reader has not that many objects beside its own
    _fill(plain, packed, number)
    wholes = measuring.medians(
        READ_ROUNDS,
        *(
            lambda path=path: measuring.seconds(lambda: ExperimentReader(path).params)
            for path in (plain, packed)
        ),
    )
    rows = []
    for (what, path), whole in zip((("plain", plain), ("packed", packed)), wholes, strict=True):
        opened = measuring.seconds(lambda path=path: ExperimentReader(path))
        reader = ExperimentReader(path)
        run, _ = made_run(number // 2)
        first = measuring.seconds(lambda reader=reader, run=run: reader[run.run_id].params)
        again = measuring.seconds(lambda reader=reader, run=run: reader[run.run_id].params)
        rows.append((what, opened, first, again, whole))
    texts = [
        (
            what,
            f"{opened * 1e6:,.0f} µs",
            f"{first * 1e3:,.1f} ms",
            f"{again * 1e6:,.0f} µs",
            f"{whole:,.2f} s",
            f"{whole / number * 1e6:,.1f} µs",
        )
        for what, opened, first, again, whole in rows
    ]
    measuring.show(
        f"ExperimentReader over {number:,} runs; all params of packed runs "
        f"{rows[0][4] / rows[1][4]:.1f} times faster than of plain ones",
        ("layout", "opening", "first run by its id", "one more", "all params", "per run"),
        texts,
    )


def _fill(plain: Path, packed: Path, number: int) -> None:
    """The same runs in both layouts, a thousand to a pack."""
    layout = Layout.choose("all", number, None)
    (plain / "submissions" / "0001").mkdir(parents=True)
    document = f'{{"layout": {{"runs": "all", "shard_digits": {layout.shard_digits}}}}}'
    (plain / "submissions" / "0001" / "plan.json").write_text(document)
    spool = Spool.make(os.fspath(plain.parent))
    for start in range(0, number, 1000):
        pack = PackWriter(packed / "runs" / "packs" / f"{start // 1000}.0.tar")
        for index in range(start, min(number, start + 1000)):
            run, outcome = made_run.__wrapped__(index)
            path = plain / layout.run_dir(run.case.case_id, run.run_id)
            path.mkdir(parents=True)
            (path / "params.yaml").write_bytes(params_yaml(run.case.params))
            (path / "metadata.json").write_bytes(b'{"status": "complete"}')
            rank = rank_of(run.metadata() | {"status": outcome.status.value})
            pack.append(run.run_id, rank, spool.pieces(run, outcome))
        pack.close()
    spool.close()


if __name__ == "__main__":
    main()
