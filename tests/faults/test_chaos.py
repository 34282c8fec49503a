"""A sweep of one's own under faults on order: complete, every case accepted once, same faults."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.clusters import HPCSWEEP, started_emulated
from tests.support.fixtures import Scale

pytestmark = pytest.mark.timeout(7200)


def test_a_sweep_under_faults_is_complete(tmp_path: Path, scale: Scale) -> None:
    cases, chunk = scale(500, 10_000), scale(5, 25)
    (tmp_path / "target.py").write_text("def square(x):\n    return {'y': x * x}\n")
    (tmp_path / "m.yaml").write_text(
        f"name: storm\ntarget: target.py:square\nchunk: {chunk}\nruns: none\n"
        f"source:\n  grid: {{x: {{range: [0, {cases}, 1]}}}}\n"
    )

    def hpcsweep(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [HPCSWEEP, *argv], cwd=tmp_path, env=cluster.env(), capture_output=True, text=True,
            check=False, timeout=7000,
        )  # fmt: skip

    with started_emulated(nodes=4, cpus=4, requeue_delay_s=0.5, max_array_size=5001) as cluster:
        done = hpcsweep("submit", "m.yaml", "--cluster", "emulated", "--chaos", "7")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "nothing was lost" in done.stdout.splitlines()
        rows = [json.loads(line) for line in
                hpcsweep("collect", "storm", "--format", "jsonl").stdout.splitlines()]  # fmt: skip
    assert [row["index"] for row in rows] == list(range(cases))
    assert {row["status"] for row in rows} == {"complete"}
    assert all(row["y"] == row["x"] ** 2 for row in rows)
    struck = re.findall(r"^  (\w+) +job (\d+_\d+) +cases (\S+)$", done.stdout, re.MULTILINE)
    assert {kind for kind, _, _ in struck} >= {"node_fail", "preempt"}
    assert done.stdout.count("controller_down") >= 1


def test_chaos_is_for_the_emulated_cluster_only(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text("name: a\ncommand: [echo, '{x}']\nsource:\n  grid: {x: [1]}\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sbatch").touch(mode=0o755)
    done = subprocess.run(
        [HPCSWEEP, "submit", "m.yaml", "--cluster", "slurm", "--chaos", "7"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 6
    assert "emulated cluster's only" in done.stderr
