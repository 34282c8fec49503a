"""The private Slurm that other tests stand on: it runs arrays, keeps its state, leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import slurm_cluster
from tests.support.fixtures import MakeSlurm, require_slurm
from tests.support.processes import owned_by
from tests.support.slurm_cluster import REPOSITORY, PrivateSlurm, SlurmDidNotStart
from tests.support.slurm_config import SlurmOptions
from tests.support.wait import wait_until


def submit(cluster: PrivateSlurm, script: str, *options: str) -> str:
    """The job id of a small job whose output goes nowhere."""
    command = ("sbatch", "--parsable", "--output=/dev/null", *options, f"--wrap={script}")
    return cluster.run(*command).stdout.strip()


def states(cluster: PrivateSlurm, job: str) -> dict[str, str]:
    """What sacct says of each element; empty while it still has its provisional row."""
    rows = cluster.run("sacct", "-X", "-n", "-P", "-j", job, "-o", "JobID,JobName,State").stdout
    fields = [line.split("|") for line in rows.splitlines()]
    return {element: state for element, name, state in fields if name != "allocation"}


def queue(cluster: PrivateSlurm, job: str) -> dict[str, str]:
    """What squeue says of each element."""
    rows = cluster.run("squeue", "-h", "-r", "-j", job, "-o", "%i %T").stdout
    return dict(line.split() for line in rows.splitlines())


def test_array_of_three_completes(slurm: PrivateSlurm, tmp_path: Path) -> None:
    job = submit(slurm, f"touch {tmp_path}/$SLURM_ARRAY_TASK_ID", "--array=0-2")
    wanted = {f"{job}_{element}": "COMPLETED" for element in range(3)}
    wait_until(
        lambda: (seen := states(slurm, job)) == wanted or str(seen), 60, "sacct: 3 completed"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]


def test_queue_shows_one_row_an_element(slurm: PrivateSlurm) -> None:
    job = submit(slurm, "true", "--array=0-3", "--hold")
    assert queue(slurm, job) == {f"{job}_{element}": "PENDING" for element in range(4)}
    slurm.run("scancel", job)


def test_four_nodes_of_four_cpus(slurm: PrivateSlurm) -> None:
    nodes = slurm.run("sinfo", "-h", "-N", "-o", "%N %c %m").stdout.splitlines()
    assert sorted(nodes) == [f"n{number} 4 4000" for number in range(1, 5)]


def test_restarted_controller_keeps_its_jobs(private_slurm: MakeSlurm) -> None:
    cluster = private_slurm()
    job = submit(cluster, "sleep 600", "--array=0-1")
    running = {f"{job}_0": "RUNNING", f"{job}_1": "RUNNING"}
    wait_until(lambda: (seen := queue(cluster, job)) == running or str(seen), 30, "both run")
    before = cluster.pids()["slurmctld"]

    cluster.restart_controller()

    assert cluster.pids()["slurmctld"] != before
    assert queue(cluster, job) == running


def test_dead_controller_is_dead_until_it_is_started(private_slurm: MakeSlurm) -> None:
    cluster = private_slurm(accounting=False)
    cluster.kill_controller()
    ping = cluster.run("scontrol", "ping", check=False)
    assert "is DOWN" in ping.stdout
    cluster.restart_controller()
    assert "is UP" in cluster.run("scontrol", "ping").stdout


def test_killed_node_takes_its_jobs_with_it_and_comes_back(
    private_slurm: MakeSlurm, tmp_path: Path
) -> None:
    cluster = private_slurm(accounting=False)
    started = tmp_path / "started"
    # Its own session and no environment: nothing but its parent tells whose it is.
    script = f"setsid env -i /bin/sh -c 'echo $$ >{started}; exec sleep 600'"
    submit(cluster, script, "--nodelist=n2", "--no-requeue")
    pid = wait_until(lambda: started.exists() and int(started.read_text() or 0), 30, "the job")
    assert pid in owned_by(cluster.directory)

    cluster.kill_node("n2")

    assert "slurmd.n2" not in cluster.pids()
    wait_until(lambda: pid not in owned_by(cluster.directory), 60, "the end of the job's process")
    cluster.start_node("n2")
    cluster.wait_ready()
    # The controller shows the lost job as running for more than a minute, so it proves nothing.
    submit(cluster, f"touch {tmp_path}/again", "--nodelist=n2")
    wait_until((tmp_path / "again").exists, 30, "another job on n2")


def test_options_reach_the_configuration(private_slurm: MakeSlurm) -> None:
    cluster = private_slurm(
        accounting=False,
        cluster_name="mine",
        kill_wait=3,
        min_job_age=7,
        max_array_size=11,
        cred_expire=9,
        nodes=1,
        extra=("DefMemPerCPU=17", "InactiveLimit=23"),
    )
    text = cluster.run("scontrol", "show", "config").stdout
    shown = {key.strip(): value.strip() for key, _, value in map(_halves, text.splitlines())}
    assert shown["ClusterName"] == "mine"
    assert shown["KillWait"] == "3 sec"
    assert shown["MinJobAge"] == "7 sec"
    assert shown["MaxArraySize"] == "11"
    assert shown["AuthInfo"].endswith("cred_expire=9")
    assert shown["DefMemPerCPU"] == "17"
    assert shown["InactiveLimit"] == "23 sec"
    refused = cluster.run("sacct", check=False)
    assert (refused.returncode, refused.stderr) == (1, "Slurm accounting storage is disabled\n")


def _halves(line: str) -> tuple[str, str, str]:
    return line.partition("=")


def test_two_clusters_live_side_by_side(slurm: PrivateSlurm, private_slurm: MakeSlurm) -> None:
    other = private_slurm()
    held = submit(other, "true", "--hold")
    assert queue(other, held)
    assert other.name not in slurm.run("sacctmgr", "-n", "-P", "list", "cluster").stdout


def test_stop_leaves_nothing(private_slurm: MakeSlurm) -> None:
    cluster = private_slurm()
    submit(cluster, "sleep 600 & setsid sleep 600", "--array=0-3")
    wait_until(lambda: _count(cluster, "sleep 600") == 8, 30, "8 processes of 4 jobs")
    before = set(owned_by(cluster.directory))
    assert set(cluster.pids().values()) <= before

    cluster.stop()

    assert not {pid for pid in before if Path(f"/proc/{pid}/cmdline").exists() and _alive(pid)}
    assert owned_by(cluster.directory) == {}
    assert not cluster.directory.exists()


def _count(cluster: PrivateSlurm, command: str) -> int:
    return list(owned_by(cluster.directory).values()).count(command)


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").read_bytes() != b""


@pytest.mark.usefixtures("private_slurm")
def test_killed_test_run_leaves_nothing() -> None:
    script = (
        "import sys\n"
        "from tests.support.slurm_cluster import PrivateSlurm\n"
        "cluster = PrivateSlurm()\n"
        "cluster.start()\n"
        "print(cluster.directory, flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        directory = Path(run.stdout.readline().strip())
        assert len(owned_by(directory)) >= 8
        os.kill(run.pid, signal.SIGKILL)
    wait_until(lambda: not directory.exists() or str(owned_by(directory)), 30, "all is gone")
    assert owned_by(directory) == {}


@pytest.mark.usefixtures("private_slurm")
def test_a_failed_start_gives_the_reason_and_leaves_nothing() -> None:
    cluster = PrivateSlurm(SlurmOptions(accounting=False, extra=("NoSuchKey=1",)))
    with pytest.raises(SlurmDidNotStart, match="NoSuchKey"):
        cluster.start()
    assert not cluster.directory.exists()


def test_missing_slurm_skips_on_a_laptop_and_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_cluster, "PATH", "/nonexistent")
    monkeypatch.delenv("CI", raising=False)
    packages = "apt-get install mariadb-server munge slurm-wlm slurmdbd"
    with pytest.raises(pytest.skip.Exception, match=packages):
        require_slurm()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match=packages):
        require_slurm()


def test_only_root_starts_a_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_cluster, "PACKAGES", {})
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="root"):
        require_slurm()
