"""A private Slurm on this machine: up in a few seconds, gone without a trace.

Everything is its own: a temporary directory, a munged with its key, a MariaDB on a socket,
slurmdbd, slurmctld and a few slurmd on free ports. Several of them live side by side.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Self

from tests.support.processes import kill, owned_by, owned_by_node
from tests.support.requirements import to_install
from tests.support.slurm_config import (
    Ports,
    SlurmOptions,
    gres_conf,
    mariadb_install_options,
    mariadb_socket,
    mariadbd_options,
    munge_socket,
    slurm_conf,
    slurmdbd_conf,
)
from tests.support.wait import WaitTimeout, wait_until

# Debian's packages by the program that shows whether it is there.
PACKAGES = {
    "slurmctld": "slurm-wlm",
    "slurmd": "slurm-wlm",
    "slurmdbd": "slurmdbd",
    "munged": "munge",
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
}
REPOSITORY = Path(__file__).parents[2]
# Below the ports that the kernel hands out for outgoing connections (32768 and up).
PORTS = range(10_000, 32_000)
# Debian keeps daemons where an ordinary user's PATH does not look.
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
START_TIMEOUT_S = 60.0
WORKING = ("idle", "mixed", "allocated", "completing")


class SlurmDidNotStart(RuntimeError):
    """A daemon did not start; the message ends with the last output of the daemons."""


def why_not() -> str:
    """Why no private Slurm can be started here; empty when one can."""
    missing = to_install(PACKAGES, PATH)
    if missing:
        return f"needs a real Slurm: apt-get install {missing}"
    if os.geteuid() != 0:
        return "needs a real Slurm, whose daemons must be started by root"
    return ""


class PrivateSlurm:
    """One cluster of its own. Use `start` and `stop`, or a `with` block.

    `directory` holds everything, `name` is its ClusterName, `options` what it was made of.
    """

    def __init__(self, options: SlurmOptions | None = None) -> None:
        given = options or SlurmOptions()
        self.name = given.cluster_name or f"hs{secrets.token_hex(4)}"
        self.options = replace(given, cluster_name=self.name)
        self.directory = Path()
        self._ports = Ports(controller=0, database=0, first_node=0)
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._reaper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- up and down ---------------------------------------------------------------------------

    def start(self) -> None:
        """Bring everything up; afterwards `sbatch` is answered and `sacct` works.

        *Raises* SlurmDidNotStart; nothing is left behind then.
        """
        # Short, because a socket's path has at most 107 characters.
        self.directory = Path(tempfile.mkdtemp(prefix="hs-", dir="/tmp"))
        # munged refuses a socket in a directory that others may not enter.
        self.directory.chmod(0o755)
        self._reaper = subprocess.Popen(
            [sys.executable, "-m", "tests.support.reaper", str(self.directory)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self._write_configuration()
            self._start_munge()
            if self.options.accounting:
                self._make_database()
            self.start_controller()
            for node in self.options.node_names:
                self.start_node(node)
            self.wait_ready()
        except (WaitTimeout, OSError, subprocess.SubprocessError) as error:
            report = self.report()
            self.stop()
            raise SlurmDidNotStart(f"{error}\n{report}") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill everything and remove the directory. *Safe to repeat.*

        *Raises* RuntimeError when something is left.
        """
        if self._reaper is None:
            return
        reaper, self._reaper = self._reaper, None
        _, complaint = reaper.communicate(timeout=60)  # closes the pipe
        for daemon in self._daemons.values():
            daemon.wait(timeout=60)
        self._daemons.clear()
        left = owned_by(self.directory)
        if reaper.returncode or left or self.directory.exists():
            raise RuntimeError(f"{self.directory}: left {left}\n{complaint.decode()}")

    def wait_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Wait until the controller answers and every node whose slurmd runs takes jobs."""
        self._wait_port("slurmctld", self._ports.controller, timeout_s)
        wait_until(self._nodes_ready, timeout_s, "all nodes of the private Slurm take jobs")
        if self.options.accounting:
            wait_until(self._registered, timeout_s, "slurmctld is registered with slurmdbd")

    # -- what a test does with it --------------------------------------------------------------

    def env(self, **more: str) -> dict[str, str]:
        """A whole environment for subprocesses: this one, pointed at the cluster, and `more`."""
        return {**os.environ, "SLURM_CONF": str(self.directory / "slurm.conf"), **more}

    def run(
        self, *argv: str, check: bool = True, timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a program against the cluster and hand back what it printed."""
        done = subprocess.run(
            argv, env=self.env(), capture_output=True, text=True, timeout=timeout_s, check=False
        )
        if check and done.returncode:
            raise AssertionError(f"{argv} ended with {done.returncode}: {done.stderr}")
        return done

    def pids(self) -> dict[str, int]:
        """The process ids of the daemons that live, by name: slurmctld, slurmd.n1, …"""
        return {name: one.pid for name, one in self._daemons.items() if one.poll() is None}

    def drain(self, timeout_s: float = 60) -> None:
        """Cancel every job and wait until none is left."""
        self.run("scancel", "--user=root")
        wait_until(
            lambda: not (rows := self.run("squeue", "-h", "-r").stdout) or rows,
            timeout_s,
            "an empty queue",
        )

    def start_controller(self) -> None:
        """Start slurmctld with the state that an earlier one saved. Does not wait."""
        self._spawn("slurmctld", "slurmctld", "-D")

    def stop_controller(self) -> None:
        """End slurmctld as an administrator does: it saves its state."""
        self._end("slurmctld", signal.SIGTERM)

    def kill_controller(self) -> None:
        """SIGKILL slurmctld; `start_controller` or `restart_controller` brings it back."""
        self._end("slurmctld", signal.SIGKILL)

    def restart_controller(self) -> None:
        """End slurmctld if it lives, start it with its saved state, wait until it is ready."""
        self.stop_controller()
        self.start_controller()
        self.wait_ready()

    def kill_database(self) -> None:
        """SIGKILL slurmdbd: sacct fails, everything else goes on."""
        self._end("slurmdbd", signal.SIGKILL)

    def start_database(self) -> None:
        """Start slurmdbd again and wait until it answers."""
        self._spawn("slurmdbd", "slurmdbd", "-D")
        self._wait_port("slurmdbd", self._ports.database, START_TIMEOUT_S)

    def start_node(self, node: str) -> None:
        """Start the slurmd of a node. Does not wait."""
        self._spawn(f"slurmd.{node}", "slurmd", "-D", "-N", node)

    def kill_slurmd(self, node: str) -> None:
        """SIGKILL the slurmd of a node; its jobs go on."""
        self._end(f"slurmd.{node}", signal.SIGKILL)

    def kill_node(self, node: str) -> None:
        """SIGKILL all that runs on a node at once, as if its power failed."""
        for pid in owned_by_node(self.directory, node):
            kill(pid)
        self._end(f"slurmd.{node}", signal.SIGKILL)

    def report(self, lines: int = 60) -> str:
        """The last lines that each daemon wrote."""
        parts = []
        for path in sorted(self.directory.glob("*.out")):
            tail = path.read_text(errors="replace").splitlines()[-lines:]
            parts.append("\n".join([f"--- {path.name}", *tail]))
        return "\n".join(parts)

    # -- how ------------------------------------------------------------------------------------

    def _write_configuration(self) -> None:
        self._ports = free_ports(self.options.nodes)
        for node in self.options.node_names:
            (self.directory / "spool" / node).mkdir(parents=True)
        for name in ("state", "tmp"):
            (self.directory / name).mkdir()
        _write(self.directory / "munge.key", secrets.token_bytes(128))
        text = slurm_conf(self.directory, self.options, self._ports)
        (self.directory / "slurm.conf").write_text(text)
        if self.options.gpus:
            (self.directory / "gres.conf").write_text(gres_conf(self.directory, self.options))
        for number in range(self.options.gpus):
            # slurmd takes none but devices (22.05: "not a valid character or block device").
            (self.directory / f"gpu{number}").symlink_to(os.devnull)
        if self.options.job_submit:
            (self.directory / "job_submit.lua").write_text(self.options.job_submit)
        text = slurmdbd_conf(self.directory, self._ports)
        _write(self.directory / "slurmdbd.conf", text.encode())

    def _start_munge(self) -> None:
        where = self.directory
        self._spawn(
            "munged",
            "munged",
            "--foreground",
            f"--key-file={where}/munge.key",
            f"--socket={munge_socket(where)}",
            f"--pid-file={where}/munged.pid",
            f"--log-file={where}/munged.log",
            f"--seed-file={where}/munged.seed",
        )
        self._wait_socket("munged", munge_socket(where))

    def _make_database(self) -> None:
        with (self.directory / "install.out").open("wb") as output:
            subprocess.run(
                [_program("mariadb-install-db"), *mariadb_install_options(self.directory)],
                stdout=output,
                stderr=output,
                timeout=START_TIMEOUT_S,
                check=True,
            )
        self._spawn("mariadbd", "mariadbd", *mariadbd_options(self.directory))
        # Without its database slurmdbd waits 5 s before it tries again.
        self._wait_socket("mariadbd", mariadb_socket(self.directory))
        self.start_database()
        self.run("sacctmgr", "-i", "add", "cluster", self.name)

    def _spawn(self, name: str, program: str, *arguments: str) -> None:
        if name in self.pids():
            raise RuntimeError(f"{name} runs already")
        environment = {
            "PATH": PATH,
            "LANG": "C.UTF-8",
            "SLURM_CONF": str(self.directory / "slurm.conf"),
            "MYSQL_UNIX_PORT": str(mariadb_socket(self.directory)),
        }
        # A daemon that keeps its starter's output open makes the starter wait for ever.
        with (self.directory / f"{name}.out").open("ab") as output:
            self._daemons[name] = subprocess.Popen(
                [_program(program), *arguments],
                cwd=self.directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def _end(self, name: str, number: signal.Signals) -> None:
        daemon = self._daemons[name]
        with contextlib.suppress(ProcessLookupError):
            if daemon.poll() is None:
                os.killpg(daemon.pid, number)
        daemon.wait(timeout=30)

    def _alive(self, name: str) -> None:
        code = self._daemons[name].poll()
        if code is not None:
            raise WaitTimeout(f"{name} ended with {code}")

    def _wait_socket(self, name: str, path: Path) -> None:
        def listening() -> bool | str:
            self._alive(name)
            return _connects(socket.AF_UNIX, str(path))

        wait_until(listening, START_TIMEOUT_S, f"{name} listens on {path}")

    def _wait_port(self, name: str, port: int, timeout_s: float) -> None:
        # A client of a controller that is not there blocks for 9 s (Slurm 22.05), so no client is
        # started before somebody listens.
        def listening() -> bool | str:
            self._alive(name)
            return _connects(socket.AF_INET, ("127.0.0.1", port))

        wait_until(listening, timeout_s, f"{name} listens on port {port}")

    def _nodes_ready(self) -> bool | str:
        self._alive("slurmctld")
        answer = self.run("sinfo", "-h", "-N", "-o", "%N %T", check=False)
        states = dict(line.split() for line in answer.stdout.splitlines())
        names = [name for name in self.options.node_names if f"slurmd.{name}" in self.pids()]
        ready = all(states.get(name) in WORKING for name in names)
        return ready or f"{states} {answer.stderr}"

    def _registered(self) -> bool | str:
        query = ("sacctmgr", "-n", "-P", "list", "cluster", self.name, "format=ControlPort")
        answer = self.run(*query, check=False)
        return answer.stdout.strip() == str(self._ports.controller) or answer.stdout + answer.stderr


def free_ports(nodes: int) -> Ports:
    """Free ports: two, and `nodes` consecutive ones."""
    while True:
        first = random.choice(PORTS)
        with contextlib.ExitStack() as held:
            try:
                for port in range(first, first + nodes + 2):
                    held.enter_context(socket.socket()).bind(("", port))
            except OSError:
                continue
        return Ports(controller=first, database=first + 1, first_node=first + 2)


def _connects(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool | str:
    with socket.socket(family) as client:
        try:
            client.connect(address)
        except OSError as error:
            return str(error)
    return True


def _program(name: str) -> str:
    path = shutil.which(name, path=PATH)
    if path is None:
        raise FileNotFoundError(name)
    return path


def _write(path: Path, data: bytes) -> None:
    """Write a secret: munged and slurmdbd refuse one that others may read."""
    path.touch(mode=0o600)
    path.write_bytes(data)
