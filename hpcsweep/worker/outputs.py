"""The files of cases: a directory each, a pack, a directory for failed cases only, or none.

`Directories` and `NoFiles` are here; `Packed` and `FailedOnly`, which write to a spool first, are
in `spooled`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hpcsweep.errors import SweepError
from hpcsweep.files import FULL, make_directory, remove_tree, token
from hpcsweep.logbook import run_directory as rundir
from hpcsweep.logbook.run_directory import Run
from hpcsweep.records import Outcome, Reason, Status
from hpcsweep.sweepdir.plan import Layout, attempt_dir


class CaseFiles(NamedTuple):
    """The place of a case's files, for its process."""

    # An existing directory; None if it writes to a spool or keeps nothing.
    directory: str | None = None
    # A `Spool`.
    spool: dict[str, Any] | None = None


class Outputs(Protocol):
    """Keeps the files of one slot's cases, one case at a time."""

    @property
    def descriptors(self) -> Collection[int]:
        """The worker's open files to which the process of a case writes."""

    def begin(self, run: Run, started: str) -> CaseFiles:
        """Prepare the place of a case's files. *Raises* OSError, SweepError."""

    def publish(self, run: Run, outcome: Outcome) -> Outcome:
        """Publish the files of a case. Returns the outcome with their place.

        *Raises* OSError, SweepError if the disk is full.
        """

    def clear(self) -> None:
        """Discard the unpublished files of a case. *Safe to repeat.*"""

    def close(self) -> None:
        """Close all files at the end of the task. *Safe to repeat.*"""


def temporary_directory() -> str:
    """The node's directory for temporary files."""
    return os.environ.get("TMPDIR") or "/tmp"  # noqa: S108


class Directories:
    """A run directory for each case. *Writes* `runs/.attempts/…`, then `runs/…/log_<run id>`."""

    descriptors: Collection[int] = ()

    def __init__(self, sweep: Path, layout: Layout) -> None:
        self._sweep, self._layout = sweep, layout

    def begin(self, run: Run, started: str) -> CaseFiles:
        """See `Outputs`."""
        path = self._sweep / own_directory(run)
        rundir.begin(path, run, started)
        return CaseFiles(str(path))

    def publish(self, run: Run, outcome: Outcome) -> Outcome:
        """See `Outputs`."""
        outcome = replace(outcome, run_dir=self._layout.run_dir(run.case.case_id, run.run_id))
        try:
            rundir.finish(self._sweep / own_directory(run), run, outcome)
        except (OSError, SweepError) as error:
            return spoiled_outcome(outcome, error)
        return publish_directory(self._sweep, run, outcome)

    def clear(self) -> None:
        """Keep the attempt's directory: a later start, or `ingest --salvage`, can use it."""

    def close(self) -> None:
        """Nothing is open."""


class NoFiles:
    """Keeps nothing. A command gets a temporary directory, for its `metrics.json`."""

    descriptors: Collection[int] = ()

    def __init__(self, *, is_command: bool) -> None:
        self._is_command = is_command
        self._scratch: Path | None = None

    def begin(self, run: Run, started: str) -> CaseFiles:  # noqa: ARG002  # the same for all cases
        """See `Outputs`."""
        if not self._is_command:
            return CaseFiles()
        self._scratch = Path(temporary_directory()) / f"hpcsweep-{token()}"
        make_directory(self._scratch)
        return CaseFiles(str(self._scratch))

    def publish(self, run: Run, outcome: Outcome) -> Outcome:  # noqa: ARG002  # the same for all
        """See `Outputs`."""
        return outcome

    def clear(self) -> None:
        """Remove the directory of a command."""
        if self._scratch is not None:
            with contextlib.suppress(
                OSError
            ):  # a program may have removed the permissions of its own files
                remove_tree(self._scratch)
            self._scratch = None

    def close(self) -> None:
        """Nothing is open."""


def own_directory(run: Run) -> str:
    """The directory of an attempt before it is published, relative to the sweep's."""
    return attempt_dir(run.case.case_id, run.attempt.token)


def publish_directory(sweep: Path, run: Run, outcome: Outcome) -> Outcome:
    """Rename the attempt's directory to the outcome's `run_dir`; if it loses, it stays in place."""
    own = own_directory(run)
    if rundir.publish(sweep, sweep / own, sweep / str(outcome.run_dir), run, outcome.status):
        return outcome
    return replace(outcome, run_dir=own)


def spoiled_outcome(outcome: Outcome, error: OSError | SweepError) -> Outcome:
    """The outcome of a case that removed or damaged its own run directory.

    *Raises* the error if the disk is full.
    """
    if getattr(error, "errno", None) in FULL:
        raise error
    if outcome.status is not Status.COMPLETE:
        return replace(outcome, run_dir=None)
    problem = {
        "type": "RunDirectoryError",
        "message": f"its run directory is spoiled: {error}",
    }
    return replace(outcome, status=Status.FAILED, reason=Reason.ERROR, error=problem, run_dir=None)
