"""The calls of sbatch in the last hour, over all sweeps of a user on a cluster.

Every call is noted in the user's state before it is made, also where nothing limits them: a sweep
with `limits: {submissions_per_hour: …}` counts those of all others. What a kill leaves out of the
cluster was noted nevertheless, so there may be fewer calls than allowed, never more.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hpcsweep.claims import acquire
from hpcsweep.errors import ClusterError, SweepError
from hpcsweep.files import make_directory, names, open_file, read_regular, unwritable, write_all
from hpcsweep.settings import state_home

HOUR_S = 3600
# Calls for an array and its closing job.
CALLS_MIN = 2
# Seconds to wait for another process that notes its calls.
PATIENCE_S = 30.0
_TIME = re.compile(rb"^\d+\.\d+$", re.MULTILINE)
# Bytes of the times of an hour: a million of them.
_FILE_MAX = 1 << 24


@dataclass(frozen=True, kw_only=True, slots=True)
class HourlyCalls:
    """The calls on one cluster, in a file for each hour that holds a time on each line."""

    directory: Path
    # None for any number.
    most: int | None

    @classmethod
    def on(cls, cluster_name: str, state_dir: str, most: int | None) -> HourlyCalls:
        """The calls on a cluster; `state_dir` is that of an emulated one."""
        digest = hashlib.sha256(f"{cluster_name}\n{state_dir}".encode()).hexdigest()[:8]
        slug = re.sub(r"[^A-Za-z0-9_-]", "_", cluster_name)[:60]
        return cls(directory=state_home() / "calls" / f"{slug}-{digest}", most=most)

    def left(self) -> int | None:
        """How many more calls are allowed now; None for any number."""
        return None if self.most is None else max(0, self.most - len(self._recent()))

    def take(self, count: int) -> None:
        """Note the calls that are about to be made.

        *Raises* ClusterError, transient, if they are more than are left. *Writes* the user's state.
        """
        if self.most is None:
            with contextlib.suppress(SweepError):  # some accounts have no home
                self._note(count)
            return
        try:
            with self._claimed():
                if len(self._recent()) + count > self.most:
                    raise self.exhausted()
                self._note(count)
        except SweepError as error:
            raise ClusterError(
                f"limits.submissions_per_hour needs a place for a count of calls: it {error.what}",
                where=error.where,
                next_step="Make it writable, set XDG_STATE_HOME, or remove that limit.",
            ) from error

    def exhausted(self) -> ClusterError:
        """The error where no call is left, with the time of the next one."""
        recent = self._recent()
        oldest = min(recent, default=time.time())
        free_from = time.strftime("%H:%M", time.localtime(oldest + HOUR_S))
        error = ClusterError(
            f"limits.submissions_per_hour is {self.most}, and {len(recent)} calls of sbatch were "
            f"made in the last hour; an array and its closing job need {CALLS_MIN}",
            next_step=f"Run the same command again from {free_from} on.",
        )
        error.transient = True
        return error

    def _recent(self) -> list[float]:
        """The times of the calls of the last hour, seconds of the epoch."""
        now = time.time()
        this_hour = int(now) // HOUR_S
        moments = []
        for hour in (this_hour - 1, this_hour):
            with contextlib.suppress(OSError):
                text = read_regular(self.directory / str(hour), _FILE_MAX)
                moments += [float(line) for line in _TIME.findall(text)]
        return [moment for moment in moments if now - HOUR_S < moment]

    def _note(self, count: int) -> None:
        now = time.time()
        path = make_directory(self.directory) / str(int(now) // HOUR_S)
        try:
            descriptor = open_file(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            try:
                write_all(descriptor, f"{now:.3f}\n".encode() * count)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise unwritable(path, error) from error
        for name in names(self.directory):
            if name.isdecimal() and int(name) < int(path.name) - 1:
                with contextlib.suppress(OSError):
                    (self.directory / name).unlink()

    @contextlib.contextmanager
    def _claimed(self) -> Iterator[None]:
        """Let no other process count at the same time. *Raises* ClusterError."""
        claim = acquire(make_directory(self.directory), "counting", PATIENCE_S)
        if claim is None:
            error = ClusterError(
                "other processes count their calls of sbatch (limits.submissions_per_hour)",
                where=str(self.directory),
                next_step="Run the same command again.",
            )
            error.transient = True
            raise error
        try:
            yield
        finally:
            claim.release()
