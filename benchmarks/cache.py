"""The cache: a look-up, a sweep that finds everything, and a run, beside what SQLAlchemy costs.

python benchmarks/cache.py [DIRECTORY]

On a SQLite file. The ancestor is measured where it is installed, or in DIRECTORY, as
`pip install --no-deps --target DIRECTORY entropic` leaves it.
"""

from __future__ import annotations

import contextlib
import importlib
import random
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import measuring
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from hpcsweep import Base, Mapped, Store, ids

ROWS = 1_000_000
ROUNDS = 15
LOOKUPS = 200
SWEEP = 100_000
SWEEP_ROUNDS = 5
RUNS = 750
# Variables of one query.
CHUNK = 900


class Cached(Base):
    """A result of two parameters."""

    __tablename__ = "results"
    n: Mapped[int]
    dt: Mapped[float]


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(prefix="hpcsweep-bench-") as temporary:
        directory = Path(temporary)
        print(f"{measuring.machine()}, {directory.parent}")
        store = Store(_nothing, Cached, directory / "r", ".txt", f"sqlite:///{directory}/x.sqlite3")
        known = _fill(store, directory / "one")
        _lookups(store, known, f"sqlite:///{directory}/x.sqlite3")
        _sweeps(store, known, f"sqlite:///{directory}/x.sqlite3")
        _runs(directory)


def _nothing(params: dict[str, Any]) -> None:
    Path(params["result_file"]).write_text("x")


def _params(number: int) -> dict[str, Any]:
    return {"n": number, "dt": number / 7}


def _fill(store: Store[Cached], file: Path) -> list[str]:
    """Rows whose results are one file, registered; returns their ids."""
    file.write_text("x")
    moment = store.register(_params(0), file).created_at
    known = [ids.case_id(_params(number)) for number in range(ROWS)]
    rows = (
        _params(number)
        | {"id": known[number], "result_file": str(file), "created_at": moment, "custom_data": {}}
        for number in range(ROWS)
    )
    store._table.replace_all(rows)  # noqa: SLF001  # as `rebuild` does with a million entries
    return known


def _lookups(store: Store[Cached], known: list[str], url: str) -> None:
    engine, some = create_engine(url), random.Random(1)  # noqa: S311  # no secret
    numbers = [some.randrange(ROWS) for _ in range(LOOKUPS)]

    def bare() -> None:
        for number in numbers:
            with engine.connect() as connection:
                query = select(Cached.__table__).where(Cached.__table__.c.id == known[number])
                connection.execute(query).one()

    def bare_object() -> None:
        for number in numbers:
            with Session(engine) as session:
                session.get_one(Cached, known[number])

    def retrieve() -> None:
        for number in numbers:
            store.retrieve(_params(number))

    _table(
        f"A look-up among {ROWS:,} rows; median of {ROUNDS} rounds of {LOOKUPS}, taking turns",
        "µs",
        ROUNDS,
        LOOKUPS,
        [
            ("bare SELECT by primary key, a row", bare),
            ("the same, an object (Session.get)", bare_object),
            ("Store.retrieve", retrieve),
        ],
    )


def _sweeps(store: Store[Cached], known: list[str], url: str) -> None:
    engine = create_engine(url)
    params = [_params(number) for number in range(SWEEP)]

    def bare() -> None:
        table = Cached.__table__
        with engine.connect() as connection:
            for start in range(0, SWEEP, CHUNK):
                some = known[start : min(start + CHUNK, SWEEP)]
                connection.execute(select(table).where(table.c.id.in_(some))).all()

    def bare_objects() -> None:
        with Session(engine) as session:
            for start in range(0, SWEEP, CHUNK):
                some = known[start : min(start + CHUNK, SWEEP)]
                session.scalars(select(Cached).where(Cached.id.in_(some))).all()

    _table(
        f"A sweep of {SWEEP:,} hits; median of {SWEEP_ROUNDS} rounds, taking turns",
        "µs per case",
        SWEEP_ROUNDS,
        SWEEP,
        [
            (f"bare SELECT, {CHUNK} ids each, rows", bare),
            ("the same, objects", bare_objects),
            ("Store.sweep", lambda: store.sweep(params)),
        ],
    )


def _runs(directory: Path) -> None:
    numbers, stores = count(), []
    ancestor = _ancestor()
    if ancestor is not None:
        columns = {"n": ancestor.Mapped[int], "dt": ancestor.Mapped[float]}
        old = type("Old", (ancestor.Base,), {"__tablename__": "old", "__annotations__": columns})
        stores.append(("the ancestor", old, ancestor.Store))
    stores.append(("Store.run", Cached, Store))
    # Each in a place and a database of its own, as a user of either has it.
    made = [
        kind(_nothing, model, str(directory / what), ".txt", f"sqlite:///{directory}/{at}.sqlite3")
        for at, (what, model, kind) in enumerate(stores)
    ]

    def run(store: Any) -> Callable[[], None]:
        return lambda: store.run(_params(next(numbers))) and None

    named = [(what, run(store)) for (what, _, _), store in zip(stores, made, strict=True)]
    for _, one in named:
        one()
    title = f"A run of a runner that does nothing; median of {RUNS} runs, taking turns"
    _table(title, "µs", RUNS, 1, named)


def _ancestor() -> Any:
    if len(sys.argv) > 1:
        sys.path.append(sys.argv[1])
    with contextlib.suppress(ImportError):
        return importlib.import_module("entropic")
    return None


def _table(
    title: str, unit: str, rounds: int, each: int, named: list[tuple[str, Callable[[], None]]]
) -> None:
    clock = [lambda one=one: measuring.seconds(one) for _, one in named]
    processor = [lambda one=one: _processor(one) for _, one in named]
    found = list(
        zip(measuring.medians(rounds, *clock), measuring.medians(rounds, *processor), strict=True)
    )
    rows = [
        (
            what,
            *(f"{taken / each * 1e6:,.1f}" for taken in both),
            *(f"{taken / first:.2f}" for taken, first in zip(both, found[0], strict=True)),
        )
        for (what, _), both in zip(named, found, strict=True)
    ]
    measuring.show(title, ("what", unit, "processor", "times the first", "processor"), rows)


def _processor(action: Callable[[], None]) -> float:
    begun = time.process_time()
    action()
    return time.process_time() - begun


if __name__ == "__main__":
    main()
