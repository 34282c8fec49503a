"""A site without Slurm: a queue with limits, tasks with scripted ends, and a clock of steps.

It keeps what is known of each index as ranges, as an outlook does, so that a sweep of 10^7 cases
costs what its ranges cost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hpcsweep.cluster.limits import Limits
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.frozen import FrozenManifest, Target, sealed
from hpcsweep.records import Reason, Resources, Status
from hpcsweep.sources import ParameterSource
from hpcsweep.state.outlook import Group, Outlook, State
from hpcsweep.store.measured import Measured
from hpcsweep.submission.policy import UNASKED, Batch, Policy, decide
from hpcsweep.sweepdir.parts import tasks_per_array
from hpcsweep.sweepdir.version import Version

NONE = IndexSet()
# What complete cases took: two of them fill the least time of an array task.
MEASURED = Measured(cases=1, mean_s=300.0, longest_s=300.0)
# How each attempt at a case of a task ends; None is complete.
# How attempts end: of indices, the number of their attempt, and what their task asked for; by
# reason, None for complete.
Ends = Callable[[IndexSet, int, Resources], dict[Reason | None, IndexSet]]


@dataclass(frozen=True, kw_only=True)
class Task:
    """One array task in the queue."""

    indices: IndexSet
    submission: int


@dataclass(kw_only=True)
class SimulatedSite:
    """A sweep at a site that lets one queue `most` jobs and array tasks."""

    version: Version
    policy: Policy
    most: int
    array_size: int
    ends: Ends
    # Calls of sbatch that each decision may make; None for any number.
    calls: int | None = None
    queue: list[Task] = field(default_factory=list)
    # What each submission asked for.
    asked: dict[int, Resources] = field(default_factory=dict)
    owed: IndexSet = NONE
    # The canary, until anything else is sent.
    canary: IndexSet = NONE
    # Indices by count of attempts, and by (reason, attempts, submission) of the last one.
    tries: dict[int, IndexSet] = field(default_factory=dict)
    last: dict[tuple[Reason | None, int, int], IndexSet] = field(default_factory=dict)
    most_queued: int = 0

    @property
    def complete(self) -> IndexSet:
        """Indices that are complete."""
        return IndexSet.union(
            indices for (reason, _, _), indices in self.last.items() if reason is None
        )

    def outlook(self) -> Outlook:
        """What is known of every index."""
        every = IndexSet.all(self.version.source.n_cases)
        groups = [
            Group(
                indices=indices,
                state=_state(reason),
                status=Status.COMPLETE if reason is None else reason.status,
                reason=reason,
                attempt=tries,
                tries=tries,
                submission=submission,
            )
            for (reason, tries, submission), indices in self.last.items()
            if indices
        ]
        rest = every - IndexSet.union(group.indices for group in groups)
        groups.append(Group(indices=rest, state=State.UNSUBMITTED, status=Status.PENDING))
        in_flight = IndexSet.union(task.indices for task in self.queue)
        return Outlook(
            version=self.version,
            groups=tuple(groups),
            in_flight=in_flight,
            resources=self.asked,
            owed=self.owed - in_flight,
            canary=self.canary,
            measured=MEASURED if self.complete else None,
        )

    def limits(self) -> Limits:
        """The site's limits, and what is in its queue."""
        arrays = len({task.submission for task in self.queue})
        return replace(
            UNASKED,
            max_array_size=self.array_size,
            max_jobs=self.most,
            jobs=len(self.queue) + arrays,
            calls=self.calls,
        )

    def decide(self, policy: Policy) -> tuple[Batch, ...]:
        """What is sent now."""
        return decide(self.outlook(), policy, self.limits())

    def send(self, batches: tuple[Batch, ...]) -> None:
        """Put the tasks of batches into the queue. Checks what must be true of every batch."""
        calls = 0
        for batch in batches:
            assert batch.indices
            assert (batch.indices & self.complete) == NONE
            assert (batch.indices & IndexSet.union(task.indices for task in self.queue)) == NONE
            self.canary = self.canary | batch.indices if batch.is_canary else NONE
            number = len(self.asked) + 1
            self.asked[number] = batch.resources
            self.owed = (self.owed | batch.rest) - batch.indices
            for first in range(0, batch.indices.count, batch.chunk_size):
                chunk = batch.indices.slice(first, first + batch.chunk_size)
                self.queue.append(Task(indices=chunk, submission=number))
            arrays = -(-batch.tasks // tasks_per_array(self.array_size))
            calls += arrays * (1 + batch.closes)
            self.most_queued = max(self.most_queued, len(self.queue) + batch.closes * arrays)
        assert self.most_queued <= self.most
        assert self.calls is None or calls <= self.calls

    def run(self, count: int) -> None:
        """Let the first tasks of the queue end."""
        of_submission: dict[int, list[IndexSet]] = {}
        for task in self.queue[:count]:
            of_submission.setdefault(task.submission, []).append(task.indices)
        for submission, sets in of_submission.items():
            self._end(submission, IndexSet.union(sets))
        del self.queue[:count]

    def _end(self, submission: int, rest: IndexSet) -> None:
        for tries in sorted(self.tries, reverse=True):
            ended = rest & self.tries[tries]
            if ended:
                self._attempt(submission, ended, tries)
                rest -= ended
        if rest:
            self._attempt(submission, rest, 0)

    def _attempt(self, submission: int, indices: IndexSet, tries: int) -> None:
        if tries:
            self.tries[tries] -= indices
        for key in self.last:
            self.last[key] -= indices
        for reason, some in self.ends(indices, tries + 1, self.asked[submission]).items():
            counted = tries + (reason is not Reason.QUOTA)  # a full disk burns no attempt
            self.tries[counted] = self.tries.get(counted, NONE) | some
            key = reason, counted, submission if reason is not None else 0
            self.last[key] = self.last.get(key, NONE) | some


def _state(reason: Reason | None) -> State:
    if reason is None:
        return State.COMPLETE
    return State.FAILED if reason.status is Status.FAILED else State.INTERRUPTED


def version_of(source: ParameterSource) -> Version:
    """A manifest with these cases, frozen nowhere."""
    manifest = FrozenManifest(
        name="simulated", root="/", target=Target(argv=("true",)), source=source.to_frozen_dict()
    )
    return Version.of(sealed(manifest), source)
