"""Rename, copy, clean and remove: a kill leaves the sweep, or what the same command finishes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsweep.sources import grid
from hpcsweep.sweepdir.directory import SweepDirectory
from tests.faults.killing import Point, kill_at, struck
from tests.support.sweeps import MadeSweep

# Of each command the operations at which it is killed; `after` where the operation is done.
KILLS = {
    "rename: its first marker": ("rename", Point(event="os.rename", matching="*/sweep.json")),
    "rename: both markers": ("rename", Point(event="os.rename", matching="*/s */t")),
    "rename: the directory": ("rename", Point(event="os.rename", matching="*/s */t", after=True)),
    "rm: before its rename": ("rm", Point(event="os.rename", matching="*/s */.removed.s.*")),
    "rm: after its rename": (
        "rm",
        Point(event="os.rename", matching="*/s */.removed.s.*", after=True),
    ),
    "rm: in the middle": ("rm", Point(event="os.rmdir", matching="*.removed.s.*", nth=3)),
    "copy: in the middle": ("copy", Point(event="shutil.copyfile", nth=3)),
    "copy: before it appears": ("copy", Point(event="os.rename", matching="* there/s")),
    "archive: before it appears": ("archive", Point(event="os.rename", matching="* x.tar")),
    "clean: before a rename": ("clean", Point(event="os.rename", matching="*/.removed.*")),
    "clean: after a rename": (
        "clean",
        Point(event="os.rename", matching="*/.removed.*", after=True),
    ),
}
COMMANDS = {
    "rename": ("rename", "s", "t"),
    "rm": ("rm", "s", "--yes"),
    "copy": ("copy", "s", "there"),
    "archive": ("archive", "s", "-o", "x.tar"),
    "clean": ("clean", "s"),
}


def run(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "hpcsweep", *arguments, "--outputs", str(root)]
    return subprocess.run(
        argv, cwd=root, env=os.environ | environment, capture_output=True, text=True, check=False
    )


def is_whole(path: Path) -> bool:
    """Whether a sweep has its two complete cases with their files."""
    done = run(path.parent, "status", str(path), "--check", "--json")
    document = json.loads(done.stdout)
    return bool(document["counts"]["complete"] == 2 and document["lost_files"] == 0)


@pytest.mark.parametrize("kill", KILLS)
def test_the_same_command_finishes_it(kill: str, tmp_path: Path) -> None:
    command, point = KILLS[kill]
    made = MadeSweep(tmp_path, grid(x=[1, 2]))
    made.plan()
    made.handed_in()
    made.run()
    checkpoints = made.path / "checkpoints" / made.source[0].case_id
    (checkpoints / "state").mkdir(parents=True)
    marks = tmp_path / "marks"
    killed = run(tmp_path, *COMMANDS[command], **kill_at([point], marks))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert struck(marks) == [0]
    if made.path.exists():
        assert is_whole(made.path)
        done = run(tmp_path, *COMMANDS[command])
        assert done.returncode == 0, done.stderr
    elif command == "rm":
        done = run(tmp_path, "rm", "s", "--yes")
        assert (done.returncode, done.stdout) == (0, "removed what was left of s\n"), done.stderr
    if command == "rename":
        assert is_whole(tmp_path / "t")
        assert SweepDirectory.open(tmp_path / "t").name == "t"
    if command == "copy":
        assert is_whole(tmp_path / "there/s")
    if command == "archive":
        assert is_whole(tmp_path / "x.tar")
    if command == "clean":
        assert not list((made.path / "checkpoints").iterdir())
    left = {"rename": {"t"}, "rm": set(), "copy": {"s", "there"}, "archive": {"s", "x.tar"}}
    exists = {path.name for path in tmp_path.iterdir()} & {"s", "t", "there", "x.tar"}
    assert exists == left.get(command, {"s"})
    if command == "copy":
        done = run(tmp_path, "rm", str(tmp_path / "there/s"), "--yes")
        assert done.returncode == 0, done.stderr
        assert not list((tmp_path / "there").iterdir())
    assert not list(tmp_path.glob(".removed*"))
