"""PostgreSQL away, killed, or without a password: no case fails, and no secret is written."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hpcsweep.store import SweepIndex
from hpcsweep.store.ingest import Ingest
from hpcsweep.sweepdir.directory import SweepDirectory
from tests.support.clusters import EmulatedCluster, RealCluster, emulated, own_emulated
from tests.support.fixtures import Scale
from tests.support.postgres import Place, PrivatePostgres, own_postgres, postgres
from tests.support.project import CLI_S, Project
from tests.support.slurm_cluster import PrivateSlurm
from tests.support.wait import wait_until

__all__ = ["emulated", "own_emulated", "own_postgres", "postgres"]

pytestmark = pytest.mark.postgres

# The command line, which waits for half a minute otherwise.
IMPATIENT = """\
import hpcsweep.store.engine as engine
from hpcsweep.cli import main

engine.PATIENCE_S = 1.0
main(prog_name="hpcsweep")
"""


class Impatient(Project):
    """A project whose commands give up soon."""

    def run(
        self, arguments: Sequence[str], env: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        """Run `hpcsweep` in the project to its end."""
        argv = [sys.executable, "-c", IMPATIENT, *arguments]
        return subprocess.run(
            argv, cwd=self.root, env=env, capture_output=True, text=True, check=False, timeout=120
        )


def rows_of(project: Project, location: Path | str) -> list[dict[str, Any]]:
    """The rows of the project's sweep in an index."""
    return list(SweepIndex(location, SweepDirectory.open(project.sweep).key).rows())


def from_journals(project: Project, path: Path) -> list[dict[str, Any]]:
    """The rows that the journals alone make."""
    sweep = SweepDirectory.open(project.sweep)
    sweep_index = SweepIndex(path, sweep.key)
    sweep_index.create(sweep.name, sweep.newest_manifest())
    Ingest(sweep, sweep_index).run()
    return list(sweep_index.rows())


@pytest.fixture
def passfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A password file that every process finds; it has no line yet."""
    path = tmp_path / "pgpass"
    path.touch(mode=0o600)
    monkeypatch.setenv("PGPASSFILE", str(path))
    monkeypatch.setenv("HPCSWEEP_INGEST_DEADLINE_S", "3")
    monkeypatch.setenv("HPCSWEEP_INGEST_INTERVAL_S", "0.5")
    return path


def test_a_database_that_is_away(
    emulated: EmulatedCluster, own_postgres: PrivatePostgres, tmp_path: Path, passfile: Path
) -> None:
    place = own_postgres.database()
    passfile.write_text(place.passfile_line)
    project = Impatient(
        emulated, tmp_path / "project", 6, tasks_ingest=True, chunk=2, store=place.public_url
    )

    own_postgres.kill()
    said = project.submit(code=8).stderr
    assert f"{place.public_url}: the database cannot be used: it cannot be reached" in said
    assert not project.sweep.exists()

    own_postgres.start()
    project.hold(1)
    project.submit()
    project.wait_begun(1)
    own_postgres.kill()
    project.release(1)
    emulated.wait_over(project.job())
    assert set(emulated.states(project.job()).values()) == {"COMPLETED"}
    for command in (("status",), ("collect", "--format", "csv"), ("ingest",), ("logs", "1")):
        name, *rest = command
        done = project.cli(name, project.name, *rest, code=8)
        assert "Results are safe in the journals: check that it runs" in done.stderr
        assert done.stdout == ""
    assert "Results are safe in the journals" in project.submit(code=8).stderr
    assert [path.name for path in (project.sweep / "submissions").iterdir()] == ["0001"]

    own_postgres.start()
    assert project.status()["complete"]
    found = rows_of(project, place.url)
    assert [row["idx"] for row in found] == list(range(6))
    assert found == from_journals(project, tmp_path / "reference.sqlite3")
    assert "nothing to submit, 6 complete" in project.submit().stdout
    assert not (project.sweep / "store.sqlite3").exists()


def has_begun(project: Project, cases: int) -> bool | str:
    """Whether so many cases were begun; how many, if not."""
    begun = project.executions().total()
    return begun >= cases or str(begun)


def test_a_database_that_is_killed_again_and_again(
    own_emulated: EmulatedCluster,
    own_postgres: PrivatePostgres,
    tmp_path: Path,
    passfile: Path,
    scale: Scale,
) -> None:
    """Every case completes, and the index ends with what the journals say."""
    kills, cases, patience_s = scale(2, 10), scale(200, 5000), scale(120, 1200)
    place = own_postgres.database()
    passfile.write_text(place.passfile_line)
    project = Project(
        own_emulated,
        tmp_path / "project",
        cases,
        tasks_ingest=True,
        chunk=20,
        store=place.public_url,
        runs="none",
    )
    project.submit()
    for number in range(kills):
        wanted = cases * (number + 1) // (kills + 1)
        wait_until(partial(has_begun, project, wanted), patience_s, f"{wanted} cases begun")
        own_postgres.kill()
        more = min(cases, wanted + cases // (4 * kills))
        wait_until(
            partial(has_begun, project, more), patience_s, f"{more} cases begun while it is down"
        )
        own_postgres.start()
    wait_until(
        lambda: len(project.executions()) == cases, patience_s, "every case begun", poll_s=0.5
    )
    own_emulated.wait_over(project.job())

    assert project.status()["complete"]
    found = rows_of(project, place.url)
    assert {row["status"] for row in found} == {"complete"}
    assert [json.loads(row["metrics"])["square"] for row in found] == [x * x for x in range(cases)]
    assert found == from_journals(project, tmp_path / "reference.sqlite3")
    assert project.executions() == dict.fromkeys(range(cases), 1)


# --- secrets -------------------------------------------------------------------------------------

WAYS = ("url", "query", "service", "passfile", "environment")


def planted(way: str, place: Place, folder: Path, patch: pytest.MonkeyPatch) -> str:
    """Put the password where users may; returns the `store:` of the manifest."""
    folder.mkdir()
    if way in ("url", "query"):
        query = f"{place.public_url}?sslmode=disable&password={place.password}"
        patch.setenv("SWEEP_DATABASE", place.url if way == "url" else query)
        return "SWEEP_DATABASE"
    if way == "service":
        (folder / "services").write_text(place.service("sweeps"))
        patch.setenv("PGSERVICEFILE", str(folder / "services"))
        return "postgresql+psycopg:///?service=sweeps"
    if way == "passfile":
        (folder / "pgpass").touch(mode=0o600)
        (folder / "pgpass").write_text(place.passfile_line)
        patch.setenv("PGPASSFILE", str(folder / "pgpass"))
    else:
        patch.setenv("PGPASSWORD", place.password)
    return place.public_url


def canary_of(server: PrivatePostgres) -> Place:
    """A database whose user has a password that is found nowhere else."""
    user, password = f"u{secrets.token_hex(4)}", f"canary-{secrets.token_hex(8)}"
    server.sql(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'")
    place = replace(server.database(), user=user, password=password)
    server.sql(f"ALTER DATABASE {place.name} OWNER TO {user}")
    return place


def watched(process: subprocess.Popen[str], canary: str) -> str:
    """What a command printed; while it runs no process of this machine may show the canary."""

    def is_over() -> bool:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                assert canary.encode() not in path.read_bytes(), path
            except OSError:
                continue
        return process.poll() is not None

    with process:
        wait_until(is_over, CLI_S, "the end of the command")
        assert process.stdout is not None
        assert process.stderr is not None
        return process.stdout.read() + process.stderr.read()


def holding(folder: Path, canary: str) -> list[Path]:
    """The files that hold the canary."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if canary.encode() in path.read_bytes()]


@pytest.mark.parametrize("way", WAYS)
def test_a_password_stays_where_it_was_put(
    emulated: EmulatedCluster,
    postgres: PrivatePostgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    place = canary_of(postgres)
    store = planted(way, place, tmp_path / "mine", monkeypatch)
    monkeypatch.setenv("HPCSWEEP_INGEST_INTERVAL_S", "0")
    project = Impatient(emulated, tmp_path / "project", 2, tasks_ingest=True, chunk=1, store=store)
    said = watched(project.start("submit", "manifest.json", "--wait"), place.password)
    assert "2 complete" in said
    # Its tasks ingested, so they knew the way.
    (count,) = place.execute("SELECT count(*) FROM journals WHERE position > 0")
    assert count == (2,)
    # Now nobody knows the password any more, and everybody says so.
    postgres.sql(f"ALTER ROLE {place.user} PASSWORD 'another'")
    said += watched(project.start("status", project.name), place.password)
    assert "it refuses this user or password" in said
    assert place.password not in said
    assert holding(project.root, place.password) == []


def test_a_password_is_in_no_accounting_record(
    slurm: PrivateSlurm,
    postgres: PrivatePostgres,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = RealCluster(slurm)
    place = canary_of(postgres)
    store = planted("url", place, tmp_path / "mine", monkeypatch)
    project = Impatient(cluster, tmp_path / "project", 2, chunk=1, store=store)
    said = watched(project.start("submit", "manifest.json", "--wait"), place.password)
    assert "2 complete" in said
    told = cluster.run("scontrol", "show", "job", project.job())

    def recorded() -> bool | str:
        lines = cluster.run("sacct", "-n", "-P", "-j", project.job(), "-o", "SubmitLine")
        return "sbatch" in lines or repr(lines)

    # Accounting knows the tasks first, and how they were submitted a little later (Slurm 22.05).
    wait_until(recorded, 60, "the submit line in accounting")
    accounting = cluster.run("sacct", "-P", "-j", project.job(), "-o", "ALL")
    assert place.password not in told + accounting + said
    assert holding(project.root, place.password) == []
