"""A stopped sweep for people: how many cases failed, with which errors, and how to go on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from hpcsweep.indexset import IndexSet
from hpcsweep.quantities import counted
from hpcsweep.records import Status
from hpcsweep.store import SweepIndex
from hpcsweep.store.schema import cases
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.locate import argument_for
from hpcsweep.sweepdir.stop import error_kind, held_fact, stop_fact

# Kinds of errors that a digest names.
KINDS_NAMED = 5
# Failed cases that a digest reads: each status of a stopped sweep makes one.
DIGEST_MAX = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureKind:
    """Failed cases with the same type of error and head of its message."""

    kind: str
    indices: IndexSet

    @property
    def line(self) -> str:
        """For people."""
        return f"{self.indices.count} × {self.kind} (first index {self.indices.select(0)})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Stopped:
    """Why a sweep is stopped."""

    name: str
    path: str
    # Count of failed cases that stopped it, and what they have in common.
    failures: int
    kind: str
    # Whether its queued tasks are held.
    is_held: bool
    # Of all failed cases, the most frequent first.
    kinds: tuple[FailureKind, ...]
    # Whether the canary failed; `kind` has the reasons of its cases then.
    by_canary: bool = False

    @property
    def lines(self) -> list[str]:
        """The digest: the reason, the errors, how to go on."""
        more = len(self.kinds) - KINDS_NAMED
        count = sum(kind.indices.count for kind in self.kinds)
        return [
            f"{self.name} is stopped: {self._why}",
            *(f"  {kind.line}" for kind in self.kinds[:KINDS_NAMED]),
            *([f"  and {counted(more, 'more kind')} of errors"] if more > 0 else []),
            *([f"  (of the first {DIGEST_MAX} failed cases)"] if count >= DIGEST_MAX else []),
            self._next_step,
        ]

    @property
    def _why(self) -> str:
        if self.by_canary:
            return f"no case of the canary is complete ({self.kind})"
        alike = " with the same error" if self.kind else ""
        return f"{counted(self.failures, 'case')} failed{alike} (stop_after)"

    @property
    def _next_step(self) -> str:
        argument = argument_for(self.name, self.path)
        logs = f"`hpcsweep logs {argument} INDEX` says why a case failed"
        if self.by_canary:
            return (
                f"Nothing more is sent. {logs}; `hpcsweep submit` sends another canary, "
                "`hpcsweep submit --canary 0` all cases at once."
            )
        held = ", queued tasks are held" if self.is_held else ""
        return (
            f"Nothing more is run{held}. {logs}; `hpcsweep submit` goes on, `hpcsweep retry "
            f"{argument}` also runs the failed cases again."
        )

    def to_json(self) -> dict[str, Any]:
        """The part of `status --json`."""
        return {
            "failures": self.failures,
            "kind": self.kind or None,
            "held": self.is_held,
            "canary": self.by_canary,
            "errors": [
                {"error": kind.kind, "cases": kind.indices.count, "first": kind.indices.select(0)}
                for kind in self.kinds
            ],
        }


def stopped(sweep: SweepDirectory, sweep_index: SweepIndex) -> Stopped | None:
    """Why a sweep is stopped; None if it is not. `sweep_index` must be up to date."""
    fact = stop_fact(sweep.path)
    if fact is None:
        return None
    return Stopped(
        name=sweep.name,
        path=sweep.shown_path,
        failures=fact["failures"],
        kind=fact["kind"],
        is_held=held_fact(sweep.path) is not None,
        kinds=tuple(failure_kinds(sweep_index, most=DIGEST_MAX)),
        by_canary=fact.get("canary", False),
    )


def failure_kinds(
    sweep_index: SweepIndex, among: IndexSet | None = None, most: int | None = None
) -> list[FailureKind]:
    """The failed cases by their errors, the most frequent first; those of `among`, or all.

    `most`: how many failed cases are looked at, by their indices; None for all.
    """
    by_kind: dict[str, list[int]] = {}
    is_failed = cases.c.status == Status.FAILED.value
    within = sweep_index.with_status(Status.FAILED.value)
    for row in islice(sweep_index.rows(where=is_failed, within=within), most):
        kind = error_kind(row["reason"] or "", _error(row["error"]))
        by_kind.setdefault(kind, []).append(row["idx"])
    kinds = [
        FailureKind(kind=kind, indices=own)
        for kind, indices in by_kind.items()
        if (own := _within(indices, among))
    ]
    return sorted(kinds, key=lambda kind: (-kind.indices.count, kind.indices.select(0)))


def _within(indices: Iterable[int], among: IndexSet | None) -> IndexSet:
    index_set = IndexSet.of(indices)
    return index_set if among is None else index_set & among


def _error(text: str | None) -> dict[str, Any] | None:
    value = json.loads(text) if text else None
    return value if isinstance(value, dict) else None
