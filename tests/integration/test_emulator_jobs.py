"""Jobs on the emulated cluster: what they see, what they leave, how they end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.emulated import Emulated
from tests.support.processes import owned_by
from tests.support.wait import wait_until


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulated]:
    # A minute of --time takes 0.6 s.
    with Emulated(tmp_path_factory.mktemp("jobs") / "state", time_scale=0.01) as one:
        yield one


def accounting(cluster: Emulated, job: int, fields: str, *options: str) -> list[str]:
    """Rows of sacct."""
    argv = ["sacct", "-n", "-P", "-j", str(job), "-o", fields, *options]
    return cluster.out(*argv).splitlines()


def variables(text: str) -> dict[str, str]:
    """What `env` printed."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def test_a_small_array(cluster: Emulated) -> None:
    job = cluster.submit(
        "--array=3-9:3%2",
        "-c",
        "2",
        "--mem=100",
        "-t",
        "5",
        "-J",
        "arr",
        "-o",
        "env_%a.txt",
        "--wrap",
        "env | sort; echo done",
    )
    cluster.wait_for(job, "COMPLETED")
    seen = variables(cluster.wait_file("env_6.txt", "done"))
    raw = {
        row.split("|")[0]: row.split("|")[1] for row in accounting(cluster, job, "jobid,jobidraw")
    }
    assert raw[f"{job}_9"] == str(job)  # the last element keeps the base id
    node = seen["SLURM_JOB_NODELIST"]
    expected = {
        "ENVIRONMENT": "BATCH",
        "HOSTNAME": node,
        "SLURMD_NODENAME": node,
        "SLURM_ARRAY_JOB_ID": str(job),
        "SLURM_ARRAY_TASK_COUNT": "3",
        "SLURM_ARRAY_TASK_ID": "6",
        "SLURM_ARRAY_TASK_MAX": "9",
        "SLURM_ARRAY_TASK_MIN": "3",
        "SLURM_ARRAY_TASK_STEP": "3",
        "SLURM_CLUSTER_NAME": "emulated",
        "SLURM_CPUS_ON_NODE": "2",
        "SLURM_CPUS_PER_TASK": "2",
        "SLURM_JOBID": raw[f"{job}_6"],
        "SLURM_JOB_ID": raw[f"{job}_6"],
        "SLURM_JOB_NAME": "arr",
        "SLURM_JOB_PARTITION": "main",
        "SLURM_JOB_UID": str(os.getuid()),
        "SLURM_MEM_PER_NODE": "100",
        "SLURM_NNODES": "1",
        "SLURM_NODELIST": node,
        "SLURM_NODE_ALIASES": "(null)",
        "SLURM_PROCID": "0",
        "SLURM_SUBMIT_DIR": str(cluster.work),
        "SLURM_TASKS_PER_NODE": "1",
        "SLURM_TOPOLOGY_ADDR_PATTERN": "node",
    }
    assert {name: seen.get(name) for name in expected} == expected
    assert not {"SLURM_RESTART_COUNT", "SLURM_NTASKS", "SLURM_EXPORT_ENV"} & set(seen)


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("ALL", {"FOO": "foo", "BAR": "bar"}),
        ("NONE", {"SLURM_EXPORT_ENV": "NONE", "SLURM_GET_USER_ENV": "1"}),
        ("FOO,X=7", {"FOO": "foo", "X": "7", "SLURM_EXPORT_ENV": "FOO,X=7"}),
        ("ALL,FOO=other", {"FOO": "other", "BAR": "bar"}),
        ('X="a,b c",FOO', {"X": '"a,b c"', "FOO": "foo"}),
        ("X=a,Y=b=c", {"X": "a", "Y": "b=c"}),
    ],
)
def test_export(cluster: Emulated, option: str, expected: dict[str, str]) -> None:
    job = cluster.submit(
        f"--export={option}", "-o", "%j.env", "--wrap", "env; echo end", FOO="foo", BAR="bar"
    )
    seen = variables(cluster.wait_file(f"{job}.env", "end"))
    names = ("FOO", "BAR", "X", "Y")
    assert {name: seen[name] for name in names if name in seen} == {
        name: value for name, value in expected.items() if name in names
    }
    assert expected.items() <= seen.items()
    assert {"HOME", "PATH", "USER"} <= set(seen) or "ALL" in option


def test_names_of_output_files(cluster: Emulated) -> None:
    pattern = "A%A_a%3a_j%j_x%x_n%n_t%t_s%s_b%b_pc%%.o"
    job = cluster.submit(
        "-J", "nm", "--array=4", "-o", pattern, "-e", "%A.e", "--wrap", "echo >&2 e"
    )
    cluster.wait_for(job, "COMPLETED")
    assert (cluster.work / f"A{job}_a004_j{job}_xnm_n0_t0_sbatch_b%b_pc%.o").exists()
    assert (cluster.work / f"{job}.e").read_text() == "e\n"
    plain = cluster.submit("--wrap", "echo x; echo y >&2")
    cluster.wait_for(plain, "COMPLETED")
    assert (cluster.work / f"slurm-{plain}.out").read_text() == "x\ny\n"


def test_append_truncate_and_directories(cluster: Emulated) -> None:
    for name in ("append.o", "truncate.o"):
        (cluster.work / name).write_text("old\n")
    first = cluster.submit("-o", "append.o", "--open-mode=append", "--wrap", "echo new")
    second = cluster.submit("-o", "truncate.o", "--wrap", "echo new")
    where = cluster.submit("-D", "/nonexist", "-o", f"{cluster.work}/where.o", "--wrap", "pwd")
    for job in (first, second, where):
        cluster.wait_for(job, "COMPLETED")
    assert (cluster.work / "append.o").read_text() == "old\nnew\n"
    assert (cluster.work / "truncate.o").read_text() == "new\n"
    said = (
        "slurmstepd-n1: error: couldn't chdir to `/nonexist': No such file or directory: "
        "going to /tmp instead\n"
    )
    assert (cluster.work / "where.o").read_text() == 2 * said + "/tmp\n"


@pytest.mark.parametrize(
    ("script", "queue", "job_row", "batch_row"),
    [
        ("exit 0", "COMPLETED None", "COMPLETED|0:0", "COMPLETED|0:0"),
        ("exit 3", "FAILED NonZeroExitCode", "FAILED|3:0", "FAILED|3:0"),
        ("exit 137", "FAILED NonZeroExitCode", "FAILED|9:0", "FAILED|9:0"),
        ("nosuchcommand", "FAILED NonZeroExitCode", "FAILED|127:0", "FAILED|127:0"),
        ("kill -SEGV $$", "FAILED JobLaunchFailure", "FAILED|0:11", "CANCELLED|0:11"),
    ],
)
def test_endings(cluster: Emulated, script: str, queue: str, job_row: str, batch_row: str) -> None:
    job = cluster.submit("-o", "/dev/null", "--wrap", script)
    cluster.wait_for(job, "COMPLETED", "FAILED")
    assert cluster.rows(job, "%T %r") == [queue]
    rows = accounting(cluster, job, "jobid,state,exitcode")
    assert rows == [f"{job}|{job_row}", f"{job}.batch|{batch_row}"]


def test_jobs_that_cannot_start(cluster: Emulated) -> None:
    job = cluster.submit("-o", "/nonexistent/dir/%j.o", "--wrap", "touch ran")
    cluster.wait_for(job, "FAILED")
    assert cluster.rows(job, "%r") == ["JobLaunchFailure"]
    rows = accounting(cluster, job, "jobid,state,exitcode")
    assert rows == [f"{job}|FAILED|0:53", f"{job}.batch|CANCELLED|0:53"]
    assert not (cluster.work / "ran").exists()
    done = cluster.run("sbatch", "--parsable", "-o", "bad.o", stdin="#!/nonexistent/interp\n")
    cluster.wait_for(int(done.stdout), "FAILED")
    assert accounting(cluster, int(done.stdout), "state,exitcode", "-X") == ["FAILED|2:0"]
    said = "execve(): bad interpreter(/nonexistent/interp): No such file or directory\n"
    assert cluster.wait_file("bad.o") == f"slurmstepd-n1: error: {said}"


def test_throttle_and_partly_cancelled_array(cluster: Emulated) -> None:
    job = cluster.submit("--array=0-9%3", "-o", "c_%a.o", "--wrap", "echo up; exec sleep 60")
    for task in range(3):
        cluster.wait_file(f"c_{task}.o", "up")
    argv = ["squeue", "-h", "-j", str(job), "-o"]
    assert f"{job}_[3-9%3] JobArrayTaskLimit" in cluster.out(*argv, "%i %r").splitlines()
    cluster.out("scancel", f"{job}_8")
    cluster.out("scancel", f"{job}_[5-6]")
    assert f"{job}_[3-4,7,9%3]" in cluster.out(*argv, "%i").splitlines()
    cluster.out("scancel", f"{job}_1")
    cluster.wait_file("c_3.o", "up")
    cluster.out("scancel", str(job))
    cluster.wait_for(job, "CANCELLED")
    uid = os.getuid()
    rows = accounting(cluster, job, "jobid,state,exitcode,start", "-X")
    assert [row.rpartition("|")[0] for row in rows] == [
        *(f"{job}_{task}|CANCELLED by {uid}|0:0" for task in range(4)),
        f"{job}_[4,7,9%3]|CANCELLED by {uid}|0:0",
    ]
    assert rows[-1].endswith("|None")
    said = cluster.wait_file("c_0.o", "CANCELLED")
    assert "slurmstepd-n1: error: *** JOB " in said
    assert accounting(cluster, job, "jobid", "--name=other") == []


def test_cancel_reaches_all_processes_and_kills_after_kill_wait(cluster: Emulated) -> None:
    script = (
        "trap 'echo shell TERM' TERM\n"
        "(trap 'echo child TERM' TERM; setsid sleep 77 & echo up; while :; do wait; done) &\n"
        "while :; do wait; done"
    )
    job = cluster.submit("-o", "kill.o", "--wrap", script)
    cluster.wait_file("kill.o", "up")
    cluster.out("scancel", str(job))
    cluster.wait_for(job, "CANCELLED")
    text = (cluster.work / "kill.o").read_text()
    assert "shell TERM" in text
    assert "child TERM" in text
    assert accounting(cluster, job, "state,exitcode")[1] == "CANCELLED|0:9"
    left = {pid: line for pid, line in owned_by(cluster.directory).items() if "sleep 77" in line}
    assert left == {}


def test_scopes_of_a_signal(cluster: Emulated) -> None:
    script = (
        "trap 'echo shell USR1' USR1; trap 'echo shell USR2' USR2\n"
        "(trap 'echo child USR1' USR1; trap 'echo child USR2' USR2; echo up\n"
        "while :; do sleep 60 & wait; done) &\n"
        "while :; do wait; done"
    )
    job = cluster.submit("-o", "signals.o", "--wrap", script)
    cluster.wait_file("signals.o", "up")
    cluster.out("scancel", "-s", "USR1", str(job))  # srun's steps only: nobody
    cluster.out("scancel", "-b", "-s", "USR1", str(job))
    cluster.wait_file("signals.o", "shell USR1")
    cluster.out("scancel", "-f", "-s", "SIGUSR2", str(job))
    cluster.wait_file("signals.o", "shell USR2")
    text = cluster.wait_file("signals.o", "child USR2")
    assert text.count("USR1") == 1
    cluster.out("scancel", str(job))


def test_time_limit_and_warning(cluster: Emulated) -> None:
    script = "trap 'echo warned; date' USR2\necho up\nwhile :; do sleep 60 & wait $!; done"
    job = cluster.submit("-t", "100", "--signal=B:USR2@3600", "-o", "limit.o", "--wrap", script)
    free = cluster.submit("-t", "3", "--signal=USR2@90", "--wrap", "exec sleep 60")
    script = "trap 'exit 7' TERM; echo up; sleep 60 & wait"
    trap = cluster.submit("-t", "100", "-o", "trap.o", "--wrap", script)
    # The shells have their traps: one job is warned now, and its limit comes later.
    cluster.wait_file("limit.o", "up")
    cluster.out("scontrol", "update", f"jobid={job}", "timelimit=10")
    cluster.wait_file("trap.o", "up")
    cluster.out("scontrol", "update", f"jobid={trap}", "timelimit=1")
    cluster.wait_for(job, "TIMEOUT")
    text = cluster.wait_file("limit.o", "DUE TO TIME LIMIT ***")
    assert text.index("warned") < text.index("slurmstepd-n1: error: *** JOB")
    assert cluster.rows(job, "%r") == ["TimeLimit"]
    cluster.wait_for(free, "TIMEOUT")
    assert accounting(cluster, free, "state,exitcode") == ["TIMEOUT|0:0", "CANCELLED|0:15"]
    cluster.wait_for(trap, "TIMEOUT")
    assert accounting(cluster, trap, "state,exitcode") == ["TIMEOUT|0:0", "FAILED|7:0"]


def test_the_time_left_is_in_real_seconds(cluster: Emulated) -> None:
    job = cluster.submit("-t", "1000", "--wrap", "exec sleep 60")
    cluster.wait_for(job, "RUNNING")
    (row,) = cluster.rows(job, "%l %L")
    limit, left = row.split(" ")
    assert limit == "16:40:00"
    assert 0 < sum(int(n) * 60**i for i, n in enumerate(reversed(left.split(":")))) <= 600
    cluster.out("scancel", str(job))


def test_requeue(cluster: Emulated) -> None:
    script = 'echo run ${SLURM_RESTART_COUNT-none}; test -n "$SLURM_RESTART_COUNT" || exec sleep 60'
    job = cluster.submit("--open-mode=append", "-o", "again.o", "--array=0", "--wrap", script)
    cluster.wait_file("again.o", "run none")
    cluster.out("scontrol", "requeue", f"{job}_0")
    cluster.wait_for(job, "COMPLETED")
    text = (cluster.work / "again.o").read_text()
    assert text.startswith("run none\nslurmstepd-n1: error: *** JOB ")
    assert text.endswith("DUE TO JOB REQUEUE ***\nrun 1\n")
    assert accounting(cluster, job, "jobid,state", "-X") == [f"{job}_0|COMPLETED"]
    runs = accounting(cluster, job, "jobid,state", "-X", "-D")
    assert runs == [f"{job}_0|REQUEUED", f"{job}_0|COMPLETED"]


def test_hold_and_release(cluster: Emulated) -> None:
    job = cluster.submit("-H", "-o", "held.o", "--wrap", "echo x")
    assert cluster.rows(job, "%T %r %Q") == ["PENDING JobHeldUser 0"]
    assert accounting(cluster, job, "jobid") == []
    cluster.out("scontrol", "release", str(job))
    cluster.wait_for(job, "COMPLETED")
    done = cluster.run("scontrol", "hold", str(job))
    over = "Job has already finished"
    assert done.returncode == 1
    assert done.stderr == f"{over} for job {job}\nslurm_suspend error: {over}\n"


def test_dependencies(cluster: Emulated) -> None:
    first = cluster.submit("--array=0-1", "--wrap", "exit $SLURM_ARRAY_TASK_ID", "-H")
    after = {
        kind: cluster.submit("-d", f"{kind}:{first}", "--wrap", "true")
        for kind in ("afterok", "afterany", "afternotok")
    }
    shown = cluster.rows(after["afterok"], "%r %E")
    assert shown == [f"Dependency afterok:{first}_*(unfulfilled)"]
    cluster.out("scontrol", "release", str(first))
    cluster.wait_for(after["afterany"], "COMPLETED")
    cluster.wait_for(after["afternotok"], "COMPLETED")
    shown = cluster.rows(after["afterok"], "%T %r %E")
    assert shown == [f"PENDING DependencyNeverSatisfied afterok:{first}_*(failed)"]
    cluster.out("scancel", str(after["afterok"]))


def test_first_come_first_served(tmp_path: Path) -> None:
    with Emulated(tmp_path / "small", nodes=1, cpus=2) as small:
        first = small.submit("-c", "2", "--wrap", "exec sleep 60")
        small.wait_for(first, "RUNNING")
        large = small.submit("-c", "2", "--wrap", "true")
        last = small.submit("--wrap", "true")
        assert small.rows(large, "%r %R") == ["Resources (Resources)"]
        assert small.rows(last, "%r") == ["Priority"]
        small.out("scancel", str(first))
        small.wait_for(last, "COMPLETED")


def test_a_node_that_fails(tmp_path: Path) -> None:
    with Emulated(tmp_path / "failing", nodes=2, cpus=1) as failing:
        job = failing.submit("-o", "%j.o", "--wrap", "echo $SLURMD_NODENAME; exec sleep 60")
        failing.wait_file(f"{job}.o", "n1")
        failing.out("scontrol", "update", "nodename=n1", "state=down", "reason=test")
        failing.wait_file(f"{job}.o", "n2")
        assert failing.out("sinfo", "-h", "-o", "%N %T") == "n2 allocated\nn1 down\n"
        rows = accounting(failing, job, "state", "-X", "-D")
        assert rows == ["NODE_FAIL", "RUNNING"]


def test_the_shell_and_its_input(cluster: Emulated) -> None:
    (cluster.work / "args.sh").write_text("#!/bin/sh\necho $0 $@; cat; pwd; ps -o pgid= $$\n")
    job = cluster.submit("-o", "args.o", "args.sh", "a", "b")
    cluster.wait_for(job, "COMPLETED")
    first, where, group = cluster.wait_file("args.o").splitlines()
    assert first.endswith(f"/spool/n1/job{job:05}/slurm_script a b")
    assert where == str(cluster.work)
    assert int(group) > 1


def test_signals_of_the_scheduler_are_not_inherited(cluster: Emulated) -> None:
    job = cluster.submit("-o", "ignored.o", "--wrap", "grep SigIgn /proc/self/status; echo end")
    text = cluster.wait_file("ignored.o", "end")
    ignored = int(text.split()[1], 16)
    for number in (signal.SIGPIPE, signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        assert not ignored & 1 << (number - 1)
    wait_until(lambda: cluster.states(job) == {str(job): "COMPLETED"}, 60, "its end")


@pytest.mark.parametrize("place", ["plain", "with a space", "long" * 40])
def test_names_that_a_shell_cannot_spell_reach_the_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    if place != "plain":  # a `#!` line cannot name such an interpreter
        (tmp_path / place).mkdir()
        (tmp_path / place / "python").symlink_to(sys.executable)
        monkeypatch.setattr(sys, "executable", str(tmp_path / place / "python"))
    with Emulated(tmp_path / "c") as cluster:
        text = "#!/bin/bash\nmodule load gcc\nsrun bash -c 'module twice; env | grep -F odd.name'\n"
        (cluster.work / "job").write_text(text)
        odd = {"BASH_FUNC_module%%": '() { echo "module $*"; }', "odd.name": "1"}
        job = cluster.submit("-o", "out", "job", BASH_ENV="/nonexistent", **odd)
        cluster.wait_for(job, "COMPLETED")
        seen = cluster.wait_file("out", "odd").splitlines()
        assert [line for line in seen if "nonexistent" not in line] == [
            "module load gcc",
            "module twice",
            "odd.name=1",
        ]
