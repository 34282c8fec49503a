"""Salvage: outcomes from run directories and packs, where their journals are gone."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hpcsweep.cli import main
from hpcsweep.errors import StoreError
from hpcsweep.files import read_regular, token
from hpcsweep.journal import JournalWriter, all_journals
from hpcsweep.logbook.experiment.reader import ExperimentReader
from hpcsweep.recordcheck import Record
from hpcsweep.records import Word
from hpcsweep.runs.find import DamageReport
from hpcsweep.runs.salvage import Salvaged, journal_kept_runs
from hpcsweep.runs.unpack import unpack
from hpcsweep.sources import grid
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import INDEX_NAME
from hpcsweep.sweepdir.plan import attempt_dir
from tests.support.sweeps import MadeSweep

CODE = """\
import sys

def run(x):
    if x == 3:
        sys.exit("no root")
    return {"y": x / 3, "n": float("nan")}
"""
# What follows from the words of a record.
ELSEWHERE = {"rank"}

Row = dict[str, Any]


def make(root: Path, *, runs: str = "all", chunk_size: int = 2, **fields: Any) -> MadeSweep:
    """A sweep of three cases, the last of which failed."""
    made = MadeSweep(root, grid(x=[1, 2, 3]), python=CODE)
    plan = made.plan(runs=runs, chunk_size=chunk_size, **fields)
    for chunk in range(plan.chunks):
        made.run(chunk)
    return made


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> MadeSweep:
    return make(tmp_path_factory.mktemp("finished"))


@pytest.fixture
def made(finished: MadeSweep, tmp_path: Path) -> MadeSweep:
    return finished.copy(tmp_path)


def rows(made: MadeSweep) -> list[Row]:
    with fresh_index(made.directory) as sweep_index:
        found = list(sweep_index.rows())
    for row in found:
        row |= {name: json.loads(row[name] or "null") for name in ("metrics", "error")}
    return [{name: row[name] for name in row.keys() - ELSEWHERE} for row in found]


def forget(made: MadeSweep) -> None:
    """Remove all journals, and the index."""
    shutil.rmtree(made.directory.journal_root)
    (made.path / INDEX_NAME).unlink(missing_ok=True)


def counts(done: Salvaged) -> tuple[int, int, int]:
    return done.journaled, done.known, done.unusable


# --- what comes back -----------------------------------------------------------------------------


@pytest.mark.parametrize("how", [{}, {"runs": "packed"}, {"shard_digits": 3}], ids=str)
def test_the_rows_come_back(tmp_path: Path, how: dict[str, Any]) -> None:
    made = make(tmp_path, **how)
    before = rows(made)
    forget(made)
    assert counts(journal_kept_runs(made.directory)) == (3, 0, 0)
    assert rows(made) == before
    (made.path / INDEX_NAME).unlink()
    assert rows(made) == before
    assert counts(journal_kept_runs(made.directory)) == (0, 3, 0)
    assert len(list(all_journals(made.directory.journal_root))) == 1


@pytest.mark.parametrize("runs", ["all", "packed"])
@pytest.mark.parametrize("own", [7, "mine", None, ""], ids=repr)
def test_a_job_id_of_the_target_is_not_taken_for_that_of_the_job(
    tmp_path: Path, runs: str, own: Any
) -> None:
    code = f"def run(x, log):\n    log.meta(job_id={own!r})\n    return {{'y': x}}\n"
    made = MadeSweep(tmp_path, grid(x=[1]), python=code)
    made.plan(runs=runs)
    made.run()
    before = rows(made)
    assert before[0]["job_id"]
    forget(made)
    assert counts(journal_kept_runs(made.directory)) == (1, 0, 0)
    assert rows(made) == before
    (run,) = ExperimentReader(made.path)
    assert run.meta["job_id"] == own


def test_some_journals_are_gone(made: MadeSweep) -> None:
    before = rows(made)
    (gone,) = (made.directory.journal_root / "0001/0").glob("0.*")
    gone.unlink()
    # The index has their outcomes, and the journals shall have them.
    assert counts(journal_kept_runs(made.directory)) == (2, 1, 0)
    (made.path / INDEX_NAME).unlink()
    assert rows(made) == before


def test_a_journal_that_is_restored_outranks_what_was_salvaged(made: MadeSweep) -> None:
    with fresh_index(made.directory) as sweep_index:
        before = list(sweep_index.rows())
    aside = made.path.parent / "aside"
    shutil.copytree(made.directory.journal_root, aside)
    forget(made)
    assert counts(journal_kept_runs(made.directory)) == (3, 0, 0)
    shutil.copytree(aside, made.directory.journal_root, dirs_exist_ok=True)
    with fresh_index(made.directory) as sweep_index:
        assert list(sweep_index.rows()) == before


def test_the_scheduler_may_still_say_why_a_signalled_attempt_ended(made: MadeSweep) -> None:
    def terminated(document: Row) -> None:
        why = {"status": "interrupted", "reason": "terminated"}
        document["outcome"] |= why
        document["status"] = why["status"]

    change(made, 0, terminated)
    forget(made)
    journal_kept_runs(made.directory)
    words = {index: end["word"] for index, end in made.ends().items()}
    assert words == {0: Word.TERMINATED, 1: Word.SCHEDULER, 2: Word.SCHEDULER}
    with fresh_index(made.directory) as sweep_index:
        assert [row["idx"] for row in sweep_index.silent(1)] == [0]


def test_an_attempt_that_was_finished_and_not_published(made: MadeSweep) -> None:
    own = attempt_dir(made.source[0].case_id, made.ends()[0]["attempt"][3])
    made.run_dir(0).rename(made.path / own)
    forget(made)
    assert counts(journal_kept_runs(made.directory)) == (3, 0, 0)
    assert made.ends()[0]["run_dir"] == own


def test_all_attempts_that_are_kept(made: MadeSweep) -> None:
    made.plan(chunk_size=3, generation=1)
    made.run(submission=2)
    before = rows(made)
    forget(made)
    assert counts(journal_kept_runs(made.directory)) == (6, 0, 0)
    assert rows(made) == before
    assert {row["attempt"] for row in before} == {2}


def test_a_run_that_was_unpacked_is_one_attempt(tmp_path: Path) -> None:
    made = make(tmp_path, runs="packed")
    assert len(list(unpack(made.directory, DamageReport()))) == 3
    forget(made)
    assert counts(journal_kept_runs(made.directory)) == (3, 3, 0)
    assert [row["run_dir"] for row in rows(made)] == [
        str(made.run_dir(index).relative_to(made.path)) for index in range(3)
    ]


def test_a_run_that_is_published_again_and_again(
    made: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its metadata and its metrics may be of two attempts."""
    path = made.run_dir(0) / "metadata.json"

    def changing(file: Path, limit: int) -> bytes:
        data = read_regular(file, limit)
        if file == path:
            change(made, 0, lambda document: document.update(seen=document.get("seen", 0) + 1))
        return data

    monkeypatch.setattr("hpcsweep.runs.salvage.read_regular", changing)
    refused(made, "again and again")


# --- two at once, and kills ----------------------------------------------------------------------


def test_two_at_once(made: MadeSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    before = rows(made)
    forget(made)
    name = "hpcsweep.runs.salvage.token"

    def interrupted_by_another() -> str:
        monkeypatch.setattr(name, token)
        assert counts(journal_kept_runs(made.directory)) == (3, 0, 0)
        return token()

    monkeypatch.setattr(name, interrupted_by_another)
    assert counts(journal_kept_runs(made.directory)) == (3, 0, 0)
    first, second = all_journals(made.directory.journal_root)
    root = made.directory.journal_root
    assert (root / first).read_bytes() == (root / second).read_bytes()
    assert rows(made) == before


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", [0, 2])
def test_a_kill_at_a_write_is_repaired_by_the_next_one(
    made: MadeSweep, number: int, when: str
) -> None:
    before = rows(made)
    forget(made)
    killed = os.fork()
    if not killed:
        append, left = JournalWriter.append, [number]

        def deadly(self: JournalWriter, record: Record) -> None:
            if when == "after":
                append(self, record)
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
            left[0] -= 1
            if when == "before":
                append(self, record)

        try:
            JournalWriter.append = deadly  # type: ignore[method-assign]
            journal_kept_runs(made.directory)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(killed, 0)[1]) == -signal.SIGKILL
    done = number + (when == "after")
    assert len(made.ends()) == done
    assert counts(journal_kept_runs(made.directory)) == (3 - done, done, 0)
    assert rows(made) == before


# --- what cannot be used -------------------------------------------------------------------------


def change(made: MadeSweep, index: int, edit: Callable[[Row], None]) -> None:
    """Edit the metadata of a published run."""
    path = made.run_dir(index) / "metadata.json"
    document = json.loads(path.read_text())
    edit(document)
    path.write_text(json.dumps(document))


def unended(document: Row) -> None:
    del document["outcome"]
    document["status"] = "initialized"


EDITS: dict[str, tuple[Callable[[Row], None], str]] = {
    "no end": (unended, "no end"),
    "no outcome": (lambda document: document.pop("outcome"), "no outcome"),
    "two statuses": (lambda document: document.update(status="failed"), "no outcome of its"),
    "another id": (lambda document: document.update(case_id="0" * 16), "of another case"),
    "another index": (lambda document: document.update(index=1), "index 1 is case"),
    "no such index": (lambda document: document.update(index=7), "index 7 of 3"),
    "another manifest": (lambda document: document.update(manifest="0" * 16), "is gone"),
    "no submission": (
        lambda document: document.update(attempt=[0, 999_999, 0, "a" * 16]),
        "submission 999999",
    ),
    "a generation to come": (
        lambda document: document.update(attempt=[5, 1, 0, "a" * 16]),
        "generation 5",
    ),
    "another type": (lambda document: document.update(chunk="0"), "damaged"),
    "another time": (lambda document: document["outcome"].update(ended="now"), "damaged"),
    "no number": (
        lambda document: document["outcome"].update(inputs={"a": float("nan")}),
        "damaged",
    ),
    "NUL": (lambda document: document.update(host="n\0"), "damaged"),
}


@pytest.mark.parametrize("name", EDITS)
def test_metadata_that_say_something_else(made: MadeSweep, name: str) -> None:
    edit, why = EDITS[name]
    change(made, 0, edit)
    refused(made, why)


def refused(made: MadeSweep, why: str) -> None:
    """The first case cannot be used, and the others can."""
    forget(made)
    done = journal_kept_runs(made.directory)
    assert counts(done) == (2, 0, 1)
    assert done.named[0].startswith(str(made.run_dir(0)))
    assert why in done.named[0]
    assert sorted(made.ends()) == [1, 2]
    assert [row["idx"] for row in rows(made)] == [1, 2]
    assert made.directory.last_number() == 1


@pytest.mark.parametrize("text", ["", '{"status": "comp', "[]", '{"a":' * 100_000, "\udcff"])
def test_torn_metadata(made: MadeSweep, text: str) -> None:
    path = made.run_dir(0) / "metadata.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    refused(made, "metadata.json")


def test_torn_metrics(made: MadeSweep) -> None:
    (made.run_dir(0) / "artifacts/metrics.json").write_text('{"y": 0.3')
    refused(made, "metrics.json")


@pytest.mark.parametrize("what", ["metadata.json", "artifacts", "artifacts/metrics.json", "."])
def test_links_are_not_followed(made: MadeSweep, what: str) -> None:
    path = made.run_dir(0) / what
    aside = made.path.parent / "aside"
    path.rename(aside)
    path.symlink_to(aside)
    refused(made, "symbolic link")


def test_a_pipe_does_not_block(made: MadeSweep) -> None:
    path = made.run_dir(0) / "metadata.json"
    path.unlink()
    os.mkfifo(path)
    refused(made, "regular file")


def test_a_copy_of_another_case(made: MadeSweep) -> None:
    shutil.rmtree(made.run_dir(0))
    shutil.copytree(made.run_dir(1), made.run_dir(0))
    refused(made, "of another case")


@pytest.mark.parametrize("size", [-1500, 700])
def test_a_pack_that_was_cut(tmp_path: Path, size: int) -> None:
    made = make(tmp_path, runs="packed", chunk_size=3)
    (pack,) = (made.path / "runs/packs").glob("*.tar")
    if size < 0:
        pack.with_suffix(".idx").unlink()
    with pack.open("r+b") as stream:
        stream.truncate(pack.stat().st_size - 1024 + size)
    forget(made)
    done = journal_kept_runs(made.directory)
    assert counts(done) == ((3, 0, 1) if size > 0 else (2, 0, 1))
    assert str(pack) in done.named[0]


# --- the command ---------------------------------------------------------------------------------


def ingest(made: MadeSweep, *more: str) -> str:
    done = CliRunner().invoke(main, ["ingest", str(made.path), *more], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_the_command_tells_what_it_did(made: MadeSweep) -> None:
    (made.run_dir(0) / "metadata.json").unlink()
    forget(made)
    told = ingest(made, "--salvage")
    assert "s: 2 outcomes salvaged, 0 were in journals already, 1 could not be used" in told
    assert f"not used: {made.run_dir(0)}: there is no metadata.json" in told
    assert "s: 2 cases in the index" in told


@pytest.mark.parametrize(("runs", "kept"), [("failed", "no complete case"), ("none", "nothing")])
def test_what_no_run_directory_has(tmp_path: Path, runs: str, kept: str) -> None:
    made = make(tmp_path, runs=runs)
    forget(made)
    told = ingest(made, "--salvage")
    assert f"{int(runs == 'failed')} outcome" in told
    assert f"submission 1 has `runs: {runs}` and kept {kept}" in told


def test_a_refused_rebuild_names_it(made: MadeSweep) -> None:
    before = rows(made)
    shutil.rmtree(made.directory.journal_root)
    with pytest.raises(StoreError, match="--salvage"), fresh_index(made.directory, rebuild=True):
        pass
    (made.path / INDEX_NAME).rename(made.path.parent / "aside")
    ingest(made, "--salvage", "--rebuild")
    assert rows(made) == before
