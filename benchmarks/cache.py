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
SWEEP_ROUNDS = 3
RUNS = 50
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
    numbers, url = count(), f"sqlite:///{directory}/runs.sqlite3"
    stores: list[tuple[str, Any]] = []
    ancestor = _ancestor()
    if ancestor is not None:
        old = type(
            "Old",
            (ancestor.Base,),
            {
                "__tablename__": "old",
                "__annotations__": {"n": ancestor.Mapped[int], "dt": ancestor.Mapped[float]},
            },
        )
        stores.append(
            ("the ancestor", ancestor.Store(_nothing, old, str(directory / "old"), ".txt", url))
        )
    mine = Store(_nothing, Cached, directory / "mine", ".txt", url)
    stores.append(("Store.run", mine))

    def runs(store: Any) -> Callable[[], None]:
        return lambda: [store.run(_params(next(numbers))) for _ in range(RUNS)] and None

    _table(
        f"A run of a runner that does nothing; median of {ROUNDS} rounds of {RUNS}, taking turns",
        "µs",
        ROUNDS,
        RUNS,
        [(name, runs(store)) for name, store in stores],
    )


def _ancestor() -> Any:
    if len(sys.argv) > 1:
        sys.path.append(sys.argv[1])
    with contextlib.suppress(ImportError):
        return importlib.import_module("entropic")
    return None


def _table(
    title: str, unit: str, rounds: int, each: int, named: list[tuple[str, Callable[[], None]]]
) -> None:
    actions = [lambda one=one: measuring.seconds(one) for _, one in named]
    found = measuring.medians(rounds, *actions)
    rows = [
        (what, f"{taken / each * 1e6:,.1f}", f"{taken / found[0]:.2f}")
        for (what, _), taken in zip(named, found, strict=True)
    ]
    measuring.show(title, ("what", unit, "times the first"), rows)


if __name__ == "__main__":
    main()
