"""`hpcsweep doctor`, here and on a node; and what the programs of a site say of quotas."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hpcsweep.settings import Settings
from hpcsweep.submission import doctor
from tests.support.clusters import EmulatedCluster, emulated
from tests.support.here import Here, holds
from tests.support.postgres import Place, database, postgres

__all__ = ["database", "emulated", "postgres"]

# In the form of quota with these options, and of lfs for a long name.
QUOTA = """\
Disk quotas for user alice (uid 1000):
     Filesystem   blocks   quota   limit   grace   files   quota   limit   grace
          /home  9437184  10485760 11534336      0   41236  100000  110000       0
        /archive 0 0 0 0 95001* 90000 100000 1700000000
"""
LFS = """\
/scratch/project_2001234/alice
              104857600       0 1073741824       -   12000       0       0       -
"""


@pytest.fixture
def here(emulated: EmulatedCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    return Here.settle(emulated, tmp_path, monkeypatch)


def found(here: Here, *arguments: str, code: int = 0) -> list[dict[str, str]]:
    done = here.cli("doctor", "--json", "--cluster", "emulated", *arguments, code=code)
    findings: list[dict[str, str]] = json.loads(done.stdout)
    assert {finding["host"] for finding in findings} == {os.uname().nodename}
    return findings


def test_limits_for_the_tasks_of_a_profile(here: Here) -> None:
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "hpcsweep" / "config.yaml"
    config.parent.mkdir(parents=True)
    config.write_text(
        "profiles: {big: {slurm: {mem: 2G, partition: main}, limits: {mem: 1G, max_submit: 9}}}\n"
    )
    limits = [one for one in found(here, "--profile", "big", code=1) if one["what"] == "limits"]
    known, excess = limits
    holds(known["text"], "limits of emulated, read ", "4 CPUs on a node (largest node of the")
    holds(known["text"], "1,024 MiB of memory on a node (limits.mem", "9 tasks in the queue")
    assert excess["state"] == "problem"
    holds(
        excess["text"], "slurm.mem asks for 2,048 MiB of memory on a node, and a task can get 1,0"
    )
    config.write_text("profiles: {big: {limits: {mem: lots}}}\n")
    message = here.refuses(3, "doctor", "--profile", "big")
    holds(message, "config.yaml:1: limits.mem: is the text 'lots', not an amount of memory")


def test_checks_on_this_host(here: Here) -> None:
    by = {one["what"]: one for one in found(here)}
    holds(by["versions"]["text"], "hpcsweep ", "Python 3.", "SQLite ", "sqlalchemy ")
    holds(by["file system"]["text"], str(here.path), "GiB, ", " files free")
    holds(by["cluster"]["text"], "emulated", "array task ids up to")
    assert {one["state"] for one in by.values()} <= {"ok", "warning"}
    holds(here.does("doctor", "--cluster", "emulated"), "versions", "file system", "quota")
    assert not (here.path / "outputs").exists()


@pytest.mark.postgres
def test_a_node_and_its_way_to_the_database(here: Here, database: Place) -> None:
    here.patch.setenv("PGPASSWORD", database.password)
    here.write("m.yaml", (here.path / "m.yaml").read_text() + f"store: {database.public_url}\n")
    here.does("submit", "m.yaml", "--wait")
    twice = [one["text"] for one in found(here, "s", "--node") if one["what"] == "database"]
    assert twice == ["postgresql of s: 2 cases"] * 2
    assert [one.name for one in (here.path / "outputs").iterdir()] == ["s"]
    here.patch.setenv("PGPASSWORD", "another")
    (here_says, node_says) = (
        one for one in found(here, "s", "--node", code=1) if one["what"] == "database"
    )
    for one in (here_says, node_says):
        assert one["state"] == "problem"
        holds(one["text"], "it refuses this user or password", ".pgpass")


def test_a_cluster_that_is_not_there(here: Here) -> None:
    here.patch.setenv("PATH", "/nowhere")
    (finding,) = doctor.cluster("slurm", Settings(), Path())
    assert (finding.what, finding.state) == ("cluster", "problem")


@pytest.mark.parametrize("kind", ["ext4", "lustre"])
def test_quotas_of_bytes_and_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(doctor, "filesystem_type", lambda _: kind)
    monkeypatch.setenv("PATH", str(tmp_path))
    (told,) = (one for one in doctor.local(tmp_path, {}) if one.what == "quota")
    assert told.text.startswith("not known: there is no `")
    program, text = ("lfs", LFS) if kind == "lustre" else ("quota", QUOTA)
    (tmp_path / program).write_text(f"#!/bin/sh\nprintf '%s' '{text}'\n")
    (tmp_path / program).chmod(0o755)
    quotas = [(one.state, one.text) for one in doctor.local(tmp_path, {}) if one.what == "quota"]
    if kind == "lustre":
        assert quotas == [
            ("ok", "/scratch/project_2001234/alice: 100.0 of 1,024 GiB, 12,000 files without limit")
        ]
    else:
        assert quotas == [
            ("ok", "/home: 9.0 of 10 GiB, 41,236 of 100,000 files"),
            ("warning", "/archive: 0.0 GiB without limit, 95,001 of 90,000 files"),
        ]
