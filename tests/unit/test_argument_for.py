"""The text by which a proposed command locates a sweep from the current directory."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import COMPLETE
from hpcsweep.records import Status
from hpcsweep.state.paused import Paused
from hpcsweep.state.reduced import Reduced
from hpcsweep.state.stopped import Stopped
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.locate import argument_for, locate


def test_a_sweep_is_named_as_it_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    here = SweepDirectory.create(tmp_path / "outputs" / "s", "s")
    moved = SweepDirectory.create(tmp_path / "other place" / "s", "s")
    assert argument_for("s", str(here.path)) == "s"
    assert argument_for("s", str(moved.path)) == f"'{moved.path}'"
    assert argument_for("renamed", "outputs/s") == "outputs/s"
    assert argument_for("s", "s.tar") == "s.tar"
    assert locate("outputs/s").path.resolve() == here.path.resolve()


def test_the_next_steps_of_a_sweep_that_was_moved_find_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = str(SweepDirectory.create(tmp_path / "elsewhere" / "s", "s").path)
    stopped = Stopped(name="s", path=path, failures=1, kind="", is_held=False, kinds=())
    assert f"`hpcsweep logs {path} INDEX`" in stopped.lines[-1]
    assert f"`hpcsweep retry {path}`" in stopped.lines[-1]
    paused = Paused(name="s", path=path, file_system="", cases=IndexSet.of([1]))
    assert f"`hpcsweep advance {path}`" in paused.lines[-1]
    reduced = Reduced(sweep="s", path=path, when=COMPLETE, status=Status.FAILED, reason="error")
    assert f"`hpcsweep logs {path}/reduce 0`" in reduced.line
    assert f"`hpcsweep retry {path}`" in reduced.line
