"""Stops a private cluster when its starter closes the pipe, or dies.

    python -m tests.support.reaper DIRECTORY

Reads standard input to its end, kills all that belongs to DIRECTORY and removes it. The end of a
pipe comes also when the test run is killed with SIGKILL, which no finalizer survives.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from tests.support.processes import kill_owned

REPOSITORY = Path(__file__).parents[2]


def reaper_of(directory: Path) -> subprocess.Popen[bytes]:
    """Start the reaper of a directory; it waits for the end of its standard input."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.support.reaper", str(directory)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def main(directory: Path) -> None:
    """Wait for the end of standard input, then leave nothing of `directory`."""
    sys.stdin.buffer.read()
    kill_owned(directory)
    shutil.rmtree(directory)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
