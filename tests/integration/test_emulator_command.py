"""`hpcsweep emulator`: clusters side by side, entered with eval, made to fit a manifest."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpcsweep import emulator
from hpcsweep.emulator.config import EmulatorConfig
from hpcsweep.emulator.widening import widened
from tests.support.clusters import HPCSWEEP
from tests.support.documents import checked

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """`hpcsweep emulator ...` and other programs; whatever was started is ended."""
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path / "state")}

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    yield run
    for config in tmp_path.rglob("config.json"):
        emulator.stop(config.parent)


def test_start_status_and_stop(command: Command, tmp_path: Path) -> None:
    down = command(HPCSWEEP, "emulator", "status", "--json")
    assert checked("emulator-status", json.loads(down.stdout))["running"] is False
    done = command(HPCSWEEP, "emulator", "start", "--nodes", "2", "--cpus", "3", "--mem", "500")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "state/hpcsweep/emulator").stat().st_mode & 0o777 == 0o700
    up = command(HPCSWEEP, "emulator", "status", "--json")
    found = checked("emulator-status", json.loads(up.stdout))
    assert found["nodes"] == {"n1": "idle, 3 CPUs, 500 MB", "n2": "idle, 3 CPUs, 500 MB"}
    assert "stopped" in command(HPCSWEEP, "emulator", "stop").stdout
    assert "not running" in command(HPCSWEEP, "emulator", "stop").stdout


def test_eval_of_env_and_clusters_side_by_side(command: Command) -> None:
    for name in ("one", "two"):
        command(HPCSWEEP, "emulator", "start", "--dir", name, "--nodes", "1")
    script = (
        f'eval "$({HPCSWEEP} emulator env --dir one)"; sbatch -H --wrap true;'
        f'eval "$({HPCSWEEP} emulator env --dir two)"; squeue -h; which sbatch'
    )
    done = command("bash", "-c", script)
    assert done.stdout.splitlines()[0] == "Submitted batch job 1"
    assert len(done.stdout.splitlines()) == 2
    assert done.stdout.rstrip().endswith("two/bin/sbatch")
    inside = command(HPCSWEEP, "emulator", "shell", "--dir", "one", "squeue", "--", "-h")
    assert inside.stdout.split()[0] == "1"
    code = command(HPCSWEEP, "emulator", "shell", "--dir", "one", "--", "sh", "-c", "exit 7")
    assert code.returncode == 7


def test_a_configuration_of_ones_own_is_strict(command: Command, tmp_path: Path) -> None:
    text = "partitions: [{name: small, max_time: 5}]\naccounts: [physics]\naccount: physics\n"
    (tmp_path / "mine.yaml").write_text(text)
    started = command(HPCSWEEP, "emulator", "start", "--dir", "own", "--config", "mine.yaml")
    assert started.returncode == 0, started.stderr
    emulator.widen(tmp_path / "own", {"partition": "huge", "account": "chemistry"})
    assert [one.name for one in emulator.load(tmp_path / "own").partitions] == ["small"]
    refused = command(
        HPCSWEEP,
        "emulator",
        "shell",
        "--dir",
        "own",
        "--",
        "sbatch",
        "-A",
        "chemistry",
        "--wrap",
        "true",
    )
    assert "Invalid account or account/partition combination specified" in refused.stderr
    wrong = command(HPCSWEEP, "emulator", "start", "--dir", "new", "--config", "nothing.yaml")
    assert wrong.returncode == 3
    (tmp_path / "bad.yaml").write_text("colour: blue\n")
    bad = command(HPCSWEEP, "emulator", "start", "--dir", "new", "--config", "bad.yaml")
    assert (bad.returncode, "unknown key 'colour'" in bad.stderr) == (3, True)


def test_a_directory_with_something_else_is_left_alone(command: Command, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").touch()
    done = command(HPCSWEEP, "emulator", "start", "--dir", "thesis")
    assert done.returncode == 6
    assert [one.name for one in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]


def test_a_manifest_of_another_cluster_runs_unchanged(command: Command, tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(
        "name: far\ncommand: [echo, '{x}']\nsource:\n  grid: {x: [1, 2]}\n"
        "setup: [module load gcc/12]\n"
        "slurm: {partition: bigmem, account: physics, qos: long, constraint: icelake,\n"
        "        cpus-per-task: 6, mem: 9G, gres: 'gpu:2'}\n"
    )
    done = command(HPCSWEEP, "submit", "m.yaml", "--cluster", "emulated", "--wait")
    assert done.returncode == 0, done.stderr
    found = emulator.load(tmp_path / "state/hpcsweep/emulator")
    assert [one.name for one in found.partitions] == ["main", "bigmem"]
    assert (found.cpus, found.mem_mb, found.features) == (6, 9216, ("icelake",))
    assert (found.accounts, found.gres) == (("physics",), "gpu:2")
    logs = "".join(path.read_text() for path in tmp_path.glob("outputs/far/logs/0001/*"))
    assert "module load gcc/12: nothing is loaded here" in logs


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({}, {}),
        ({"mem-per-cpu": "3000", "cpus-per-task": "4"}, {"mem_mb": 12000}),
        ({"gpus-per-task": "a100:2", "ntasks": "3"}, {"gres": "gpu:6"}),
        ({"constraint": "a&b|main"}, {"features": ("a", "b", "main")}),
        ({"cpus-per-task": "2", "mem": "100M", "partition": "main"}, {}),
    ],
)
def test_widening(options: dict[str, str], changed: dict[str, object]) -> None:
    before = EmulatorConfig()
    after = widened(before, options)
    assert {key: getattr(after, key) for key in changed} == changed
    assert widened(after, options) == after
    if not changed:
        assert after == before
