"""A Docker engine for the tests: the one that answers here, or a private one that root starts.

    python -m tests.support.docker_engine

tries whether this machine lets one run: it ends with 1, and one line that says why, where not.

    python -m tests.support.docker_engine DIRECTORY

is the private one's keeper: it starts dockerd with its socket in DIRECTORY, and takes it down when
standard input ends, which happens also when the test run is killed with SIGKILL. Images live on in
the cache, `$HPCSWEEP_DOCKER_CACHE` or `~/.cache/hpcsweep/docker`; containers, networks and volumes
do not.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tests.support.processes import kill_owned
from tests.support.wait import wait_until

REPOSITORY = Path(__file__).parents[2]
CACHE = Path(os.environ.get("HPCSWEEP_DOCKER_CACHE", "~/.cache/hpcsweep/docker")).expanduser()
# Debian keeps daemons where an ordinary user's PATH does not look.
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 120.0
# How long the layers of images that nothing needs any more stay.
CACHED = "168h"
ENDED = "dockerd ended:"
# An image of one program, and what a node of a cluster asks of the engine.
PROBE = "hpcsweep-probe"
PROBE_PROGRAM = "/bin/true"
NODE = ("--init", "--cap-add=SYS_ADMIN", "--security-opt=apparmor:unconfined")
Completed = subprocess.CompletedProcess[str]


class NoEngine(Exception):
    """Why there is no Docker engine here, and what would bring one."""


class Refused(NoEngine):
    """Why an engine cannot run here, although its programs are installed."""


@contextlib.contextmanager
def docker_engine() -> Iterator[None]:
    """Let `docker` and Compose reach an engine inside the block, by DOCKER_HOST.

    *Raises* NoEngine; Refused where the machine does not let an engine or a container run.
    """
    if shutil.which("docker") is None or not has_compose():
        raise NoEngine("needs Docker and Compose: apt-get install docker.io docker-compose")
    if not (complaint := unreachable()):
        yield
        return
    if "DOCKER_HOST" in os.environ or os.geteuid() != 0 or not shutil.which("dockerd", path=PATH):
        raise NoEngine(f"needs a Docker engine, and none answers: {complaint}")
    with private_engine() as host:
        os.environ["DOCKER_HOST"] = host
        try:
            probe()
            yield
        finally:
            del os.environ["DOCKER_HOST"]


def docker(*arguments: str | Path, check: bool = True, stdin: IO[bytes] | None = None) -> Completed:
    """Run `docker`. *Raises* AssertionError with its complaint, unless `check` is false."""
    done = subprocess.run(
        ["docker", *arguments],
        stdin=stdin or subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"docker {arguments} ended with {done.returncode}: {done.stderr}")
    return done


def has_compose() -> bool:
    """Whether there is a Compose, of either generation."""
    return shutil.which("docker-compose") is not None or (
        docker("compose", "version", check=False).returncode == 0
    )


def unreachable(host: str | None = None) -> str:
    """Why the engine cannot be used, in the words of `docker`; empty when it can."""
    environment = {**os.environ, **({"DOCKER_HOST": host} if host else {})}
    query = ["docker", "version", "--format", "{{.Server.Version}}"]
    done = subprocess.run(query, env=environment, capture_output=True, text=True, check=False)
    return done.stderr.strip() or "no answer" if done.returncode else ""


def probe() -> None:
    """Run a program as a node of a cluster runs. *Raises* Refused with the engine's complaint."""
    try:
        if docker("image", "inspect", PROBE, check=False).returncode:
            import_probe()
        docker("network", "create", "--internal", PROBE)
        docker("run", "--rm", f"--network={PROBE}", *NODE, PROBE, PROBE_PROGRAM)
        docker("network", "rm", PROBE)
    except AssertionError as error:
        # The engine warns first that it forwards nothing.
        lines = str(error).splitlines()
        complaint = next((line for line in lines if "Error" in line), lines[0])
        raise Refused(f"has an engine that runs no container: {complaint}") from error


def import_probe() -> None:
    """Make an image of a program and what it is linked with."""
    linked = subprocess.run(["ldd", PROBE_PROGRAM], capture_output=True, text=True, check=True)
    files = re.findall(r"/\S+", linked.stdout)
    pack = ["tar", "--dereference", "--absolute-names", "-c", PROBE_PROGRAM, *files]
    with subprocess.Popen(pack, stdout=subprocess.PIPE) as packing:
        docker("import", "-", PROBE, stdin=packing.stdout)


@contextlib.contextmanager
def private_engine() -> Iterator[str]:
    """Run a dockerd of our own; the value is its DOCKER_HOST."""
    # Short, because a socket's path has at most 107 characters.
    directory = Path(tempfile.mkdtemp(prefix="hs-docker-", dir="/tmp"))
    keeper = subprocess.Popen(
        [sys.executable, "-m", "tests.support.docker_engine", str(directory)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    host = address(directory)

    def answers() -> bool | str:
        if keeper.poll() is not None:
            complaint = keeper.communicate()[1].strip()
            kind = Refused if complaint.startswith(ENDED) else NoEngine
            raise kind(f"has no Docker engine: {complaint}")
        return unreachable(host) or True

    try:
        wait_until(answers, START_TIMEOUT_S, "the private dockerd answers")
        remove_all(host)  # of a run whose keeper was killed
        docker("--host", host, "image", "prune", "--force", "--filter", f"until={CACHED}")
        yield host
    finally:
        _, complaint = keeper.communicate(timeout=2 * STOP_TIMEOUT_S)  # closes the pipe
    if keeper.returncode:
        raise RuntimeError(f"the private dockerd was not taken down: {complaint}")


def address(directory: Path) -> str:
    """The DOCKER_HOST of the engine in `directory`."""
    return f"unix://{directory}/docker.sock"


# -- the keeper's side ---------------------------------------------------------------------------


def keep(directory: Path) -> str:
    """Run dockerd until standard input ends. Returns what went wrong, or an empty string."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            shutil.rmtree(directory)
            return (
                f"another process uses {CACHE}: wait for its end, or set HPCSWEEP_DOCKER_CACHE "
                f"to another directory"
            )
        return _keep(directory)


def _keep(directory: Path) -> str:
    log = directory / "log"
    with log.open("wb") as output:
        daemon = subprocess.Popen(
            [shutil.which("dockerd", path=PATH) or "dockerd", *dockerd_options(directory)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "PATH": PATH},
        )
    try:
        while daemon.poll() is None and not select.select([sys.stdin], [], [], 0.2)[0]:
            pass
        if daemon.poll() is not None:
            return f"{ENDED} {log.read_text(errors='replace').splitlines()[-1]}"
        remove_all(address(directory))
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(STOP_TIMEOUT_S)
        return ""
    finally:
        kill_owned(directory)
        for point in _mounts(directory):
            subprocess.run(["umount", "--lazy", point], check=False)
        shutil.rmtree(directory)


def dockerd_options(directory: Path) -> list[str]:
    """Arguments of dockerd: everything but the images lies in `directory`."""
    return [
        f"--host={address(directory)}",
        f"--data-root={CACHE}",
        f"--exec-root={directory}/exec",
        f"--pidfile={directory}/dockerd.pid",
        # The machine's firewall and routes stay as they are: images are built in the network of
        # the machine, and the networks of clusters are internal.
        *("--bridge=none", "--iptables=false", "--ip-masq=false", "--ip-forward=false"),
    ]


def remove_all(host: str) -> None:
    """Remove containers, networks and volumes; images stay."""

    if containers := docker("--host", host, "ps", "--all", "--quiet").stdout.split():
        docker("--host", host, "rm", "--force", "--volumes", *containers)
    docker("--host", host, "network", "prune", "--force")
    if volumes := docker("--host", host, "volume", "ls", "--quiet").stdout.split():
        docker("--host", host, "volume", "rm", "--force", *volumes)


def _mounts(directory: Path) -> list[str]:
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    points = [line.split()[1] for line in lines]
    return [point for point in points if point.startswith(f"{directory}/")]


def refusal() -> str:
    """Why this machine lets no engine run; empty where it does, or where a program is missing."""
    try:
        with docker_engine():
            return ""
    except Refused as error:
        return f"this machine {error}"
    except NoEngine:
        return ""  # the tests fail for it


if __name__ == "__main__":
    sys.exit((keep(Path(sys.argv[1])) if sys.argv[1:] else refusal()) or 0)
