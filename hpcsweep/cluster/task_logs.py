"""The output of array tasks: where their cluster keeps it, and the end of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from hpcsweep.cluster import registry
from hpcsweep.files import open_regular
from hpcsweep.settings import Settings
from hpcsweep.sweepdir.directory import SweepDirectory


def task_logs(sweep: SweepDirectory, submission: int, chunk: int) -> Iterator[Path]:
    """The files with the output of the array task of a chunk. No query."""
    plan, document = sweep.plan(submission)
    cluster = registry.of_record(document["cluster"], sweep, Settings())
    directory = sweep.log_dir(submission)
    for part in plan.parts:
        if 0 <= chunk - part.first_chunk < part.chunks:
            yield from cluster.logs(directory, part.number, part.element(chunk))


def end_of_log(path: Path, size_max: int) -> str:
    """The last bytes of a file as text; empty if it cannot be read."""
    with contextlib.suppress(OSError), open_regular(path) as stream:
        stream.seek(max(0, stream.seek(0, os.SEEK_END) - size_max))
        return stream.read(size_max).decode(errors="replace")
    return ""
