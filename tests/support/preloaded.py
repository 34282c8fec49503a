"""`hpcsweep` as a fork of a process that has loaded its modules: 0.3 s of the processor less each.

Each command is a process with a directory, an environment and standard streams of its own. Only
the start of Python and the imports happen once for each process of the test run. Tests of these
start the program itself: `Project.start`, or with a variable that Python or the loader reads.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType
from typing import NoReturn, TypedDict

# Modules that the verbs import, or load when they are called; packages with all their modules.
PACKAGES = ("hpcsweep.cli",)
MODULES = (
    "hpcsweep.sweep",
    "hpcsweep.store",
    "hpcsweep.cluster.emulated",
    "hpcsweep.cluster.submitit.client",
    "hpcsweep.sources.tables",
    "hpcsweep.submission.closing_run",
    "sqlalchemy.dialects.sqlite",
)
# Beginnings of variables that a process reads when it starts.
READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ")
# Bytes of the length that precedes a request.
_LENGTH = 10


class _Request(TypedDict):
    argv: list[str]
    cwd: str
    env: dict[str, str]
    umask: int


class Preloaded:
    """Runs commands as forks of a server, which ends with this process."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        self._lock = threading.Lock()
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.support.preloaded", str(theirs.fileno())],
                cwd=Path(__file__).parents[2],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        atexit.register(self.close)

    def close(self) -> None:
        """End the server."""
        self._channel.close()
        self._server.wait()

    def suits(self, environment: Mapping[str, str]) -> bool:
        """Whether a new process would start with this environment as the server did."""
        return all(
            environment.get(name) == self._environment.get(name)
            for name in environment.keys() | self._environment.keys()
            if name.startswith(READ_AT_START)
        )

    def run(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """Run `hpcsweep` with its arguments to the end. *Raises* TimeoutError."""
        pipes = [os.pipe() for _ in range(3)]
        request = _Request(argv=[*argv], cwd=str(cwd), env=dict(env), umask=_umask())
        self._send(request, [writer for _, writer in pipes])
        texts = ["", "", ""]

        def read(number: int) -> None:
            with os.fdopen(pipes[number][0], encoding="utf-8") as stream:
                texts[number] = stream.read()

        threads = [threading.Thread(target=read, args=(n,), daemon=True) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout_s)
            if thread.is_alive():
                raise TimeoutError(f"{argv} has not ended after {timeout_s} s")
        out, err, status = texts
        assert status, f"the server ended: {self._server.poll()}"
        return subprocess.CompletedProcess(
            [*argv], os.waitstatus_to_exitcode(int(status)), out, err
        )

    def _send(self, request: _Request, descriptors: list[int]) -> None:
        message = json.dumps(request).encode()
        with self._lock:
            socket.send_fds(self._channel, [b"%*d" % (_LENGTH, len(message))], descriptors)
            self._channel.sendall(message)
        for descriptor in descriptors:
            os.close(descriptor)


def _umask() -> int:
    # os.umask() tells it by changing it, for the files of other threads as well.
    (line,) = re.findall(r"^Umask:\s*(\d+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(line, 8)


@cache
def _preloaded() -> Preloaded:
    return Preloaded()


def run(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run `hpcsweep` with its arguments to the end, as a fork if its environment allows that."""
    if _preloaded().suits(env):
        return _preloaded().run(argv, cwd, env, timeout_s)
    return subprocess.run(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )


# --- the server -------------------------------------------------------------------------------


def serve(channel: socket.socket) -> None:
    """Run commands until the test run closes its end of the channel."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        length, descriptors, _, _ = socket.recv_fds(channel, _LENGTH, 3)
        if not length:
            return
        message = b""
        while len(message) < int(length):
            message += channel.recv(int(length) - len(message))
        if os.fork() == 0:
            channel.close()
            _watch(json.loads(message), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _watch(request: _Request, out: int, err: int, status: int) -> NoReturn:
    """Run a command in a fork, and write its wait status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(status)
        os.dup2(out, 1)
        os.dup2(err, 2)
    os.close(out)
    os.close(err)
    if pid == 0:
        _become(request)
    _, ended = os.waitpid(pid, 0)
    os.write(status, b"%d" % ended)
    os._exit(0)


def _become(request: _Request) -> NoReturn:
    """Become the program: take its streams, directory and environment."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        before = getattr(sys, name)  # has kept whether the server's own could seek
        stream = os.fdopen(
            descriptor, "w", closefd=False, encoding=before.encoding, errors=before.errors
        )
        setattr(sys, name, stream)
    os.chdir(request["cwd"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["env"])
    program = request["argv"][0]
    sys.argv, sys.path[0] = request["argv"], str(Path(program).parent)
    sys.modules["__main__"] = ModuleType("__main__")
    sys.modules["__main__"].__file__ = program
    sys.exit(import_module("hpcsweep.cli").main())


if __name__ == "__main__":
    for package in map(import_module, PACKAGES):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            import_module(module.name)
    for name in MODULES:
        import_module(name)
    gc.freeze()  # a collection in a command would copy the pages of all that is loaded
    serve(socket.socket(fileno=int(sys.argv[1])))
