"""The outlook of a sweep in numbers, with its age."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from hpcsweep.cluster.reasons import is_hold, meaning, passes, passing_meaning
from hpcsweep.indexset import IndexSet
from hpcsweep.quantities import counted
from hpcsweep.records import Status
from hpcsweep.runs.memory import MemoryExcess, memory_excess
from hpcsweep.state.array_tasks import ArrayTasks
from hpcsweep.state.canary import CanaryCounts, canary_counts
from hpcsweep.state.changed_inputs import InputCounts
from hpcsweep.state.code_counts import CodeCounts
from hpcsweep.state.core_hours import CoreHours
from hpcsweep.state.failures import FailureGroup
from hpcsweep.state.given_up import given_up
from hpcsweep.state.outlook import Outlook, State
from hpcsweep.state.pace import Pace
from hpcsweep.state.paused import Paused, paused
from hpcsweep.state.reduced import Reduced
from hpcsweep.state.running import RunningCase
from hpcsweep.state.standstill import Standstill
from hpcsweep.state.stopped import Stopped
from hpcsweep.state.trials import SearchProgress
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.followers import over_text
from hpcsweep.sweepdir.nodes import NodeFact, node_facts


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """A sweep's state in numbers. Counts are of indices.

    Examples:
        >>> summary = sweep.status()
        >>> isinstance(summary, hs.Summary), summary.n_cases
        (True, 3)
    """

    name: str
    path: str
    manifest: str
    n_cases: int
    counts: dict[Status, int]
    # Counts of failed and interrupted indices by reason.
    reasons: dict[str, int]
    # Count of pending indices that a submit would send.
    unsubmitted: int
    # Counts of array tasks that are not known to be over, by state as in `ArrayTasks.states`.
    tasks: dict[str, int]
    # Counts of waiting array tasks by the queue's reason.
    waiting: dict[str, int]
    # Seconds since the cluster last answered; None if it never did or need not be polled.
    asked_s_ago: float | None
    # Why the last poll failed.
    problem: str | None
    # Counts of journal lines that were passed over, damaged or of another sweep, by journal.
    torn: dict[str, int]
    submissions: int
    # Whether these tasks are jobs of whole nodes.
    in_whole_nodes: bool = False
    # When the scheduler expects the next waiting task to start, local time with its offset; None
    # without.
    next_start: str | None = None
    # Complete indices that were computed with other code than today's, or, if that is not
    # available, than the last submission's.
    code: CodeCounts = field(default_factory=CodeCounts)
    # The largest of complete cases that used more memory than they asked for.
    memory: MemoryExcess | None = None
    # Count of complete indices whose files are gone; None if nobody looked.
    lost: int | None = None
    # Of the complete indices, whose input files or keyed cells have changed; None likewise.
    inputs: InputCounts | None = None
    # The indices that `retry` gives up, by why.
    given_up: Mapping[str, IndexSet] = field(default_factory=dict)
    # Why the circuit breaker lets nothing more run; None if it does.
    stopped: Stopped | None = None
    # Why cases wait for room on the disk; None if none does.
    paused: Paused | None = None
    # Why nothing goes on though cases are to be sent; None if something does.
    standstill: Standstill | None = None
    # The nodes that get nothing more, as cases failed there.
    excluded_nodes: tuple[NodeFact, ...] = ()
    # How far the reduce is; None without one.
    reduced: Reduced | None = None
    # How far the search is that finds the cases; None without one.
    search: SearchProgress | None = None
    # By the names of the sweeps that are sent after this one, when: one of `policies.WHEN`.
    followers: Mapping[str, str] = field(default_factory=dict)
    # The cases that go first; None if no others wait for them.
    canary: CanaryCounts | None = None
    # Running cases and what they use, at most `SHOWN_MAX`, the one that began first before others.
    running: tuple[RunningCase, ...] = ()
    # Of complete cases: seconds of the slowest, bytes of the largest; None if not known.
    slowest_s: float | None = None
    largest_bytes: int | None = None
    # How fast cases end; None if nothing is under way, or it is not known.
    pace: Pace | None = None
    # Used and asked for by attempts that ended; None if none has, and of many cases.
    core_hours: CoreHours | None = None
    # The largest groups of failed cases.
    failures: tuple[FailureGroup, ...] = ()

    def __repr__(self) -> str:
        return f"<Summary of {self.name!r}: {self.counts_text}>"

    def _repr_html_(self) -> str:
        from hpcsweep.html_table import facts_html  # noqa: PLC0415  # for notebooks alone

        facts = [
            (status.value, self.counts[status]) for status in Status if self.counts.get(status)
        ]
        reasons = [f"{count} {reason}" for reason, count in sorted(self.reasons.items())]
        return facts_html(
            f"{self.name}: {counted(self.n_cases, 'case')}",
            [*facts, ("reasons", ", ".join(reasons)), ("path", self.path)],
            [*self.stuck, *self.stage_lines],
        )

    @property
    def other_code(self) -> int:
        """Count of complete cases that were computed with other code.

        Examples:
            >>> sweep.status().other_code
            0
        """
        return self.code.stale

    @property
    def changed(self) -> int | None:
        """Count of complete cases whose inputs have changed; None if nobody looked.

        Examples:
            >>> sweep.status().changed
            0
        """
        return None if self.inputs is None or self.inputs.unseen else self.inputs.changed

    @property
    def is_complete(self) -> bool:
        """Whether every case is complete, and a search asks for no more.

        Examples:
            >>> sweep.status().is_complete
            False
        """
        is_whole = self.counts.get(Status.COMPLETE, 0) == self.n_cases
        return is_whole and (self.search is None or self.search.asked >= self.search.n)

    @property
    def is_finished(self) -> bool:
        """Whether every case is complete, and the reduce if there is one.

        Examples:
            >>> sweep.status().is_finished
            False
        """
        return self.is_complete and (self.reduced is None or self.reduced.status is Status.COMPLETE)

    @property
    def awaits_stages(self) -> bool:
        """Whether a reduce, or a sweep that follows, was not sent yet.

        Examples:
            >>> sweep.status().awaits_stages
            False
        """
        waits = self.reduced is not None and self.reduced.status is None
        return waits or bool(self.followers)

    @property
    def stage_lines(self) -> list[str]:
        """How far the search and the reduce are, and what follows the sweep, for people.

        Examples:
            >>> sweep.status().stage_lines
            []
        """
        lines = [f"search: {self.search.line}"] if self.search else []
        lines += [self.reduced.line] if self.reduced else []
        return lines + [
            f"then: {name}, when {over_text(when)}" for name, when in self.followers.items()
        ]

    @property
    def counts_text(self) -> str:
        """The counts in one line: `4 complete, 1 failed, 1 pending of 6`.

        Examples:
            >>> sweep.status().counts_text
            '2 complete, 1 failed of 3'
        """
        text = f"{counts_text(self.counts) or 'nothing'} of {self.n_cases}"
        return text if self.search is None else f"{text}; {self.search.line}"

    @property
    def without_outcome(self) -> int:
        """Count of cases that are neither complete nor failed.

        Examples:
            >>> sweep.status().without_outcome
            0
        """
        final = (Status.COMPLETE, Status.FAILED)
        return self.n_cases - sum(self.counts.get(status, 0) for status in final)

    @property
    def stuck(self) -> list[str]:
        """A sentence for each reason of waiting tasks that needs an action.

        Examples:
            >>> sweep.status().stuck
            []
        """
        return [
            f"{number} waiting ({reason}): {meaning(reason) or 'a reason of the queue'}"
            for reason, number in sorted(self.waiting.items())
            if not passes(reason)
        ]

    @property
    def is_settled(self) -> bool:
        """Whether nothing more will happen by itself.

        When every case is complete, held tasks change nothing: a node that was cut off has run to
        its end what Slurm requeued. Nor do they after the circuit breaker held them.

        Examples:
            >>> sweep.status().is_settled
            True
        """
        held = sum(number for reason, number in self.waiting.items() if is_hold(reason))
        may_be_held = self.is_complete or self.stopped is not None
        if self.reduced is not None and self.reduced.is_under_way:
            return False
        return not self.tasks or (may_be_held and held == sum(self.tasks.values()))

    def to_json(self) -> dict[str, Any]:
        """The document of `status --json`.

        Examples:
            >>> sweep.status().to_json()["counts"]["failed"]
            1
        """
        return {
            "schema": "hpcsweep.status/1",
            "name": self.name,
            "path": self.path,
            "manifest": self.manifest,
            "cases": self.n_cases,
            "counts": {status.value: self.counts.get(status, 0) for status in Status},
            "reasons": self.reasons,
            "unsubmitted": self.unsubmitted,
            "tasks": self.tasks,
            "waiting": {
                reason: {
                    "tasks": number,
                    "starts_by_itself": passes(reason),
                    "meaning": meaning(reason) or passing_meaning(reason) or None,
                }
                for reason, number in self.waiting.items()
            },
            "next_start": self.next_start,
            "cluster": {"asked_s_ago": self.asked_s_ago, "problem": self.problem},
            "torn_lines": sum(self.torn.values()),
            "torn_journals": sorted(self.torn),
            "submissions": self.submissions,
            "other_code": self.other_code,
            "code": self.code.to_json(),
            "lost_files": self.lost,
            "changed_inputs": self.changed,
            "memory_excess": self.memory.to_json() if self.memory else None,
            "given_up": {why: str(indices) for why, indices in self.given_up.items()},
            "stopped": self.stopped.to_json() if self.stopped else None,
            "paused": self.paused.to_json() if self.paused else None,
            "standstill": self.standstill.to_json() if self.standstill else None,
            "excluded_nodes": list(self.excluded_nodes),
            "reduce": self.reduced.to_json() if self.reduced else None,
            "search": self.search.to_json() if self.search else None,
            "canary": self.canary.to_json() if self.canary else None,
            "followers": list(self.followers),
            "slowest_s": self.slowest_s,
            "largest_bytes": self.largest_bytes,
            "pace": self.pace.to_json() if self.pace else None,
            "core_hours": self.core_hours.to_json() if self.core_hours else None,
            "running": [case.to_json() for case in self.running],
            "failures": [group.to_json() for group in self.failures],
            "complete": self.is_complete,
        }


def counts_text(counts: Mapping[Status, int]) -> str:
    """Counts by status in one line: `4 complete, 1 failed`; those that are zero are left out."""
    return ", ".join(f"{counts[status]} {status.value}" for status in Status if counts.get(status))


def summarise(sweep: SweepDirectory, outlook: Outlook, torn: dict[str, int]) -> Summary:
    """An outlook in numbers; `torn` counts the journal lines that were passed over."""
    counts: Counter[Status] = Counter()
    reasons: Counter[str] = Counter()
    for group in outlook.groups:
        counts[group.status] += group.indices.count
        if group.reason:
            reasons[group.reason.value] += group.indices.count
    manifest, tasks = outlook.version.manifest, outlook.tasks
    complete = [group for group in outlook.groups if group.status is Status.COMPLETE]
    return Summary(
        name=sweep.name,
        path=sweep.shown_path,
        manifest=manifest.fingerprint,
        n_cases=sum(group.indices.count for group in outlook.groups),
        counts={status: counts[status] for status in Status},
        reasons=dict(reasons),
        unsubmitted=outlook.indices(State.UNSUBMITTED).count,
        tasks=dict(tasks.states()),
        waiting=dict(tasks.waits()),
        in_whole_nodes=all(sent.part.nodes for sent in tasks.parts),
        next_start=_next_start(tasks),
        asked_s_ago=time.time() - tasks.polled_at if tasks.polled_at else None,
        problem=tasks.problem,
        torn=torn,
        submissions=len(sweep.submissions()),
        code=CodeCounts.of(outlook),
        given_up=given_up(outlook),
        paused=paused(sweep, outlook.paused),
        excluded_nodes=tuple(node_facts(sweep.path)),
        canary=canary_counts(outlook),
        slowest_s=max((group.wall_seconds or 0.0 for group in complete), default=0.0) or None,
        largest_bytes=max((group.max_rss_bytes or 0 for group in complete), default=0) or None,
        memory=max(_memory_excesses(outlook), key=lambda excess: excess.ratio, default=None),
    )


def _next_start(tasks: ArrayTasks) -> str | None:
    """The queue's estimate, unless that time has passed."""
    expected = tasks.next_start
    if expected is None or expected < time.time() or "PENDING" not in tasks.states():
        return None
    return datetime.fromtimestamp(expected).astimezone().isoformat(timespec="seconds")


def _memory_excesses(outlook: Outlook) -> Iterator[MemoryExcess]:
    for group in outlook.groups:
        if group.submission is not None:
            resources = outlook.resources[group.submission]
            excess = memory_excess(group.status, resources, group.max_rss_bytes)
            if excess:
                yield excess
