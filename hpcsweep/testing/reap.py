"""End the emulated Slurm of a test that was killed: `python -m hpcsweep.testing.reap DIRECTORY`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from hpcsweep import emulator


def reap(place: Path) -> None:
    """End a cluster with all its jobs, and remove its directory. *Safe to repeat.*"""
    if emulator.exists(place):
        # A killed scheduler left its jobs, which only its successor ends.
        emulator.ensure(place)
        emulator.stop(place)
    shutil.rmtree(place, ignore_errors=True)


if __name__ == "__main__":
    reap(Path(sys.argv[1]))
