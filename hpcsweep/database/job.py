"""The program of a server's job: start the server in the allocation, and end it with the job."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import FrameType

from hpcsweep.database import server
from hpcsweep.database.directory import DatabaseDirectory, JobRecord
from hpcsweep.errors import StoreError

# Seconds for the command that submitted the job, to write its record: longer than a claim of a
# dead process of another host holds.
PATIENCE_S = 900.0


def main(arguments: list[str]) -> int:
    """Serve the database of a directory until TERM comes. Returns the exit code.

    Arguments: the directory, the port or 0, the record of the cluster as JSON.
    """
    place, port, cluster = arguments
    directory = DatabaseDirectory.open(Path(place))
    job: JobRecord = {"id": os.environ.get("SLURM_JOB_ID", ""), "cluster": json.loads(cluster)}
    # Slurm sends TERM before the time limit, and at a cancel.
    signal.signal(signal.SIGTERM, _leave)
    with directory.changing(PATIENCE_S):
        _check_own(directory, job)
        process = server.start(directory, port=int(port), job=job)

        def end(_number: int, _frame: FrameType | None) -> None:
            # TERM itself would have the server wait for its clients.
            process.send_signal(signal.SIGINT)

        signal.signal(signal.SIGTERM, end)
    code = process.wait()
    record = directory.record()
    if record is not None and record["job"] == job:
        server.forget(directory)
    if code != 0:
        raise StoreError(
            f"the server ended with exit code {code}",
            where=str(directory.path),
            next_step=f"Its log is {directory.log}.",
        )
    return 0


def _leave(_number: int, _frame: FrameType | None) -> None:
    # What has been begun is taken back on the way.
    raise SystemExit(0)


def _check_own(directory: DatabaseDirectory, job: JobRecord) -> None:
    """*Raises* StoreError where another server was started meanwhile."""
    record = directory.record()
    own = record is None or (record["job"] is not None and record["job"]["id"] == job["id"])
    if not own or server.postmaster(directory) is not None:
        raise StoreError("another server uses the data", where=str(directory.path))
