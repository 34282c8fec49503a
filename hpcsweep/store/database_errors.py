"""Database errors as messages with cause and remedy."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy.exc import StatementError

from hpcsweep.errors import StoreError
from hpcsweep.redact import redact

_SAFE = "Results are safe in the journals"
_AGAIN = "run `hpcsweep ingest SWEEP`."
_REBUILD = f"{_SAFE}: run `hpcsweep ingest SWEEP --rebuild`."
_ELSEWHERE = "choose --outputs on another file system, or PostgreSQL as `store:`"


@dataclass(frozen=True, slots=True)
class _Cause:
    # Our description; empty to use the database's own.
    what: str
    # What to do before ingesting again; empty if waiting helps.
    remedy: str = ""
    # Whether a retry may succeed.
    transient: bool = False
    # Whether a rebuild is the remedy.
    damaged: bool = False


# By prefix of SQLite's error name (measured: ENOLCK, ENOSYS, full quotas).
_SQLITE = {
    "SQLITE_BUSY": _Cause(
        "another process kept it locked for a minute, or the file system's lock daemon does not "
        "answer",
        f"wait; if no other process uses it, {_ELSEWHERE}",
        transient=True,
    ),
    "SQLITE_IOERR_LOCK": _Cause("this file system has no working locks", _ELSEWHERE),
    "SQLITE_CANTOPEN": _Cause(
        "it cannot be opened: permissions, or a quota of files that is full",
        "check both",
        transient=True,
    ),
    "SQLITE_FULL": _Cause("the disk or quota is full", "make room", transient=True),
    "SQLITE_IOERR": _Cause("the file system reports an error", "check disk and quota"),
    "SQLITE_READONLY": _Cause("it is read-only", "give yourself write permission"),
    "SQLITE_PERM": _Cause("permission denied", "give yourself write permission"),
    "SQLITE_CORRUPT": _Cause("it is damaged", damaged=True),
    "SQLITE_NOTADB": _Cause("it is not a SQLite database", damaged=True),
}
_SQLITE_CHANGED = re.compile(r"no such (table|column)|has no column named|ON CONFLICT clause does")

# By SQLSTATE or its prefix; for others the server's own message is shown.
_POSTGRESQL = {
    "08": _Cause("the connection broke", transient=True),
    "25006": _Cause("it is read-only", "name the primary server, or ask who runs it"),
    "25P03": _Cause("the transaction was idle for too long", transient=True),
    "28": _Cause("it refuses this user or password", "check service file, .pgpass and variable"),
    "40": _Cause("it conflicted with other transactions", transient=True),
    "42501": _Cause("this user lacks a permission", "have the owner of the database grant it"),
    "42P01": _Cause("a table is missing", damaged=True),
    "42P07": _Cause("another object has that name", "rename or remove it"),
    "42": _Cause("the tables were changed", damaged=True),
    "53100": _Cause("its disk is full", "ask who runs it for more space"),
    "53300": _Cause("it has no free connection", "wait, or ask for more", transient=True),
    "53": _Cause("it is out of a resource", "wait, or ask who runs it", transient=True),
    "55P03": _Cause("it conflicted with other transactions", transient=True),
    "57014": _Cause("a statement timed out", "ask who runs it", transient=True),
    "57P": _Cause("it is shutting down or starting", transient=True),
    "58": _Cause("its disk reports an error", "ask who runs it"),
}

# Failures to connect come without a SQLSTATE; match the text of libpq and PgBouncer.
_PASSWORD = "check .pgpass (mode 0600), PGPASSFILE, the service file or the variable"  # noqa: S105
_REFUSED = (
    (
        r"(password|SASL) authentication|no password supplied|auth failed|no such user|role .* not",
        _Cause("it refuses this user or password", _PASSWORD),
    ),
    (
        r"database .* does not exist|no such database",
        _Cause("there is no such database", "correct its name, or create it"),
    ),
    (
        r"definition of service|service file",
        _Cause(
            "the service is not known here",
            "write it into ~/.pg_service.conf, or name its file in PGSERVICEFILE (for the tasks, "
            "too)",
        ),
    ),
    (r"pg_hba\.conf", _Cause("it accepts no connections from this host", "ask who runs it")),
    (
        r"could not translate host name|Name or service not known",
        _Cause("its host is not known here", "correct the name of the host"),
    ),
    (
        r"connection option|invalid \w+ value|missing \"=\"|URI",
        _Cause("its URL has a mistake", "correct it"),
    ),
    (
        r"too many (clients|connections)|connection slots|no more connections",
        _POSTGRESQL["53300"],
    ),
)
_SILENT = _Cause("it cannot be reached", "check that it runs and can be reached", transient=True)


def database_error(error: Exception, where: str) -> StoreError:
    """The StoreError for a database error; its text contains no password."""
    original, message = _original(error), own_message(error)
    cause = _cause(original, message)
    what = f"{cause.what} ({message})" if cause.what else message
    next_step = f"{_SAFE}: {cause.remedy}{', then ' if cause.remedy else ''}{_AGAIN}"
    problem = StoreError(
        f"the database cannot be used: {what}",
        where=where,
        next_step=_REBUILD if cause.damaged else next_step,
    )
    problem.transient = cause.transient
    problem.damaged = cause.damaged
    return problem


def own_message(error: Exception) -> str:
    """The message of the database's library, on one line and without a password."""
    original = _original(error)
    primary = getattr(getattr(original, "diag", None), "message_primary", None)
    return " ".join(redact(primary or str(original)).split())


def _original(error: Exception) -> BaseException:
    return (isinstance(error, StatementError) and error.orig) or error


def _cause(original: BaseException | None, message: str) -> _Cause:
    name = getattr(original, "sqlite_errorname", None)
    if name is not None:
        if _SQLITE_CHANGED.search(message):
            return _Cause("the table was changed", damaged=True)
        return next((cause for key, cause in _SQLITE.items() if name.startswith(key)), _Cause(""))
    state = getattr(original, "sqlstate", None)
    if state is not None:
        for length in (5, 3, 2):
            if state[:length] in _POSTGRESQL:
                return _POSTGRESQL[state[:length]]
        return _Cause("")
    for pattern, cause in _REFUSED:
        if re.search(pattern, message):
            return cause
    # Otherwise the library's own message, e.g. for a value that has no SQL form.
    kinds = {f"{kind.__module__}.{kind.__name__}" for kind in type(original).__mro__}
    return _SILENT if kinds & {"psycopg.OperationalError", "psycopg.InterfaceError"} else _Cause("")
