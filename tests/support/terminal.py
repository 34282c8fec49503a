"""The command line on a terminal of some width: what it writes there, and how it ends."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Sequence
from dataclasses import dataclass

from hpcsweep.cli import main

LINES = 50


@dataclass(frozen=True)
class Shown:
    """The output that a terminal received."""

    # Without line ends, colours and bold letters.
    text: str
    # The exit code.
    code: int


def on_terminal(arguments: Sequence[str], *, width: int = 80, term: str = "xterm") -> Shown:
    """Call the command line with all three streams on a terminal, in a fork of this process.

    On one that is `dumb` there are no colours.
    """
    pid, master = pty.fork()
    if pid == 0:
        _call(arguments, width, term)
    written = b""
    while True:
        try:
            some = os.read(master, 1 << 16)
        except OSError:  # Linux: nobody has it open any more
            break
        if not some:
            break
        written += some
    os.close(master)
    _, status = os.waitpid(pid, 0)
    text = re.sub(r"\x1b\[[\d;]*m", "", written.decode().replace("\r\n", "\n"))
    return Shown(text, os.waitstatus_to_exitcode(status))


def _call(arguments: Sequence[str], width: int, term: str) -> None:
    code = 70
    try:
        fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, width, 0, 0))
        os.environ["TERM"] = term
        sys.stdin = os.fdopen(0, closefd=False)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        main(list(arguments), prog_name="hpcsweep")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1 if end.code else 0
    finally:
        sys.stdout.flush()
        os._exit(code)
