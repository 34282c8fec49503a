"""Claims: of all threads, processes and hosts that want to do something, one does it.

A claim on a name is the directory `.claims/<name>/<token>/`, created aside and renamed into place.
The rename fails while another claim exists, also on file systems without flock(2). The token names
the owner. Whoever finds a dead owner moves its `<token>` away, which only one process can do, and
then claims like anyone else. The old owner's paths no longer exist, so it cannot publish anything.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hpcsweep.files import (
    PRIVATE_DIRECTORY,
    fsync_path,
    names,
    parse_json,
    read_regular,
    remove_tree,
    token,
    unwritable,
    write_plain,
)
from hpcsweep.liveness import HEARTBEAT, is_alive, pid_namespace, this_process

# The file that identifies the owner; its mtime is the heartbeat.
OWNER = "metadata.json"
# Size limit of this file.
OWNER_MAX = 1 << 16
# Seconds between attempts to claim: the first, and the longest.
FIRST_POLL_S, LONGEST_POLL_S = 0.01, 1.0


NOTHING: Mapping[str, Any] = MappingProxyType({})
# errno of rename(2) onto a non-empty directory; which one depends on the system.
_TAKEN = frozenset({errno.ENOTEMPTY, errno.EEXIST})


class ClaimLost(Exception):
    """Another process took over the claim: it considered the owner dead."""


def check_own(path: Path) -> None:
    """*Raises* ClaimLost if the directory of a claim is gone: another process has the claim."""
    if not path.exists():
        raise ClaimLost(str(path))


class Claim:
    """The exclusive right to do something, with a directory to do it in."""

    def __init__(self, place: Path, own: str) -> None:
        self._place = place
        self._own = own
        # The owner's directory; removed with the claim.
        self.path = place / own

    def publish(self, made: Path, final: Path, *, sync: bool = False) -> None:
        """Publish a file of the claim's directory by an atomic rename; replaces an older one.

        `sync` makes its content durable first. *Raises* ClaimLost if another process has the claim
        now.
        """
        try:
            if sync:
                fsync_path(made)
            os.replace(made, final)
        except FileNotFoundError as error:
            check_own(self.path)
            raise unwritable(final, error) from error
        except OSError as error:
            raise unwritable(final, error) from error

    def follow(self, root: Path) -> None:
        """Go on at another path: the directory of the claims was renamed to `root`."""
        self._place = root / self._place.name
        self.path = self._place / self._own

    def release(self) -> None:
        """Release the claim and remove its directory. *Safe to repeat.*"""
        HEARTBEAT.remove(self)
        gone = self._place.with_name(f".gone.{self._own}")
        try:
            os.rename(self.path, gone)
        except FileNotFoundError:  # taken over, or released before
            return
        with contextlib.suppress(OSError):  # the next claim may exist already
            os.rmdir(self._place)
        with contextlib.suppress(OSError):
            os.unlink(gone / OWNER)
            try:
                os.rmdir(gone)
            except OSError:  # a runner may leave files behind
                remove_tree(gone)


def read_owner(path: Path) -> dict[str, Any]:
    """The owner of a claim's directory; empty if a power failure lost the content.

    *Raises* FileNotFoundError if the claim is gone.
    """
    try:
        owner = parse_json(read_regular(path / OWNER, OWNER_MAX))
    except FileNotFoundError:
        raise
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def is_abandoned(path: Path) -> bool:
    """Whether the owner of a claim's directory is dead, or on another host without a heartbeat.

    Compares the clocks of both hosts. If they differ, a living owner may lose its claim, but it
    cannot publish then. *Raises* FileNotFoundError.
    """
    # Without owner information, the claim expires by its age.
    return is_alive(read_owner(path) or {"pid": 0}, path / OWNER) is False


def try_acquire(
    root: Path,
    name: str,
    is_gone: Callable[[Path], bool] = is_abandoned,
    about: Mapping[str, Any] = NOTHING,
) -> Claim | None:
    """The claim on `name`, or None while another has it. *Writes* below an existing `root`.

    `is_gone` decides whether the owner of a claim's directory is dead; `about` is written beside
    what identifies this owner. The caller sends the
    heartbeat, by `HEARTBEAT` or by touching the owner's file.
    """
    place, own = root / name, token()
    owners = names(place)
    try:
        free = not owners or (is_gone(place / owners[0]) and _evict(place, owners[0], own))
    except FileNotFoundError:  # it was released meanwhile
        return None
    return _claim_free(place, own, about) if free else None


def acquire(root: Path, name: str, patience_s: float) -> Claim | None:
    """The claim on `name`, or None if another still has it after `patience_s` seconds."""
    deadline = time.monotonic() + patience_s
    for pause_s in backoff_pauses():
        claim = try_acquire(root, name)
        if claim is not None or time.monotonic() >= deadline:
            return claim
        time.sleep(pause_s)
    return None


def backoff_pauses() -> Iterator[float]:
    """Seconds to wait before each next attempt: growing, with jitter."""
    pause = FIRST_POLL_S
    while True:
        yield random.uniform(pause / 2, pause)  # noqa: S311  # not cryptographic
        pause = min(2 * pause, LONGEST_POLL_S)


def _claim_free(place: Path, own: str, about: Mapping[str, Any]) -> Claim | None:
    aside = place.with_name(f".new.{own}")
    try:
        os.mkdir(aside, PRIVATE_DIRECTORY)
        os.mkdir(aside / own, PRIVATE_DIRECTORY)
        owner = this_process() | {"pid_namespace": pid_namespace(), **about}
        write_plain(aside / own / OWNER, json.dumps(owner).encode())  # not visible yet
        os.rename(aside, place)  # also replaces the empty directory of a dead owner
    except OSError as error:
        # NFS may repeat a request whose reply was lost: then the existing name is ours.
        if own in names(place):
            return Claim(place, own)
        with contextlib.suppress(OSError):
            remove_tree(aside)
        if error.errno in _TAKEN:
            return None
        raise unwritable(place, error) from error
    return Claim(place, own)


def _evict(place: Path, owner: str, own: str) -> bool:
    """Move a dead owner's directory away, which only one process can; False for all others.

    Tokens are unique, so a late caller cannot hit the directory of a newer, living owner.
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
