"""`hpcsweep db`: a PostgreSQL of the user's own, on this host and as a job on a node."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.database.server import PORTS
from hpcsweep.store import SweepIndex
from hpcsweep.store.ingest import Ingest
from hpcsweep.sweepdir.directory import SweepDirectory
from tests.support.clusters import QUICK
from tests.support.documents import checked
from tests.support.ordinary_user import OrdinaryUser, ordinary_user
from tests.support.processes import kill, owned_by
from tests.support.slurm_cluster import PrivateSlurm
from tests.support.wait import wait_until

__all__ = ["ordinary_user"]

pytestmark = pytest.mark.postgres

WAIT_S = 60.0
TARGET = "def run(x):\n    return {'square': x * x}\n"


@pytest.fixture
def user(ordinary_user: OrdinaryUser) -> Iterator[OrdinaryUser]:
    """A user with a target and, if a test wants it, an emulated cluster of their own."""
    ordinary_user.set(**QUICK, HPCSWEEP_CLUSTER="emulated")
    ordinary_user.write("target.py", TARGET)
    yield ordinary_user
    if (ordinary_user.home / ".local/state/hpcsweep/emulator").exists():
        ordinary_user.does("emulator", "stop")


def submit(user: OrdinaryUser, name: str, cases: int, service: str) -> None:
    """Submit a sweep of so many cases in two tasks, which write it by themselves.

    No other command of ours asks meanwhile.
    """
    values = {
        "name": name,
        "target": "target.py:run",
        "chunk": cases // 2,
        "store": f"postgresql:///?service={service}",
        "slurm": {"mem": "100M"},
        "source": {"grid": {"x": list(range(cases))}},
    }
    user.does("submit", user.write(f"{name}.json", json.dumps(values)).name)
    wait_until(
        lambda: (seen := count(user, service)) == cases or str(seen), WAIT_S, f"{cases} cases"
    )


def status(user: OrdinaryUser, place: str) -> dict[str, Any]:
    """What `db status --json` says."""
    text = user.does("db", "status", place, "--json")
    found: dict[str, Any] = checked("db-status", json.loads(text))
    return found


def ask(user: OrdinaryUser, database: str, sql: str) -> str:
    """What a statement answers, asked through the service file alone."""
    return user.run("psql", "-XAtc", sql, database).stdout.strip()


def log(user: OrdinaryUser, place: str) -> str:
    """What a server has said."""
    return (user.home / place / "server.log").read_text()


def postmasters(user: OrdinaryUser, place: str) -> list[str]:
    """The command lines of the processes of a server that are left."""
    return [line for line in owned_by(user.home / place).values() if "postgres" in line]


def count(user: OrdinaryUser, service: str) -> int:
    """How many complete cases the database has; 0 without tables."""
    sql = "SELECT count(*) FROM cases WHERE status = 'complete'"
    done = user.run("psql", "-XAtc", sql, f"service={service}", code=None)
    return int(done.stdout) if done.returncode == 0 else 0


def kill_server(user: OrdinaryUser, place: str, *, with_parent: bool = False) -> None:
    """kill -9 of every process of a server, and of the one above it, as if the power failed."""
    pid = int((user.home / place / "data/postmaster.pid").read_text().splitlines()[0])
    stats = {one: content(one) for one in Path("/proc").glob("[0-9]*/stat")}
    # The second field behind the name, which may hold anything, is the parent's id.
    fields = {int(one.parent.name): text.rpartition(b")")[2].split() for one, text in stats.items()}
    parents = {one: int(found[1]) for one, found in fields.items() if found}
    children = [one for one, parent in parents.items() if parent == pid]
    for one in (*([parents[pid]] if with_parent else []), pid, *children):
        kill(one)


def check_private(user: OrdinaryUser, place: str) -> None:
    """Nobody else may enter, and the password is in its file alone: no other file, no argument."""
    directory = user.home / place
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((user.home / ".pg_service.conf").stat().st_mode) == 0o600
    for one in directory.iterdir():
        assert one.is_dir() or stat.S_IMODE(one.stat().st_mode) & 0o077 == 0, one
    password = (directory / "pgpass").read_text().strip().rpartition(":")[2]
    assert len(password) == 64
    files = (one for one in user.home.rglob("*") if one.is_file() and "env" not in one.parts)
    assert [one for one in files if password.encode() in content(one)] == [directory / "pgpass"]
    lines = [content(path) for path in Path("/proc").glob("[0-9]*/cmdline")]
    assert any(str(directory).encode() in line for line in lines)
    assert [line for line in lines if password.encode() in line] == []


def content(path: Path) -> bytes:
    """The content of a file or process; none of one that is gone meanwhile."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def from_journals(path: Path, index: Path) -> list[dict[str, Any]]:
    """The rows that the journals of a sweep make in SQLite."""
    sweep = SweepDirectory.open(path)
    made = SweepIndex(index, sweep.key)
    made.create(sweep.name, sweep.newest_manifest())
    Ingest(sweep, made).run()
    return list(made.rows())


def test_a_sweep_whose_tasks_write_it(
    user: OrdinaryUser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of starts at once one makes and starts it.
    starting = [user.start("db", "start", "pg data") for _ in range(3)]
    said = [process.communicate(timeout=WAIT_S) for process in starting]
    assert [process.returncode for process in starting] == [0, 0, 0], said
    assert all("store: postgresql:///?service=pg_data\n" in out for out, _ in said)
    assert log(user, "pg data").count("starting PostgreSQL") == 1
    assert "FATAL" not in log(user, "pg data")

    submit(user, "sweep", 50, "pg_data")
    monkeypatch.setenv("PGSERVICEFILE", str(user.home / ".pg_service.conf"))
    key = SweepDirectory.open(user.home / "outputs/sweep").key
    rows = list(SweepIndex("postgresql:///?service=pg_data", key).rows())
    assert [row["status"] for row in rows] == ["complete"] * 50
    assert rows == from_journals(user.home / "outputs/sweep", tmp_path / "index.sqlite3")
    check_private(user, "pg data")
    found = status(user, "sweep")
    assert (found["state"], found["sweeps"]) == ("running", ["sweep"])
    assert found["directory"] == str(user.home / "pg data")
    assert (found["host"], found["port"]) == (os.uname().nodename, None)
    assert found["bytes"] > 10_000_000

    # What a kill left is recovered.
    kill_server(user, "pg data")
    assert "runs: this host" in user.does("db", "start", "sweep")
    assert "automatic recovery in progress" in log(user, "pg data")
    assert list(SweepIndex("postgresql:///?service=pg_data", key).rows()) == rows

    # A dump is the whole database.
    user.does("db", "dump", "sweep", "all.dump")
    assert stat.S_IMODE((user.home / "all.dump").stat().st_mode) == 0o600
    ask(user, "service=pg_data", "CREATE DATABASE copy")
    copy = "service=pg_data dbname=copy"
    user.run("pg_restore", "--no-owner", f"--dbname={copy}", "all.dump")
    whole = "SELECT md5(string_agg(cases::text, '|' ORDER BY case_id)), count(*) FROM cases"
    assert ask(user, copy, whole) == ask(user, "service=pg_data", whole)

    assert user.does("db", "stop", "sweep") == "stopped\n"
    assert user.does("db", "stop", "pg data") == "it was not running\n"
    assert log(user, "pg data").endswith("database system is shut down\n")
    assert not (user.home / "pg data/server.json").exists()
    assert postmasters(user, "pg data") == []


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root")
def test_a_full_disk(user: OrdinaryUser) -> None:
    place = user.home / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", place], check=True)
    try:
        user.own(place)
        said = user.refused(8, "db", "start", "small/pg")
        assert "No space left on device" in said
        assert "make room" in said
        assert not (place / "pg/data").exists()
    finally:
        subprocess.run(["umount", "-l", place], check=True)


# --- on a node -----------------------------------------------------------------------------------


@pytest.fixture(params=["emulated", pytest.param("slurm", marks=pytest.mark.slurm)])
def kind(request: pytest.FixtureRequest, user: OrdinaryUser) -> str:
    """Each of the two clusters in turn, set up for the user."""
    if request.param == "slurm":
        shared: PrivateSlurm = request.getfixturevalue("slurm")
        user.set(SLURM_CONF=str(shared.directory / "slurm.conf"), HPCSWEEP_CLUSTER="slurm")
    return str(request.param)


def test_a_server_on_a_node(user: OrdinaryUser, kind: str) -> None:
    # Of two starts at once one submits the job.
    argv = ("db", "start", "pg", "--node", "--set", "slurm.time=10", "--wait")
    starting = [user.start(*argv) for _ in range(2)]
    said = [process.communicate(timeout=WAIT_S) for process in starting]
    assert [process.returncode for process in starting] == [0, 0], said
    assert all(("which other nodes do not see" in err) == (kind == "slurm") for _, err in said)
    (job,) = {out.partition(", job ")[2].split()[0] for out, _ in said}
    submit(user, kind, 20, "pg")
    check_private(user, "pg")
    # By TLS alone, with its own certificate and the password.
    ssl = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    assert ask(user, "service=pg", ssl) == "t"
    wrong = {
        "sslmode=disable": "no encryption",
        "sslrootcert=/etc/ssl/certs/ca-certificates.crt": "certificate verify failed",
        "passfile=/dev/null": "no password supplied",
    }
    for option, why in wrong.items():
        done = user.run("psql", "-w", "-c", "SELECT 1", f"service=pg {option}", code=2)
        assert why in done.stderr
    found = status(user, "pg")
    assert (found["state"], found["job"], found["sweeps"]) == ("running", job, [kind])
    assert found["port"] in PORTS

    if kind == "slurm":
        assert user.does("db", "stop", "pg") == "stopped\n"
        assert log(user, "pg").endswith("database system is shut down\n")
    else:
        # A node that dies takes the server with it: the scheduler alone says that it is gone.
        kill_server(user, "pg", with_parent=True)
    user.does("db", "start", "pg", "--node", "--wait")
    assert count(user, "pg") == 20
    assert ("automatic recovery in progress" in log(user, "pg")) == (kind == "emulated")
    record = user.home / "pg/server.json"
    if kind == "slurm":
        # To the batch shell alone, as before the time limit.
        again = json.loads(record.read_bytes())["job"]["id"]
        user.run("scancel", "--batch", "--signal=TERM", again)
        wait_until(lambda: not record.exists(), WAIT_S, "the end of the server")
    else:
        assert user.does("db", "stop", "pg") == "stopped\n"
        assert not record.exists()
    assert log(user, "pg").endswith("database system is shut down\n")
    assert postmasters(user, "pg") == []


@pytest.mark.soak
def test_its_time_limit_ends_it_cleanly(user: OrdinaryUser, kind: str) -> None:
    user.does("db", "start", "pg", f"--cluster={kind}", "--node", "--set", "slurm.time=2", "--wait")
    record = user.home / "pg/server.json"
    wait_until(lambda: not record.exists(), 200.0, "the end of the server")
    assert log(user, "pg").endswith("database system is shut down\n")
    assert postmasters(user, "pg") == []
    assert status(user, "pg")["state"] == "stopped"


def test_a_port_of_another_program(user: OrdinaryUser) -> None:
    with contextlib.closing(socket.create_server(("", 0))) as taken:
        port = taken.getsockname()[1]
        said = user.refused(8, "db", "start", "pg", "--node", f"--port={port}", "--wait")
    assert f"port {port} is taken on {os.uname().nodename}" in said
    assert "Name another one by --port" in said
