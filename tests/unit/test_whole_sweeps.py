"""Whole sweeps: rename, copy, clean and remove what nothing runs in."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

import hpcsweep as hs
from hpcsweep.cli import main
from hpcsweep.errors import SweepBusy, SweepError
from hpcsweep.far.rsync import MISSING
from hpcsweep.files import token
from hpcsweep.project import archiving
from hpcsweep.project.cleaning import clean
from hpcsweep.project.copying import copy
from hpcsweep.project.remove import remove
from hpcsweep.project.rename import rename
from hpcsweep.settings import Settings
from hpcsweep.sources import grid
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission.sweep_lock import awaited_sweep, created_sweep, locked_sweep
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.hand_copy import is_one_directory, original
from hpcsweep.sweepdir.removed import removed_path
from tests.support.sweeps import MadeSweep

SETTINGS = Settings(query_interval_s=0.0)
PYTHON = "def run(x):\n    return {'y': 1 / (2 - x)}\n"


@pytest.fixture
def ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeSweep:
    """A sweep of two cases that is over: one is complete, one failed."""
    made = MadeSweep(tmp_path, grid(x=[1, 2]), python=PYTHON)
    made.plan()
    made.handed_in()
    made.run()
    monkeypatch.chdir(tmp_path)
    return made


def cli(*arguments: str, code: int = 0, **how: Any) -> Any:
    done = CliRunner().invoke(main, [*arguments, "--outputs", "."], **how)
    assert done.exit_code == code, done.output
    return done


def rows(sweep: Path | str) -> list[tuple[Any, ...]]:
    done = cli("collect", str(sweep), "--format", "jsonl")
    found = (json.loads(line) for line in done.stdout.splitlines())
    return [(row["x"], row["status"], row.get("y")) for row in found]


ROWS = [(1, "complete", 1.0), (2, "failed", None)]


# --- rename --------------------------------------------------------------------------------------


def test_a_renamed_sweep_goes_on_under_its_name(ended: MadeSweep) -> None:
    assert rows("s") == ROWS
    (ended.root / "s.local").mkdir()
    said = cli("rename", "s", "t").stdout
    assert said == f"s is t now, in {ended.root / 't'}\n"
    assert not (ended.root / "s").exists()
    assert (ended.root / "t.local").is_dir()
    sweep = SweepDirectory.open(ended.root / "t")
    assert (sweep.name, sweep.key) == ("t", ended.directory.key)
    assert rows("t") == ROWS
    assert json.loads(cli("status", "t", "--json").stdout)["name"] == "t"
    assert cli("logs", "t", "0").stdout.startswith("case ")
    # The lock went with it.
    with locked_sweep(sweep):
        pass
    opened = hs.Sweep("t", sets={"settings.outputs": "."})
    assert (opened.name, opened.n_cases) == ("t", 2)


def test_a_rename_onto_something_or_to_no_name_is_refused(ended: MadeSweep) -> None:
    (ended.root / "t").mkdir()
    assert "t: is there already" in cli("rename", "s", "t", code=5).stderr
    assert "cannot name a directory" in cli("rename", "s", "../x", code=3).stderr
    assert rows("s") == ROWS


def test_the_reduce_of_a_renamed_sweep_has_its_name(ended: MadeSweep) -> None:
    SweepDirectory.create(ended.path / "reduce", "s/reduce")
    renamed = rename(ended.directory, "t", SETTINGS)
    assert SweepDirectory.open(renamed.reduce_dir).name == "t/reduce"


# --- what runs is left alone ---------------------------------------------------------------------


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeSweep:
    """A sweep of two tasks, one of which is over."""
    made = MadeSweep(tmp_path, grid(x=[1, 2]), python=PYTHON)
    made.plan(chunk_size=1)
    made.handed_in()
    made.run()
    monkeypatch.chdir(tmp_path)
    return made


@pytest.mark.parametrize(
    "arguments", [("rename", "s", "t"), ("rm", "s", "--yes"), ("copy", "s", "there")]
)
@pytest.mark.usefixtures("running")
def test_a_sweep_with_tasks_is_refused(arguments: tuple[str, ...]) -> None:
    message = cli(*arguments, code=5).stderr
    assert "1 of its array tasks run or wait" in message
    assert "`hpcsweep cancel s` first" in message
    assert sorted(name for name in os.listdir() if not name.startswith((".", "_"))) == [  # noqa: PTH208
        "s",
        "target.py",
    ]


def test_a_sweep_that_is_still_to_be_sent_is_refused(ended: MadeSweep) -> None:
    other = SweepDirectory.create(ended.root / "other", "other")
    (other.path / "after.json").write_text(json.dumps({"sweep": str(ended.path)}))
    with pytest.raises(SweepBusy, match="it is sent when every case of s is complete"):
        rename(other, "t", SETTINGS)
    (ended.path / "followers").mkdir()
    fact = {"time": 1.0, "sweep": str(other.path), "manifest": "0" * 16, "throttle": 0}
    (ended.path / "followers" / f"{other.key}.json").write_text(json.dumps(fact))
    with pytest.raises(SweepBusy, match="other is sent after it") as caught:
        remove(ended.directory, SETTINGS)
    assert "`hpcsweep cancel other` gives that up" in caught.value.next_step


def test_the_reduce_of_a_sweep_is_no_whole_sweep(ended: MadeSweep) -> None:
    SweepDirectory.create(ended.path / "reduce", "s/reduce")
    for arguments in (("rename", "t"), ("copy", "there"), ("archive",), ("rm", "--yes", "--force")):
        verb, *rest = arguments
        message = cli(verb, "s/reduce", *rest, code=5).stderr
        assert "is the reduce of s, and part of it" in message


@pytest.mark.usefixtures("ended")
def test_another_users_sweep_can_be_copied_and_archived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SweepDirectory, "is_writable", property(lambda self: self.path.name != "s"))
    assert "you may not write here" in cli("rename", "s", "t", code=5).stderr
    cli("copy", "s", "there")
    cli("archive", "s", "-o", "x.tar")
    assert rows("there/s") == ROWS == rows("x.tar")


# --- remove --------------------------------------------------------------------------------------


def test_rm_asks_and_removes_all_of_it(ended: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "say --yes" in cli("rm", "s", code=2).stderr
    terminal = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("hpcsweep.cli.commands.rm.sys", terminal)
    asked: list[str] = []
    answers = [False, True]

    def confirm(text: str, **_: Any) -> bool:
        asked.append(text)
        return answers.pop(0)

    monkeypatch.setattr("click.confirm", confirm)
    assert "s stays" in cli("rm", "s").stderr
    assert ended.path.is_dir()
    assert "1 complete, 1 failed" in asked[0] or "no index yet" in asked[0]
    assert cli("rm", "s").stdout == f"removed: {ended.path}\n"
    assert [one for one in ended.root.iterdir() if "s" in one.name.split(".")] == []


def test_rm_finishes_what_was_interrupted(ended: MadeSweep) -> None:
    shutil.rmtree(ended.path / "manifests")
    ended.path.rename(removed_path(ended.path))
    (entry,) = [
        one for one in json.loads(cli("list", ".", "--json").stdout) if one["kind"] == "removed"
    ]
    assert (entry["name"], entry["note"]) == ("s", "`hpcsweep rm s` finishes it")
    assert "`hpcsweep rm s` removes the rest" in cli("doctor", "--here").stdout
    # Its marker is there: whether it has rows in a database is in its manifest, which is gone.
    assert "there is no such file" in cli("rm", "s", "--yes", code=5).stderr
    assert cli("rm", "s", "--yes", "--force").stdout == "removed what was left of s\n"
    assert not list(ended.root.glob(".removed*"))
    (ended.root / ".removed.s.0123456789abcdef/runs").mkdir(parents=True)
    assert cli("rm", "s", "--yes").stdout == "removed what was left of s\n"
    assert "there is no sweep 's'" in cli("rm", "s", "--yes", code=5).stderr


def test_a_damaged_sweep_is_removed_by_force(ended: MadeSweep) -> None:
    (plan,) = ended.path.glob("submissions/*/plan.json")
    plan.write_text("{}")
    said = cli("rm", "s", "--yes", code=5).stderr
    assert "is damaged" in said
    assert said.endswith("To remove the sweep all the same: --force.\n")
    assert ended.path.is_dir()
    cli("rm", "s", "--yes", "--force")
    assert not ended.path.exists()
    assert not list(ended.root.glob(".removed*"))


def test_a_rebuild_without_a_submission_says_what_is_kept(ended: MadeSweep) -> None:
    ended.plan()  # the next one, as submitted afterwards
    shutil.rmtree(ended.path / "submissions/0001")
    done = cli("ingest", "s", "--rebuild")
    assert done.stdout.startswith("s: 2 cases in the index, ")
    passed = "submission 1 is not one of this sweep; if its files were removed, the results"
    assert passed in done.stderr


# --- copy ----------------------------------------------------------------------------------------


def test_a_copy_is_a_sweep_of_its_own(ended: MadeSweep) -> None:
    SweepDirectory.create(ended.path / "reduce", "s/reduce")
    with fresh_index(ended.directory):
        pass
    (link := ended.path / "code").mkdir()
    (link / "data").symlink_to(ended.root)
    assert cli("copy", "s", "there").stdout == "copied to there/s\n"
    made = SweepDirectory.open(ended.root / "there/s")
    assert made.key != ended.directory.key
    assert made.name == "s"
    assert not (made.path / "store.sqlite3").exists()
    assert (made.path / "code/data").is_symlink()
    assert rows("there/s") == ROWS == rows("s")
    keys = {SweepDirectory.open(path / "reduce").key for path in (made.path, ended.path)}
    assert len(keys) == 2
    assert "there/s: is there already" in cli("copy", "s", "there", code=5).stderr


SSH = """#!/bin/sh
# Takes the place of ssh: runs the command here, in the directory that is the other host.
echo "$@" >> "$OTHER_HOST/calls"
shift
cd "$OTHER_HOST/home" && exec sh -c "$*"
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that stands in for a host `far`, which rsync reaches by the user's own ssh."""
    if shutil.which("rsync") is None:
        pytest.skip("rsync is not installed")
    root = tmp_path / "far"
    (root / "home").mkdir(parents=True)
    ssh = root / "ssh"
    ssh.write_text(SSH)
    ssh.chmod(0o755)
    monkeypatch.setenv("RSYNC_RSH", str(ssh))
    monkeypatch.setenv("OTHER_HOST", str(root))
    return root


def test_compiled_copies_of_kept_code_stay_behind(ended: MadeSweep, tmp_path: Path) -> None:
    """Python makes them by the umask of a task, so a colleague may not be able to read them."""
    cache = ended.directory.code_dir("0" * 16) / "pack" / "__pycache__"
    cache.mkdir(parents=True)
    (cache / "x.cpython-311.pyc").write_bytes(b"compiled")
    (cache.parent / "x.py").write_text("")
    copy(ended.directory, str(tmp_path / "new"), SETTINGS)
    kept = (tmp_path / "new" / ended.path.name / "code").rglob("*")
    assert sorted(path.name for path in kept) == ["0" * 16, "pack", "x.py"]
    cli("archive", str(ended.path), "-o", "x.tar")
    with tarfile.open("x.tar") as tar:
        assert not [name for name in tar.getnames() if "__pycache__" in name]


def test_a_file_that_an_archive_may_not_read_is_named(
    ended: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(path: Path) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(archiving, "open_regular", refusing)
    message = cli("archive", str(ended.path), "-o", "x.tar", code=5).stderr
    assert f"{ended.path}/journal/" in message
    assert "cannot be read: Permission denied" in message


def test_a_copy_by_hand_submits_and_cancels_nothing(ended: MadeSweep, tmp_path: Path) -> None:
    """It has the jobs of the original, until that one is gone."""
    sweep = ended.directory
    plan = sweep.submission_dir(1) / "plan.json"
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"directory": str(sweep.path)}))
    copied = SweepDirectory.open(shutil.copytree(sweep.path, tmp_path / "by hand"))
    what = f"is a copy of {sweep.path}, made by hand"
    for lock in (awaited_sweep(copied), created_sweep(copied.path, "s", "private", False, print)):
        with pytest.raises(SweepError, match=what), lock:
            pass
    for words in ([], ["--cases", "1"]):
        done = cli("cancel", *words, str(copied.path), code=5)
        assert what in done.stderr
        assert f"hpcsweep copy '{copied.path}' DIR" in done.stderr
    assert rows(copied.path) == ROWS
    assert original(sweep) is None
    link = tmp_path / "link"
    link.symlink_to(sweep.path)
    assert original(SweepDirectory.open(link)) is None
    cli("copy", str(copied.path), "new")
    assert original(SweepDirectory.open(tmp_path / "new" / "by hand")) is None
    shutil.rmtree(sweep.path)
    assert original(copied) is None


def test_a_sweep_that_moved_from_where_nothing_can_be_written_goes_on(
    ended: MadeSweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old file system is read-only after a migration, or its directory is for its owner."""
    sweep = ended.directory
    plan = sweep.submission_dir(1) / "plan.json"
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"directory": str(sweep.path)}))
    moved = SweepDirectory.open(shutil.copytree(sweep.path, tmp_path / "moved"))
    owner, access, status = os.geteuid(), os.access, os.statvfs(sweep.path)
    monkeypatch.setattr(os, "access", lambda path, mode: path != sweep.path and access(path, mode))
    assert original(moved) is None
    with awaited_sweep(moved):
        pass
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert original(moved) == sweep.path  # another user works there
    flags = status.f_flag | os.ST_RDONLY
    read_only = os.statvfs_result((*status[:8], flags, status.f_namemax))
    monkeypatch.setattr(os, "statvfs", lambda _: read_only)
    assert original(moved) is None


@pytest.mark.parametrize(
    ("inode", "device", "marker_inode", "ctime", "is_one"),
    [
        (7, 1, 8, 100.25, True),
        (7, 2, 8, 100.0, True),  # another mount, whose times have no fractions
        (7, 2, 8, 101.25, False),  # inodes of a new file system may be equal
        (7, 2, 9, 100.25, False),
        (6, 1, 9, 101.25, False),
    ],
)
def test_one_directory_by_two_paths(
    inode: int, device: int, marker_inode: int, ctime: float, is_one: bool
) -> None:
    def status(inode: int, device: int, ctime: float) -> os.stat_result:
        times = (int(ctime), int(ctime), int(ctime), 0.0, 0.0, ctime)
        return os.stat_result((0o700, inode, device, 2, 0, 0, 0, *times))

    here = (status(7, 1, 5.0), status(8, 1, 100.25))
    there = (status(inode, device, 6.0), status(marker_inode, device, ctime))
    assert is_one_directory(here, there) is is_one


def test_a_copy_to_another_host(ended: MadeSweep, host: Path) -> None:
    (host / "home/my sweeps; touch x").mkdir()
    said = cli("copy", "s", "far:my sweeps; touch x").stdout
    assert said == "copied to far:my sweeps; touch x/s\n"
    made = host / "home/my sweeps; touch x/s"
    assert SweepDirectory.open(made).key != ended.directory.key
    assert rows(made) == ROWS
    assert "is there already" in cli("copy", "s", "far:my sweeps; touch x", code=5).stderr
    (host / "home/my sweeps; touch x").rename(host / "home/plain")
    # An interrupted copy lacks its marker, and goes on.
    (host / "home/plain/s/sweep.json").unlink()
    shutil.rmtree(host / "home/plain/s/journal")
    assert cli("copy", "s", "far:plain/").stdout == "copied to far:plain/s\n"
    assert rows(host / "home/plain/s") == ROWS
    calls = (host / "calls").read_text().splitlines()
    assert all(call.startswith("far ") for call in calls)
    assert not (host / "home/x").exists()


def test_a_host_that_is_an_option_is_a_directory(ended: MadeSweep, host: Path) -> None:
    assert copy(ended.directory, "-oProxyCommand=touch x:y", SETTINGS).startswith("-oProxy")
    assert not (host / "calls").exists()


def test_rsync_that_fails_is_reported(
    ended: MadeSweep, host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SweepError, match=r"rsync ended with \d+"):
        copy(ended.directory, "far:no/such/place", SETTINGS)
    monkeypatch.setenv("PATH", str(host))
    with pytest.raises(SweepError, match="rsync cannot be started"):
        copy(ended.directory, "far:", SETTINGS)
    assert MISSING == 23


# --- clean ---------------------------------------------------------------------------------------


def attempt(sweep: MadeSweep, index: int, name: str = "") -> Path:
    path = sweep.path / "runs/.attempts" / f"{sweep.source[index].case_id}.{name or token()}"
    path.mkdir(parents=True)
    (path / "log.txt").write_text("x" * 10_000)
    return path


def test_clean_removes_what_nothing_needs(ended: MadeSweep) -> None:
    earlier = [attempt(ended, 0), attempt(ended, 1)]
    (end,) = [record for record in ended.records("end") if record.get("index") == 1]
    counts = attempt(ended, 1, end["attempt"][3])
    first, second = (ended.source[index].case_id for index in (0, 1))
    checkpoints = ended.path / "checkpoints"
    for name in (first, f".{first}.complete", second):
        (checkpoints / name).mkdir(parents=True)
    left = removed_path(checkpoints / first)
    left.mkdir()
    local = ended.root / "s.local"
    (local / "log_a").mkdir(parents=True)
    (local / "log_a/metadata.json").write_text('{"status": "complete"}')
    said = cli("clean", "s", "--dry-run").stdout
    assert [
        (line.split()[0], line.split("iB ")[-1].strip()) for line in said.splitlines()[:-1]
    ] == [
        ("2", "earlier attempts"),
        ("2", "checkpoints of complete cases"),
        ("1", "runs of `hpcsweep run`"),
        ("1", "removals that were interrupted"),
    ]
    assert said.endswith("would be freed\n")
    assert all(path.exists() for path in (*earlier, local, left))
    assert cli("clean", "s").stdout.endswith("iB freed\n")
    assert list((ended.path / "runs/.attempts").iterdir()) == [counts]
    assert [path.name for path in checkpoints.iterdir()] == [second]
    assert not local.exists()
    assert rows("s") == ROWS
    assert "1 / (2 - x)" in cli("logs", "s", "1").stdout
    assert cli("clean", "s").stdout == "nothing to remove\n"


def test_clean_touches_nothing_of_cases_in_a_task(running: MadeSweep) -> None:
    done, waits = attempt(running, 0), attempt(running, 1)
    checkpoint = running.path / "checkpoints" / running.source[1].case_id
    checkpoint.mkdir(parents=True)
    unended = running.root / "s.local/log_a"
    unended.mkdir(parents=True)
    (unended / "metadata.json").write_text('{"status": "running"}')
    clean(running.directory, SETTINGS)
    assert not done.exists()
    assert waits.exists()
    assert checkpoint.exists()
    assert unended.exists()


# --- from Python ---------------------------------------------------------------------------------


def test_the_python_door_has_the_same_verbs(ended: MadeSweep) -> None:
    sweep = hs.Sweep("s", sets={"settings.outputs": "."})
    assert sweep.copy(ended.root / "there") == str(ended.root / "there/s")
    attempt(ended, 0)
    (found,) = sweep.clean(dry_run=True)
    assert (found.what, len(found.paths)) == ("earlier attempts", 1)
    sweep.rename("t")
    assert (sweep.name, sweep.path) == ("t", ended.root / "t")
    pieces = list(sweep.follow_log(1))
    assert pieces[0] == ("", "index 1: failed: error\n")
    assert "ZeroDivisionError" in "".join(piece.text for piece in pieces)
    assert [entry.name for entry in hs.list_sweeps(ended.root) if entry.cases] == ["t"]
    assert sweep.archive("x.tar") == Path("x.tar")
    sweep.remove()
    assert not (ended.root / "t").exists()
    assert [row["x"] for row in hs.Sweep("x.tar").query()] == [1, 2]
