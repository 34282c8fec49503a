"""squeue, sacct, scancel, scontrol and sinfo: words, formats and exit codes of Slurm 22.05.8."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcsweep import emulator
from tests.support.emulated import Emulated
from tests.support.wait import wait_until

HEADER = "             JOBID PARTITION     NAME     USER ST       TIME  NODES NODELIST(REASON)\n"
INVALID = "slurm_load_jobs error: Invalid job id specified\n"
RELEASE = "Invalid job id specified for job 99999\nslurm_suspend error: Invalid job id specified\n"
SINFO = (
    "PARTITION AVAIL  TIMELIMIT  NODES  STATE NODELIST\n"
    "main*        up   infinite      4   idle n[1-4]\n"
)
KILL = "scancel: error: Kill job error on job id"
UNKNOWN_STATES = (
    "squeue: error: Invalid job state specified: FOO\n"
    "squeue: error: Valid job states include: PENDING,RUNNING,SUSPENDED,COMPLETED,CANCELLED,"
    "FAILED,TIMEOUT,NODE_FAIL,PREEMPTED,BOOT_FAIL,DEADLINE,OUT_OF_MEMORY,COMPLETING,CONFIGURING,"
    "RESIZING,RESV_DEL_HOLD,REQUEUED,REQUEUE_FED,REQUEUE_HOLD,REVOKED,SIGNALING,SPECIAL_EXIT,"
    "STAGE_OUT,STOPPED\n\n"
)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    """Job 1 is a held array of four, job 2 a plain job that failed; nothing of it moves."""
    with Emulated(tmp_path_factory.mktemp("queries") / "state", time_scale=0.001) as one:
        assert one.submit("-H", "--array=0-3%2", "-J", "held", "--wrap", "true") == 1
        assert one.submit("-o", "/dev/null", "--wrap", "exit 3") == 2
        one.wait_for(2, "FAILED")
        yield one


@pytest.mark.parametrize(
    ("command", "code", "stdout", "stderr"),
    [
        ("squeue -j 99999999", 1, "", INVALID),
        ("squeue -h -j 99999999,1_9", 0, "", ""),
        ("squeue -j 99999999,99999998", 0, HEADER, ""),
        ("squeue -j abc", 1, "", "squeue: error: Invalid job id: abc\n"),
        ("squeue -j 2", 0, HEADER, ""),
        ("squeue -j ''", 0, HEADER, ""),
        ("squeue -h -j 2 -t all -o '%i %t %r'", 0, "2 F NonZeroExitCode\n", ""),
        ("squeue -h -j 2 -t all -o %R", 0, "(NonZeroExitCode)\n", ""),
        ("squeue -h -o '%i|%A|%F|%K|%T|%j'", 0, "1_[0-3%2]|1|1|0-3%2|PENDING|held\n", ""),
        ("squeue -h -o '[%10i][%.10j][%2j]'", 0, "[1_[0-3%2] ][      held][he]\n", ""),
        ("squeue -h -r -j 1_2,1_3 -o %i", 0, "1_2\n1_3\n", ""),
        ("squeue -h -j 1_2,1_3 -o %i", 0, "1_[2-3%2]\n", ""),
        ("squeue -h -n other", 0, "", ""),
        ("squeue -h -n held,other -t pd --me -o %i", 0, "1_[0-3%2]\n", ""),
        ("squeue -t FOO", 1, "", UNKNOWN_STATES),
        ("squeue -h -u nosuchuser", 0, "", "squeue: error: Invalid user: nosuchuser\n\n"),
        (
            "squeue --bogus",
            1,
            "",
            "squeue: unrecognized option '--bogus'\nTry \"squeue --help\" for more information\n",
        ),
        (
            "squeue --yaml",
            1,
            "",
            "squeue: error: hpcsweep emulator: option --yaml is not emulated\n",
        ),
        (
            "squeue -o %!",
            1,
            "",
            "squeue: error: hpcsweep emulator: format field %! is not emulated\n",
        ),
        ("squeue --version", 0, "slurm-wlm 22.05.8\n", ""),
        ("sacct -n -P -j 99999999", 0, "", ""),
        ("sacct -n -P -j 1", 0, "", ""),
        ("sacct -n -P -X -j 2 -o jobid,state,exitcode", 0, "2|FAILED|3:0\n", ""),
        ("sacct -P -X -j 2 -o jobid,state", 0, "JobID|State\n2|FAILED\n", ""),
        ("sacct -n -p -X -j 2 -o jobid,state", 0, "2|FAILED|\n", ""),
        ("sacct -n -P -j 2.batch -o jobid,state", 0, "2.batch|FAILED\n", ""),
        ("sacct -n -P -X -b", 0, "2|FAILED|3:0\n", ""),
        ("sacct -n -P -X -s CD -o jobid", 0, "", ""),
        ("sacct -n -P -X -s F,CD -S now-1hour -E now -o jobid", 0, "2\n", ""),
        ("sacct -n -P -X -s F,CD -S now-1hour -o jobid", 0, "", ""),
        ("sacct -n -P -X -E now-1hour -o jobid", 0, "", ""),
        ("sacct -n -X -j 2 -o jobid,jobname%3,state%20", 0, f"2{' ' * 12}wr+{'FAILED':>21} \n", ""),
        ("sacct -j abc", 1, "", "sacct: fatal: Bad job/step specified: abc\n"),
        ("sacct -j 1_[1-3]", 1, "", "sacct: fatal: Bad job array element specified: 1\n"),
        ("sacct -o bogus", 1, "", 'sacct: error: Invalid field requested: "bogus"\n'),
        (
            "sacct --json",
            1,
            "",
            "sacct: error: hpcsweep emulator: option --json is not emulated\n",
        ),
        ("sacct -s BOGUS", 1, "", "sacct: fatal: unrecognized job state value 'BOGUS'\n"),
        ("sacct --array", 1, "", "sacct: unrecognized option '--array'\n"),
        ("scancel", 1, "", "scancel: error: No job identification provided\n"),
        ("scancel abc", 1, "", "scancel: error: Invalid job id abc\n"),
        ("scancel 1 abc", 1, "", "scancel: error: Invalid job id abc\n"),
        ("scancel 1_x", 1, "", "scancel: error: Invalid job id 1_x\n"),
        ("scancel 1.batch", 1, "", "scancel: error: Invalid job id 1.batch\n"),
        ("scancel 1_", 0, "", ""),
        ("scancel 1_77 2 9999999", 0, "", ""),
        (
            "scancel -v 9999999",
            0,
            "",
            f"scancel: Terminating job 9999999\n{KILL} 9999999: Invalid job id specified\n",
        ),
        ("scancel --signal=USR1 9999999", 1, "", f"{KILL} 9999999: Invalid job id specified\n"),
        ("scancel 2 --signal SIGTERM", 1, "", f"{KILL} 2: Invalid job id specified\n"),
        (
            "scancel -s USR1 1_3",
            228,
            "",
            f"{KILL} 1_[0-3%2]: Job can not be altered now, try again later\n",
        ),
        ("scancel -s FOO 1", 1, "", "Unknown job signal: FOO\n"),
        ("scancel -u nosuchuser", 1, "", "scancel: error: Invalid user name: nosuchuser\n"),
        ("scancel -n nosuchjob", 0, "", ""),
        ("scontrol show job 99999999", 1, "", INVALID),
        ("scontrol show job abc", 1, "", "scontrol_print_job error: Invalid job id specified\n"),
        ("scontrol show job 1_99", 1, "Job 1_99 not found\n", ""),
        ("scontrol bogus", 1, "", "invalid keyword: bogus\n"),
        ("scontrol show bogus", 1, "", "invalid entity:bogus for keyword:show \n"),
        (
            "scontrol reconfigure",
            1,
            "",
            "scontrol: error: hpcsweep emulator: command reconfigure is not emulated\n",
        ),
        ("scontrol requeue", 1, "", "too few arguments for keyword:requeue\n"),
        ("scontrol requeue 99999", 1, "", "Invalid job id specified for job 99999\n"),
        ("scontrol requeue 1", 1, "", "1_0-3: Job is pending execution\n"),
        (
            "scontrol release 99999",
            1,
            "",
            RELEASE,
        ),
        (
            "scontrol update nodename=n9 state=resume",
            1,
            "",
            "slurm_update error: Invalid node name specified\n",
        ),
        (
            "srun --relative=1 hostname",
            1,
            "",
            "srun: error: hpcsweep emulator: option --relative is not emulated\n",
        ),
        ("sinfo", 0, SINFO, ""),
        ("sinfo -h -o '%P %a %D %T %C'", 0, "main* up 4 idle 0/16/0/16\n", ""),
    ],
)
def test_queries_print_what_slurm_prints(
    cluster: Emulated, command: str, code: int, stdout: str, stderr: str
) -> None:
    done = cluster.run("sh", "-c", command)
    assert (done.returncode, done.stdout, done.stderr) == (code, stdout, stderr)


def test_a_row_of_the_queue(cluster: Emulated) -> None:
    user = cluster.out("id", "-un").strip()[:8]
    row = f"         1_[0-3%2]      main     held {user:>8} PD       0:00      1 (JobHeldUser)\n"
    assert cluster.out("squeue") == HEADER + row


def test_the_configuration(cluster: Emulated) -> None:
    text = cluster.out("scontrol", "show", "config")
    values = dict(line.split("=", 1) for line in text.splitlines() if " = " in line)
    shown = {key.strip(): value.strip() for key, value in values.items()}
    expected = {
        "ClusterName": "emulated",
        "MaxArraySize": "1001",
        "MaxJobCount": "10000",
        "MinJobAge": "300 sec",
        "KillWait": "1 sec",
        "SLURM_VERSION": "22.05.8",
    }
    assert {key: shown[key] for key in expected} == expected
    assert text.startswith("Configuration data as of 20")
    assert text.endswith(" is UP\n")


def test_a_job_in_full(cluster: Emulated) -> None:
    line = cluster.out("scontrol", "-o", "show", "job", "1_2")
    assert line.startswith("JobId=1 ArrayJobId=1 ArrayTaskId=2 ArrayTaskThrottle=2 JobName=held ")
    assert " JobState=PENDING Reason=JobHeldUser Dependency=(null) Requeue=1 Restarts=0 " in line
    assert f" StdOut={cluster.work}/slurm-1_2.out " in line
    whole = cluster.out("scontrol", "show", "job", "1")
    assert f"\n   StdOut={cluster.work}/slurm-1_4294967294.out\n" in whole
    assert "ArrayTaskId=0-3%2 " in whole


def test_partitions_and_nodes(cluster: Emulated) -> None:
    assert "\n   State=UP TotalCPUs=16 TotalNodes=4 " in cluster.out(
        "scontrol", "show", "partition"
    )
    line = cluster.out("scontrol", "show", "node", "n3", "-o")
    assert line.startswith("NodeName=n3 Arch=")
    assert " CPUTot=4 " in line
    assert " RealMemory=4000 " in line


def test_a_long_array_is_cut(tmp_path: Path) -> None:
    with Emulated(tmp_path / "long") as cluster:
        ids = ",".join(str(number) for number in [*range(0, 400, 3), 401])
        job = cluster.submit("-H", f"--array={ids}", "--wrap", "true")
        assert cluster.out("squeue", "-h", "-o", "%i") == f"{job}_[{ids}"[:31] + "\n"
        whole = cluster.out("squeue", "-h", "-o", "%i", SLURM_BITSTR_LEN="0")
        assert whole == f"{job}_[{ids}]\n"
        assert cluster.rows(job, "%K") == ids.split(",")


def test_waiting_elements_share_a_row(tmp_path: Path) -> None:
    with Emulated(tmp_path / "share") as share:
        job = share.submit("-H", "--array=0-3%2", "--wrap", "true")
        share.out("scontrol", "hold", f"{job}_2")
        assert share.out("squeue", "-h", "-o", "%i") == f"{job}_[0-3]\n"
        assert len(share.rows(job)) == 4
        share.out("scontrol", "update", f"jobid={job}", "arraytaskthrottle=5")
        share.out("scancel", f"{job}_2")
        assert share.out("squeue", "-h", "-o", "%i") == f"{job}_[0-1,3%5]\n"


def test_late_accounting_shows_phantoms(tmp_path: Path) -> None:
    with Emulated(tmp_path / "late", acct_lag_s=6.0, phantom_rows=True) as late:
        job = late.submit("--array=0", "-o", "x.o", "--wrap", "echo up; exec sleep 60")
        late.wait_file("x.o", "up")
        argv = ["sacct", "-n", "-P", "-j", str(job), "-o", "jobid,jobidraw,jobname,state,exitcode"]
        phantom = f"{job}|{job}|allocation|PENDING|0:0\n"
        batch = f"{job}.batch|{job}.batch|batch|RUNNING|0:0\n"
        emulator.order_fault(late.directory, "accounting_late", seconds=3600.0)
        assert late.out(*argv) == phantom + batch
        emulator.order_fault(late.directory, "clear")
        true = f"{job}_0|{job}|wrap|RUNNING|0:0\n{job}_0.batch|{job}.batch|batch|RUNNING|0:0\n"
        wait_until(lambda: late.out(*argv) == true, 60, "the true rows", poll_s=0.5)
        late.out("scancel", str(job))
        late.wait_for(job, "CANCELLED")
        assert late.out(*argv) == true
        uid = os.getuid()
        over = f"{job}_0|{job}|wrap|CANCELLED by {uid}|0:0"
        wait_until(lambda: late.out(*argv).startswith(over), 60, "the end", poll_s=0.5)


def test_finished_jobs_are_forgotten(tmp_path: Path) -> None:
    with Emulated(tmp_path / "short", min_job_age_s=0.2) as short:
        job = short.submit("-o", "x.o", "--wrap", "echo up")
        short.wait_file("x.o", "up")
        argv = ("squeue", "-h", "-t", "all", "-j", str(job))
        wait_until(lambda: short.run(*argv).stderr == INVALID, 60, "the job's end")
        assert short.out("sacct", "-n", "-P", "-X", "-j", str(job), "-o", "state") == "COMPLETED\n"
        assert not (short.directory / "submissions" / str(job)).exists()
