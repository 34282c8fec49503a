"""Many processes at one index: up to 32 of them ingest up to 1,000 journals at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hpcsweep import sources
from hpcsweep.files import make_directory
from hpcsweep.journal import VERSION, encode, journal_name
from hpcsweep.store import SweepIndex
from hpcsweep.store.ingest import Ingest
from tests.support.backends import Backend, backend
from tests.support.fixtures import Scale
from tests.support.journals import Record
from tests.support.postgres import PrivatePostgres, database, own_postgres, postgres
from tests.support.sweeps import MadeSweep

__all__ = ["backend", "database", "own_postgres", "postgres"]

CASES_PER_CHUNK = 5
CROWD_S = 280.0
TIME = "2026-01-01T00:00:00.000+00:00"
# Forks, so that as many interpreters need not start; the last one's start opens the gate.
CROWD = """\
import os, sys
from pathlib import Path
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.errors import HpcsweepError
from hpcsweep.store.ingest import Ingest
from hpcsweep.journal import all_journals
from hpcsweep.store import SweepIndex

path, location, processes = sys.argv[1:]
location = Path(location) if location.startswith("/") else location
gate, opened = os.pipe()
children = []
for number in range(int(processes)):
    pid = os.fork()
    if pid:
        children.append(pid)
        continue
    os.close(opened)
    os.read(gate, 1)
    try:
        sweep = SweepDirectory.open(Path(path))
        # Every other one is a command, which ingests all; the rest are tasks with a few each.
        names = list(all_journals(sweep.journal_root))
        mine = names[number :: int(processes)] if number % 2 else None
        Ingest(sweep, SweepIndex(location, sweep.key, 200.0)).run(mine)
    except HpcsweepError as problem:
        print(problem)
        os._exit(1)
    os._exit(0)
os.close(gate)
os.close(opened)
codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
sys.exit(sum(map(bool, codes)))
"""


def ended(made: MadeSweep, chunks: int) -> None:
    """The journals of an array whose tasks all ended."""
    made.plan(chunk_size=CASES_PER_CHUNK, max_array_size=100_000)
    for chunk in range(chunks):
        common: Record = {"v": VERSION, "manifest": made.manifest.fingerprint, "chunk": chunk}
        common |= {"attempt": [0, 1, 0, f"{chunk:016x}"], "time": TIME}
        ids = {"host": "h", "node": f"n{chunk % 7}", "job_id": str(100 + chunk)}
        records: list[Record] = [{"kind": "task", **common, **ids}]
        for index in range(chunk * CASES_PER_CHUNK, (chunk + 1) * CASES_PER_CHUNK):
            case = {"index": index, "case_id": made.source[index].case_id}
            records.append({"kind": "begin", **common, **case, "started": TIME})
            outcome = {"word": 2, "status": "complete", "metrics": {"y": index / 7}}
            records.append({"kind": "end", **common, **case, **outcome, "host": ids["node"]})
        records.append({"kind": "end", **common, "word": 2, "status": "complete", "reason": None})
        path = made.directory.journal_dir(1) / journal_name(chunk, 0, f"{chunk:016x}")
        make_directory(path.parent)
        path.write_bytes(b"".join(map(encode, records)))


def crowd(made: MadeSweep, location: Path | str, processes: int) -> None:
    """Let all of them ingest at once; each must succeed."""
    argv = [sys.executable, "-c", CROWD, str(made.path), str(location), str(processes)]
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=CROWD_S, check=False, stdin=subprocess.DEVNULL
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def whole(made: MadeSweep, location: Path | str, reference: Path) -> None:
    """The index holds what one process makes of the journals alone, read to their ends."""
    sweep_indices = [SweepIndex(where, made.directory.key) for where in (location, reference)]
    if not sweep_indices[1].exists():
        sweep_indices[1].create("s", made.manifest.fingerprint)
        Ingest(made.directory, sweep_indices[1]).run()
    found, expected = (
        (list(sweep_index.rows()), sweep_index.tasks(), sweep_index.torn(), sweep_index.positions())
        for sweep_index in sweep_indices
    )
    assert len(found[0]) == made.source.n_cases
    assert found == expected
    assert Ingest(made.directory, sweep_indices[0]).run().records == 0


def test_many_concurrent_ingests_lose_nothing(
    backend: Backend, tmp_path: Path, scale: Scale, request: pytest.FixtureRequest
) -> None:
    chunks = scale(64, 1000)
    made = MadeSweep(tmp_path, sources.grid(x=list(range(chunks * CASES_PER_CHUNK))), runs="none")
    ended(made, chunks)
    backend.sweep_index(made.directory.key).create("s", made.manifest.fingerprint)
    if not backend.is_file:
        server: PrivatePostgres = request.getfixturevalue("postgres")
        request.addfinalizer(lambda: server.limit_connections(-1))
        server.limit_connections(20)
    crowd(made, backend.location, scale(12, 32))
    whole(made, backend.location, tmp_path / "reference.sqlite3")


@pytest.mark.postgres
def test_a_client_without_a_free_connection_retries(
    own_postgres: PrivatePostgres, tmp_path: Path
) -> None:
    place = own_postgres.database()
    made = MadeSweep(tmp_path, sources.grid(x=list(range(CASES_PER_CHUNK * 20))), runs="none")
    ended(made, 20)
    SweepIndex(place.url, made.directory.key).create("s", made.manifest.fingerprint)
    own_postgres.limit_connections(2)
    crowd(made, place.url, 12)
    assert "too many connections for role" in (own_postgres.directory / "log").read_text()
    whole(made, place.url, tmp_path / "reference.sqlite3")
