"""Cases that a user cancelled, on disk: `cancels/0001.json`, one file for each `cancel` of some.

A fact holds until a later submission sends the case again: `advance` does not send it, and no task
of an earlier submission begins it. Slurm cancels array tasks, and a task may hold other cases.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypedDict

from hpcsweep.field_checks import LIST, NUMBER, OBJECT, TEXT, integer, schema
from hpcsweep.files import json_bytes, make_directory, names, write_new
from hpcsweep.indexset import IndexSet
from hpcsweep.sweepdir import plan
from hpcsweep.sweepdir.directory import SweepPaths

_NAME = re.compile(r"[0-9]{4,9}\.json", re.ASCII)


class CancelledFact(TypedDict):
    """A user cancelled cases."""

    # Seconds of the epoch.
    time: float
    # Number of the last submission then; a later one sends them again.
    submission: int
    # Half-open ranges of indices of this manifest.
    manifest: str
    indices: list[list[int]]
    # What tasks do not begin: ranges by submission, as its own manifest orders them.
    tasks: dict[str, list[list[int]]]
    # Ranges of chunks whose array tasks were cancelled, by submission.
    chunks: dict[str, list[list[int]]]


_FACT = schema(
    {"time": NUMBER, "submission": integer(), "manifest": TEXT, "indices": LIST}
    | {"tasks": OBJECT, "chunks": OBJECT}
)


def fact_names(sweep: SweepPaths) -> list[str]:
    """The files of all facts, oldest first."""
    return [name for name in names(sweep.cancel_root) if _NAME.fullmatch(name)]


def read_fact(sweep: SweepPaths, name: str) -> CancelledFact:
    """One fact. *Raises* Damaged."""
    fact: CancelledFact = plan.read_fact(sweep.cancel_root / name, _FACT)
    return fact


def facts(sweep: SweepPaths) -> Iterator[CancelledFact]:
    """All facts, oldest first. *Raises* Damaged."""
    return (read_fact(sweep, name) for name in fact_names(sweep))


def add_fact(sweep: SweepPaths, fact: CancelledFact) -> None:
    """Write a fact. The caller holds the lock of the sweep. *Writes* a file."""
    make_directory(sweep.cancel_root)
    number = len(fact_names(sweep)) + 1
    write_new(sweep.cancel_root / f"{number:04d}.json", json_bytes(fact))


def cancel_times(sweep: SweepPaths) -> dict[int, dict[int, float]]:
    """When the array tasks of chunks were cancelled, by submission and chunk."""
    times: dict[int, dict[int, float]] = {}
    for fact in facts(sweep):
        for number, ranges in fact["chunks"].items():
            chunks = IndexSet.from_json(ranges)
            times.setdefault(int(number), {}).update(dict.fromkeys(chunks, fact["time"]))
    return times


def cancelled_in(fact: CancelledFact, submission: int) -> IndexSet:
    """What tasks of a submission do not begin."""
    return IndexSet.from_json(fact["tasks"].get(str(submission), []))
