"""`hpcsweep --on HOST` with the login node of a cluster: a user's ssh, its sshd, real Slurm."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from tests.support.container_cluster import ContainerCluster
from tests.support.sshd import require_sshd

MANIFEST = """\
name: s
target: model.py:f
source: {grid: {x: [1, 2, 3]}}
slurm: {time: "00:10:00", mem: 100M}
"""
MODEL = "def f(x):\n    return {'y': 2 * x}\n"
# One server for each connection, by its standard input: no port of the container is reachable.
SSHD = "mkdir -p /run/sshd; exec /usr/sbin/sshd -i -o StrictModes=no -o UsePAM=no"
CLIENT = """\
Host login
    User ada
    ProxyCommand docker exec -i {container} sh -c {sshd}
    IdentityFile {directory}/key
    IdentitiesOnly yes
    IdentityAgent none
    UserKnownHostsFile {directory}/known_hosts
    GlobalKnownHostsFile none
    StrictHostKeyChecking accept-new
"""


def client(cluster: ContainerCluster, directory: Path) -> dict[str, str]:
    """An environment whose ssh knows the login node as `login`."""
    keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / "key")]
    subprocess.run(keygen, check=True)
    cluster.write(".ssh/authorized_keys", (directory / "key.pub").read_text())
    # sshd without PAM lets nobody in whose password is locked; this one is none.
    cluster.run("usermod -p '*' ada", user="root")
    config = directory / "ssh_config"
    container = cluster.container("login")
    config.write_text(
        CLIENT.format(container=container, sshd=shlex.quote(SSHD), directory=directory)
    )
    programs = directory / "bin"
    programs.mkdir()
    ssh = programs / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {config} "$@"\n')
    ssh.chmod(0o755)
    return os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}


def test_from_the_laptop_to_a_table(cluster: ContainerCluster, tmp_path: Path) -> None:
    require_sshd()
    env = client(cluster, tmp_path)
    project = tmp_path / "project"
    project.mkdir()
    (project / "m.yaml").write_text(MANIFEST)
    (project / "model.py").write_text(MODEL)

    def hpcsweep(*arguments: str) -> str:
        argv = [sys.executable, "-m", "hpcsweep", "--on", "login:laptop", *arguments]
        done = subprocess.run(
            argv, cwd=project, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    hpcsweep("submit", "m.yaml", "--wait")
    assert json.loads(hpcsweep("status", "s", "--json"))["counts"]["complete"] == 3
    hpcsweep("collect", "s", "--output", "table.csv", "--columns", "x,y")
    assert (project / "table.csv").read_text() == "x,y\n1,2\n2,4\n3,6\n"
    hpcsweep("report", "s")
    assert (project / "report.html").read_text().startswith("<!doctype html>")
