"""The text by which a proposed command locates a sweep from the current directory."""

from __future__ import annotations

from pathlib import Path

import pytest

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
