"""The scheduler's life: started on demand, once; killed, recovered; gone when idle."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hpcsweep import emulator
from hpcsweep.emulator import client, events
from hpcsweep.emulator.daemon.history import compact
from hpcsweep.emulator.logged_state import LoggedState
from hpcsweep.errors import ClusterError, InputError
from tests.support.emulated import QUICK, Emulated
from tests.support.processes import owned_by
from tests.support.wait import wait_until


def starts(cluster: Emulated) -> int:
    """How many schedulers the event log tells of."""
    return sum(event["e"] == "start" for event in events.read(cluster.directory / "events.jsonl"))


def test_started_on_demand_and_once(tmp_path: Path) -> None:
    with Emulated(tmp_path / "state") as cluster:
        emulator.stop(cluster.directory)
        assert not emulator.is_running(cluster.directory)
        before = starts(cluster)
        asked = [
            subprocess.Popen(["squeue"], env=cluster.env(), stdout=subprocess.PIPE)
            for _ in range(8)
        ]
        answers = {one.communicate()[0] for one in asked}
        assert [one.returncode for one in asked] == [0] * 8
        assert len(answers) == 1
        assert starts(cluster) == before + 1


def test_the_scheduler_closes_the_pipes_of_its_starter(tmp_path: Path) -> None:
    with Emulated(tmp_path / "state") as cluster:
        emulator.stop(cluster.directory)
        # `run` reads to the end of the pipes, which the scheduler would keep open.
        assert cluster.out("squeue", "-h") == ""
        assert os.getsid(cluster.scheduler) != os.getsid(0)
        links = [
            str(Path(f"/proc/{cluster.scheduler}/fd/{number}").readlink()) for number in range(3)
        ]
        assert links == ["/dev/null", *[str(cluster.directory / "scheduler.log")] * 2]


def test_the_scheduler_ends_when_idle(tmp_path: Path) -> None:
    with Emulated(tmp_path / "state", idle_exit_s=0.3) as cluster:
        job = cluster.submit("-o", "late.o", "--wrap", "sleep 1; echo end")
        cluster.wait_file("late.o", "end")  # a job that runs is no idleness
        wait_until(lambda: not emulator.is_running(cluster.directory), 60, "its end")
        assert not (cluster.directory / "socket").exists()
        assert not (cluster.directory / "scheduler.pid").exists()
        assert cluster.states(job) == {str(job): "COMPLETED"}


def test_the_scheduler_ends_when_its_directory_is_gone(tmp_path: Path) -> None:
    with Emulated(tmp_path / "state") as cluster:
        job = cluster.submit("-o", "x.o", "--wrap", "echo up; exec sleep 60")
        cluster.wait_file("x.o", "up")
        pid = cluster.scheduler
        shutil.rmtree(cluster.directory)
        os.kill(pid, signal.SIGCHLD)  # wakes it up before its next look
        wait_until(lambda: not Path(f"/proc/{pid}").exists() or None, 60, "its end")
        assert owned_by(cluster.directory) == {}
        emulator.ensure(cluster.directory, cluster.settings)
        assert cluster.submit("-H", "--wrap", "true") == job


def test_damaged_files_of_a_job_are_named(tmp_path: Path) -> None:
    with Emulated(tmp_path / "state") as cluster:
        job = cluster.submit("-H", "-o", "x.o", "--wrap", "true")
        kept = cluster.directory / "submissions" / str(job)
        (kept / "environment").write_text('{"PATH": ')
        cluster.out("scontrol", "release", str(job))
        cluster.wait_for(job, "FAILED")
        assert cluster.rows(job, "%r") == ["JobLaunchFailure"]
        log = (cluster.directory / "scheduler.log").read_text()
        assert f"job {job} cannot be started: {kept / 'environment'}: " in log
        (kept / "script").unlink()
        done = cluster.run("scontrol", "write", "batch_script", str(job), "-")
        assert done.stderr.startswith(f"job script retrieval failed: {kept / 'script'}: ")
        assert cluster.submit("-H", "--wrap", "true") == job + 1


def test_killed_and_recovered(tmp_path: Path) -> None:
    with Emulated(tmp_path / "state", nodes=1, cpus=3) as cluster:
        script = "echo $SLURM_RESTART_COUNT >> r_$1; echo up; (setsid sleep 71 &) ; exec sleep 70"
        (cluster.work / "long.sh").write_text(f"#!/bin/sh\n{script}\n")
        both = cluster.submit("--open-mode=append", "--array=0-1", "long.sh", "a")
        never = cluster.submit("--no-requeue", "long.sh", "b")
        waits = cluster.submit("--wrap", "true")
        held = cluster.submit("-H", "--array=0-5%2", "--wrap", "true")
        cluster.out("scancel", f"{held}_3")
        for name in (f"slurm-{both}_0.out", f"slurm-{both}_1.out", f"slurm-{never}.out"):
            cluster.wait_file(name, "up")
        ended = cluster.submit("-H", "--wrap", "true")
        cluster.out("scancel", str(ended))
        before = owned_by(cluster.directory)
        sleepers = {pid for pid, line in before.items() if "sleep 7" in line}
        assert len(sleepers) == 6
        cluster.kill_scheduler()
        assert sleepers <= set(owned_by(cluster.directory))  # they run on, until somebody asks

        states = cluster.states(never)
        assert states == {str(never): "NODE_FAIL"}
        assert not sleepers & set(owned_by(cluster.directory))
        assert cluster.rows(never, "%r") == ["NodeDown"]
        for task in (0, 1):
            cluster.wait_file(f"slurm-{both}_{task}.out", "up\nup\n")
        assert (cluster.work / "r_a").read_text().split() == ["1", "1"]
        assert cluster.rows(held, "%K") == ["0", "1", "2", "4", "5"]
        assert cluster.states(ended) == {str(ended): "CANCELLED"}
        accounting = cluster.out(
            "sacct", "-n", "-P", "-X", "-D", "-j", f"{both},{never}", "-o", "jobid,state,exitcode"
        )
        assert sorted(accounting.splitlines()) == sorted(
            [
                f"{never}|NODE_FAIL|0:0",
                *(f"{both}_{task}|NODE_FAIL|0:0" for task in (0, 1)),
                *(f"{both}_{task}|RUNNING|0:0" for task in (0, 1)),
            ]
        )
        cluster.wait_for(waits, "COMPLETED")
        assert cluster.submit("-H", "--wrap", "true") > ended


def test_killed_while_a_job_is_being_cancelled(tmp_path: Path) -> None:
    with Emulated(tmp_path / "state", kill_wait_s=60) as cluster:
        job = cluster.submit(
            "-o", "t.o", "--wrap", "trap '' TERM; echo up; while :; do sleep 1; done"
        )
        cluster.wait_file("t.o", "up")
        cluster.out("scancel", str(job))
        cluster.wait_for(job, "COMPLETING")
        cluster.kill_scheduler()
        assert cluster.states(job) == {str(job): "CANCELLED"}


def test_a_torn_line_in_the_log_is_skipped(tmp_path: Path) -> None:
    with Emulated(tmp_path / "state") as cluster:
        job = cluster.submit("-H", "--array=0-3", "--wrap", "true")
        cluster.kill_scheduler()
        with (cluster.directory / "events.jsonl").open("ab") as log:
            log.write(b'{"e":"job","id":')
        after = cluster.submit("-H", "--wrap", "true")
        cluster.kill_scheduler()
        assert cluster.states(job) == {f"{job}_{task}": "PENDING" for task in range(4)}
        assert cluster.states(after) == {str(after): "PENDING"}


def test_a_request_of_an_unknown_shape_is_an_error(tmp_path: Path) -> None:
    """A program of another version asks: it gets an answer, and the jobs stay."""
    with Emulated(tmp_path / "state") as cluster:
        job, scheduler = cluster.submit("-H", "--wrap", "true"), cluster.scheduler
        questions: list[Any] = [
            [],
            7,
            None,
            {},
            {"do": ["queue"]},
            {"do": "queue", "ids": 3},
            {"do": "submit"},
            {"do": "cancel", "ids": {"a": None}},
            {"do": "step"},
            {"do": "update", "ids": [[]]},
        ]
        for asked in questions:
            assert "error" in client.ask(cluster.directory, asked, start=False), asked
        assert cluster.scheduler == scheduler
        assert cluster.states(job) == {str(job): "PENDING"}


def test_a_malformed_event_is_skipped(tmp_path: Path) -> None:
    with Emulated(tmp_path / "state") as cluster:
        job = cluster.submit("-H", "--wrap", "true")
        cluster.kill_scheduler()
        log = cluster.directory / "events.jsonl"
        known = [json.loads(line) for line in log.read_bytes().splitlines()]
        (last, *_) = (one for one in reversed(known) if one["e"] == "job")
        with log.open("ab") as stream:
            for wrong in ({"ended": "soon"}, {"places": {"n1": "x"}}, {"id": "7"}, {"held": 3}):
                stream.write(json.dumps(last | wrong).encode() + b"\n")
        assert cluster.states(job) == {str(job): "PENDING"}
        cluster.submit("-H", "--wrap", "true")


def test_one_token_is_one_job(tmp_path: Path) -> None:
    with Emulated(tmp_path / "state") as cluster:
        job = cluster.submit("-H", "--wrap", "true")
        request = next(
            one["request"]
            for one in events.read(cluster.directory / "events.jsonl")
            if one["e"] == "request"
        )
        for name in ("id", "submitted"):
            del request[name]
        question = {
            "do": "submit",
            "request": request,
            "script": "#!/bin/sh\n",
            "environment": {},
            "hold": True,
            "begin": 0,
        }
        assert client.ask(cluster.directory, question) == {"job": job}
        assert len(cluster.out("squeue", "-h").splitlines()) == 1


def test_two_side_by_side(tmp_path: Path) -> None:
    with Emulated(tmp_path / "a", cluster_name="one") as one, Emulated(tmp_path / "b") as two:
        first = one.submit("-o", "x.o", "--wrap", "echo $SLURM_CLUSTER_NAME; exec sleep 60")
        second = two.submit("-o", "x.o", "--wrap", "echo $SLURM_CLUSTER_NAME; exec sleep 60")
        assert first == second == 1
        one.wait_file("x.o", "one")
        two.wait_file("x.o", "emulated")
        one.kill_scheduler()
        one.wait_for(first, "PENDING", "RUNNING")
        assert two.states(second) == {"1": "RUNNING"}
        assert "ClusterName             = one\n" in one.out("scontrol", "show", "config")


def test_a_state_directory_may_have_any_path(tmp_path: Path) -> None:
    # Longer than an address of a socket, and with characters that a shell would take for its own.
    directory = tmp_path / "with spaces & 'quotes'" / ("long" * 30)
    directory.parent.mkdir()
    with Emulated(directory) as cluster:
        job = cluster.submit("-o", "x.o", "--wrap", "squeue -h -o %i -j $SLURM_JOB_ID")
        cluster.wait_for(job, "COMPLETED")
        assert cluster.wait_file("x.o") == f"{job}\n"
        assert directory.stat().st_mode & 0o777 == 0o700


def test_a_new_configuration_needs_an_idle_cluster(tmp_path: Path) -> None:
    with Emulated(tmp_path / "state") as cluster:
        other = emulator.EmulatorConfig(**QUICK | {"nodes": 7})
        job = cluster.submit("-H", "--wrap", "true")
        with pytest.raises(ClusterError, match="has jobs"):
            emulator.ensure(cluster.directory, other)
        cluster.out("scancel", str(job))
        emulator.ensure(cluster.directory, other)
        assert cluster.out("sinfo", "-h", "-o", "%D %N") == "7 n[1-7]\n"
        emulator.ensure(cluster.directory)  # keeps what it has
        assert cluster.out("sinfo", "-h", "-o", "%D") == "7\n"
        assert cluster.submit("-H", "--wrap", "true") == job + 1
        cluster.out("scancel", "--me")


def test_a_configuration_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError):
        emulator.EmulatorConfig(nodes=0)
    path = tmp_path / "state" / "config.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"nodez": 3}))
    with pytest.raises(InputError, match="unknown key 'nodez'"):
        emulator.ensure(path.parent)
    for wrong in ("7", "[{}]", "null"):
        path.write_text(wrong)
        with pytest.raises(InputError, match="no JSON object"):
            emulator.ensure(path.parent)


def test_the_log_forgets_old_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Emulated(tmp_path / "state") as cluster:
        text = f"#!/bin/sh\n#SBATCH --comment={'x' * 1_100_000}\n"
        (cluster.work / "large.sh").write_text(text)
        old = cluster.submit("-H", "large.sh")
        cluster.out("scancel", str(old))
        kept = cluster.submit("-H", "--array=0-9", "--wrap", "true")
        cluster.out("scancel", f"{kept}_[2-3]")
        cluster.out("scontrol", "hold", f"{kept}_5")
        emulator.stop(cluster.directory)
        log = cluster.directory / "events.jsonl"
        before = LoggedState()
        for event in events.read(log):
            before.apply(event)
        monkeypatch.chdir(cluster.directory)
        compact(before, emulator.EmulatorConfig(history_days=0))
        assert log.stat().st_size < 1 << 20
        after = LoggedState()
        for event in events.read(log):
            after.apply(event)
        assert after.jobs == before.jobs
        assert after.runs == before.runs
        assert after.last_id == before.last_id
        assert old not in after.jobs
        assert sorted(cluster.rows(kept, "%K")) == ["0", "1", "4", "5", "6", "7", "8", "9"]


def test_where_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert emulator.default_state_dir() == Path("/state/hpcsweep/emulator")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    expected = Path("/home/somebody/.local/state/hpcsweep/emulator")
    assert emulator.default_state_dir() == expected


def test_its_programs_come_first_and_once(tmp_path: Path) -> None:
    own = str(tmp_path / "bin")
    changed = emulator.environment(tmp_path, {"PATH": f"/usr/bin:{own}:/bin"})
    assert changed["PATH"] == f"{own}:/usr/bin:/bin"
