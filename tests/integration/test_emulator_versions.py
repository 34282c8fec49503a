"""The emulated Slurm in each version; the contract's answers of real ones are tested beside."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from hpcsweep import emulator
from hpcsweep.cluster.jobs import SingleJob
from hpcsweep.cluster.slurm.client import Slurm
from hpcsweep.emulator import EmulatorConfig, from_json
from hpcsweep.emulator.versions import DEFAULT, VERSIONS
from hpcsweep.errors import ClusterError, InputError
from tests.support.clusters import HPCSWEEP
from tests.support.emulated import Emulated

# What sbatch says while the queue is full, and what refuses a --test-only at once.
FULL = {
    "22.05": ("Slurm temporarily unable to accept job", "Resource temporarily unavailable"),
    "24.11": ("Slurm temporarily unable to accept job", "Resource temporarily unavailable"),
    "26.05": ("Slurm job queue full", "MaxJobCount limit reached"),
}


@pytest.mark.parametrize("name", VERSIONS)
def test_programs_and_configuration_tell_the_release(tmp_path: Path, name: str) -> None:
    release = VERSIONS[name].release
    with Emulated(tmp_path / "c", slurm_version=name) as cluster:
        for program in ("sbatch", "scancel"):
            assert cluster.out(program, "--version") == f"slurm-wlm {release}\n"
        assert f"= {release}\n" in cluster.out("scontrol", "show", "config")
        assert cluster.out("sinfo", "-h", "-o", "%v") == f"{release}\n"
        meta = json.loads(cluster.out("squeue", "--json"))["meta"]
        assert meta["Slurm"]["release"] == release


@pytest.mark.parametrize("name", VERSIONS)
def test_a_full_queue(tmp_path: Path, name: str) -> None:
    waiting, refusal = FULL[name]
    with Emulated(tmp_path / "c", slurm_version=name, max_job_count=1) as cluster:
        cluster.submit("-H", "--wrap", "true")
        done = cluster.run("sbatch", "--test-only", "--wrap", "true")
        assert (done.returncode, done.stderr) == (1, f"allocation failure: {refusal}\n")
        with subprocess.Popen(
            ["sbatch", "--wrap", "true"],
            cwd=cluster.work,
            env=cluster.env(),
            executable=cluster.directory / "bin" / "sbatch",
            stderr=subprocess.PIPE,
            text=True,
        ) as sbatch:
            assert sbatch.stderr is not None
            said = sbatch.stderr.readline()
            sbatch.kill()  # it tries again for two minutes
        assert said == f"sbatch: error: {waiting}, sleeping and retrying\n"


def test_an_expedited_job_is_first_after_its_node_failed(tmp_path: Path) -> None:
    script = 'echo run $SLURM_RESTART_COUNT; [ -n "$SLURM_RESTART_COUNT" ] || exec sleep 60'
    with Emulated(tmp_path / "c", slurm_version="26.05", nodes=1, requeue_delay_s=60) as cluster:
        job = cluster.submit(
            "--requeue=expedite", "--open-mode=append", "-c", "4", "-o", "out", "--wrap", script
        )
        cluster.wait_file("out", "run")
        cluster.out("scontrol", "update", "nodename=n1", "state=down", "reason=test")
        assert cluster.wait_for(job, "EXPEDITING") == {str(job): "EXPEDITING"}
        assert cluster.out("squeue", "-h", "-t", "PENDING", "-o", "%i") == f"{job}\n"
        assert "JobState=EXPEDITING" in cluster.out("scontrol", "show", "job", str(job))
        other = cluster.submit("--priority=999999", "-c", "4", "-o", "/dev/null", "--wrap", "true")
        assert cluster.states(other) == {str(other): "PENDING"}
        cluster.out("scontrol", "update", "nodename=n1", "state=resume")
        cluster.wait_for(job, "COMPLETED")  # without the delay of other requeues
        cluster.wait_for(other, "COMPLETED")
        begun = cluster.out("squeue", "-h", "-t", "all", "-S", "S", "-o", "%i").split()
        assert begun == [str(job), str(other)]
        assert "run 1" in cluster.wait_file("out", "run 1")
        rows = cluster.out("sacct", "-nPXD", "-j", str(job), "-o", "State").split()
        assert rows == ["NODE_FAIL", "COMPLETED"]


def test_an_expedited_job_that_fails_is_held(tmp_path: Path) -> None:
    with Emulated(tmp_path / "c", slurm_version="26.05") as cluster:
        job = cluster.submit("--requeue=expedite", "-o", "out", "--wrap", "exit 3")
        cluster.wait_for(job, "REQUEUE_HOLD")
        assert cluster.rows(job, "%r") == ["job requeued in held state"]
        cluster.out("scancel", "--state=PENDING", str(job))
        cluster.wait_for(job, "CANCELLED")


@pytest.mark.parametrize("name", VERSIONS)
def test_a_token_of_a_real_cluster_is_not_written_down(tmp_path: Path, name: str) -> None:
    with Emulated(tmp_path / "c", slurm_version=name) as cluster:
        job = cluster.submit("-o", "out", "--wrap", "env | sort; echo end", SLURM_JWT="eyJh.secret")
        cluster.wait_for(job, "COMPLETED")
        files = [*cluster.directory.rglob("*"), *cluster.work.rglob("*")]
        written = [path for path in files if path.is_file() and b"eyJh" in path.read_bytes()]
        assert ("end" in cluster.wait_file("out", "end"), written) == (True, [])


def test_a_version_that_it_does_not_speak(tmp_path: Path) -> None:
    assert EmulatorConfig().slurm_version == DEFAULT
    for wrong in ("23.02", 24.11, "", None):
        with pytest.raises(InputError, match="not a version of Slurm that the emulator speaks"):
            from_json({"slurm_version": wrong}, where="c.yaml")
    argv = [HPCSWEEP, "emulator", "start", "--dir", str(tmp_path / "c"), "--slurm-version", "23.02"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, "'22.05', '24.11', '26.05'" in done.stderr) == (2, True)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("name", VERSIONS)
def test_a_closing_job_behind_a_forgotten_array_waits_for_nothing(
    tmp_path: Path, name: str
) -> None:
    """24.11 and newer refuse the dependency, and the client leaves it out."""
    with Emulated(tmp_path / "c", slurm_version=name) as cluster:
        script = cluster.work / "closing.sh"
        script.write_text("#!/bin/sh\ntouch ran\n")
        client = Slurm(
            kind="emulated",
            timeout_s=60.0,
            sbatch_timeout_s=60.0,
            environment=emulator.environment(cluster.directory),
        )
        options = {"chdir": str(cluster.work)}
        job = SingleJob(name="x", script=str(script), output="/dev/null", options=options)
        cluster.wait_for(int(client.submit_job(replace(job, after="99999"))), "COMPLETED")
        assert (cluster.work / "ran").exists()
        with pytest.raises(ClusterError, match="sbatch refused"):
            client.submit_job(replace(job, after="99999", options=options | {"mem": "much"}))
