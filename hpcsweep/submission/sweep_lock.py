"""The lock of a sweep: one submit or cancel at a time, on every file system.

It is a claim and not flock(2): Lustre without `-o flock` has none, and with `localflock` or NFS
`nolock` each host has its own.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from hpcsweep import claims
from hpcsweep.claims import Claim
from hpcsweep.errors import SweepBusy, SweepError
from hpcsweep.files import make_directory, names, open_regular
from hpcsweep.liveness import BEAT_S, HEARTBEAT, is_running
from hpcsweep.sweepdir.directory import CLAIMS, SweepDirectory, make_sweep_directory
from hpcsweep.sweepdir.hand_copy import refuse_hand_copy
from hpcsweep.undo import UndoLog, undo_on_error

NAME = "submit"
# Seconds without a heartbeat after which a process of another host counts as dead: several beats,
# and longer than NFS and FUSE clients cache attributes (60 s).
SILENT_S = 6 * BEAT_S
# Seconds between two polls of its heartbeat, and between two tries to get the lock.
POLL_S = 1.0
# Seconds for which a command that must go on waits for the lock.
PATIENCE_S = 300.0
# Seconds for which any other command waits for an `advance`, of a closing job mostly: it decides
# and sends within seconds, and nobody knows when it runs.
BRIEF_S = 60.0
# How often the lock may be free at one moment and taken at the next.
TRIES = 100

Notify = Callable[[str], None]
T = TypeVar("T")
# What an `advance` writes into its claim.
ADVANCE = {"verb": "advance"}


class SweepLock:
    """The exclusive right to change a sweep."""

    def __init__(self, claim: Claim, sweep: Path) -> None:
        self._claim = claim
        self._sweep = sweep

    def check(self) -> None:
        """*Raises* SweepBusy if another process took the lock: this one was suspended too long."""
        if not names(self._claim.path):
            raise SweepBusy(
                "another submit or cancel took this one for dead, as it had no heartbeat for "
                f"{SILENT_S:g} s, and is running now",
                where=str(self._sweep),
                next_step="Run the command again when that one has ended.",
            )

    def follow(self, sweep: Path) -> None:
        """Hold the lock at another path: the directory of the sweep was renamed to `sweep`."""
        self._sweep = sweep
        self._claim.follow(sweep / CLAIMS)


@contextlib.contextmanager
def locked_sweep(sweep: SweepDirectory, notify: Notify = lambda _: None) -> Iterator[SweepLock]:
    """Hold the lock of a sweep.

    The lock of a dead process is taken over: at once on this host. A process of another host, which
    cannot be checked, must not change its heartbeat for `SILENT_S`; no clocks are compared.
    *Raises* SweepBusy.
    """
    with _hold(sweep.path, _root_of(sweep), notify) as lock:
        yield lock


@contextlib.contextmanager
def awaited_sweep(sweep: SweepDirectory, notify: Notify = lambda _: None) -> Iterator[SweepLock]:
    """Hold the lock of a sweep, even if another command has it now.

    That one may have decided before the array was over behind which this one runs: whoever gives
    up here may leave nobody to go on. *Raises* SweepBusy after `PATIENCE_S`; SweepError for a copy
    by hand.
    """
    refuse_hand_copy(sweep)
    with contextlib.ExitStack() as stack:
        take_lock = partial(_hold, sweep.path, _root_of(sweep), notify, ADVANCE)
        yield patiently(lambda: stack.enter_context(take_lock()))


def _root_of(sweep: SweepDirectory) -> Callable[[], Path]:
    return lambda: make_directory(sweep.writable().path / CLAIMS)


def patiently(action: Callable[[], T]) -> T:
    """Do what needs the lock of a sweep; again if another command has it.

    *Raises* SweepBusy after `PATIENCE_S`.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return action()
        except SweepBusy:
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_S)


@contextlib.contextmanager
def created_sweep(
    path: Path, name: str, share: str, unless: object, notify: Notify
) -> Iterator[tuple[SweepDirectory, SweepLock, UndoLog]]:
    """Create a sweep if it is missing, and hold its lock; after an error undo what was created.

    Nothing is undone if `unless` is true by then. Only the holder of the lock creates or removes
    anything but empty directories. *Raises* SweepBusy, SweepError.
    """
    path = path.absolute()

    def root() -> Path:
        make_sweep_directory(path, share, around)
        return around.directory(path / CLAIMS)

    with (
        undo_on_error(unless) as around,
        _hold(path, root, notify) as lock,
        undo_on_error(unless) as made,
    ):
        sweep = SweepDirectory.create(path, name, share, made)
        refuse_hand_copy(sweep)
        yield sweep, lock, made


@contextlib.contextmanager
def _hold(
    sweep: Path,
    root: Callable[[], Path],
    notify: Notify,
    about: Mapping[str, str] = claims.NOTHING,
) -> Iterator[SweepLock]:
    """Hold the lock; `root` creates the directory of the sweep's claims."""
    claim = _claim(sweep, root, notify, about)
    HEARTBEAT.add(claim)
    try:
        yield SweepLock(claim, sweep)
    finally:
        claim.release()


def _claim(
    sweep: Path, root: Callable[[], Path], notify: Notify, about: Mapping[str, str]
) -> Claim:
    missing: SweepError | None = None
    deadline = time.monotonic() + BRIEF_S
    for _ in range(TRIES):
        try:
            claim = claims.try_acquire(root(), NAME, partial(_is_gone, sweep, notify), about)
        except _AdvanceIsBusy:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
            continue
        except SweepError as error:
            if getattr(error, "errno", None) != errno.ENOENT:
                raise
            missing = error  # a process that failed may just have removed the directory it created
            continue
        if claim is not None:
            return claim
    # /proc and automounts answer every mkdir(2) with ENOENT.
    raise missing or _busy(sweep, "another process")


def _is_gone(sweep: Path, notify: Notify, path: Path) -> bool:
    """Whether the owner of a claim is dead. *Raises* SweepBusy, FileNotFoundError."""
    owner = claims.read_owner(path)
    runs = is_running(owner)
    is_named = {"pid", "host"} <= owner.keys()
    who = f"process {owner['pid']} on {owner['host']}" if is_named else "another process"
    if runs is None:
        sign = _sign(path)
        notify(
            f"{who} is, or was, submitting or cancelling in this sweep. Watching its heartbeat for "
            f"up to {SILENT_S:g} s."
        )
        end = time.monotonic() + SILENT_S
        while (runs := _sign(path) != sign) is False and time.monotonic() < end:
            time.sleep(POLL_S)
    if runs:
        raise _busy(
            sweep, who, _AdvanceIsBusy if owner.get("verb") == ADVANCE["verb"] else SweepBusy
        )
    return True


def _sign(path: Path) -> int:
    """The time of the last heartbeat. Opens the file: an NFS client then asks its server.

    *Raises* FileNotFoundError.
    """
    try:
        with open_regular(path / claims.OWNER) as stream:
            return os.fstat(stream.fileno()).st_mtime_ns
    except FileNotFoundError:
        raise
    except OSError:  # not a file of ours: no process updates it
        return 0


class _AdvanceIsBusy(SweepBusy):
    """An `advance` is working in the sweep directory."""


def _busy(sweep: Path, who: str, kind: type[SweepBusy] = SweepBusy) -> SweepBusy:
    return kind(
        f"{who} is submitting or cancelling in this sweep",
        where=str(sweep),
        next_step="Wait for it to end, and run the command again.",
    )
