"""An index in PostgreSQL: who may write it, and how a sweep moves to another database."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsweep.cluster.limits import Limits
from hpcsweep.cluster.slurm.client import Slurm
from hpcsweep.journal import all_journals
from hpcsweep.manifest.user import load_manifest
from hpcsweep.project.remove import remove
from hpcsweep.project.shared_rows import shared_index
from hpcsweep.runs.salvage import journal_kept_runs
from hpcsweep.settings import Settings
from hpcsweep.sources import grid
from hpcsweep.store import SweepIndex, ingest
from hpcsweep.store.ingest import fresh_index, known_index
from hpcsweep.submission.request import SubmitRequest, Submitted
from hpcsweep.submission.submit import submit
from hpcsweep.sweepdir.directory import INDEX_NAME, SweepDirectory
from hpcsweep.sweepdir.plan import WorkerRules
from tests.support.postgres import Place, database, postgres
from tests.support.sweeps import MadeSweep

__all__ = ["database", "postgres"]

pytestmark = pytest.mark.postgres


class Nowhere(Slurm):
    """A cluster that accepts every array and runs none."""

    def limits(self) -> Limits:
        return Limits(cluster_name="nowhere", max_array_size=1001, kill_wait_s=30.0)

    def submit(self, array: object, say: object) -> str:  # noqa: ARG002  # any array
        return "1"


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sweep directory is on a network file system."""
    ours = [name for name in sys.modules if name.startswith("hpcsweep.")]
    holders = [name for name in ours if hasattr(sys.modules[name], "is_local")]
    assert len(holders) >= 4  # where it is defined, in the index, in ingest and in a submit
    for name in holders:
        monkeypatch.setattr(f"{name}.is_local", lambda _: False)


def submitted(root: Path, store: str, count: int = 3) -> Submitted:
    """A submission of a small sweep."""
    (root / "target.py").write_text("def run(x):\n    return {'y': x}\n")
    values = {"name": "s", "target": "target.py:run", "store": store}
    values |= {"source": {"grid": {"x": list(range(count))}}}  # type: ignore[dict-item]
    (root / "manifest.json").write_text(json.dumps(values))
    manifest, source = load_manifest(root / "manifest.json")
    request = SubmitRequest(manifest=manifest, source=source, path=root / "outputs" / "s")
    return submit(request, Nowhere(kind="slurm", timeout_s=60, sbatch_timeout_s=60), Settings())


@pytest.fixture
def made(database: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MadeSweep:
    """A sweep of two cases, none submitted, whose index is in the database."""
    monkeypatch.setenv("SWEEP_DATABASE", database.url)
    return MadeSweep(tmp_path, grid(x=[1, 2]), store="SWEEP_DATABASE")


def rules(done: Submitted) -> WorkerRules:
    """The rules that the submission gives to its workers."""
    return done.sweep.plan(1)[1]["worker"]


@pytest.mark.usefixtures("shared")
def test_on_a_network_file_system_tasks_write_postgresql_alone(
    database: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEP_DATABASE", database.url)
    for name, store in (("file", "sqlite"), ("server", "SWEEP_DATABASE")):
        (tmp_path / name).mkdir()
        done = submitted(tmp_path / name, store)
        assert rules(done)["ingest"] == (store != "sqlite")
        # The first reading command makes the table: a task must not (invariant 25).
        assert not (done.sweep.path / INDEX_NAME).exists()


@pytest.mark.usefixtures("shared")
def test_a_tasks_own_ingest(
    database: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEP_DATABASE", database.url)
    monkeypatch.setattr("signal.setitimer", lambda *_: None)  # it would end the test run
    counts = {}
    for name, store in (("file", "sqlite"), ("server", "SWEEP_DATABASE")):
        (tmp_path / name).mkdir()
        made = MadeSweep(tmp_path / name, grid(x=[1, 2]), store=store)
        made.plan(chunk_size=2)
        with ingest.fresh_index(made.directory):
            pass
        made.run()
        (journal,) = all_journals(made.directory.journal_root)
        arguments = [str(made.path), f"--journal={journal}", "--deadline=60"]
        assert ingest.main(arguments) == 0
        if store != "sqlite":
            query = "SELECT count(*) FROM cases WHERE idx IS NOT NULL"
            assert database.execute(query) == [(2,)]
        else:
            counts[store] = SweepIndex(made.path / INDEX_NAME, made.directory.key).counts()
    assert counts == {"sqlite": {}}


def test_a_task_makes_no_tables(database: Place, made: MadeSweep) -> None:
    made.plan(chunk_size=2)
    made.run()
    (journal,) = all_journals(made.directory.journal_root)
    argv = [
        sys.executable,
        "-m",
        "hpcsweep.program",
        "hpcsweep.store.ingest",
        str(made.path),
        f"--journal={journal}",
    ]
    done = subprocess.run(
        [*argv, "--deadline=60"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    query = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
    assert database.execute(query) == [(0,)]
    # A later command makes them, and has everything.
    with ingest.fresh_index(made.directory) as sweep_index:
        assert len(list(sweep_index.rows())) == 2


def test_a_task_without_the_database_reports_it_and_keeps_its_journal(
    database: Place, made: MadeSweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.plan(chunk_size=2, ingest=True)
    with ingest.fresh_index(made.directory):
        pass
    monkeypatch.setenv("SWEEP_DATABASE", database.url.replace(database.password, "wrong-canary"))
    said = made.run().stderr
    assert "it refuses this user or password" in said
    assert "Results are safe in the journals" in said
    assert "canary" not in said
    monkeypatch.setenv("SWEEP_DATABASE", database.url)
    with ingest.fresh_index(made.directory) as sweep_index:
        assert sweep_index.counts() == {("complete", None): 2}


def test_a_salvage_fills_an_empty_database(made: MadeSweep) -> None:
    made.plan(chunk_size=2)
    made.run()
    shutil.rmtree(made.directory.journal_root)
    assert journal_kept_runs(made.directory).journaled == 2
    with ingest.fresh_index(made.directory) as sweep_index:
        assert sweep_index.dialect == "postgresql"
        assert sweep_index.counts() == {("complete", None): 2}
    assert journal_kept_runs(made.directory).known == 2


def test_a_sweep_moves_to_another_database_with_its_next_submission(
    database: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWEEP_DATABASE", database.url)
    made = MadeSweep(tmp_path, grid(x=[1, 2]), store="sqlite")
    made.plan(chunk_size=2)
    made.run()
    with ingest.fresh_index(made.directory) as sweep_index:
        before = [row | {"idx": None} for row in sweep_index.rows()]
    made.freeze(grid(x=[0, 1, 2]), store="SWEEP_DATABASE")
    made.plan(chunk_size=3)
    with ingest.fresh_index(made.directory) as sweep_index:
        assert sweep_index.dialect == "postgresql"
        after = list(sweep_index.rows())
    assert [row["idx"] for row in after] == [1, 2]
    assert [row | {"idx": None} for row in after] == before
    # And what a rebuild makes is the same again.
    database.execute("UPDATE cases SET metrics = '{}'")
    with ingest.fresh_index(made.directory, rebuild=True) as sweep_index:
        assert list(sweep_index.rows()) == after
        assert sweep_index.submissions() == [1, 2]


def test_a_copy_by_hand_reads_its_own_journals(
    database: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the key of the original, and so its rows, which are not its own results."""
    monkeypatch.setenv("SWEEP_DATABASE", database.url)
    sweep = submitted(tmp_path, "SWEEP_DATABASE").sweep
    copy = SweepDirectory.open(shutil.copytree(sweep.path, tmp_path / "by hand" / "s"))
    with fresh_index(sweep) as ours, fresh_index(copy) as theirs:
        assert (ours.dialect, theirs.dialect) == ("postgresql", "sqlite")
    assert known_index(copy) is None
    remove(copy, Settings(), force=True)
    assert shared_index(sweep) is not None
