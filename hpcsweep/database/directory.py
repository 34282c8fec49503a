"""The directory of a private PostgreSQL: its files, and the record of the server that uses it.

DIR/                        mode 0700
  database.json             marks the directory; holds the name of the service
  data/                     PostgreSQL's own files
  pgpass                    the password of the role, mode 0600
  server.crt  server.key    made for the first server on a node
  server.json               where the server was started; absent while there is none
  server.log  job.log       what the server says, and the last job
  job.sh                    the last job's script
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self, TypedDict, cast

from hpcsweep import claims
from hpcsweep.errors import Damaged, InputError, StoreError
from hpcsweep.field_checks import NUMBER, OBJECT, TEXT, integer, mismatch, schema
from hpcsweep.files import (
    DOCUMENT_MAX,
    PRIVATE_DIRECTORY,
    is_temporary,
    json_bytes,
    make_directory,
    names,
    parse_json,
    read_regular,
    replace_durably,
    unreadable,
    unwritable,
)
from hpcsweep.sweepdir.plan import ClusterRecord

FORMAT = 1
MARKER = "database.json"
_CLAIMS = ".claims"
# A comma separates hosts in a service file; libpq and PostgreSQL strip blanks at the end.
_NO_PATH = re.compile(r"[,\x00-\x1f\x7f]|\s$")
# Seconds that another start or stop may take.
PATIENCE_S = 120.0


class JobRecord(TypedDict):
    """The job that runs a server."""

    id: str
    cluster: ClusterRecord


class ServerRecord(TypedDict):
    """Where a server was started."""

    # Empty while its job waits in the queue.
    host: str
    # Which kernel that is, as far as known there: see `liveness`.
    boot_id: str | None
    pid_namespace: str | None
    port: int
    # The directory of its socket; empty for one that listens to other hosts.
    socket: str
    # Seconds of the epoch.
    started: float
    # None for one that a command started on its host.
    job: JobRecord | None


_MARKER = schema({"format": integer(), "service": TEXT})
_RECORD = schema(
    {"host": TEXT, "port": integer(0, 65535), "socket": TEXT, "started": NUMBER},
    {"boot_id": TEXT, "pid_namespace": TEXT, "job": OBJECT},
)
_JOB = schema({"id": TEXT, "cluster": OBJECT})
_CLUSTER = schema({"kind": TEXT, "name": TEXT, "state_dir": TEXT})


class DatabaseDirectory:
    """The files of one private PostgreSQL."""

    def __init__(self, path: Path, service: str) -> None:
        self.path = path
        # Its name in the service file.
        self.service = service
        self.data = path / "data"
        self.password_file = path / "pgpass"
        self.certificate = path / "server.crt"
        self.key = path / "server.key"
        self.log = path / "server.log"
        self.job_log = path / "job.log"
        self.job_script = path / "job.sh"
        self._record = path / "server.json"

    @classmethod
    def open(cls, path: Path) -> Self:
        """The database in a directory that is marked. *Raises* StoreError, Damaged."""
        if not is_database(path):
            raise StoreError(
                "there is no database in this directory",
                where=str(path),
                next_step="`hpcsweep db start DIR` makes one in a new or empty directory.",
            )
        marker = _read(path / MARKER, _MARKER)
        if marker["format"] != FORMAT:
            raise StoreError("a newer hpcsweep has made this database", where=str(path))
        return cls(path.resolve(), marker["service"])

    @classmethod
    def create(cls, path: Path, service: str) -> Self:
        """Mark a new or empty directory as a database.

        *Raises* StoreError, InputError, SweepError. *Safe to repeat.* *Writes* the directory.
        """
        if _NO_PATH.search(str(path.resolve())):
            raise InputError(
                "the path has a comma, a control character, or a blank at its end, which "
                "PostgreSQL would not understand",
                where=str(path),
                next_step="Name another directory.",
            )
        # Another start may be writing its first file.
        if _is_marked(path, but=is_temporary):
            return cls.open(path)
        with claimed(path, PATIENCE_S):
            if _is_marked(path, but=lambda _: False):
                return cls.open(path)
            try:
                path.chmod(PRIVATE_DIRECTORY)
            except OSError as error:
                raise unwritable(path, error) from error
            replace_durably(path / MARKER, json_bytes({"format": FORMAT, "service": service}))
        return cls(path.resolve(), service)

    @property
    def store(self) -> str:
        """The `store:` of a manifest that uses it."""
        return f"postgresql:///?service={self.service}"

    def version(self) -> int | None:
        """The major version of PostgreSQL that made the data; None before the first start."""
        try:
            return int((self.data / "PG_VERSION").read_text())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise _damaged(self.data, f"its PG_VERSION cannot be read ({error})") from error

    def record(self) -> ServerRecord | None:
        """Where the server was started; None where none was, or it has ended. *Raises* Damaged."""
        if self._record.name not in names(self.path):
            return None
        try:
            fields = _read(self._record, _RECORD)
        except FileNotFoundError:  # the server has ended meanwhile
            return None
        job = fields.get("job")
        if job is not None:
            wrong = mismatch(job, _JOB) or mismatch(job.get("cluster"), _CLUSTER)
            if wrong:
                raise _damaged(self._record, wrong)
        return cast("ServerRecord", {"boot_id": None, "pid_namespace": None, "job": None} | fields)

    def write_record(self, record: ServerRecord) -> None:
        """Replace the record. *Raises* SweepError."""
        replace_durably(self._record, json_bytes(record))

    def remove_record(self) -> None:
        """Remove the record: no server uses the data any more. *Safe to repeat.*"""
        with contextlib.suppress(FileNotFoundError):
            self._record.unlink()

    def changing(self, patience_s: float = PATIENCE_S) -> contextlib.AbstractContextManager[None]:
        """Exclude every other start and stop, on all hosts. *Raises* StoreError."""
        return claimed(self.path, patience_s)


@contextlib.contextmanager
def claimed(path: Path, patience_s: float) -> Iterator[None]:
    """Exclude every other start and stop in a directory, on all hosts. *Raises* StoreError."""
    claim = claims.acquire(make_directory(path / _CLAIMS), "server", patience_s)
    if claim is None:
        raise StoreError(
            "another command is starting or ending the server",
            where=str(path),
            next_step="Run this again when that one has ended.",
        )
    try:
        yield
    finally:
        claim.release()


def _is_marked(path: Path, but: Callable[[str], bool]) -> bool:
    """Whether a directory is marked. *Raises* StoreError for files of something else.

    By one listing: another start may make a whole database meanwhile. `but`: names to pass over.
    """
    entries = names(path)
    if MARKER not in entries and any(name != _CLAIMS and not but(name) for name in entries):
        raise StoreError(
            "this directory holds something else",
            where=str(path),
            next_step="Name a new or empty directory.",
        )
    return MARKER in entries


def is_database(path: Path) -> bool:
    """Whether a directory is marked as a database. *Raises* SweepError."""
    return MARKER in names(path)


def _read(path: Path, schema: Any) -> dict[str, Any]:
    try:
        document = parse_json(read_regular(path, DOCUMENT_MAX))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise _damaged(path, f"it is not JSON: {error}") from error
    wrong = mismatch(document, schema)
    if wrong:
        raise _damaged(path, wrong)
    return cast("dict[str, Any]", document)


def _damaged(path: Path, why: str) -> Damaged:
    return Damaged(
        f"is damaged: {why}",
        where=str(path),
        next_step="Make sure that no server uses this directory, then move it away. "
        "`hpcsweep ingest SWEEP --rebuild` fills a new database from the journals.",
    )
