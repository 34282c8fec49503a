"""`list`: what a directory of sweeps holds, read from the indexes as they are."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hpcsweep.cli import main
from hpcsweep.records import Status
from hpcsweep.settings import Settings
from hpcsweep.sources import grid
from hpcsweep.state.overview import EntryKind, overviews
from hpcsweep.store import ingest
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.disk_usage import bytes_on_disk
from hpcsweep.sweepdir.locate import sweep_names
from tests.support.sweeps import MadeSweep

PYTHON = "def run(x):\n    return {'y': 1 / (2 - x)}\n"


def listed(*arguments: str) -> Any:
    done = CliRunner().invoke(main, ["list", *arguments, "--json"])
    assert done.exit_code == 0, done.output
    return {entry["name"]: entry for entry in json.loads(done.stdout)}


@pytest.fixture
def ran(tmp_path: Path) -> MadeSweep:
    """A sweep of four cases in two tasks: one task ran, and one of its cases failed."""
    made = MadeSweep(tmp_path, grid(x=[1, 2, 3, 4]), python=PYTHON)
    made.plan(chunk_size=2)
    made.handed_in()
    made.run(0)
    return made


def test_the_counts_are_those_of_the_index_and_nothing_is_taken_in(ran: MadeSweep) -> None:
    with fresh_index(ran.directory):
        pass
    ran.run(1)
    entry = listed(str(ran.root))["s"]
    assert entry["kind"] == "sweep"
    assert entry["cases"] == 4
    assert (entry["counts"]["complete"], entry["counts"]["failed"]) == (1, 1)
    assert entry["counts"]["pending"] == 2
    assert entry["size_bytes"] == bytes_on_disk(ran.path) > 0
    assert listed(str(ran.root), "--refresh")["s"]["counts"]["complete"] == 3
    assert listed(str(ran.root))["s"]["counts"]["pending"] == 0


def test_a_sweep_without_an_index_says_how_to_make_it(ran: MadeSweep) -> None:
    entry = listed(str(ran.root), "--no-size")["s"]
    assert "--refresh" in entry["note"]
    assert entry["size_bytes"] is None
    assert not (ran.path / "store.sqlite3").exists()


def test_on_a_network_file_system_an_index_is_only_read(
    ran: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fresh_index(ran.directory):  # without the digests of its blocks
        pass
    before = (ran.path / "store.sqlite3").read_bytes()
    monkeypatch.setattr(ingest, "is_local", lambda _: False)
    (entry,) = [one for one in overviews(ran.root, Settings()) if one.kind is EntryKind.SWEEP]
    assert entry.counts[Status.COMPLETE] == 1
    assert (ran.path / "store.sqlite3").read_bytes() == before


def test_what_is_damaged_or_no_sweep_is_shown_as_such(ran: MadeSweep) -> None:
    SweepDirectory.create(ran.root / "empty", "empty")
    (ran.root / "broken").mkdir()
    (ran.root / "broken/sweep.json").write_text("{")
    (ran.root / "mine").mkdir()
    (ran.root / "s.local").mkdir()
    (ran.root / ".hidden").mkdir()
    ran.copy(ran.root / "deeper")
    found = listed(str(ran.root))
    kinds = {name: entry["kind"] for name, entry in found.items() if name != "__pycache__"}
    assert kinds == {
        "broken": "damaged",
        "deeper": "other",
        "empty": "sweep",
        "mine": "other",
        "s": "sweep",
        "s.local": "local",
    }
    assert "is damaged" in found["broken"]["note"]
    assert found["empty"]["note"] == "nothing was submitted"
    (plan,) = (ran.path / "submissions").glob("*/plan.json")
    plan.write_text("{}")
    assert listed(str(ran.root))["s"]["kind"] == "damaged"


def test_a_sweep_that_may_not_be_read_hides_no_other(
    ran: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of several users of one directory, some share their sweeps."""
    SweepDirectory.create(ran.root / "theirs", "theirs")
    is_file = Path.is_file

    def refusing(path: Path) -> bool:
        if path.parent.name == "theirs":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return is_file(path)

    monkeypatch.setattr(Path, "is_file", refusing)
    found = listed(str(ran.root))
    assert found["s"]["cases"] == 4
    assert found["theirs"]["kind"] == "damaged"
    assert "cannot be read: Permission denied" in found["theirs"]["note"]
    assert sweep_names(ran.root) == ["s"]


def test_a_table_for_people(ran: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    with fresh_index(ran.directory):
        pass
    monkeypatch.chdir(ran.root)
    lines = CliRunner().invoke(main, ["list", "--outputs", "."]).stdout.splitlines()
    assert lines[0].split() == ["name", "cases", "age", "size", "state"]
    (line,) = [line for line in lines if line.startswith("s ")]
    assert line.endswith("  2 pending, 1 complete, 1 failed")
    assert line.split()[1] == "4"
    (ran.root / "project/outputs").mkdir(parents=True)
    ran.path.rename(ran.root / "project/outputs/s")
    assert list(listed("project")) == list(listed("project/outputs")) == ["s"]
    missing = CliRunner().invoke(main, ["list"])
    assert missing.exit_code == 5
    assert "outputs: there is no such directory" in missing.stderr
