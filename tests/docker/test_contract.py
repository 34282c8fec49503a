"""The contract's commands on the real Slurm of each newer version: every answer as recorded."""

from __future__ import annotations

import os

import pytest

from tests.support.container_cluster import SUITES
from tests.support.contract import VERSIONS
from tests.support.docker_engine import docker
from tests.support.suite_image import NEWER, run_pytest

# A private Slurm needs its host's name; slurmd makes a namespace for --export=NONE, and ends
# where it may not (24.11).
HOST = ("--hostname=slurmbox", "--add-host=slurmbox:127.0.0.1")
SLURMD = ("--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined")
CONTRACT = "tests/contract/test_slurm_contract.py"


def test_every_recorded_version_has_a_suite() -> None:
    assert set(VERSIONS) == set(SUITES)


@pytest.mark.parametrize("version", NEWER)
def test_a_real_slurm_answers_as_recorded(test_images: frozenset[str], version: str) -> None:
    assert version in test_images

    # slurmd ends where no interface but the loopback is there.
    network = f"hstest-contract-{version}-{os.getpid()}"
    docker("network", "create", "--internal", network)
    options = (f"--network={network}", *HOST, *SLURMD)
    done = run_pytest(version, "--soak", "-m", "slurm", CONTRACT, options=options)
    docker("network", "rm", network)

    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2_000:]
