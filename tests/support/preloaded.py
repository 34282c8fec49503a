"""`hpcsweep` and its worker as forks of processes that have loaded their modules.

A command takes 0.3 s of the processor less, a worker 0.07 s. Each is a process with a directory, an
environment and standard streams of its own. Only the start of Python and the imports happen once
for each process of the test run. Tests of these start the program itself: `Project.start`,
`MadeSweep.start`, or with a variable that Python or the loader reads.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from tests.support.preloading import COMMAND, HEADER_BYTES, WORKER, Request

# Beginnings of variables that a process reads when it starts.
READ_AT_START = ("PYTHON", "LD_", "LC_", "LANG", "TZ")


class Preloaded:
    """Runs a program as forks of a server, which ends with this process."""

    def __init__(self, program: str = COMMAND) -> None:
        self._environment = dict(os.environ)
        self._lock = threading.Lock()
        self._channel, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(
                [sys.executable, "-m", "tests.support.preloading", program, str(theirs.fileno())],
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
        """Run the program with its arguments to the end. *Raises* TimeoutError."""
        pipes = [os.pipe() for _ in range(3)]
        request = Request(argv=[*argv], cwd=str(cwd), env=dict(env), umask=_umask())
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

    def _send(self, request: Request, descriptors: list[int]) -> None:
        message = json.dumps(request).encode()
        with self._lock:
            socket.send_fds(self._channel, [b"%*d" % (HEADER_BYTES, len(message))], descriptors)
            self._channel.sendall(message)
        for descriptor in descriptors:
            os.close(descriptor)


def _umask() -> int:
    # os.umask() tells it by changing it, for the files of other threads as well.
    (line,) = re.findall(r"^Umask:\s*(\d+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(line, 8)


@cache
def _preloaded(program: str) -> Preloaded:
    return Preloaded(program)


def run(
    argv: Sequence[str], cwd: Path, env: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, as a fork if it is one of these and its environment allows that."""
    is_worker = list(argv[1:3]) == ["-m", WORKER]
    if is_worker or Path(argv[0]).name == "hpcsweep":
        server = _preloaded(WORKER if is_worker else COMMAND)
        if server.suits(env):
            return server.run(argv, cwd, env, timeout_s)
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
