"""The room on a disk, probed by writing, and the room that the next array tasks need."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcsweep import room
from hpcsweep.errors import SweepError
from hpcsweep.records import Reason
from hpcsweep.room import PROBE_MAX, ROOM_MIN, has_room
from hpcsweep.sources import grid
from hpcsweep.state.room import pauses, room_for
from hpcsweep.store.ingest import fresh_index
from tests.support.small_disk import fill, mounted
from tests.support.sweeps import MadeSweep

NOTHING = "def run(x):\n    pass\n"
PYTHON = "def run(x, log):\n    log.text('large', 'x' * 100_000)\n"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", "size=4m,nr_inodes=8") as path:
        yield path


def test_room_is_what_can_be_written(disk: Path) -> None:
    assert has_room(disk)
    assert not has_room(disk, 5 << 20)
    fill(disk / "ballast", leave=ROOM_MIN // 2)
    assert not has_room(disk)
    assert has_room(disk, 4096) is False  # whole mebibytes are tried
    (disk / "ballast").unlink()
    assert has_room(disk, 2 << 20)
    assert list(disk.iterdir()) == []


def test_without_inodes_there_is_no_room(disk: Path) -> None:
    for number in range(7):
        (disk / f"{number}").touch()
    assert not has_room(disk)


@pytest.mark.parametrize("at", ["write", "fsync"])
@pytest.mark.parametrize("number", [errno.EDQUOT, errno.EIO])
def test_a_quota_is_found_where_the_system_reports_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str, number: int
) -> None:
    """`statvfs` shows a disk with room."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    if at == "write":
        monkeypatch.setattr(room, "write_all", refuse)
    else:
        monkeypatch.setattr(os, "fsync", refuse)
    if number == errno.EDQUOT:
        assert not has_room(tmp_path)
    else:
        with pytest.raises(SweepError, match="cannot be written"):
            has_room(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_probe_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []
    monkeypatch.setattr(room, "write_all", lambda _, data: written.append(len(data)))
    assert has_room(tmp_path, 2 * PROBE_MAX)
    assert sum(written) == PROBE_MAX


@pytest.mark.parametrize("runs", ["all", "packed", "none"])
def test_the_next_tasks_need_what_complete_cases_keep(tmp_path: Path, runs: str) -> None:
    python = NOTHING if runs == "none" else PYTHON
    made = MadeSweep(tmp_path, grid(x=[0, 1]), python=python)
    made.plan(runs=runs)
    made.run()
    with fresh_index(made.directory) as sweep_index:
        assert room_for(made.directory, sweep_index, 1, []) == ROOM_MIN
        wanted = room_for(made.directory, sweep_index, 100, [])
        full = [(1, Reason.QUOTA)]
        assert room_for(made.directory, sweep_index, 1, full) == ROOM_MIN
    if runs == "none":
        assert wanted == ROOM_MIN
    else:
        assert 100 * 100_000 <= wanted <= 100 * 200_000


@pytest.mark.parametrize(
    ("full", "expected"), [("", 0), ("3", 1), ("2,3", 2), ("1,3", 1), ("1,2", 0), ("1,2,3", 3)]
)
def test_a_disk_that_is_full_again_and_again(full: str, expected: int) -> None:
    """Each pause but the first doubles the required room, so pauses end for any size of a case."""
    ended = [(int(number), Reason.QUOTA) for number in full.split(",") if number]
    assert pauses([*ended, (3, Reason.TIMEOUT)], [1, 2, 3]) == expected
