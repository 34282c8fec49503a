"""Followers: sweeps that are sent when another one is complete.

    followers/<key>.json     in the sweep that goes before; named after the follower's key
    after.json               in the follower: which sweep that is

They are there until the follower is sent. No task reads them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from hpcsweep.field_checks import HEX16, NUMBER, TEXT, integer, schema
from hpcsweep.files import json_bytes, make_directory, names, replace
from hpcsweep.sweepdir.plan import read_fact

FOLLOWERS = "followers"
AFTER = "after.json"


class _SourceField(TypedDict, total=False):
    # The manifest's `source:`, where it names a sweep that was not complete. The frozen version
    # has a case in its place that stands for those of that sweep.
    source: Any


class FollowerFact(_SourceField):
    """A sweep is to be sent when the one in whose directory this is is complete."""

    # Seconds of the epoch.
    time: float
    # The absolute path of its directory, and the fingerprint of its frozen manifest there.
    sweep: str
    manifest: str
    # Of its array tasks.
    throttle: int


class AfterFact(TypedDict):
    """A sweep follows another one, and was not sent yet."""

    # The absolute path of that one's directory.
    sweep: str


_AFTER = schema({"sweep": TEXT})
_FACT = schema({"time": NUMBER, "sweep": TEXT, "manifest": HEX16, "throttle": integer()})


def follower_path(sweep: Path, key: str) -> Path:
    """The file about a follower of a sweep, by the follower's key."""
    return sweep / FOLLOWERS / f"{key}.json"


def add_follower(sweep: Path, key: str, fact: FollowerFact) -> None:
    """Let a sweep be sent after `sweep` alone. *Safe to repeat.* *Writes* a file in both."""
    follower = Path(fact["sweep"])
    before = goes_before(follower)
    if before is not None and before != sweep:
        follower_path(before, key).unlink(missing_ok=True)
    after: AfterFact = {"sweep": str(sweep)}
    replace(follower / AFTER, json_bytes(after))
    make_directory(sweep / FOLLOWERS)
    replace(follower_path(sweep, key), json_bytes(fact))


def remove_follower(sweep: Path, follower: Path, key: str) -> None:
    """Let a sweep no longer be sent after `sweep`. *Safe to repeat.*"""
    follower_path(sweep, key).unlink(missing_ok=True)
    (follower / AFTER).unlink(missing_ok=True)


def goes_before(follower: Path) -> Path | None:
    """The directory of the sweep after which this one is sent; None for none. *Raises* Damaged."""
    path = follower / AFTER
    if not path.exists():
        return None
    fact: AfterFact = read_fact(path, _AFTER)
    return Path(fact["sweep"])


def followers(sweep: Path) -> list[FollowerFact]:
    """The sweeps that are sent after this one. *Raises* Damaged."""
    folder = sweep / FOLLOWERS
    # Another name is that of a temporary file.
    return [read_fact(folder / name, _FACT) for name in names(folder) if name.endswith(".json")]


def follow_each_other(sweep: Path, other: Path) -> bool:
    """Whether `other` is sent after `sweep`, over any number of sweeps, or is the same."""
    waiting, seen = [sweep], set[Path]()
    while waiting:
        current = waiting.pop()
        if current == other:
            return True
        if current not in seen:
            seen.add(current)
            waiting += [Path(fact["sweep"]) for fact in followers(current)]
    return False
