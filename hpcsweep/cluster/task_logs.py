"""The output of array tasks: where their cluster keeps it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hpcsweep.cluster import registry
from hpcsweep.settings import Settings
from hpcsweep.sweepdir.archive import extract_logs
from hpcsweep.sweepdir.directory import SweepDirectory


def task_logs(sweep: SweepDirectory, submission: int, chunk: int) -> Iterator[Path]:
    """The files with the output of the array task of a chunk. No query."""
    plan, document = sweep.plan(submission)
    cluster = registry.of_record(document["cluster"], sweep, Settings())
    directory = sweep.log_dir(submission)
    if sweep.archive:
        extract_logs(sweep, submission)
    for part in plan.parts:
        if 0 <= chunk - part.first_chunk < part.chunks:
            yield from cluster.logs(directory, part.number, part.element(chunk))
