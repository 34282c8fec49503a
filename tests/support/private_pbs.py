"""A private OpenPBS on this machine: a server, its database, a scheduler and one node.

OpenPBS 23.06 wants a host whose name has an address other than the loopback, and root's directories
only root may write to: its daemons run in a mount namespace with a hosts file of their own.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from tests.support.postgres import SERVER_USER
from tests.support.processes import owned_by
from tests.support.reaper import reaper_of
from tests.support.slurm_cluster import free_ports
from tests.support.wait import wait_until

HOST = "pbs1"
CPUS = 4
START_TIMEOUT_S = 120.0
# `PRIVATE` runs a program with the hosts file $0.
PRIVATE = 'mount --bind "$0" /etc/hosts && exec "$@"'


def why_not() -> str:
    """Why no private OpenPBS can be started here; empty when one can."""
    if shutil.which("pbs_server") is None or shutil.which("qsub") is None:
        return "needs OpenPBS: the `bin` and `sbin` of one on PATH"
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return "needs root and unshare(1), to start the daemons of OpenPBS"
    if own_address() is None:
        return "needs an address besides 127.0.0.1, which OpenPBS wants"
    return ""


def own_address() -> str | None:
    """An IPv4 address of this host that is not the loopback's; None without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        address: str = probe.getsockname()[0]
    return None if address.startswith("127.") else address


class PrivatePbs:
    """One server with a node of `CPUS` CPUs. Use it in a `with` block."""

    def __init__(self) -> None:
        self.directory = Path()
        self._reaper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        # Not below /tmp: pbs_mom refuses a directory that everybody may write to.
        self.directory = Path(tempfile.mkdtemp(prefix="hs-pbs-", dir="/var/lib"))
        self.directory.chmod(0o755)
        self._reaper = reaper_of(self.directory)
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._reaper is not None:
            reaper, self._reaper = self._reaper, None
            reaper.communicate(timeout=60)  # closes the pipe
            assert not owned_by(self.directory)

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables that select this server."""
        return {"PBS_CONF_FILE": str(self.directory / "pbs.conf")}

    def run(self, *argv: str, code: int | None = 0) -> str:
        """Run a program of PBS as root. Returns what it printed."""
        done = subprocess.run(
            argv,
            env={**os.environ, **self.variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = f"{argv} ended with {done.returncode}: {done.stdout}{done.stderr}"
        assert code is None or done.returncode == code, said
        return done.stdout

    def jobs(self) -> list[str]:
        """The ids of all jobs that are not over."""
        return self.run("qselect").split()

    def clear(self) -> None:
        """Delete every job, and wait until none is left."""
        if jobs := self.jobs():
            self.run("qdel", "-W", "force", *jobs, code=None)
        wait_until(lambda: not (left := self.jobs()) or str(left), 60, "an empty queue")

    def start_node(self) -> None:
        """Start the pbs_mom of the node again, after a kill."""
        self._spawn(_daemon("pbs_mom"))

    def _start(self) -> None:
        executables = Path(_daemon("pbs_server")).parents[1]
        (self.directory / "hosts").write_text(
            f"127.0.0.1 localhost\n{own_address()} {HOST} {os.uname().nodename}\n"
        )
        lines = (f"{name}={value}\n" for name, value in self._configuration(executables).items())
        (self.directory / "pbs.conf").write_text("".join(lines))
        self._spawn(str(executables / "libexec/pbs_habitat"))
        for daemon in ("pbs_comm", "pbs_mom", "pbs_sched", "pbs_server"):
            self._spawn(_daemon(daemon))
        self._configure()
        wait_until(self._node_is_free, START_TIMEOUT_S, f"the node {HOST} takes jobs")

    def _configuration(self, executables: Path) -> Mapping[str, str]:
        first = free_ports(4).controller
        names = ("BATCH", "MOM", "MANAGER", "SCHEDULER")
        ports = {f"PBS_{name}_SERVICE_PORT": str(first + n) for n, name in enumerate(names)}
        router = f"{HOST}:{first + 5}"
        return {
            "PBS_EXEC": str(executables),
            "PBS_HOME": str(self.directory / "home"),
            "PBS_SERVER": HOST,
            "PBS_SERVER_HOST_NAME": str(own_address()),
            **dict.fromkeys((f"PBS_START_{name}" for name in ("SERVER", "COMM", "MOM")), "1"),
            "PBS_START_SCHED": "1",
            **ports,
            "PBS_DATA_SERVICE_PORT": str(first + 4),
            "PBS_DATA_SERVICE_USER": SERVER_USER,
            "PBS_LEAF_NAME": HOST,
            "PBS_LEAF_ROUTERS": router,
            "PBS_COMM_NAME": router,
        }

    def _configure(self) -> None:
        nodes = self.run("pbsnodes", "-a", code=None)
        orders = [
            # pbs_habitat makes one of an address.
            *(f"delete node {name}" for name in nodes.split("\n") if name.isdigit()),
            *([] if nodes.startswith(f"{HOST}\n") else [f"create node {HOST}"]),
            f"set node {HOST} resources_available.ncpus={CPUS}",
            "set server flatuid=True",
            "set server job_history_enable=True",
            "set server node_fail_requeue=5",
            "set sched scheduler_iteration=5",
        ]
        for order in orders:
            self.run("qmgr", "-c", order)

    def _node_is_free(self) -> bool | str:
        said = self.run("pbsnodes", HOST, code=None)
        return "state = free" in said or said

    def _spawn(self, *argv: str) -> None:
        """Run a program that starts a daemon, or sets one up."""
        with (self.directory / f"{Path(argv[0]).name}.out").open("ab") as output:
            subprocess.run(
                [
                    *("unshare", "--mount", "--propagation", "private"),
                    *("sh", "-c", PRIVATE, str(self.directory / "hosts"), *argv),
                ],
                env={**os.environ, **self.variables, "PATH": f"{os.environ['PATH']}:/usr/sbin"},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=START_TIMEOUT_S,
                check=True,
            )


def _daemon(name: str) -> str:
    return str(Path(shutil.which(name) or "").resolve())


def started() -> Iterator[PrivatePbs]:
    """One for a module of tests; the body of a fixture."""
    with PrivatePbs() as pbs:
        yield pbs
