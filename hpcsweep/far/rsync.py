"""Run rsync."""

from __future__ import annotations

import subprocess

from hpcsweep.errors import SweepError
from hpcsweep.far.ssh import environment

# rsync's exit code where a file that it shall list is not there.
MISSING = 23


def rsync(
    *arguments: str,
    accepts: int = 0,
    files: bytes | None = None,
    next_step: str = "The same command goes on where it stopped.",
) -> int:
    """Run rsync; returns its exit code: 0, or the one that the caller accepts. *Raises* SweepError.

    `--protect-args`: the shell of the other host must not read names as commands. `files` is for
    its standard input.
    """
    try:
        done = subprocess.run(
            ["rsync", "--protect-args", *arguments],
            input=files or b"",
            capture_output=True,
            check=False,
            env=environment(),
        )
    except OSError as error:
        raise SweepError(
            f"rsync cannot be started: {error.strerror}", next_step="Install it on both hosts."
        ) from error
    if done.returncode not in (0, accepts):
        said = done.stderr.decode(errors="backslashreplace").strip()
        raise SweepError(
            f"rsync ended with {done.returncode}: {said}",
            where=arguments[-1],
            next_step=next_step,
        )
    return done.returncode
