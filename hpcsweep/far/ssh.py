"""One connection to a host, which every command of ours shares.

The user's ~/.ssh/config decides names, users, keys and jump hosts. Nobody is asked for a password.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Self, cast

from hpcsweep.errors import ClusterError, ClusterUnavailable

# ssh's own exit code where it has no connection, or lost it.
NO_CONNECTION = 255
# Where a login may have another shell, scripts run in this one. Its start-up file is for prompts.
SHELL = "exec bash --norc -s"
# Says that a login is there. The first echo ends a line of the login's own.
READY = "echo; echo ready; exec cat"
CONNECT_S, CLOSE_S = 30, 10
# No forwarding that ~/.ssh/config asks for: two connections cannot have the same port.
_OPTIONS = {
    "BatchMode": "yes",
    "ClearAllForwardings": "yes",
    "ConnectTimeout": str(CONNECT_S),
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    # A network that is gone is noticed after a minute.
    "ServerAliveInterval": "15",
    "ServerAliveCountMax": "4",
}
# A jump host has an ssh of its own, which gets none of these options and would ask at the terminal:
# a program answers instead of the user, and says no (OpenSSH from 8.4 on).
_NO_QUESTIONS = {"SSH_ASKPASS": "false", "SSH_ASKPASS_REQUIRE": "force"}
# What ssh says, by the first that is found; and what helps.
REMEDIES = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its key is not the one that your known_hosts has",
        "Ask its administrators. If the change is theirs, `ssh-keygen -R {host}` forgets the old.",
    ),
    (
        "Host key verification failed",
        "its key is not known",
        "Connect once with `ssh {host}`, and compare the fingerprint with what the site publishes.",
    ),
    (
        "Permission denied",
        "it did not accept a key of yours",
        (
            "`ssh -o BatchMode=yes {host} true` must work: add a key to ssh-agent; or open a "
            "connection by hand, which ControlMaster of ~/.ssh/config shares."
        ),
    ),
)


class Connection:
    """A connection, in a `with` block. *Raises* ClusterError, ClusterUnavailable."""

    def __init__(self, host: str) -> None:
        self.host = host
        # What the login's shell printed before the last script that was run to its end: its
        # start-up files are read at each command, and may print (OpenSSH 9.2 with bash and zsh).
        self.chatter = ""
        # Printed where a script begins.
        self._mark = f"hpcsweep-{secrets.token_hex(8)}\n".encode()
        self._options = [part for item in _OPTIONS.items() for part in ("-o", "=".join(item))]
        self._opened = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            if not self._has_own_master():
                # /tmp: the path of a socket has at most 107 characters. mkdtemp gives it mode 0700.
                directory = tempfile.mkdtemp(prefix="hpcsweep-", dir="/tmp")
                stack.callback(shutil.rmtree, directory, ignore_errors=True)
                stack.enter_context(self._master(Path(directory)))
            self._opened = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def stream(self, script: str, write: Callable[[bytes], None]) -> int:
        """Run a script of bash there. Returns its exit code; `write` gets its standard output.

        It goes by standard input, so no other shell reads it, and no process there has it as an
        argument. Its standard error is ours. What the login prints first is dropped.
        """
        begun = False
        before = b""
        reading, writing = os.pipe()
        with tempfile.TemporaryFile() as stdin, open(reading, "rb", buffering=0) as output:  # noqa: PTH123  # a descriptor
            stdin.write(self._marked(script))
            stdin.seek(0)
            try:
                process = _popen([*self.command(), "--", self.host, SHELL], stdin, writing, None)
            finally:
                os.close(writing)
            with process:
                try:
                    while data := output.read(1 << 16):
                        if not begun:
                            before, mark, data = (before + data).partition(self._mark)
                            begun = bool(mark)
                        if begun and data:
                            write(data)
                except BaseException:  # nobody reads what it prints
                    process.terminate()
                    raise
        return process.returncode

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a script of bash there, to its end. *Raises* ClusterError, ClusterUnavailable."""
        pipe = subprocess.PIPE
        # Not a pipe: this ssh may become a connection that others share (ControlPersist), which
        # until OpenSSH 8.5 keeps standard error open.
        with tempfile.TemporaryFile() as stderr:
            argv = [*self.command(), "--", self.host, SHELL]
            with _popen(argv, pipe, pipe, stderr) as process:
                printed = process.communicate(self._marked(script))[0]
            stderr.seek(0)
            errors = stderr.read().decode(errors="replace")
        if process.returncode == NO_CONNECTION:
            raise not_reached(self.host, errors)
        before, mark, out = printed.partition(self._mark)
        self.chatter = before.decode(errors="replace").strip()
        if not mark:  # it is the reason why no bash began
            errors += self.chatter
        return subprocess.CompletedProcess(
            process.args, process.returncode, out.decode(errors="replace"), errors
        )

    def _marked(self, script: str) -> bytes:
        return b"echo %b%b" % (self._mark, script.encode(errors="surrogateescape"))

    def command(self) -> list[str]:
        """ssh with the options of this connection; also for rsync."""
        return ["ssh", *self._options]

    def _has_own_master(self) -> bool:
        """Whether ~/.ssh/config shares connections to this host.

        Where a site asks for a code, the user opened such a connection by hand.
        """
        asked = [*self.command(), "-G", "--", self.host]
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        with _popen(asked, nothing, pipe, nothing) as process:
            out, _ = process.communicate()
        return any(line.startswith(b"controlpath ") for line in out.splitlines())

    @contextlib.contextmanager
    def _master(self, directory: Path) -> Iterator[None]:
        """The connection itself. Its session ends with its standard input, so with this process."""
        socket, errors = directory / "ssh", directory / "errors"
        argv = [*self.command(), "-M", "-S", str(socket), "--", self.host, READY]
        pipe = subprocess.PIPE
        with errors.open("wb") as stream:
            process = _popen(argv, pipe, pipe, stream)
        stdin, stdout = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        try:
            # A login may print lines of its own first.
            if not any(line.strip() == b"ready" for line in iter(stdout.readline, b"")):
                process.wait()
                raise not_reached(self.host, errors.read_text(errors="replace"))
            self._options += ["-o", "ControlMaster=no", "-o", f"ControlPath={socket}"]
            yield
        finally:
            with contextlib.suppress(BrokenPipeError):
                stdin.close()
            try:
                process.wait(CLOSE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            stdout.close()


def environment() -> dict[str, str]:
    """The environment of ssh, and of rsync, which starts one."""
    return os.environ | _NO_QUESTIONS


def not_reached(host: str, said: str) -> ClusterError:
    """The error for what ssh printed."""
    for pattern, what, remedy in REMEDIES:
        if pattern in said:
            return ClusterError(what, where=host, next_step=remedy.format(host=host))
    lines = said.strip().splitlines() or ["ssh gave no reason"]
    return ClusterUnavailable(
        f"cannot be reached: {lines[-1]}",
        where=host,
        next_step=f"Try `ssh -o BatchMode=yes {host} true`; nothing was begun there.",
    )


def _popen(
    argv: list[str],
    stdin: int | IO[bytes],
    stdout: int,
    stderr: int | IO[bytes] | None,
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=stderr, env=environment())
    except OSError as error:
        raise ClusterError(
            f"ssh cannot be started: {error.strerror}", next_step="Install OpenSSH's client."
        ) from error
