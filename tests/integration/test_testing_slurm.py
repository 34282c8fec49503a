"""The fixture for other projects' tests ends its cluster, also where pytest is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsweep.testing.slurm import EmulatedSlurm, emulated_slurm, slurm
from tests.support.processes import owned_by
from tests.support.wait import wait_until

__all__ = ["slurm"]

WAIT_S = 60.0
TEST = """
import time
from hpcsweep.testing.slurm import slurm

def test_a_job_that_goes_on(slurm):
    slurm.sbatch("--wrap", "echo > begun; sleep 1000", "--output=/dev/null")
    time.sleep(1000)
"""


def test_a_killed_pytest_leaves_no_cluster(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST)
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as tests:
        wait_until((tmp_path / "begun").exists, WAIT_S, "a job of the test")
        os.killpg(tests.pid, signal.SIGKILL)
    wait_until(lambda: not (left := list(temporary.iterdir())) or str(left), WAIT_S, "its end")
    wait_until(lambda: not (left := owned_by(tmp_path)) or str(left), WAIT_S, "no process")


def test_a_fork_that_a_test_left_is_not_waited_for() -> None:
    reading, writing = os.pipe()
    with emulated_slurm():
        child = os.fork()
        if not child:
            os.close(writing)
            os.read(reading, 1)  # until the test is over
            os._exit(0)
    os.close(writing)
    os.close(reading)
    os.waitpid(child, 0)


@pytest.mark.parametrize("slurm", ["24.11"], indirect=True)
def test_what_newer_versions_have_is_refused_by_name(slurm: EmulatedSlurm) -> None:
    with pytest.raises(subprocess.CalledProcessError) as caught:
        slurm.run("scontrol", "show", "job", "--json")
    assert "option --json is not emulated" in caught.value.stderr
