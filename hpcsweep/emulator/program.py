"""The entry point of every emulated program and of the scheduler.

`python -I -S program.py STATE_DIR NAME ARGUMENT...`; the programs in every state directory contain
its path, so this file must not move.
"""

import atexit
import gc
import importlib
import io
import os
import signal
import sys
import types
from pathlib import Path


def _light_package(name: str, directory: Path) -> None:
    """Register an empty package instead of the real one.

    The real `__init__` is for users of the library; it would slow down every start of a program,
    and may import packages that `-S` hides.
    """
    package = types.ModuleType(name)
    package.__path__ = [str(directory)]
    sys.modules[name] = package


class _Output(io.TextIOWrapper):
    """Prints like C's stdio: output to a full disk is lost without an error (Slurm 22.05)."""

    def write(self, text: str) -> int:
        """Write; discard the text on an error."""
        try:
            super().write(text)
        except OSError:
            self._discard()
        return len(text)

    def flush(self) -> None:
        """Flush; discard the buffer on an error."""
        try:
            super().flush()
        except OSError:
            self._discard()

    def _discard(self) -> None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())


def main() -> int:
    """Run one program."""
    directory = Path(__file__).resolve().parent
    _light_package("hpcsweep", directory.parent)
    _light_package("hpcsweep.emulator", directory)
    state_dir, name, *arguments = sys.argv[1:]
    if name == "scheduler":
        module = importlib.import_module("hpcsweep.emulator.daemon.loop")
    else:
        # It ends before garbage would matter. Collections among its modules and at its end take a
        # fifth of its time, and users' scripts and closing jobs start many.
        gc.disable()
        atexit.register(gc.freeze)
        # Like a C program: `squeue | head` ends quietly, and bytes pass through unchanged.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        for stream in ("stdout", "stderr"):
            given = getattr(sys, stream)
            if given is not None:  # None: closed
                lines = given.line_buffering
                output = _Output(given.detach(), "utf-8", "surrogateescape", line_buffering=lines)
                setattr(sys, stream, output)
        programs = importlib.import_module("hpcsweep.emulator.names").PROGRAMS
        module_name = name if name in programs else "refusal"
        module = importlib.import_module(f"hpcsweep.emulator.programs.{module_name}")
    code = module.main(Path(state_dir), arguments)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
