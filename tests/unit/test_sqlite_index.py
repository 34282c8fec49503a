"""The index on SQLite: how it is opened, where it may be written, and what its errors say."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from hpcsweep.errors import StoreError
from hpcsweep.store import SweepIndex, engine
from hpcsweep.store.engine import Database
from hpcsweep.store.filesystem import filesystem_type, is_local
from tests.support.rows import MANIFEST, batch, case
from tests.support.statements import statements

__all__ = ["statements"]  # fixtures are found by their names

# Fields of proc(5), /proc/self/mountinfo: as on a cluster, with a local disk below a network one.
MOUNTINFO = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /proc rw - proc proc rw
24 22 0:40 / /home rw,relatime shared:5 master:3 - nfs4 server:/export/home rw,vers=4.2
25 22 0:41 / /scratch rw - lustre 10.0.0.1@o2ib:/scratch rw,flock
26 25 8:2 / /scratch/local rw - xfs /dev/nvme0n1 rw
27 22 0:42 / /gpfs rw - gpfs /dev/gpfs rw
28 22 0:43 / /mnt/with\\040space\\011tab rw - fuse.sshfs me@host: rw
29 22 0:44 / /mnt/back\\134slash rw - beegfs beegfs rw
30 22 0:45 / /tmp rw - tmpfs tmpfs rw
31 22 0:46 / /home rw - autofs systemd-1 rw
32 31 0:47 / /home/me rw - nfs server:/me rw
33 22 0:48 / /mnt/\u00fcber rw - wekafs w rw
34 22 0:49 / /lib rw - overlay overlay rw
"""


@pytest.fixture
def mountinfo(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTINFO)
    return path


# --- where it lies -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "kind", "local"),
    [
        ("/", "ext4", True),
        ("/var/x", "ext4", True),
        ("/home", "autofs", False),  # the later mount covers the earlier one
        ("/home/me/outputs/s", "nfs", False),
        ("/homework", "ext4", True),  # not below /home
        ("/scratch/me", "lustre", False),
        ("/scratch/local/me", "xfs", True),
        ("/gpfs/x", "gpfs", False),
        ("/mnt/with space\ttab/s", "fuse.sshfs", False),
        ("/mnt/back\\slash/s", "beegfs", False),
        ("/mnt/über/s", "wekafs", False),
        ("/tmp/x", "tmpfs", True),
    ],
)
def test_the_file_system_of_a_path(mountinfo: Path, path: str, kind: str, local: bool) -> None:
    assert filesystem_type(Path(path), mountinfo) == kind
    assert is_local(Path(path), mountinfo) is local


def test_a_link_is_followed(mountinfo: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/gpfs/project")
    assert filesystem_type(tmp_path / "link" / "s", mountinfo) == "gpfs"


def test_a_system_without_mountinfo(tmp_path: Path) -> None:
    """macOS: its home directories are local."""
    assert filesystem_type(Path("/"), tmp_path / "none") == ""
    assert is_local(Path("/"), tmp_path / "none")


def test_this_machine() -> None:
    assert filesystem_type(Path("/proc")) == "proc"
    assert not is_local(Path("/proc"))


# --- how it is opened ----------------------------------------------------------------------------


def test_a_writer_locks_before_it_reads(tmp_path: Path, statements: list[str]) -> None:
    sweep_index = SweepIndex(tmp_path / "s.sqlite3", "k")
    sweep_index.create("s", "m")
    statements.clear()
    sweep_index.reorder("m", "n", None)
    assert statements[0] == "BEGIN IMMEDIATE"
    statements.clear()
    sweep_index.counts()
    assert statements[0] == "BEGIN"


def journal_mode(path: Path) -> str:
    with closing(sqlite3.connect(path)) as other:
        return str(other.execute("PRAGMA journal_mode").fetchone()[0])


@pytest.mark.parametrize("local", [True, False])
def test_never_with_a_write_ahead_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, local: bool
) -> None:
    """It needs all processes on one host. A file that somebody set to it is set back."""
    monkeypatch.setattr(engine, "is_local", lambda _: local)
    path = tmp_path / "s.sqlite3"
    SweepIndex(path, "k").create("s", "m")
    with closing(sqlite3.connect(path)) as other:
        other.execute("PRAGMA journal_mode=WAL")
    assert journal_mode(path) == "wal"
    SweepIndex(path, "k").reorder("m", "n", None)
    assert journal_mode(path) == "delete"


@pytest.mark.parametrize(
    "name",
    ["a b", "what?", "50%", "#1", "a%20b", "a?mode=ro", "it's", 'q"', "é😀", ":memory:", "&=;"],
)
def test_the_path_may_have_any_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    path = tmp_path / name / "store.sqlite3"
    SweepIndex(path, "k").create("s", "m")
    assert path.is_file()
    assert SweepIndex(path, "k").manifest() == "m"
    assert [one.name for one in tmp_path.iterdir()] == [name]


# --- what its errors say -------------------------------------------------------------------------


def test_paths_that_are_no_database(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    path.write_bytes(b"not a database at all" * 100)
    sweep_index = SweepIndex(path, "k")
    for act in (sweep_index.counts, sweep_index.positions, lambda: sweep_index.create("s", "m")):
        with pytest.raises(StoreError, match="not a SQLite database") as caught:
            act()
        assert "--rebuild" in caught.value.next_step
        assert caught.value.where == str(path)
        assert not caught.value.transient


def test_a_damaged_database(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    SweepIndex(path, "k").create("s", "m")
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)  # all pages but the first
    path.write_bytes(data)
    with pytest.raises(StoreError, match="damaged") as caught:
        SweepIndex(path, "k").counts()
    assert "--rebuild" in caught.value.next_step
    SweepIndex(path, "k").clear()  # what a rebuild begins with
    SweepIndex(path, "k").create("s", "m")
    assert SweepIndex(path, "k").counts() == {}


def test_a_locked_database_is_waited_for_and_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "SQLITE_TIMEOUT_S", 0.1)
    path = tmp_path / "s.sqlite3"
    SweepIndex(path, "k").create("s", "m")
    inode = path.stat().st_ino
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        sweep_index = SweepIndex(path, "k")
        for act in (lambda: sweep_index.reorder("m", "n", None), sweep_index.clear):
            with pytest.raises(StoreError, match="another process kept it locked") as caught:
                act()
            assert caught.value.transient
    assert path.stat().st_ino == inode
    assert SweepIndex(path, "k").manifest() == "m"


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be opened"):
        SweepIndex(tmp_path / "none" / "s.sqlite3", "k").create("s", "m")


def test_a_file_that_is_removed_while_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    sweep_index = SweepIndex(path, "k")
    sweep_index.create("s", MANIFEST)
    sweep_index.merge(batch(*map(case, range(6))))
    rows = sweep_index.rows(batch=2)
    assert next(rows)["idx"] == 0
    path.unlink()
    with pytest.raises(StoreError, match="was removed while it was used") as caught:
        list(rows)
    assert (caught.value.where, caught.value.damaged) == (str(path), False)
    assert list(tmp_path.iterdir()) == []  # nor is an empty one made
    sweep_index.create("s", MANIFEST)
    assert list(sweep_index.rows()) == []


@pytest.mark.parametrize(
    ("table", "read"),
    [
        ("places", lambda index: list(index.rows())),
        ("blocks", SweepIndex.counts),
        ("cases", SweepIndex.max_generation),
    ],
)
def test_tables_that_were_removed(
    tmp_path: Path, table: str, read: Callable[[SweepIndex], object]
) -> None:
    path = tmp_path / "s.sqlite3"
    SweepIndex(path, "k").create("s", "m")
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"DROP TABLE {table}")
    with pytest.raises(StoreError, match="was changed") as caught:
        read(SweepIndex(path, "k"))
    assert "--rebuild" in caught.value.next_step


def test_an_index_of_a_newer_program(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite3"
    SweepIndex(path, "k").create("s", "m")
    with closing(sqlite3.connect(path)) as other:
        other.execute("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
        other.commit()
    for act in (SweepIndex(path, "k").exists, lambda: SweepIndex(path, "k").create("s", "m")):
        with pytest.raises(StoreError, match="99"):
            act()


def test_kept_connections_are_closed_with_their_owner(tmp_path: Path) -> None:
    """Not with the garbage: Python 3.13 warns of each."""
    path = tmp_path / "kept.sqlite3"
    database = Database(path, keeps=True)
    database.write(lambda connection: connection.exec_driver_sql("CREATE TABLE t (x)"))

    def opened() -> list[Path]:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return [link for link in links if str(link.readlink()).startswith(str(path))]

    assert opened()
    del database
    assert opened() == []
