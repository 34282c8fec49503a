"""Followers: sweeps that are sent when another one is complete.

    followers/<key>.json     in the sweep that goes before; named after the follower's key
    after.json               in the follower: which sweep that is

They are there until the follower is sent. No task reads them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from hpcsweep.field_checks import HEX16, NUMBER, TEXT, integer, one_of, schema
from hpcsweep.files import json_bytes, make_directory, names, replace
from hpcsweep.manifest.policies import COMPLETE, SETTLED, WHEN
from hpcsweep.sweepdir.plan import read_fact

FOLLOWERS = "followers"
AFTER = "after.json"


class _WhenField(TypedDict, total=False):
    # One of `policies.WHEN`; absent for COMPLETE.
    when: str


class _SourceField(_WhenField, total=False):
    # The manifest's `source:`, where it names a sweep that was not complete. The frozen version
    # has a case in its place that stands for those of that sweep.
    source: Any


class FollowerFact(_SourceField):
    """A sweep is to be sent when the one in whose directory this is is over."""

    # Seconds of the epoch.
    time: float
    # The absolute path of its directory, and the fingerprint of its frozen manifest there.
    sweep: str
    manifest: str
    # Of its array tasks.
    throttle: int


class AfterFact(_WhenField):
    """A sweep follows another one, and was not sent yet."""

    # The absolute path of that one's directory.
    sweep: str


_AFTER = schema({"sweep": TEXT}, {"when": one_of(WHEN)})
_FACT = schema(
    {"time": NUMBER, "sweep": TEXT, "manifest": HEX16, "throttle": integer()},
    {"when": one_of(WHEN)},
)


def over_text(when: str, sweep: str = "") -> str:
    """When a sweep is over, for people."""
    of_it = f" of {sweep}" if sweep else ""
    return f"nothing{of_it} runs or waits" if when == SETTLED else f"every case{of_it} is complete"


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
    if "when" in fact:
        after["when"] = fact["when"]
    replace(follower / AFTER, json_bytes(after))
    make_directory(sweep / FOLLOWERS)
    replace(follower_path(sweep, key), json_bytes(fact))


def give_up_follower(sweep: Path, follower: Path, key: str) -> None:
    """Let a sweep no longer be sent after `sweep`. *Safe to repeat*: its own file goes last."""
    follower_path(sweep, key).unlink(missing_ok=True)
    (follower / AFTER).unlink(missing_ok=True)


def forget_sent(sweep: Path, follower: Path, key: str) -> None:
    """Forget that a sweep was to be sent after `sweep`. *Safe to repeat*: the file there goes last.

    As long as it is there, `sweep` sends the follower again, which sends nothing twice.
    """
    (follower / AFTER).unlink(missing_ok=True)
    follower_path(sweep, key).unlink(missing_ok=True)


def goes_before(follower: Path) -> Path | None:
    """The directory of the sweep after which this one is sent; None for none. *Raises* Damaged."""
    fact = _after(follower)
    return None if fact is None else Path(fact["sweep"])


def is_sent_when(follower: Path) -> str | None:
    """When a sweep is sent that follows another one, for people; None if it follows none."""
    fact = _after(follower)
    if fact is None:
        return None
    return over_text(fact.get("when", COMPLETE), Path(fact["sweep"]).name)


def _after(follower: Path) -> AfterFact | None:
    path = follower / AFTER
    if not path.exists():
        return None
    fact: AfterFact = read_fact(path, _AFTER)
    return fact


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
