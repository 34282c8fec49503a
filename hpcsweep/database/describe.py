"""What is known of a private PostgreSQL, and its dump."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from sqlalchemy import Connection, inspect, select

from hpcsweep.database import control, programs
from hpcsweep.database.control import ServerState
from hpcsweep.database.directory import DatabaseDirectory
from hpcsweep.errors import StoreError
from hpcsweep.files import replacing
from hpcsweep.settings import Settings
from hpcsweep.store import schema
from hpcsweep.store.engine import Database
from hpcsweep.store.location import parse_url

# Seconds that a poll may wait for a server that is away.
_PATIENCE_S = 2.0


class Description(TypedDict):
    """What `db status --json` prints."""

    schema: str
    directory: str
    service: str
    # The `store:` of a manifest.
    store: str
    # A value of `ServerState`.
    state: str
    # What is wrong, or why something is not known; empty otherwise.
    why: str
    host: str | None
    # None for a socket.
    port: int | None
    # The id of its job; None without one.
    job: str | None
    # When it was started, or its job submitted.
    since: str | None
    # Major version of PostgreSQL; None before its first start.
    version: int | None
    bytes: int
    # The names of the sweeps whose index it has; None where it could not be asked.
    sweeps: list[str] | None


def describe(directory: DatabaseDirectory, settings: Settings) -> Description:
    """Look at a database; nothing is started. *Raises* SweepError, Damaged."""
    status = control.poll(directory, settings)
    record, why, sweeps = status.record, status.why, None
    if status.state is ServerState.RUNNING:
        try:
            sweeps = sweep_names(directory)
        except StoreError as error:
            why = error.what
    job = record["job"] if record else None
    since = datetime.fromtimestamp(record["started"], UTC) if record else None
    return {
        "schema": "hpcsweep.db-status/1",
        "directory": str(directory.path),
        "service": directory.service,
        "store": directory.store,
        "state": status.state.value,
        "why": why,
        "host": (record["host"] or None) if record else None,
        "port": (record["port"] or None) if record and not record["socket"] else None,
        "job": job["id"] if job else None,
        "since": since.isoformat(timespec="seconds") if since else None,
        "version": directory.version(),
        "bytes": _bytes_in(directory.data),
        "sweeps": sweeps,
    }


def sweep_names(directory: DatabaseDirectory) -> list[str]:
    """The names of the sweeps whose index this has. *Raises* StoreError."""

    def names(connection: Connection) -> list[str]:
        if not inspect(connection).has_table(schema.sweeps.name):
            return []
        name = schema.sweeps.c.name
        return list(connection.scalars(select(name).order_by(name)))

    return Database(parse_url(directory.store, "store"), _PATIENCE_S).read(names)


def dump(directory: DatabaseDirectory, output: Path) -> None:
    """Write a dump that pg_restore reads; it appears whole. *Raises* StoreError, SweepError."""
    installed = programs.find_programs(directory.version())
    # A service file holds the rest: nothing secret is among the arguments.
    argv = [installed.path("pg_dump"), "--format=custom", "--no-owner", "--no-password"]
    with replacing(output) as descriptor:
        programs.run(
            [*argv, f"--dbname=service={directory.service}"], output=descriptor, timeout_s=None
        )


def _bytes_in(path: Path) -> int:
    """The size of all files below a directory; those that vanish meanwhile do not count."""
    total = 0
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(Path(folder) / name).st_size
            except OSError:
                continue
    return total
