"""Find the files of a case, also if it or another program put unexpected files there."""

from __future__ import annotations

import json
import os
import shutil
from io import BufferedReader
from pathlib import Path

import pytest

from hpcsweep import ExperimentReader, Logbook, LogReader
from hpcsweep.errors import SweepError
from hpcsweep.files import names, open_regular
from hpcsweep.logbook import packs
from hpcsweep.logbook.packs import runs_of
from hpcsweep.logbook.run_directory import read_metadata
from hpcsweep.logbook.spool import SpoolStorage
from hpcsweep.records import Attempt, Outcome, Reason, Status
from hpcsweep.runs.find import DamageReport, run_files
from hpcsweep.runs.unpack import unpack
from hpcsweep.sources import grid
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.plan import attempt_dir
from hpcsweep.worker.attempt import make_run
from hpcsweep.worker.spooled import Packed, open_pack
from tests.support.sweeps import MadeSweep

NOTES = "def run(x, log):\n    log.text('note', f'of {x}')\n    return {'y': x}\n"


def note(made: MadeSweep) -> bytes | None:
    """What the row of the first case says that it wrote."""
    with fresh_index(made.directory) as sweep_index:
        files = run_files(made.directory, next(iter(sweep_index.rows())))
    return None if files is None else files.read("artifacts/note.txt")


def row_dir(made: MadeSweep) -> str:
    with fresh_index(made.directory) as sweep_index:
        return str(next(iter(sweep_index.rows()))["run_dir"])


# --- the row names the place ---------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, "{}", '{"status": "complete"}', "[]", "{"])
def test_a_place_that_is_taken_is_not_named(tmp_path: Path, content: str | None) -> None:
    made = MadeSweep(tmp_path, grid(x=[1]), python=NOTES)
    made.plan()
    made.run_dir(0).mkdir(parents=True)
    (made.run_dir(0) / "precious").touch()
    if content is not None:
        (made.run_dir(0) / "metadata.json").write_text(content)
    made.run()
    token = made.ends()[0]["attempt"][3]
    own = attempt_dir(made.source[0].case_id, token)
    assert made.ends()[0]["run_dir"] == row_dir(made) == own
    assert note(made) == b"of 1"
    assert "log.txt" in "".join(where for where, _ in made.logs(0).texts)
    assert names(made.run_dir(0)) == sorted(
        {"precious"} | ({"metadata.json"} if content else set())
    )


def test_a_row_whose_place_another_attempt_has(tmp_path: Path) -> None:
    """It was published, then a later attempt moved it back and has not been journalled yet."""
    made = MadeSweep(tmp_path, grid(x=[1]), python=NOTES)
    made.plan()
    made.run()
    token = made.ends()[0]["attempt"][3]
    own = made.path / attempt_dir(made.source[0].case_id, token)
    shutil.copytree(made.run_dir(0), own)
    later = read_metadata(made.run_dir(0)) or {}
    (made.run_dir(0) / "metadata.json").write_text(json.dumps(later | {"token": "f" * 16}))
    (made.run_dir(0) / "artifacts" / "note.txt").write_text("of another attempt")
    assert note(made) == b"of 1"


def test_a_row_that_is_moved_while_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was in its own directory, and is published between the looks at the two places."""
    made = MadeSweep(tmp_path, grid(x=[1]), python=NOTES)
    made.plan()
    made.run()
    aside = tmp_path / "aside"
    made.run_dir(0).rename(aside)

    def late(path: Path) -> object:
        found = read_metadata(path)
        if aside.exists():
            aside.rename(made.run_dir(0))
        return found

    monkeypatch.setattr("hpcsweep.runs.find.read_metadata", late)
    assert note(made) == b"of 1"


# --- what a program puts into its run directory --------------------------------------------------

ODD = """\
import os, shutil
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

def run(what, log):
    log.text("note", what)
    path = log.path
    if what == "links":
        (path / "loop").symlink_to(".")
        (path / "loop2").symlink_to(".")
        (path / "self").symlink_to("self")
        (path / "gone").symlink_to("/no/such/file")
        (path / "up").symlink_to("..")
    elif what == "pipe":
        os.mkfifo(path / "pipe")
        (path / "stderr.txt").unlink(missing_ok=True)
        os.mkfifo(path / "stderr.txt")
    elif what == "own":
        (path / "a b").mkdir()
        (path / "a b" / "é.dat").write_bytes(b"own")
        (path / ".zarray").write_text("mine")
        (path / f".{os.getpid()}.7").write_text("what a kill leaves of ours")
    elif what == "outside":
        shutil.rmtree(path / "artifacts")
        (path / "artifacts").symlink_to(HERE / "outside")
    elif what == "metadata":
        (path / "metadata.json").unlink(missing_ok=True)
        (path / "metadata.json").mkdir()
        (path / "metadata.json" / "x").touch()
    elif what == "params":
        (path / "params.yaml").unlink(missing_ok=True)
        (path / "params.yaml").write_text("what: forged")
    elif what == "removed":
        shutil.rmtree(path)
    return {"size": len(what)}
"""
KINDS = ["links", "metadata", "outside", "own", "params", "pipe", "plain", "removed"]


@pytest.mark.parametrize("runs", ["all", "packed", "failed"])
def test_a_program_may_put_its_own_files_into_its_run_directory(tmp_path: Path, runs: str) -> None:
    (tmp_path / "outside").mkdir()
    made = MadeSweep(tmp_path, grid(what=KINDS), python=ODD)
    made.plan(runs=runs)
    made.run()
    ends = {KINDS[index]: end for index, end in made.ends().items()}
    assert set(ends) == set(KINDS)
    # A case that blocks a file of the worker's fails; the others do not.
    bad = {"all": {"metadata", "outside"}, "packed": {"metadata"}, "failed": set()}[runs]
    assert {what for what, end in ends.items() if end["status"] != "complete"} == bad
    assert all("run directory is spoiled" in ends[what]["error"]["message"] for what in bad)
    assert list((tmp_path / "outside").iterdir()) == []
    if runs != "failed":
        check_files(made, set(KINDS) - bad)
    if runs == "packed":
        assert len(list(unpack(made.directory, DamageReport()))) == len(KINDS) - len(bad)
        assert (made.run_dir(KINDS.index("own")) / ".zarray").read_text() == "mine"


def check_files(made: MadeSweep, kinds: set[str]) -> None:
    reader = ExperimentReader(made.path)
    found = {run.run_id.removeprefix("what=").partition("-")[0]: run for run in reader}
    assert found.keys() == kinds
    ours = {
        "artifacts/metrics.json",
        "artifacts/note.txt",
        "log.txt",
        "metadata.json",
        "params.yaml",
    }
    for what in ("links", "params", "pipe", "plain"):
        assert set(found[what].files.names()) == ours
        assert found[what].metrics == {"size": len(what)}
    assert set(found["own"].files.names()) == ours | {"a b/é.dat", ".zarray"}
    assert found["own"].read("a b/é.dat") == b"own"
    for index in range(len(KINDS)):
        logs = made.logs(index)
        assert (logs.index, dict(logs.texts) is not None) == (index, True)


def test_a_log_of_slurm_that_is_no_file_is_named(tmp_path: Path) -> None:
    made = MadeSweep(tmp_path, grid(x=[0]))
    made.plan()
    made.run()
    logs = made.directory.log_dir(1)
    logs.mkdir(parents=True, exist_ok=True)
    os.mkfifo(logs / "0.100_0.log")  # nobody writes to it: whoever opened it would wait
    with pytest.raises(SweepError, match="not a regular file"):
        list(made.logs(0).texts)


def test_a_file_that_cannot_be_read_costs_its_case_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = MadeSweep(tmp_path, grid(x=[0, 1]))
    attempt = Attempt(generation=0, submission=1, restart=0, token="a" * 16)
    run = make_run(made.manifest, made.source[0], attempt, 0, "n1")
    outputs = Packed(open_pack(made.path, 0, attempt.token), is_command=False)
    path = SpoolStorage(outputs.spool, run.run_id).path("secret.txt")
    path.write_text("x")

    def refused(path: Path) -> BufferedReader:
        if path.name == "secret.txt":
            raise PermissionError(13, "Permission denied")
        return open_regular(path)

    complete = Outcome(status=Status.COMPLETE, metrics={"y": 1})
    with monkeypatch.context() as patch:  # root may read everything
        patch.setattr(packs, "open_regular", refused)
        kept = outputs.publish(run, complete)
        outputs.clear()
    assert (kept.status, kept.reason, kept.run_dir) == (Status.FAILED, Reason.ERROR, None)
    kept = outputs.publish(run, complete)
    outputs.close()
    (found,) = runs_of(next((made.path / "runs" / "packs").glob("*.tar")))
    assert kept.run_dir == f"runs/packs/{found.pack.name}#0+{found.length}"


# --- passwords -----------------------------------------------------------------------------------

TELLS = """URL = "postgresql://me:" + "sesame" + "@db/x"

def run(how, log):
    if how == "raise":
        raise RuntimeError(f"cannot connect to {URL}")
    if how == "cause":
        raise KeyError("x") from RuntimeError(URL)
    log.mark_failed(f"cannot connect to {URL}")
"""


@pytest.mark.parametrize("runs", ["all", "packed"])
def test_no_password_of_an_exception_is_kept(tmp_path: Path, runs: str) -> None:
    made = MadeSweep(tmp_path, grid(how=["raise", "cause", "mark"]), python=TELLS)
    made.plan(runs=runs)
    made.run()
    ends = made.ends()
    assert all("postgresql://me:***@db/x" in json.dumps(end["error"]) for end in ends.values())
    with fresh_index(made.directory):
        pass
    for path in made.path.rglob("*"):
        # What the program prints is its own: a traceback goes to its standard error.
        if path.is_file() and path.name != "stderr.txt" and path.suffix != ".tar":
            assert b"sesame" not in path.read_bytes(), path
    for run in ExperimentReader(made.path):
        assert b"sesame" not in run.read("metadata.json")


def test_a_standalone_run_keeps_no_password_of_an_exception(tmp_path: Path) -> None:
    url = "postgresql://me:sesame@db/x"
    with pytest.raises(RuntimeError), Logbook("a", tmp_path) as log:
        raise RuntimeError(url)
    Logbook("b", tmp_path).mark_failed(url)
    for path in tmp_path.rglob("*.*"):
        if path.is_file() and not path.name.startswith(".provenance"):
            assert b"sesame" not in path.read_bytes(), path
    assert "postgresql://me:***@db/x" in LogReader(log.path).meta["failure_reason"]
