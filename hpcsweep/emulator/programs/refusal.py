"""Programs that are not emulated: they refuse, so that the real ones are never started."""

from __future__ import annotations

import sys
from pathlib import Path

from hpcsweep.emulator.programs import options


def main(_: Path, __: list[str]) -> int:
    """Refuse."""
    program = sys.argv[2]
    options.refuse(program, f"the program {program}")
