"""Injected faults: what each kind does to jobs, programs and the scheduler."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from hpcsweep import emulator
from hpcsweep.emulator import Fault, client
from hpcsweep.emulator.faults.chance import unit
from tests.support.clusters import HPCSWEEP
from tests.support.emulated import Emulated
from tests.support.wait import wait_until

UNREACHABLE = "Unable to contact slurm controller (connect failure)"


@pytest.mark.parametrize(
    ("kind", "state"),
    [("node_fail", "NODE_FAIL"), ("preempt", "PREEMPTED"), ("out_of_memory", "OUT_OF_MEMORY")],
)
def test_the_seed_decides_which_jobs_are_struck(tmp_path: Path, kind: str, state: str) -> None:
    fault = Fault(kind=kind, rate=0.5, within_s=0.2)
    struck = {task for task in range(8) if unit(3, "named", task, 0, kind) < 0.5}
    with Emulated(tmp_path / "c", faults=(fault,), seed=3) as cluster:
        script = "until [ -e go ]; do sleep 0.2; done"
        job = cluster.submit(
            "-J", "named", "--no-requeue", "--array=0-7", "-o", "out", "--wrap", script
        )
        cluster.wait_for(job, "RUNNING", state)
        wait_until(
            lambda: len(emulator.faults_since(cluster.directory, 0)) == len(struck), 60, "faults"
        )
        (cluster.work / "go").touch()
        cluster.wait_for(job, "COMPLETED", state)
        seen = {
            int(name.partition("_")[2]) for name, one in cluster.states(job).items() if one == state
        }
        assert seen == struck
        noted = emulator.faults_since(cluster.directory, 0)
        assert {one["task"] for one in noted} == struck
        assert {one["kind"] for one in noted} == {kind}


def test_a_duplicate_start_runs_the_script_twice_at_once(tmp_path: Path) -> None:
    fault = Fault(kind="duplicate_start", rate=1.0, within_s=0.0)
    with Emulated(tmp_path / "c", faults=(fault,)) as cluster:
        script = "echo $$ >> starts; until [ -e go ]; do sleep 0.1; done"
        job = cluster.submit("-o", "/dev/null", "--wrap", script)
        wait_until(
            lambda: (
                len((cluster.work / "starts").read_text().split()) == 2
                if (cluster.work / "starts").exists()
                else None
            ),
            60,
            "two starts",
        )
        (cluster.work / "go").touch()
        cluster.wait_for(job, "COMPLETED")
        assert cluster.rows(job, "%T") == ["COMPLETED"]


def test_an_sbatch_is_refused_or_accepted_without_an_answer(tmp_path: Path) -> None:
    with Emulated(tmp_path / "c", faults=(Fault(kind="refuse", rate=1.0),)) as cluster:
        done = cluster.run("sbatch", "--wrap", "true")
        assert (done.returncode, "Job violates accounting/QOS policy" in done.stderr) == (1, True)
        assert cluster.out("squeue", "-h") == ""
        emulator.order_faults(cluster.directory, (Fault(kind="submit_timeout", rate=1.0),), seed=0)
        done = cluster.run("sbatch", "-H", "--wrap", "true")
        assert done.stderr == (
            "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n"
        )
        assert len(cluster.out("squeue", "-h").splitlines()) == 1


def test_a_dead_controller_does_not_answer_and_catches_up_later(tmp_path: Path) -> None:
    with Emulated(tmp_path / "c") as cluster:
        script = "echo up; until [ -e go ]; do sleep 0.1; done; echo over"
        job = cluster.submit("-o", "out", "--wrap", script)
        cluster.wait_file("out", "up")
        emulator.order_fault(cluster.directory, "controller_down", seconds=60.0)
        for argv, code in (
            (("squeue",), 1),
            (("sbatch", "--wrap", "true"), 1),
            (("scancel", str(job)), 8),
            (("sinfo",), 1),
            (("scontrol", "show", "job"), 1),
        ):
            done = cluster.run(*argv)
            assert (done.returncode, UNREACHABLE in done.stderr) == (code, True), argv
        (cluster.work / "go").touch()
        cluster.wait_file("out", "over")
        assert cluster.out("sacct", "-nPX", "-o", "State") == "RUNNING\n"
        emulator.order_fault(cluster.directory, "clear")
        cluster.wait_for(job, "COMPLETED")


def test_outages_of_accounting_and_a_slow_controller(tmp_path: Path) -> None:
    with Emulated(tmp_path / "c") as cluster:
        cluster.wait_for(cluster.submit("-o", "out", "--wrap", "true"), "COMPLETED")
        emulator.order_fault(cluster.directory, "accounting_down", seconds=60.0)
        done = cluster.run("sacct")
        assert (done.returncode, done.stderr.count("Connection refused")) == (1, 3)
        emulator.order_fault(cluster.directory, "clear")
        emulator.order_fault(cluster.directory, "accounting_late", seconds=3600.0)
        assert cluster.out("sacct", "-nPX") == ""
        emulator.order_fault(cluster.directory, "clear")
        assert cluster.out("sacct", "-nPX") != ""
        emulator.order_fault(cluster.directory, "controller_slow", seconds=60.0, delay_s=0.5)
        assert client.ask(cluster.directory, {"do": "queue", "ids": None})["delay"] == 0.5


def test_faults_end_with_the_configuration(tmp_path: Path) -> None:
    with Emulated(tmp_path / "c", faults=(Fault(kind="node_fail", rate=1.0),)) as cluster:
        emulator.order_faults(cluster.directory, (), seed=0)
        job = cluster.submit("-o", "out", "--wrap", "sleep 0.3")
        cluster.wait_for(job, "COMPLETED")
        assert emulator.load(cluster.directory).faults == ()


def test_the_command_injects_faults(tmp_path: Path) -> None:
    with Emulated(tmp_path / "c") as cluster:

        def fault(*argv: str) -> subprocess.CompletedProcess[str]:
            place = str(cluster.directory)
            return cluster.run(HPCSWEEP, "emulator", "fault", *argv, "--dir", place)

        job = cluster.submit("--no-requeue", "--array=0-1", "-o", "out%a", "--wrap", "sleep 60")
        cluster.wait_for(job, "RUNNING")
        assert fault("node_fail", "--job", f"{job}_1").returncode == 0
        wait_until(
            lambda: cluster.states(job)[f"{job}_1"] == "NODE_FAIL", 60, "the end of element 1"
        )
        assert cluster.states(job)[f"{job}_0"] == "RUNNING"
        assert fault("preempt", "--job", "99").returncode == 6
        assert fault("fire", "--job", "99").returncode == 3
        assert fault("refuse", "--rate", "1", "--seed", "5").returncode == 0
        assert cluster.run("sbatch", "--wrap", "true").returncode == 1
        assert fault("clear").returncode == 0
        assert cluster.run("sbatch", "-H", "--wrap", "true").returncode == 0
