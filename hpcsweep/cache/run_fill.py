"""Run `cache.fill` as a child process: only the child imports the user's model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hpcsweep.cache.files.result_directory import MARKS
from hpcsweep.files import names
from hpcsweep.sweepdir.directory import SweepDirectory


def fill_table(sweep: SweepDirectory) -> str:
    """Update the table that the newest manifest names, if it names one.

    Returns the errors or warnings; empty without any. The results are safe in any case: the next
    construction of the `Store` adds them. *Safe to repeat.*
    """
    manifest = sweep.newest().manifest
    cache = manifest.cache
    if cache is None or cache.result_cls is None or cache.db_url is None:
        return ""
    if not sweep.is_writable:  # a read-only user; the owner's next command does it
        return ""
    if not names(Path(manifest.root) / cache.results_dir / MARKS):
        return ""
    argv = [
        sys.executable,
        "-P",
        "-m",
        "hpcsweep.program",
        "hpcsweep.cache.fill",
        str(sweep.path.resolve()),
    ]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    message = done.stderr.decode(errors="replace").strip()
    if done.returncode and not message:
        message = (
            f"the table of {cache.result_cls.text} was not filled: exit code {done.returncode}"
        )
    return message
