"""Which database a SWEEP|DIR argument means."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import URL

from hpcsweep.database import service_file
from hpcsweep.database.directory import DatabaseDirectory, is_database
from hpcsweep.errors import StoreError, SweepError
from hpcsweep.store.location import locate_database
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.locate import locate, outputs_in

_START = "`hpcsweep db start DIR` makes a database, and says what to write as `store:`."


def find_database(text: str, outputs: str) -> DatabaseDirectory:
    """The database in a directory, or the one that has the index of a sweep.

    *Raises* StoreError, SweepError.
    """
    if is_database(Path(text)):
        return DatabaseDirectory.open(Path(text))
    sweep = find_sweep(text, outputs)
    if sweep is None:
        raise StoreError(
            f"there is neither a database nor a sweep {text!r}",
            where=str(outputs_in(Path(), outputs)),
            next_step=_START,
        )
    return database_of(sweep)


def find_sweep(text: str, outputs: str) -> SweepDirectory | None:
    """The sweep that a text means; None where it means none, as the directory of a project."""
    try:
        sweep = locate(text, outputs)
    except SweepError:
        return None
    return None if Path(text).resolve() in sweep.path.parents else sweep


def database_of(sweep: SweepDirectory) -> DatabaseDirectory:
    """The database that has the index of a sweep. *Raises* StoreError, SweepError."""
    store = sweep.newest().manifest.store
    location = locate_database(store, sweep.path)
    service = location.query.get("service") if isinstance(location, URL) else None
    if not isinstance(service, str):
        where = "in a database that no service names" if isinstance(location, URL) else "a file"
        raise StoreError(
            f"the index of this sweep is {where}", where=str(sweep.path), next_step=_START
        )
    owner = service_file.owner(service)
    if not owner:
        raise StoreError(
            f"the service {service!r} is not that of a database which `hpcsweep db` made",
            where=str(service_file.service_path()),
            next_step="Name the directory of the database.",
        )
    return DatabaseDirectory.open(Path(owner))
