"""A private PostgreSQL, and PgBouncer in front of it: up in two seconds, gone without a trace.

Everything is its own: a temporary directory, free ports of the loopback interface, an unprivileged
user. The collation is a language's, not C: what relies on the order of bytes must say so.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psycopg
import pytest

from tests.support.processes import kill, owned_by
from tests.support.reaper import reaper_of
from tests.support.requirements import require, to_install
from tests.support.wait import wait_until

# Debian has a directory for each version: 15 in bookworm, 17 in trixie, 18 in forky.
BINARIES = ":".join(sorted(map(str, Path("/usr/lib/postgresql").glob("*/bin"))))
PATH = f"{BINARIES}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
# Debian's packages by the program that shows whether it is there.
PACKAGES = {"initdb": "postgresql", "postgres": "postgresql", "pgbouncer": "pgbouncer"}
# A server refuses to run as root; Debian's package makes this user.
SERVER_USER = "postgres"
USER, PASSWORD = "sweeper", "correct-horse"
START_S = 60.0
CONFIGURATION = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "32MB",
    "max_connections": "60",
    # The data live as long as the test: nothing has to survive a crash of the machine.
    "fsync": "off",
    "full_page_writes": "off",
    "log_min_messages": "fatal",
    "lc_messages": "C",
}


def why_not() -> str:
    """Why no private PostgreSQL can be started here; empty when one can."""
    missing = to_install(PACKAGES, PATH)
    return f"needs PostgreSQL: apt-get install {missing}" if missing else ""


def require_postgres() -> None:
    """Skip where no private PostgreSQL can be started; in CI that is a failure."""
    require("PostgreSQL", why_not())


@dataclass(frozen=True)
class Place:
    """One database, as a client reaches it."""

    # Of the server, or of the PgBouncer before it.
    port: int
    name: str
    user: str = USER
    password: str = PASSWORD

    @property
    def url(self) -> str:
        """The URL with the password."""
        return f"postgresql://{self.user}:{self.password}@127.0.0.1:{self.port}/{self.name}"

    @property
    def public_url(self) -> str:
        """The URL without it, as a manifest may hold it."""
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/{self.name}"

    def service(self, name: str, *, password: bool = True) -> str:
        """The section of a service file."""
        lines = [f"[{name}]", "host=127.0.0.1", f"port={self.port}", f"dbname={self.name}"]
        lines += [f"user={self.user}"] + [f"password={self.password}"] * password
        return "\n".join(lines) + "\n"

    @property
    def passfile_line(self) -> str:
        """The line of a .pgpass."""
        return f"127.0.0.1:{self.port}:*:{self.user}:{self.password}\n"

    def execute(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run statements as the user, without hpcsweep."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []


class PrivatePostgres:
    """One server with a PgBouncer in transaction mode before it, in a `with` block."""

    def __init__(self) -> None:
        self.directory = Path()
        self.port, self.bouncer_port = _free_port(), _free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._reaper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        # Short, because a socket's path has at most 107 characters.
        self.directory = Path(tempfile.mkdtemp(prefix="hp-", dir="/tmp"))
        self._reaper = reaper_of(self.directory)
        try:
            self._make()
            self.start()
            self.sql(f"CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")
            self.start_bouncer()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        assert self._reaper is not None
        self._reaper.communicate(timeout=60)  # closes the pipe
        for process in self._processes.values():
            process.wait(timeout=60)
        left = owned_by(self.directory)
        if left or self.directory.exists():
            raise RuntimeError(f"{self.directory}: left {left}")

    # -- up and down ---------------------------------------------------------------------------

    def start(self) -> None:
        """Start the server and wait until it answers; what a killed one wrote is recovered."""
        options = [f"--{name}={value}" for name, value in CONFIGURATION.items()]
        options += [f"--port={self.port}", f"--unix_socket_directories={self.directory}"]

        def answers() -> bool | str:
            # Right after a kill the old one's processes may still hold its shared memory.
            if "postgres" not in self._processes or self._processes["postgres"].poll() is not None:
                self._spawn("postgres", "-D", str(self._data), *options)
            try:
                self.sql("SELECT 1")
            except psycopg.OperationalError as error:
                return f"{error} {self.log()}"
            return True

        wait_until(answers, START_S, "PostgreSQL answers")

    def kill(self) -> None:
        """SIGKILL every process of the server at once, as if the power failed."""
        server = self._processes["postgres"]
        for pid in (server.pid, *_children(server.pid)):
            kill(pid)
        server.wait(timeout=60)

    def stop(self) -> None:
        """End the server as an administrator in a hurry does: clients are thrown out."""
        server = self._processes["postgres"]
        server.send_signal(signal.SIGINT)
        server.wait(timeout=60)

    def start_bouncer(self) -> None:
        """Start PgBouncer and wait until it answers."""
        users = f'"{USER}" "{PASSWORD}"\n"{SERVER_USER}" "{PASSWORD}"\n'
        self._write("users.txt", users)
        settings = {
            "listen_addr": "127.0.0.1",
            "listen_port": self.bouncer_port,
            "unix_socket_dir": "",
            "auth_type": "scram-sha-256",
            "auth_file": f"{self.directory}/users.txt",
            "admin_users": SERVER_USER,
            "pool_mode": "transaction",
            "default_pool_size": 4,
            "max_client_conn": 500,
            # Seconds for which it holds back those who ask while the server is away.
            "query_wait_timeout": 5,
            "server_login_retry": 1,
            "logfile": f"{self.directory}/bouncer.log",
        }
        lines = ["[databases]", f"* = host=127.0.0.1 port={self.port}", "[pgbouncer]"]
        lines += [f"{name} = {value}" for name, value in settings.items()]
        self._write("bouncer.ini", "\n".join(lines) + "\n")
        self._spawn("pgbouncer", "--quiet", str(self.directory / "bouncer.ini"))

        def answers() -> bool | str:
            try:
                return bool(self.bouncer_says("SHOW VERSION"))
            except psycopg.OperationalError as error:
                return f"{error} {self.log('bouncer.log')}"

        wait_until(answers, START_S, "PgBouncer answers")

    # -- what a test does with it --------------------------------------------------------------

    def sql(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements as the superuser, through the socket."""
        where: dict[str, Any] = {
            "host": str(self.directory),
            "port": self.port,
            "dbname": database,
            "user": SERVER_USER,
            "connect_timeout": 10,
        }
        with psycopg.connect(**where, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def bouncer_says(self, command: str) -> list[tuple[Any, ...]]:
        """Ask PgBouncer's own console, which is a database of this name."""
        console = Place(self.bouncer_port, "pgbouncer", SERVER_USER)
        with psycopg.connect(console.url, autocommit=True, connect_timeout=10) as connection:
            return connection.execute(command.encode(), prepare=False).fetchall()

    def database(self) -> Place:
        """A new empty database that belongs to the user."""
        name = f"d{secrets.token_hex(6)}"
        self.sql(f"CREATE DATABASE {name} OWNER {USER}")
        return Place(self.port, name)

    def processor_seconds(self) -> float:
        """Time of the processor that all processes of the server have used, the ended ones too."""
        server = self._processes["postgres"].pid
        return sum(map(_processor_seconds, (server, *_children(server))))

    def limit_connections(self, number: int) -> None:
        """Let the user have so many connections at once; -1 for any number."""
        self.sql(f"ALTER ROLE {USER} CONNECTION LIMIT {number}")

    def drop(self, place: Place) -> None:
        """Remove a database with all its connections. *Safe to repeat.*"""
        self.sql(f"DROP DATABASE IF EXISTS {place.name} WITH (FORCE)")

    def through_bouncer(self, place: Place) -> Place:
        """The same database, reached through PgBouncer."""
        return Place(self.bouncer_port, place.name, place.user, place.password)

    def log(self, name: str = "log") -> str:
        """The last output of a program."""
        path = self.directory / name
        return path.read_text(errors="replace")[-2000:] if path.exists() else ""

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _make(self) -> None:
        if os.geteuid() == 0:
            account = pwd.getpwnam(SERVER_USER)
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        # Clients of any user reach the socket.
        self.directory.chmod(0o711)
        options = [
            f"--pgdata={self._data}",
            f"--username={SERVER_USER}",
            "--no-sync",
            "--no-instructions",
            "--auth-local=trust",
            "--auth-host=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--locale-provider=icu",
            "--icu-locale=en-US",
        ]
        subprocess.run(self._argv("initdb", *options), check=True, capture_output=True, timeout=60)

    def _argv(self, program: str, *arguments: str) -> list[str]:
        path = shutil.which(program, path=PATH)
        assert path is not None, program
        if os.geteuid() != 0:
            return [path, *arguments]
        drop = [f"--reuid={SERVER_USER}", f"--regid={SERVER_USER}", "--clear-groups"]
        return ["setpriv", *drop, "--", path, *arguments]

    def _spawn(self, program: str, *arguments: str) -> None:
        with (self.directory / "log").open("ab") as log:
            self._processes[program] = subprocess.Popen(
                self._argv(program, *arguments),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o644)


def _free_port() -> int:
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _children(pid: int) -> list[int]:
    every = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [child for child in every if _stat(child)[1:2] == [str(pid)]]


def _processor_seconds(pid: int) -> float:
    # utime, stime and the same of children that were waited for: fields 14 to 17 of proc(5).
    return sum(map(int, _stat(pid)[11:15])) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """The fields of a process from its state on; none of one that is gone."""
    try:
        # The name in parentheses may hold anything, so the fields are counted from the last one.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


@pytest.fixture(scope="session")
def postgres() -> Iterator[PrivatePostgres]:
    """A PostgreSQL, shared by all tests of this run that do not disrupt it."""
    require_postgres()
    with PrivatePostgres() as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[PrivatePostgres]:
    """A PostgreSQL for one test alone."""
    require_postgres()
    with PrivatePostgres() as server:
        yield server


@pytest.fixture
def database(postgres: PrivatePostgres) -> Iterator[Place]:
    """An empty database on the shared PostgreSQL."""
    place = postgres.database()
    yield place
    postgres.drop(place)
