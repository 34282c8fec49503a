"""Turns: one submit or cancel at a time in a sweep, on every file system.

By a claim, not by flock(2): Lustre without `-o flock` has none, and `localflock` and NFS `nolock`
keep one to a host.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from hpcsweep import claims
from hpcsweep.claims import Claim
from hpcsweep.errors import SweepBusy, SweepError
from hpcsweep.files import make_directory, names, open_regular
from hpcsweep.liveness import BEAT_S, HEARTBEAT, is_running
from hpcsweep.sweepdir.directory import CLAIMS, SweepDirectory, make_sweep_directory
from hpcsweep.undo import UndoLog, undo_on_error

NAME = "submit"
# Seconds without a sign of life after which a process that only another host can ask for counts
# as dead: several signs long, and longer than NFS and FUSE clients hold attributes back (60 s).
SILENT_S = 6 * BEAT_S
# Seconds between two looks at it.
LOOK_S = 1.0
# How often it may be free and, a moment later, another's.
TRIES = 100

Say = Callable[[str], None]


class Turn:
    """The right to change a sweep."""

    def __init__(self, claim: Claim, sweep: Path) -> None:
        self._claim = claim
        self._sweep = sweep

    def check(self) -> None:
        """*Raises* SweepBusy when it was taken over: this process slept, and was thought dead."""
        if not names(self._claim.path):
            raise SweepBusy(
                "another submit or cancel took this one for dead, as it gave no sign of life for "
                f"{SILENT_S:g} s, and is at work",
                where=str(self._sweep),
                next_step="Run the command again when that one has ended.",
            )


@contextlib.contextmanager
def submitting(sweep: SweepDirectory, say: Say = lambda _: None) -> Iterator[Turn]:
    """Be the only submit or cancel at work in a sweep.

    The place of a dead process is free: at once on this host; one of another host, which cannot
    be asked, is watched for `SILENT_S`, by what is seen to change and not by two hosts' clocks.
    *Raises* SweepBusy.
    """
    with _turn(sweep.path, lambda: make_directory(sweep.path / CLAIMS), say) as mine:
        yield mine


@contextlib.contextmanager
def changing(
    path: Path, name: str, share: str, unless: object, say: Say
) -> Iterator[tuple[SweepDirectory, Turn, UndoLog]]:
    """`submitting` in a sweep that may have to be made, and what is taken back after an error.

    Nothing is, when `unless` is true by then. Only who has the turn makes or removes anything but
    empty directories. *Raises* SweepBusy, SweepError.
    """
    path = path.absolute()

    def root() -> Path:
        make_sweep_directory(path, share, around)
        return around.directory(path / CLAIMS)

    with (
        undo_on_error(unless) as around,
        _turn(path, root, say) as mine,
        undo_on_error(unless) as made,
    ):
        yield SweepDirectory.create(path, name, share, made), mine, made


@contextlib.contextmanager
def _turn(sweep: Path, root: Callable[[], Path], say: Say) -> Iterator[Turn]:
    """`root` makes the directory of the sweep's claims."""
    claim = _claim(sweep, root, say)
    HEARTBEAT.add(claim)
    try:
        yield Turn(claim, sweep)
    finally:
        claim.release()


def _claim(sweep: Path, root: Callable[[], Path], say: Say) -> Claim:
    missing: SweepError | None = None
    for _ in range(TRIES):
        try:
            claim = claims.try_acquire(root(), NAME, partial(_is_gone, sweep, say))
        except SweepError as error:
            if getattr(error, "errno", None) != errno.ENOENT:
                raise
            missing = error  # a process that failed may just have removed the directory it created
            continue
        if claim is not None:
            return claim
    # /proc and automounts answer every mkdir(2) with ENOENT.
    raise missing or _busy(sweep, "another process")


def _is_gone(sweep: Path, say: Say, path: Path) -> bool:
    """Whether the owner of a claim is dead. *Raises* SweepBusy, FileNotFoundError."""
    owner = claims.read_owner(path)
    runs = is_running(owner)
    known = {"pid", "host"} <= owner.keys()
    who = f"process {owner['pid']} on {owner['host']}" if known else "another process"
    if runs is None:
        sign = _sign(path)
        say(
            f"{who} is, or was, submitting or cancelling in this sweep. Watching it for a sign of "
            f"life, for up to {SILENT_S:g} s."
        )
        end = time.monotonic() + SILENT_S
        while (runs := _sign(path) != sign) is False and time.monotonic() < end:
            time.sleep(LOOK_S)
    if runs:
        raise _busy(sweep, who)
    return True


def _sign(path: Path) -> int:
    """The last sign of life; opened for it, as an NFS client then asks its server.

    *Raises* FileNotFoundError.
    """
    try:
        with open_regular(path / claims.OWNER) as stream:
            return os.fstat(stream.fileno()).st_mtime_ns
    except FileNotFoundError:
        raise
    except OSError:  # no file of ours: nobody gives a sign there
        return 0


def _busy(sweep: Path, who: str) -> SweepBusy:
    return SweepBusy(
        f"{who} is submitting or cancelling in this sweep",
        where=str(sweep),
        next_step="Wait for it to end, and run the command again.",
    )
