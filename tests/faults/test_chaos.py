"""A sweep under injected faults: complete, every case accepted once, same faults."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from hpcsweep.chaos import accepted
from hpcsweep.sources import grid
from tests.support.clusters import HPCSWEEP, INGEST_LATER, EmulatedCluster, started_emulated
from tests.support.fixtures import Scale
from tests.support.journals import Record, write_journal
from tests.support.sweeps import MadeSweep

MINUTE = "2026-01-01T00:00:{}.000+00:00"
pytestmark = pytest.mark.timeout(7200)


def hpcsweep_in(
    root: Path, cluster: EmulatedCluster, *argv: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HPCSWEEP, *argv],
        cwd=root,
        env=cluster.env(**INGEST_LATER),
        capture_output=True,
        text=True,
        check=False,
        timeout=7000,
    )


def test_a_sweep_under_faults_is_complete(tmp_path: Path, scale: Scale) -> None:
    # Faults strike by seed, job name and task: of 40 tasks this seed strikes four, by both kinds.
    cases, chunk, seed = scale(200, 10_000), scale(5, 25), scale(304, 7)
    (tmp_path / "target.py").write_text("def square(x):\n    return {'y': x * x}\n")
    (tmp_path / "m.yaml").write_text(
        f"name: storm\ntarget: target.py:square\nchunk: {chunk}\nruns: none\n"
        f"source:\n  grid: {{x: {{range: [0, {cases}, 1]}}}}\n"
    )

    with started_emulated(nodes=4, cpus=4, requeue_delay_s=0.5, max_array_size=5001) as cluster:
        done = hpcsweep_in(
            tmp_path, cluster, "submit", "m.yaml", "--cluster", "emulated", "--chaos", str(seed)
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "nothing was lost" in done.stdout.splitlines()
        assert "\neach case accepted once, " in done.stdout
        rows = [
            json.loads(line)
            for line in hpcsweep_in(
                tmp_path, cluster, "collect", "storm", "--format", "jsonl"
            ).stdout.splitlines()
        ]
    assert [row["index"] for row in rows] == list(range(cases))
    assert {row["status"] for row in rows} == {"complete"}
    assert all(row["y"] == row["x"] ** 2 for row in rows)
    struck = re.findall(r"^  (\w+) +job (\d+_\d+) +cases (\S+)$", done.stdout, re.MULTILINE)
    assert {kind for kind, _, _ in struck} >= {"node_fail", "preempt"}
    assert done.stdout.count("controller_down") >= 1


@pytest.mark.soak
def test_a_search_under_faults_is_complete(tmp_path: Path) -> None:
    """Batch after batch, and each trial once; a closing job may be lost with its node."""
    (tmp_path / "target.py").write_text("def square(x):\n    return {'y': x * x}\n")
    (tmp_path / "m.yaml").write_text(
        "name: storm\ntarget: target.py:square\nchunk: 5\nruns: none\n"
        "source: {space: {x: {type: Uniform, low: -1, high: 1}}}\n"
        "search: {objective: y, n: 400, batch: 100, sampler: random}\n"
    )
    with started_emulated(nodes=4, cpus=4, requeue_delay_s=0.5) as cluster:
        done = hpcsweep_in(
            tmp_path, cluster, "submit", "m.yaml", "--cluster", "emulated", "--chaos", "7"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "nothing was lost" in done.stdout.splitlines()
        assert "\neach case accepted once, " in done.stdout
        status = hpcsweep_in(tmp_path, cluster, "status", "storm", "--json").stdout
    search = json.loads(status)["search"]
    assert (search["over"], search["valued"]) == (400, 400)
    assert re.search(r"^  \w+ +job \d+_\d+ ", done.stdout, re.MULTILINE)
    assert "controller_down" in done.stdout


def test_chaos_needs_the_emulated_cluster(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("name: a\ncommand: [echo, '{x}']\nsource:\n  grid: {x: [1]}\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").touch(mode=0o755)
    done = subprocess.run(
        [HPCSWEEP, "submit", "m.yaml", "--cluster", "slurm", "--chaos", "7"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 6
    assert "only an emulated cluster" in done.stderr


def one_case(root: Path) -> MadeSweep:
    """A sweep of one case, submitted at the beginning of that minute."""
    made = MadeSweep(root, grid(x=[1]))
    made.plan()
    path = made.directory.submission_dir(1) / "plan.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"time": MINUTE.format("00")}))
    return made


def journalled(made: MadeSweep, restart: int, token: str, begun: str, ended: str) -> None:
    """The journal of a start that computed the only case; times are seconds of one minute."""
    common: Record = {
        "v": 1,
        "manifest": made.manifest.fingerprint,
        "chunk": 0,
        "attempt": [0, 1, restart, token * 16],
    }
    case: Record = {"index": 0, "case_id": made.source[0].case_id}
    write_journal(
        made.directory.journal_root / f"0001/0/0.{restart}.{token}.jsonl",
        common
        | {
            "kind": "task",
            "time": MINUTE.format(begun),
            "node": "n",
            "job_id": "1",
            "array_job_id": "1",
        },
        common | case | {"kind": "begin", "started": MINUTE.format(begun)},
        common
        | case
        | {"kind": "end", "status": "complete", "reason": None, "ended": MINUTE.format(ended)},
    )


@pytest.mark.parametrize(
    ("second", "again"),
    [
        ((1, "b", "20", "25"), True),  # a requeued start that had to know of the first one's end
        ((1, "b", "08", "25"), False),  # one that began before it
        ((0, "b", "20", "25"), False),  # a duplicate start
    ],
)
def test_a_case_that_was_computed_again_is_seen(
    tmp_path: Path, second: tuple[int, str, str, str], again: bool
) -> None:
    made = one_case(tmp_path)
    journalled(made, 0, "a", "05", "10")
    journalled(made, *second)
    found = accepted(made.directory)
    assert found.again == ({made.source[0].case_id} if again else set())
    assert (found.wrong, found.repeated) == (frozenset(), 1)
    assert ("ACCEPTED WRONGLY: computed again" in found.line()) is again


def test_an_index_that_shows_another_attempt_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = one_case(tmp_path)
    journalled(made, 0, "a", "05", "10")
    assert accepted(made.directory).is_once
    journalled(made, 1, "b", "20", "25")
    monkeypatch.setattr("hpcsweep.store.ingest.Ingest.run", lambda *_: None)  # it misses the second
    assert accepted(made.directory).wrong == {made.source[0].case_id}
