"""The private engine ends with the test run, however the run ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.container_cluster import REPOSITORY
from tests.support.processes import owned_by
from tests.support.wait import wait_until

ENGINE = """\
import sys
from tests.support.docker_engine import docker, private_engine
with private_engine() as host:
    docker("--host", host, "volume", "create", "left")
    print(host, flush=True)
    sys.stdin.read()
"""


def start(cache: Path) -> subprocess.Popen[str]:
    """A program that holds an engine whose images are in `cache`."""
    return subprocess.Popen(
        [sys.executable, "-c", ENGINE],
        cwd=REPOSITORY,
        env={**os.environ, "HPCSWEEP_DOCKER_CACHE": str(cache)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start an engine")


@only_root
@pytest.mark.parametrize("capability", ["sys_admin", "mknod"])
def test_a_machine_that_lets_no_container_run_is_told(capability: str, tmp_path: Path) -> None:
    without = ("setpriv", f"--bounding-set=-{capability}", f"--inh-caps=-{capability}")
    environment = {**os.environ, "HPCSWEEP_DOCKER_CACHE": str(tmp_path)}
    environment.pop("DOCKER_HOST", None)

    tried = subprocess.run(
        [*without, sys.executable, "-m", "tests.support.docker_engine"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert tried.returncode == 1
    assert "this machine has" in tried.stderr
    assert "operation not permitted" in tried.stderr
    assert tried.stderr.count("\n") == 1


@only_root
def test_an_engine_ends_with_the_run_that_started_it(tmp_path: Path) -> None:
    with start(tmp_path) as holder:
        assert holder.stdout is not None
        directory = Path(holder.stdout.readline().strip().removeprefix("unix://")).parent
        assert owned_by(directory)
        with start(tmp_path) as refused:
            _, complaint = refused.communicate(timeout=60)
        holder.send_signal(signal.SIGKILL)

    assert f"another process uses {tmp_path}" in complaint
    wait_until(lambda: not directory.exists() or "it is there", 60, f"{directory} is gone")
    assert not owned_by(directory)
    assert not list(tmp_path.glob("volumes/left"))
    with start(tmp_path) as again:  # the cache is free
        assert again.communicate(timeout=60)[0].startswith("unix://")
