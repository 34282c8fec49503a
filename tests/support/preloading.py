"""The server of `preloaded`: loads the modules of a program, and forks it again and again.

python -m tests.support.preloading PROGRAM DESCRIPTOR    the end of a socket; PROGRAM is a package

Imports little, since a forked worker shall have no more modules than a started one.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import socket
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn, TypedDict

if TYPE_CHECKING:
    from collections.abc import Callable

COMMAND, WORKER = "hpcsweep.cli", "hpcsweep.worker"
# Modules that a program imports, or loads when it is called.
MODULES = {
    COMMAND: (
        "hpcsweep.sweep",
        "hpcsweep.store",
        "hpcsweep.cluster.emulated",
        "hpcsweep.cluster.submitit.client",
        "hpcsweep.sources.tables",
        "hpcsweep.submission.closing_run",
        "sqlalchemy.dialects.sqlite",
    ),
    WORKER: ("hpcsweep.worker.__main__", "hpcsweep.worker.task"),
}
# Bytes of the length that precedes a request.
HEADER_BYTES = 10


class Request(TypedDict):
    """The start of a program."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    umask: int


def serve(program: str, channel: socket.socket) -> None:
    """Run a program again and again until the test run closes its end of the channel."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        length, descriptors, _, _ = socket.recv_fds(channel, HEADER_BYTES, 3)
        if not length:
            return
        message = b""
        while len(message) < int(length):
            message += channel.recv(int(length) - len(message))
        if os.fork() == 0:
            channel.close()
            _watch(program, json.loads(message), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _watch(program: str, request: Request, out: int, err: int, status: int) -> NoReturn:
    """Run the program in a fork, and write its wait status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(status)
        os.dup2(out, 1)
        os.dup2(err, 2)
    os.close(out)
    os.close(err)
    if pid == 0:
        _become(program, request)
    _, ended = os.waitpid(pid, 0)
    os.write(status, b"%d" % ended)
    os._exit(0)


def _become(program: str, request: Request) -> NoReturn:
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
    main = import_module(program if program == COMMAND else f"{program}.__main__")
    sys.modules["__main__"] = ModuleType("__main__")
    if program == COMMAND:
        sys.argv = request["argv"]
        sys.path[0] = str(Path(sys.argv[0]).parent)
        sys.modules["__main__"].__file__ = sys.argv[0]
        _end_with(main.main)
    sys.argv = [str(main.__file__), *request["argv"][3:]]
    sys.path[0] = request["cwd"]
    sys.modules["__main__"].__file__ = main.__file__
    _end_with(lambda: main.main(sys.argv[1:]))


def _end_with(main: Callable[[], object]) -> NoReturn:
    """Call a program and end as Python does, but leave its objects: to free them copies each page.

    *Raises* what the program raises, for which Python prints a traceback.
    """
    try:
        sys.exit(main())  # type: ignore[arg-type]
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            raise  # a text, which Python prints
        if "threading" in sys.modules:
            sys.modules["threading"]._shutdown()  # noqa: SLF001  # waits for threads
        atexit._run_exitfuncs()  # noqa: SLF001
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit((end.code or 0) & 0xFF)


if __name__ == "__main__":
    name, descriptor = sys.argv[1:]
    if name == COMMAND:
        for module in walk_packages(import_module(COMMAND).__path__, f"{COMMAND}."):
            import_module(module.name)
    for module_name in MODULES[name]:
        import_module(module_name)
    gc.freeze()  # a collection in a command would copy the pages of all that is loaded
    serve(name, socket.socket(fileno=int(descriptor)))
