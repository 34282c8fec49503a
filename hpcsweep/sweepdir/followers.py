"""Followers: sweeps that are sent when another one is complete.

    followers/<key>.json     in the sweep that goes before; named after the follower's key

The file is there until the follower is sent. No task reads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from hpcsweep.errors import Damaged
from hpcsweep.field_checks import HEX16, NUMBER, TEXT, integer, mismatch, schema
from hpcsweep.files import RESTORE, names, read_json

FOLLOWERS = "followers"


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


_FACT = schema({"time": NUMBER, "sweep": TEXT, "manifest": HEX16, "throttle": integer()})


def follower_path(sweep: Path, key: str) -> Path:
    """The file about a follower of a sweep, by the follower's key."""
    return sweep / FOLLOWERS / f"{key}.json"


def followers(sweep: Path) -> dict[Path, FollowerFact]:
    """The sweeps that are sent after this one, by their file. *Raises* Damaged."""
    found: dict[Path, FollowerFact] = {}
    for name in names(sweep / FOLLOWERS):
        if not name.endswith(".json"):  # a temporary file
            continue
        path = sweep / FOLLOWERS / name
        fact: FollowerFact = read_json(path)
        wrong = mismatch(fact, _FACT)
        if wrong:
            raise Damaged(f"is damaged: {wrong}", where=str(path), next_step=RESTORE)
        found[path] = fact
    return found


def follow_each_other(sweep: Path, other: Path) -> bool:
    """Whether `other` is sent after `sweep`, over any number of sweeps, or is the same."""
    waiting, seen = [sweep], set[Path]()
    while waiting:
        one = waiting.pop()
        if one == other:
            return True
        if one not in seen:
            seen.add(one)
            waiting += [Path(fact["sweep"]) for fact in followers(one).values()]
    return False
