"""What ends or delays a job: its memory, preemption, limits of accounts and QOS."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from hpcsweep.emulator import Partition, Qos
from tests.support.emulated import Emulated
from tests.support.wait import wait_until

# Takes 60 MB in a child and prints how that ended; the shell itself stays small.
GREEDY = (
    f"{sys.executable} -c 'import time; x = bytearray(60 << 20); time.sleep(60)'; "
    "echo ended with $?; exit 0"
)
TIERS = (
    Partition(name="low", priority_tier=1, preempt_mode="REQUEUE"),
    Partition(name="gone", priority_tier=1, preempt_mode="CANCEL"),
    Partition(name="high", priority_tier=2),
)


def test_the_kernel_kills_the_largest_process_and_the_job_is_out_of_memory(tmp_path: Path) -> None:
    with Emulated(tmp_path / "c", mem_poll_s=0.05) as cluster:
        job = cluster.submit("--mem=40", "-o", "out", "--wrap", GREEDY)
        cluster.wait_for(job, "OUT_OF_MEMORY")
        text = cluster.wait_file("out", "ended with 137")
        assert f"oom-kill event(s) in StepId={job}.batch" in text
        rows = cluster.out("sacct", "-nP", "-j", str(job), "-o", "State,ExitCode")
        assert rows == "OUT_OF_MEMORY|0:125\nOUT_OF_MEMORY|0:125\n"
        assert cluster.rows(job, "%t %r") == ["OOM OutOfMemory"]


def test_memory_is_not_enforced_without_a_limit_or_sampling(tmp_path: Path) -> None:
    quick = GREEDY.replace("time.sleep(60)", "time.sleep(0.4)")
    with Emulated(tmp_path / "c", mem_poll_s=0.05) as cluster:
        cluster.wait_for(cluster.submit("-o", "a", "--wrap", quick), "COMPLETED")
        cluster.wait_for(cluster.submit("-o", "a", "--mem=400", "--wrap", quick), "COMPLETED")
    with Emulated(tmp_path / "d", mem_poll_s=0.0) as cluster:
        cluster.wait_for(cluster.submit("-o", "a", "--mem=40", "--wrap", quick), "COMPLETED")


def test_a_higher_partition_takes_the_place(tmp_path: Path) -> None:
    with Emulated(tmp_path / "c", nodes=1, cpus=2, partitions=TIERS) as cluster:
        script = 'echo run $SLURM_RESTART_COUNT; [ -n "$SLURM_RESTART_COUNT" ] || sleep 60'
        low = cluster.submit("-o", "low", "--wrap", script)
        gone = cluster.submit("-p", "gone", "-o", "gone", "--wrap", "exec sleep 60")
        cluster.wait_for(low, "RUNNING")
        cluster.wait_for(gone, "RUNNING")
        high = cluster.submit("-p", "high", "-c", "2", "-o", "high", "--wrap", "sleep 0.5")
        cluster.wait_for(high, "COMPLETED")
        cluster.wait_for(low, "COMPLETED")
        assert cluster.states(gone) == {str(gone): "PREEMPTED"}
        assert "DUE TO PREEMPTION" in cluster.wait_file("gone")
        rows = cluster.out("sacct", "-nPXD", "-j", f"{low},{gone}", "-o", "JobID,State,ExitCode")
        assert sorted(rows.split()) == [
            f"{low}|COMPLETED|0:0",
            f"{low}|PREEMPTED|0:0",
            f"{gone}|PREEMPTED|0:0",
        ]


def test_equal_tiers_and_mode_off_are_not_preempted(tmp_path: Path) -> None:
    partitions = (Partition(name="off"), Partition(name="up", priority_tier=2), *TIERS[:1])
    with Emulated(tmp_path / "c", nodes=1, cpus=1, partitions=partitions) as cluster:
        first = cluster.submit("-p", "off", "-o", "a", "--wrap", "exec sleep 60")
        cluster.wait_for(first, "RUNNING")
        waits = cluster.submit("-p", "up", "-o", "b", "--wrap", "true")
        same = cluster.submit("-p", "low", "-o", "b", "--wrap", "true")
        wait_until(lambda: cluster.rows(waits, "%r") == ["Resources"], 60, "why it waits")
        assert cluster.states(first) == {str(first): "RUNNING"}
        assert cluster.states(same) == {str(same): "PENDING"}


def test_the_warning_comes_at_the_start_of_the_grace(tmp_path: Path) -> None:
    low = Partition(name="low", preempt_mode="REQUEUE", grace_s=60.0)
    settings = {"nodes": 1, "cpus": 1, "preempt_send_user_signal": True}
    with Emulated(tmp_path / "c", partitions=(low, TIERS[2]), **settings) as cluster:
        script = "trap 'echo warned; exit 0' USR1; echo up; while :; do sleep 0.05; done"
        job = cluster.submit("-o", "out", "--signal=B:USR1@10", "--wrap", script)
        cluster.wait_file("out", "up")
        cluster.submit("-p", "high", "-o", "b", "--wrap", "true")
        cluster.wait_file("out", "warned")
        cluster.wait_for(job, "COMPLETED")


def test_limits_of_accounts_and_qos(tmp_path: Path) -> None:
    qos = (
        Qos(name="normal", max_submit_per_user=3),
        Qos(name="one", max_jobs_per_user=1),
        Qos(name="quick", max_wall=5),
    )
    settings = {"strict": True, "qos": qos, "accounts": ("physics",), "account": "physics"}
    policy = (
        "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy "
        "(job submit limit, user's size and/or time limits)\n"
    )
    with Emulated(tmp_path / "c", max_submit_jobs=8, **settings) as cluster:
        done = cluster.run("sbatch", "--array=0-3", "--wrap", "true")
        assert (done.returncode, done.stderr) == (
            1,
            "sbatch: error: QOSMaxSubmitJobPerUserLimit\n" + policy,
        )
        done = cluster.run("sbatch", "-q", "one", "--array=0-8", "--wrap", "true")
        assert done.stderr == "sbatch: error: AssocMaxSubmitJobLimit\n" + policy
        done = cluster.run("sbatch", "-q", "nonesuch", "--wrap", "true")
        assert "Invalid qos specification" in done.stderr
        job = cluster.submit("-q", "one", "--array=0-1", "-o", "a", "--wrap", "sleep 60")
        wait_until(lambda: "QOSMaxJobsPerUserLimit" in cluster.rows(job, "%r"), 60, "one waits")
        long = cluster.submit("-q", "quick", "-t", "9", "-o", "a", "--wrap", "true")
        why = ["QOSMaxWallDurationPerJobLimit"]
        wait_until(lambda: cluster.rows(long, "%r") == why, 60, "why the long one waits")
        shown = cluster.out("sacctmgr", "-nP", "show", "qos", "format=name,maxsubmitpu,maxwall")
        assert shown == "normal|3|\none||\nquick||00:05:00\n"
        shown = cluster.out("sacctmgr", "-nP", "show", "assoc", "format=account,user,maxsubmit")
        assert shown == f"physics||8\nphysics|{getpass.getuser()}|8\n"


def test_a_node_that_fails_takes_its_steps_along(tmp_path: Path) -> None:
    with Emulated(tmp_path / "c") as cluster:
        job = cluster.submit(
            "--no-requeue", "-o", "out", "--wrap", "srun sh -c 'echo up; sleep 60'"
        )
        cluster.wait_file("out", "up")
        cluster.out("scontrol", "update", "nodename=n1", "state=down", "reason=power")
        cluster.wait_for(job, "NODE_FAIL")
        rows = cluster.out("sacct", "-nP", "-j", str(job), "-o", "JobID,State")
        assert f"{job}.0|CANCELLED" in rows.split()
