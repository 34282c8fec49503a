"""When a sweep is reduced, and what follows which sweep."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hpcsweep.errors import Damaged
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.frozen import FrozenManifest, Target
from hpcsweep.manifest.policies import Retry
from hpcsweep.records import Reason, Resources, Status
from hpcsweep.sources.grid_source import grid
from hpcsweep.state.outlook import Group, Outlook, State
from hpcsweep.state.over import is_over
from hpcsweep.sweepdir.followers import follow_each_other, follower_path, followers
from hpcsweep.sweepdir.version import Version

MANIFEST = FrozenManifest(name="s", root="/", target=Target(argv=("true",)), source={})
VERSION = Version.of(MANIFEST, grid(x=[0, 1, 2, 3]))
DONE = Group(indices=IndexSet.of([0, 1, 2]), state=State.COMPLETE, status=Status.COMPLETE)


def outlook(state: State, status: Status, reason: Reason | None = None, **more: object) -> Outlook:
    """Three complete cases, and a fourth."""
    last = Group(
        indices=IndexSet.of([3]), state=state, status=status, reason=reason, submission=1, tries=1
    )
    found = Outlook(version=VERSION, groups=(DONE, last), resources={1: Resources()})
    return replace(found, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fourth", "complete", "settled"),
    [
        (outlook(State.COMPLETE, Status.COMPLETE), True, True),
        (outlook(State.STALE, Status.COMPLETE), True, True),
        (outlook(State.FAILED, Status.FAILED, Reason.ERROR), False, True),
        (outlook(State.INTERRUPTED, Status.INTERRUPTED, Reason.TERMINATED), False, True),
        # A retry mends the case, a submission owes it, a task runs it, or none was submitted.
        (outlook(State.INTERRUPTED, Status.INTERRUPTED, Reason.NODE_FAIL), False, False),
        (outlook(State.INTERRUPTED, Status.PENDING, owed=IndexSet.of([3])), False, False),
        (outlook(State.RUNNING, Status.RUNNING, in_flight=IndexSet.of([3])), False, False),
        (outlook(State.UNSUBMITTED, Status.PENDING), False, False),
        # A user cancelled it before it was sent.
        (outlook(State.UNSUBMITTED, Status.PENDING, withdrawn=IndexSet.of([3])), False, True),
    ],
)
def test_when_a_sweep_is_over(fourth: Outlook, complete: bool, settled: bool) -> None:
    assert is_over(fourth, Retry(), "complete") is complete
    assert is_over(fourth, Retry(), "settled") is settled
    # A search tells what has ended; what a retry mends has not settled.
    assert not settled or fourth.ended.count == 4


def follow(first: Path, then: Path) -> Path:
    """Let a sweep follow another; the file about it."""
    path = follower_path(first, f"{len(str(then)):016x}")
    path.parent.mkdir(parents=True, exist_ok=True)
    fact = {"time": 0.0, "sweep": str(then), "manifest": "0" * 16, "throttle": 0}
    path.write_text(json.dumps(fact))
    return path


def test_a_chain_is_no_cycle(tmp_path: Path) -> None:
    a, b, c = tmp_path / "a", tmp_path / "bb", tmp_path / "ccc"
    assert not follow_each_other(b, a)
    follow(a, b)
    follow(b, c)
    assert [fact["sweep"] for fact in followers(a)] == [str(b)]
    assert not follow_each_other(c, b)
    assert follow_each_other(a, c)  # c is sent after a, over b
    assert follow_each_other(a, a)
    follow(c, a)
    assert not follow_each_other(a, tmp_path / "other")  # ends, cycle or not


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = follow(tmp_path / "a", tmp_path / "b")
    path.write_text('{"sweep": 3}')
    with pytest.raises(Damaged, match=path.name):
        followers(tmp_path / "a")
