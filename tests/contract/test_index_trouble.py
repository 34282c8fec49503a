"""Errors of a database: each message has cause and remedy, and no secret."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from hpcsweep.errors import StoreError
from hpcsweep.store import SweepIndex
from hpcsweep.store.engine import Database
from hpcsweep.store.location import locate_database, parse_url
from hpcsweep.store.upsert import RowBatch
from tests.support.backends import KEY
from tests.support.postgres import Place, PrivatePostgres, database, own_postgres, postgres
from tests.support.requirements import strace
from tests.support.rows import batch, case
from tests.support.wait import wait_until

__all__ = ["database", "own_postgres", "postgres", "strace"]

MANIFEST = "1111111111111111"
CANARY = "canary-7f3a"
SOON = 0.3


def refused(location: Any, patience_s: float = SOON) -> StoreError:
    """The message when an index cannot be created there; neither it nor its chain has a secret."""
    with pytest.raises(StoreError) as caught:
        SweepIndex(location, KEY, patience_s).create("s", MANIFEST)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    error: BaseException | None = caught.value
    while error is not None:  # also what `from None` only hides
        assert CANARY not in repr(error)
        error = error.__cause__ or error.__context__
    assert caught.value.exit_code == 8
    assert caught.value.what
    assert caught.value.next_step
    return caught.value


# --- connections ---------------------------------------------------------------------------------

OUTSIDE = {
    "refused": ("postgresql://me:{}@127.0.0.1:1/x", "it cannot be reached", "check that it runs"),
    "no socket": ("postgresql://me:{}@/x?host=/nowhere", "it cannot be reached", "check that it"),
    "no host": ("postgresql://me:{}@no.such.invalid/x", "its host is not known", "correct the"),
    "no service": ("postgresql:///?service=none&password={}", "the service is not", "pg_service"),
    "option": ("postgresql://127.0.0.1/x?password={}&nosuch=1", 'option "nosuch"', "correct it"),
    "value": (
        "postgresql:///x?password={}&sslmode=on",
        "its URL has a mistake",
        "correct it",
    ),
    "port": ("postgresql://me@h:{}/x", "is not the URL of a database", "Write postgresql://"),
    "at": ("postgresql://me:x@{}@h/x", "is not the URL of a database", "%40"),
    "kind": ("mysql://me:{}@h/x", "names another kind of database", "postgresql://"),
    "nothing": ("{}", "is not the URL of a database", "Write postgresql://"),
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_urls_that_are_no_database(kind: str) -> None:
    url, what, remedy = OUTSIDE[kind]
    problem = refused(url.format(CANARY))
    assert what in problem.what
    assert remedy in problem.next_step


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "password": ({"password": CANARY}, "it refuses this user or password", ".pgpass (mode 0600)"),
    "user": ({"user": "nobody"}, "it refuses this user or password", "PGPASSFILE"),
    "database": ({"name": "none"}, "there is no such database", "correct its name, or create it"),
}


@pytest.mark.postgres
@pytest.mark.parametrize("bouncer", [False, True], ids=["direct", "pgbouncer"])
@pytest.mark.parametrize("wrong", WRONG)
def test_refused_connections_name_cause_and_remedy(
    postgres: PrivatePostgres, database: Place, bouncer: bool, wrong: str
) -> None:
    way = postgres.through_bouncer(database) if bouncer else database
    change, what, remedy = WRONG[wrong]
    problem = refused(replace(way, **change).url)
    assert what in problem.what
    assert remedy in problem.next_step
    assert not problem.transient


@pytest.mark.postgres
def test_without_a_password(database: Place) -> None:
    assert "no password supplied" in refused(database.public_url).what


@pytest.mark.postgres
def test_a_role_without_permission(postgres: PrivatePostgres, database: Place) -> None:
    postgres.sql("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    guest = Place(database.port, database.name, "guest", "guest")
    problem = refused(guest.url)
    assert "permission denied for schema public" in problem.what
    assert "grant" in problem.next_step
    # After the owner made the tables, tasks of another user get the same message.
    SweepIndex(database.url, KEY).create("s", MANIFEST)
    assert "permission denied for table meta" in refused(guest.url).what


def test_a_variable_that_holds_the_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match=r"^SWEEP_DB: the environment variable is not set"):
        locate_database("SWEEP_DB", tmp_path)
    monkeypatch.setenv("SWEEP_DB", f"postgresql://me:{CANARY}@h/x?password={CANARY}&a=b")
    found = locate_database("SWEEP_DB", tmp_path)
    assert not isinstance(found, Path)
    assert (found.password, found.drivername) == (CANARY, "postgresql+psycopg")
    assert SweepIndex(found, KEY).where == "postgresql://me@h/x?a=b"
    monkeypatch.setenv("SWEEP_DB", CANARY)
    with pytest.raises(StoreError, match=r"^SWEEP_DB: is not the URL") as caught:
        locate_database("SWEEP_DB", tmp_path)
    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None
    assert locate_database("sqlite", tmp_path) == tmp_path


def test_without_psycopg_the_remedy_is_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    problem = refused("postgresql://h/x")
    assert "psycopg, which is not installed" in problem.what
    assert "hpcsweep[postgres]" in problem.next_step


# --- a server in trouble -------------------------------------------------------------------------


@pytest.mark.postgres
def test_a_read_only_database(postgres: PrivatePostgres, database: Place) -> None:
    SweepIndex(database.url, KEY).create("s", MANIFEST)
    postgres.sql(f"ALTER DATABASE {database.name} SET default_transaction_read_only = on")
    sweep_index = SweepIndex(database.url, KEY, SOON)
    assert sweep_index.manifest() == MANIFEST
    with pytest.raises(StoreError, match="it is read-only") as caught:
        sweep_index.clear()
    assert "Results are safe in the journals" in caught.value.next_step


def failing(place: Place, code: str, times: int) -> SweepIndex:
    """An index whose next merges of journals are broken off by the server itself."""
    sweep_index = SweepIndex(place.url, KEY, 20.0)
    sweep_index.create("s", MANIFEST)
    place.execute("CREATE SEQUENCE calls")
    # A sequence counts on when its transaction is rolled back.
    place.execute(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF nextval('calls') <= {times} THEN RAISE EXCEPTION 'no good' USING ERRCODE = '{code}'; "
        "END IF; RETURN NEW; END $$"
    )
    place.execute("CREATE TRIGGER fail BEFORE INSERT ON journals EXECUTE FUNCTION fail()")
    return sweep_index


@pytest.mark.postgres
@pytest.mark.parametrize("code", ["40001", "40P01", "55P03", "57P01", "08006"])
def test_a_transaction_that_was_broken_off_is_tried_again(database: Place, code: str) -> None:
    sweep_index = failing(database, code, times=2)
    assert sweep_index.merge(RowBatch(manifest=MANIFEST, journals=[("j", 0, 5, 1)]))
    assert (sweep_index.positions(), sweep_index.torn()) == ({"j": 5}, {"j": 1})
    assert database.execute("SELECT last_value FROM calls") == [(3,)]


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("code", "what"),
    [("53100", "its disk is full"), ("58030", "its disk reports an error"), ("22003", "no good")],
)
def test_errors_that_a_retry_cannot_fix(database: Place, code: str, what: str) -> None:
    sweep_index = failing(database, code, times=10**6)
    with pytest.raises(StoreError, match=what) as caught:
        sweep_index.merge(RowBatch(manifest=MANIFEST, journals=[("j", 0, 5, 1)]))
    assert caught.value.next_step.startswith("Results are safe in the journals: ")
    assert database.execute("SELECT last_value FROM calls") == [(1,)]


@pytest.mark.postgres
def test_a_server_that_comes_back_is_waited_for(own_postgres: PrivatePostgres) -> None:
    sweep_index = SweepIndex(own_postgres.database().url, KEY, 60.0)
    sweep_index.create("s", MANIFEST)
    own_postgres.kill()
    with subprocess.Popen(["sleep", "1"]) as pause:  # while a try is going on

        def back() -> None:
            pause.wait()
            own_postgres.start()

        assert _meanwhile(back, sweep_index.manifest) == MANIFEST


def _meanwhile(one: Callable[[], None], other: Callable[[], Any]) -> Any:
    thread = threading.Thread(target=one)
    thread.start()
    try:
        return other()
    finally:
        thread.join()


# --- manners of a client -------------------------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.parametrize("bouncer", [False, True], ids=["direct", "pgbouncer"])
def test_limits_are_the_transactions_own(
    postgres: PrivatePostgres, database: Place, bouncer: bool
) -> None:
    way = postgres.through_bouncer(database) if bouncer else database
    limits = ("idle_in_transaction_session_timeout", "lock_timeout", "statement_timeout")
    names = (*limits, "synchronous_commit")
    query = f"SELECT {', '.join(f'current_setting({name!r})' for name in names)}"
    database_of_ours = Database(parse_url(way.url, "test"))
    found = database_of_ours.write(lambda connection: connection.exec_driver_sql(query).one())
    assert tuple(found) == ("1min", "1min", "5min", "on")
    # A merge does not wait for the disk.
    found = database_of_ours.merge(lambda connection: connection.exec_driver_sql(query).one())
    assert tuple(found) == ("1min", "1min", "5min", "off")
    # PgBouncer hands the same session to the next one.
    with psycopg.connect(way.url, autocommit=True) as connection:
        assert connection.execute(query.encode()).fetchone() == ("0", "0", "0", "on")


@pytest.mark.postgres
def test_a_crash_loses_the_last_merges_as_a_whole(own_postgres: PrivatePostgres) -> None:
    sweep_index = SweepIndex(own_postgres.database().url, KEY)
    sweep_index.create("s", MANIFEST)
    for number in range(40):
        journals = [(f"{number:03d}", 0, 9, 0)]
        assert sweep_index.merge(batch(case(number), manifest=MANIFEST, journals=journals))
    own_postgres.kill()
    own_postgres.start()
    left = len(sweep_index.positions())
    assert sweep_index.positions() == {f"{number:03d}": 9 for number in range(left)}
    assert [row["idx"] for row in sweep_index.rows()] == list(range(left))


@pytest.mark.postgres
def test_no_connection_outlives_its_transaction(postgres: PrivatePostgres, database: Place) -> None:
    sweep_index = SweepIndex(database.url, KEY)
    sweep_index.create("s", MANIFEST)
    assert sweep_index.merge(RowBatch(manifest=MANIFEST, journals=[("j", 0, 5, 0)]))
    reading = sweep_index.rows(batch=1)
    assert list(reading) == []
    query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database.name}'"  # noqa: S608
    # A server process ends a moment after its client.
    wait_until(lambda: postgres.sql(query) == [(0,)] or "connected", 60, "no connection")


@pytest.mark.postgres
def test_a_connection_is_kept_while_it_works(postgres: PrivatePostgres, database: Place) -> None:
    sweep_index = SweepIndex(database.url, KEY)
    sweep_index.create("s", MANIFEST)
    query = f"SELECT pid FROM pg_stat_activity WHERE datname = '{database.name}'"  # noqa: S608
    wait_until(lambda: postgres.sql(query) == [] or "connected", 60, "no connection")
    with sweep_index.kept_connection(), sweep_index.kept_connection():
        assert sweep_index.merge(RowBatch(manifest=MANIFEST, journals=[("j", 0, 5, 0)]))
        one = postgres.sql(query)
        assert sweep_index.positions() == {"j": 5}
        assert postgres.sql(query) == one
        assert len(one) == 1
        postgres.sql(f"SELECT pg_terminate_backend({one[0][0]})")
        assert sweep_index.merge(RowBatch(manifest=MANIFEST, journals=[("j", 5, 9, 0)]))
        other = postgres.sql(query)
        assert len(set(other) - set(one)) == 1
        sweep_index.close_connection()
        assert sweep_index.positions() == {"j": 9}
    wait_until(lambda: postgres.sql(query) == [] or "connected", 60, "no connection")


def test_a_url_overrides_the_defaults() -> None:
    engine = SweepIndex("postgresql://h/x?connect_timeout=3", KEY)
    assert engine.where == "postgresql://h/x?connect_timeout=3"


# --- SQLite --------------------------------------------------------------------------------------

HOLD = """\
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
connection.execute("BEGIN EXCLUSIVE")
print(flush=True)
sys.stdin.read()
"""
ATTEMPT = """\
import sys
from pathlib import Path
from hpcsweep.errors import StoreError
from hpcsweep.store import SweepIndex, engine
from hpcsweep.store.upsert import RowBatch

engine.SQLITE_TIMEOUT_S = 0.2
sweep_index = SweepIndex(Path(sys.argv[1]), "k" * 16)
try:
    sweep_index.merge(RowBatch(manifest="m", journals=[("j", 0, 5, 0)]))
except StoreError as problem:
    print(problem)
    sys.exit(problem.exit_code)
"""


@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize(
    ("inject", "what", "remedy"),
    [
        ("fcntl:error=ENOLCK", "lock daemon does not answer", "--outputs on another file system"),
        ("fcntl:error=ENOSYS", "has no working locks", "--outputs on another file system"),
        ("pwrite64:error=ENOSPC", "the disk or quota is full", "make room"),
        ("pwrite64:error=EDQUOT", "the disk or quota is full|reports an error", "quota"),
        ("openat:error=EROFS", "it cannot be opened: permissions", "check both"),
        ("openat:error=EDQUOT", "a quota of files", "check both"),
        ("fdatasync:error=EIO", "the file system reports an error", "check disk and quota"),
    ],
)
def test_a_file_system_in_trouble(tmp_path: Path, inject: str, what: str, remedy: str) -> None:
    path = tmp_path / "store.sqlite3"
    SweepIndex(path, "k" * 16).create("s", "m")
    name = inject.partition(":")[0]
    beside = ["-P", f"{path}-journal"] if name == "openat" else ["-P", str(path)]
    beside += ["-P", f"{path}-journal"] if name in ("pwrite64", "fdatasync") else []
    trace = ["strace", "-f", "-qq", "-o", "/dev/null", *beside, f"--trace={name}"]
    done = subprocess.run(
        [*trace, f"--inject={inject}", sys.executable, "-c", ATTEMPT, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 8, done
    assert done.stderr == ""
    problem, next_step = done.stdout.splitlines()
    assert problem.startswith(f"{path}: the database cannot be used: ")
    assert any(part in problem for part in what.split("|")), problem
    assert remedy in next_step
    assert "Results are safe in the journals" in next_step
    # Nothing of it stayed.
    assert SweepIndex(path, "k" * 16).positions() == {}


@pytest.mark.parametrize(
    ("content", "what"),
    [(b"no database at all" * 100, "is not a SQLite database"), (None, "damaged")],
)
def test_a_file_that_is_no_index_is_made_again(
    tmp_path: Path, content: bytes | None, what: str
) -> None:
    path = tmp_path / "store.sqlite3"
    sweep_index = SweepIndex(path, KEY)
    sweep_index.create("s", MANIFEST)
    if content is None:  # the first page stays
        content = path.read_bytes()[:4096] + os.urandom(20_000)
    path.write_bytes(content)
    assert what in refused(path).what
    sweep_index.clear()
    sweep_index.create("s", MANIFEST)
    assert sweep_index.manifest() == MANIFEST


def test_a_locked_file_is_not_thrown_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpcsweep.store.engine.SQLITE_TIMEOUT_S", 0.1)
    path = tmp_path / "store.sqlite3"
    sweep_index = SweepIndex(path, KEY)
    sweep_index.create("s", MANIFEST)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(StoreError, match="another process kept it locked"):
            sweep_index.clear()
    assert sweep_index.manifest() == MANIFEST
