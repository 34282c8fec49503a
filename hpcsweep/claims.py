"""Claims: of all threads, processes and hosts that want to do the same thing, one does it.

A claim on a name is the directory `.claims/<name>/<token>/`, made aside and renamed into place:
that fails while another one is there, also on file systems without flock(2). The token names the
owner. Whoever finds an owner that is gone moves its `<token>` away, which one alone can, and then
claims as anybody does; all that the old owner still has are paths that are no more, so it can
publish nothing.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hpcsweep.files import (
    PRIVATE_DIRECTORY,
    names,
    parse_json,
    read_regular,
    remove_tree,
    token,
    unwritable,
    write_plain,
)
from hpcsweep.liveness import HEARTBEAT, is_alive, pid_namespace, this_process

# What an owner says of itself, and touches as a sign of life.
OWNER = "metadata.json"
# Bytes of it.
OWNER_MAX = 1 << 16
# Seconds between two looks at another's claim: the first, and the longest.
FIRST_LOOK_S, LONGEST_LOOK_S = 0.01, 1.0


# What rename(2) says of a directory that has something in it; which one, the system chooses.
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST})


class ClaimLost(Exception):
    """The claim was taken over: somebody took its owner for dead."""


def check_own(path: Path) -> None:
    """*Raises* ClaimLost when the directory of a claim is gone: then the claim is another's."""
    if not path.exists():
        raise ClaimLost(str(path))


class Claim:
    """The right to do one thing, and the directory to do it in."""

    def __init__(self, place: Path, own: str) -> None:
        self._place = place
        self._own = own
        # The owner's directory; gone when the claim is.
        self.path = place / own

    def publish(self, made: Path, final: Path, *, sync: bool = False) -> None:
        """Move a file of the claim's directory to where it is looked for, over an older one.

        `sync` makes what is in it durable first. *Raises* ClaimLost when the claim is another's by
        now.
        """
        try:
            if sync:
                _sync(made)
            os.replace(made, final)
        except FileNotFoundError as error:
            check_own(self.path)
            raise unwritable(final, error) from error
        except OSError as error:
            raise unwritable(final, error) from error

    def release(self) -> None:
        """Give the claim up; its directory goes with it. *Safe to repeat.*"""
        HEARTBEAT.remove(self)
        gone = self._place.with_name(f".gone.{self._own}")
        try:
            os.rename(self.path, gone)
        except FileNotFoundError:  # taken over, or released before
            return
        with contextlib.suppress(OSError):  # the next one's may be there already
            os.rmdir(self._place)
        with contextlib.suppress(OSError):
            os.unlink(gone / OWNER)
            try:
                os.rmdir(gone)
            except OSError:  # a runner may leave something behind
                remove_tree(gone)


def read_owner(path: Path) -> dict[str, Any]:
    """What the owner of a claim's directory says of itself; nothing where a power cut took it.

    *Raises* FileNotFoundError when the claim is gone.
    """
    try:
        owner = parse_json(read_regular(path / OWNER, OWNER_MAX))
    except FileNotFoundError:
        raise
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def is_abandoned(path: Path) -> bool:
    """Whether the owner of a claim's directory is dead, or on another host and silent for long.

    By the clocks of both hosts: an owner that it wrongs can publish nothing. *Raises*
    FileNotFoundError.
    """
    # Whose it was may be unknown: then it has its time to be silent, too.
    return is_alive(read_owner(path) or {"pid": 0}, path / OWNER) is False


def try_acquire(
    root: Path, name: str, is_gone: Callable[[Path], bool] = is_abandoned
) -> Claim | None:
    """The claim on `name`, or None while another has it. *Writes* below `root`, which is there.

    `is_gone` judges the owner of the claim's directory that it gets. The claim is the caller's to
    look after, by `HEARTBEAT` or by touching the owner's file.
    """
    place, own = root / name, token()
    owners = names(place)
    try:
        free = not owners or (is_gone(place / owners[0]) and _evict(place, owners[0], own))
    except FileNotFoundError:  # it was released meanwhile
        return None
    return _take_free(place, own) if free else None


def backoff_pauses() -> Iterator[float]:
    """Seconds to wait before each next attempt: more and more, and never twice the same."""
    pause = FIRST_LOOK_S
    while True:
        yield random.uniform(pause / 2, pause)  # noqa: S311  # no secret
        pause = min(2 * pause, LONGEST_LOOK_S)


def _take_free(place: Path, own: str) -> Claim | None:
    aside = place.with_name(f".new.{own}")
    try:
        os.mkdir(aside, PRIVATE_DIRECTORY)
        os.mkdir(aside / own, PRIVATE_DIRECTORY)
        owner = this_process() | {"pid_namespace": pid_namespace()}
        write_plain(aside / own / OWNER, json.dumps(owner).encode())  # nobody sees it yet
        os.rename(aside, place)  # onto an empty directory, too: of one who was gone, or killed
    except OSError as error:
        # Over NFS an answer may be lost and the request be sent again: then the name is ours.
        if own in names(place):
            return Claim(place, own)
        with contextlib.suppress(OSError):
            remove_tree(aside)
        if error.errno in _TAKEN:
            return None
        raise unwritable(place, error) from error
    return Claim(place, own)


def _evict(place: Path, owner: str, own: str) -> bool:
    """Move a dead owner's directory away, which one alone can; False for all others.

    By its name, which no other owner ever has: nobody who looked long ago can hit a living one.
    """
    gone = place.with_name(f".gone.{own}")
    try:
        os.rename(place / owner, gone)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise unwritable(place, error) from error
    with contextlib.suppress(OSError):
        remove_tree(gone)
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
