"""What every emulated program runs: `python -I -S program.py STATE_DIR NAME ARGUMENT...`."""

import importlib
import io
import signal
import sys
import types
from pathlib import Path


def _light_package(name: str, directory: Path) -> None:
    """Put an empty package in place of the real one: its `__init__` is for users of the library,
    costs time at every call of a program, and may need what `-S` hides."""
    package = types.ModuleType(name)
    package.__path__ = [str(directory)]
    sys.modules[name] = package


def main() -> int:
    """Run one program."""
    here = Path(__file__).resolve().parent
    _light_package("hpcsweep", here.parent)
    _light_package("hpcsweep.emulator", here)
    state_dir, name, *arguments = sys.argv[1:]
    if name == "scheduler":
        module = importlib.import_module("hpcsweep.emulator.loop")
    else:
        # Like a C program: `squeue | head` ends quietly, bytes go through as they are.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(encoding="utf-8", errors="surrogateescape")
        known = importlib.import_module("hpcsweep.emulator.names").PROGRAMS
        suffix = f"{name}_cli" if name in known else "refusal"
        module = importlib.import_module(f"hpcsweep.emulator.{suffix}")
    code = module.main(Path(state_dir), arguments)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
