"""The outlook: what is known of every index of a sweep, as one partition, at one moment.

Each command computes it once, from journals (through the index), plans and the scheduler; what the
command prints or decides follows from it. Its cost depends on ranges of indices, not on their
count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from hpcsweep.indexset import IndexSet
from hpcsweep.records import CaseNeeds, Reason, Resources, Status
from hpcsweep.state.array_tasks import ArrayTasks
from hpcsweep.state.index_order import in_order_of, returned
from hpcsweep.state.withdrawn import withdrawn_cases
from hpcsweep.store import SweepIndex
from hpcsweep.store.case_groups import CaseGroup
from hpcsweep.store.measured import Measured
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import Plan
from hpcsweep.sweepdir.version import Version
from hpcsweep.target import digest_without_import

NONE = IndexSet()
# Above this count of begun indices the time of each is not read: the cost of a submission, and the
# size of its plan, do not depend on the count of cases (invariant 1).
TIMED_MAX = 5000


class State(StrEnum):
    """The classes of an outlook: every index is in exactly one."""

    COMPLETE = "complete"
    # Complete, computed with code whose digest is not today's.
    STALE = "stale"
    # Complete, but its files are gone. Filled only by `with_lost`.
    LOST = "lost"
    FAILED = "failed"
    # Begun, without an end.
    RUNNING = "running"
    # In an array task that waits, or that runs and has not begun this case.
    QUEUED = "queued"
    # Like QUEUED, but the queue does not start the task until it is released.
    HELD = "held"
    # Without an outcome, and its array task is over.
    INTERRUPTED = "interrupted"
    # In an array task about which no poll succeeded since it was submitted.
    UNKNOWN = "unknown"
    # In no array task.
    UNSUBMITTED = "unsubmitted"


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Indices of one class with the same status, reason and attempt."""

    indices: IndexSet
    state: State
    # The displayed status: of the deciding attempt, until a later one has begun.
    status: Status
    # The reason of a failed or interrupted status.
    reason: Reason | None = None
    # 1-based number of the attempt that says so, among those that are known; 0 without one. And
    # that number counted from the `--rerun` that last asked for the case, without the attempts that
    # a full disk or quota ended.
    attempt: int = 0
    tries: int = 0
    # Number of its submission; of indices whose task is over and began none of them, the task's.
    submission: int | None = None
    # Digest of the code that computed them; None if it is not known.
    code_digest: str | None = None
    # The largest values of these attempts; None if not known.
    wall_seconds: float | None = None
    max_rss_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What is known of every index of a manifest."""

    # The manifest that defines the indices; it may be newer than the last submission's.
    version: Version
    # Each index is in exactly one of them.
    groups: tuple[Group, ...]
    # Indices that any attempt began, in any generation.
    begun: IndexSet = NONE
    # Indices in array tasks that the cluster holds, or may hold; and the part of them that was
    # cancelled, or whose tasks were.
    in_flight: IndexSet = NONE
    cancelled: IndexSet = NONE
    # The array tasks, with the age of what is known about them.
    tasks: ArrayTasks = field(default_factory=ArrayTasks)
    # The highest generation of any attempt and any submission.
    generation: int = 0
    # Indices that were wanted, did not fit, and are sent when there is room.
    owed: IndexSet = NONE
    # Indices that a user cancelled, and no submission has sent since.
    withdrawn: IndexSet = NONE
    # How many tasks that had an index are over and began no case at all, by that count.
    stalled: Mapping[int, IndexSet] = field(default_factory=dict)
    # What the array tasks of each submission asked for.
    resources: Mapping[int, Resources] = field(default_factory=dict)
    # What complete cases of its target took; None without one. Filled only by `with_measured`.
    measured: Measured | None = None
    # Seconds that the last attempt at an index took, where tasks run several cases at once and no
    # more than `TIMED_MAX` indices were begun. Filled only by `with_measured`.
    seconds: Mapping[int, float] = field(default_factory=dict)
    # Complete indices whose input files or keyed cells have changed. Filled only by
    # `with_changed_inputs`; it may leave out to look, in a sweep of many cases.
    changed: IndexSet = NONE
    inputs_unseen: bool = False
    # Of the code here, see `current_code`; None if it is not known.
    code_digest: str | None = None
    # Indices of the canary, as long as the others wait for it, or would.
    canary: IndexSet = NONE
    # The most that the cluster gives to a retry, by the last submission: as `Limits.caps`.
    caps: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of_nothing(cls, version: Version, generation: int = 0) -> Outlook:
        """The outlook of a manifest of which no submission is known."""
        group = Group(
            indices=IndexSet.all(version.source.n_cases),
            state=State.UNSUBMITTED,
            status=Status.PENDING,
        )
        return cls(version=version, groups=(group,), generation=generation)

    def indices(self, *states: State) -> IndexSet:
        """The indices of these classes."""
        return IndexSet.union(group.indices for group in self.groups if group.state in states)

    def within(self, indices: IndexSet) -> Outlook:
        """The same of these indices only, to count them: its classes leave out the others."""
        groups = (replace(group, indices=group.indices & indices) for group in self.groups)
        return replace(self, groups=tuple(group for group in groups if group.indices))

    @cached_property
    def not_begun(self) -> IndexSet:
        """The indices that no attempt began."""
        return IndexSet.all(self.version.source.n_cases) - self.begun

    @cached_property
    def paused(self) -> IndexSet:
        """The indices that a full disk or quota interrupted, and that no array task has."""
        full = (group.indices for group in self.groups if group.reason is Reason.QUOTA)
        return (IndexSet.union(full) & self.indices(State.INTERRUPTED)) - self.in_flight

    @cached_property
    def failed(self) -> IndexSet:
        """The indices whose deciding attempt failed."""
        return self.indices(State.FAILED)

    @property
    def is_complete(self) -> bool:
        """Whether every index is complete, and none is to come."""
        is_whole = self.complete.count == self.version.source.n_cases
        return is_whole and not self.version.cases_to_come

    @cached_property
    def complete(self) -> IndexSet:
        """The complete indices, with the stale and the lost ones."""
        return self.indices(State.COMPLETE, State.STALE, State.LOST)

    @property
    def ended(self) -> IndexSet:
        """The indices that are complete, failed, or interrupted, or were cancelled unsent."""
        unsent = self.withdrawn & self.indices(State.UNSUBMITTED)
        return self.complete | self.failed | self.indices(State.INTERRUPTED) | unsent


def outlook_of(
    sweep: SweepDirectory,
    sweep_index: SweepIndex,
    tasks: ArrayTasks,
    version: Version | None = None,
    code_digest: str | None = None,
) -> Outlook:
    """The outlook from journals, plans and the array tasks that `poll` returned.

    `sweep_index` must have been brought up to date just before. The default of `version` is the
    last submission's, of `code_digest` that of the code here.
    """
    version = version or sweep.newest()
    read = [sweep.plan(number) for number in sweep.submissions()]
    plans = [plan for plan, _ in read]
    case_groups = sweep_index.case_groups()
    sets = in_order_of(
        version, sweep, sweep.newest_manifest(), [group.indices for group in case_groups]
    )
    partition = _Partition(sweep, version, plans, tasks)
    with_sets = list(zip(case_groups, sets, strict=True))
    with_sets += [(group, group.indices) for group in returned(version, sweep, sweep_index)]
    digest = code_digest or current_code(sweep, version)
    groups = partition.groups(with_sets, digest)
    withdrawn = withdrawn_cases(sweep, version, plans)
    return Outlook(
        version=version,
        groups=tuple(group for group in groups if group.indices),
        begun=IndexSet.union(indices for _, indices in with_sets),
        in_flight=partition.in_flight,
        cancelled=partition.indices(tasks.cancelled_chunks) | withdrawn & partition.in_flight,
        tasks=tasks,
        generation=max([sweep_index.max_generation(), *(plan.generation for plan in plans)]),
        owed=partition.owed() - partition.in_flight - withdrawn,
        withdrawn=withdrawn,
        stalled=partition.stalled(with_sets),
        resources={plan.submission: sweep.resources(plan) for plan in plans},
        code_digest=digest,
        canary=partition.canary(),
        caps=read[-1][1].get("caps", {}) if read else {},
    )


def with_lost(outlook: Outlook, sweep: SweepDirectory, sweep_index: SweepIndex) -> Outlook:
    """Fill the class LOST: look for the files of every complete case."""
    # Readers of run directories, 5 ms: few commands look for files.
    from hpcsweep.runs.find import lost_files  # noqa: PLC0415

    gone = [lost_files(sweep, sweep_index)]
    (lost,) = in_order_of(outlook.version, sweep, sweep.newest_manifest(), gone)
    groups: list[Group] = []
    for group in outlook.groups:
        is_complete = group.state in (State.COMPLETE, State.STALE)
        lost_indices = group.indices & lost if is_complete else NONE
        groups.append(replace(group, indices=group.indices - lost_indices))
        groups.append(replace(group, indices=lost_indices, state=State.LOST))
    return replace(outlook, groups=tuple(group for group in groups if group.indices))


def with_measured(outlook: Outlook, sweep: SweepDirectory, sweep_index: SweepIndex) -> Outlook:
    """Fill in what complete cases took: those of other targets say nothing."""
    target = outlook.version.manifest.target
    others = [
        number
        for number in sweep.submissions()
        if sweep.version(sweep.plan(number)[0].manifest).manifest.target != target
    ]
    outlook = replace(outlook, measured=sweep_index.measured(others))
    if outlook.version.manifest.needs == CaseNeeds() or outlook.begun.count > TIMED_MAX:
        return outlook
    seconds: dict[int, float] = {}
    for page in sweep_index.columns(("wall_seconds",), within=outlook.begun):
        pairs = zip(page["idx"], page["wall_seconds"], strict=True)
        seconds |= {index: took for index, took in pairs if took is not None}
    return replace(outlook, seconds=seconds)


def current_code(sweep: SweepDirectory, version: Version) -> str | None:
    """The digest of the user's code as it is now, computed without importing it.

    Without the code, as in an archive, the last submission's. None for another target.
    """
    plan, document = sweep.plan(sweep.submissions()[-1])
    if sweep.version(plan.manifest).manifest.target != version.manifest.target:
        return None
    digest = digest_without_import(version.manifest, document.get("code_files"))
    return digest or document.get("code_digest")


def refused(sweep: SweepDirectory, plan: Plan) -> IndexSet:
    """The indices of a submission's parts that never reached the cluster."""
    facts = sweep.part_facts(plan.submission)
    chunks = (
        (part.first_chunk, part.first_chunk + part.chunks)
        for part in plan.parts
        if "void" in facts.get(part.number, {}) or "intent" not in facts.get(part.number, {})
    )
    return plan.indices_of(IndexSet(chunks))


class _Partition:
    """Sorts the indices of a manifest into groups."""

    def __init__(
        self, sweep: SweepDirectory, version: Version, plans: list[Plan], tasks: ArrayTasks
    ) -> None:
        self._sweep = sweep
        self._version = version
        self._plans = plans
        self._numbers = {plan.submission for plan in plans}
        # Cache of `_resubmitted`, by generation.
        self._later: dict[int, IndexSet] = {}
        # Of a submission whose files were removed, it is not known which cases its tasks had.
        self._ended = {key: of for key, of in tasks.ended.items() if key[0] in self._numbers}
        self._unknown = self.indices(tasks.unknown_chunks)
        self._held = self.indices(tasks.held_chunks)
        self.in_flight = self.indices(tasks.open_chunks)

    def indices(self, chunks: Iterable[tuple[Plan, IndexSet]]) -> IndexSet:
        """The indices of chunks, in the order of this manifest."""
        by_manifest: dict[str, list[IndexSet]] = {}
        for plan, numbers in chunks:
            by_manifest.setdefault(plan.manifest, []).append(plan.indices_of(numbers))
        return IndexSet.union(
            self._in_order(fingerprint, IndexSet.union(sets))
            for fingerprint, sets in by_manifest.items()
        )

    def _known(self, submission: int | None) -> int | None:
        """The number of a submission; None if its files were removed."""
        return submission if submission in self._numbers else None

    def groups(
        self, case_groups: list[tuple[CaseGroup, IndexSet]], code_digest: str | None
    ) -> Iterator[Group]:
        """Groups that have each index once; some are empty. `known` has this manifest's indices."""
        rest = IndexSet.all(self._version.source.n_cases)
        for case_group, indices in case_groups:
            own = indices & rest
            rest -= own
            outdated = own & self._resubmitted(case_group.generation)
            about = Group(
                indices=own - outdated,
                state=State.INTERRUPTED,
                status=Status(case_group.status),
                reason=Reason(case_group.reason) if case_group.reason else None,
                attempt=case_group.attempt,
                tries=case_group.tries,
                submission=self._known(case_group.submission),
                code_digest=case_group.code_digest,
                wall_seconds=case_group.wall_seconds,
                max_rss_bytes=case_group.max_rss_bytes,
            )
            match about.status:
                case Status.COMPLETE:
                    is_stale = code_digest and case_group.code_digest not in (None, code_digest)
                    state = State.STALE if is_stale else State.COMPLETE
                    yield replace(about, state=state)
                case Status.FAILED:
                    yield replace(about, state=State.FAILED)
                case Status.RUNNING:
                    yield replace(about, state=State.RUNNING)
                case _:
                    yield from self._by_task(about)
            yield from self._not_begun(replace(about, indices=outdated))
        yield from self._not_begun(
            Group(indices=rest, state=State.UNSUBMITTED, status=Status.PENDING)
        )

    def _resubmitted(self, generation: int) -> IndexSet:
        """Indices that a submission of a later generation computes again."""
        if generation not in self._later:
            later = [plan for plan in self._plans if plan.generation > generation]
            sets = (self._in_order(plan.manifest, self._goal_of(plan)) for plan in later)
            self._later[generation] = IndexSet.union(sets)
        return self._later[generation]

    def _by_task(self, about: Group) -> Iterator[Group]:
        """Classify indices without an outcome by their array task; without one, INTERRUPTED."""
        rest = about.indices
        for state, indices in (
            (State.UNKNOWN, self._unknown),
            (State.HELD, self._held),
            (State.QUEUED, self.in_flight),
        ):
            yield replace(about, indices=rest & indices, state=state)
            rest -= indices
        yield replace(about, indices=rest, state=State.INTERRUPTED)

    def _not_begun(self, about: Group) -> Iterator[Group]:
        """Classify indices that no attempt of the latest generation began."""
        for group in self._by_task(replace(about, status=Status.PENDING, reason=None)):
            if group.state is State.UNKNOWN:
                yield replace(group, status=Status.UNKNOWN)
            elif group.state is State.INTERRUPTED:
                yield from self._over(group)
            else:
                yield group

    def _over(self, about: Group) -> Iterator[Group]:
        """Classify indices in no open task, by the verdict on the task of the last submission."""
        rest = about.indices
        for number, reason in sorted(self._ended, key=lambda key: (-key[0], key[1])):
            if not rest:
                return
            plan, _ = self._sweep.plan(number)
            over = self.indices([(plan, self._ended[number, reason])])
            yield replace(
                about, indices=rest & over, status=reason.status, reason=reason, submission=number
            )
            rest -= over
        yield replace(about, indices=rest, state=State.UNSUBMITTED)

    def owed(self) -> IndexSet:
        """Indices that a submission left to later ones, and that none has sent since."""
        owed = NONE
        for plan in self._plans:  # oldest first
            sent = plan.indices - refused(self._sweep, plan)
            owed -= self._in_order(plan.manifest, sent)
            if plan.closes:
                owed |= self._in_order(plan.manifest, self._goal_of(plan) - sent)
        return owed

    def _goal_of(self, plan: Plan) -> IndexSet:
        """The indices of a submission, and those that it left to later ones."""
        if plan.goal is None or self._sweep.cancelled_rest(plan.submission).exists():
            return plan.indices
        return plan.goal

    def canary(self) -> IndexSet:
        """Indices of the last submissions, as far as these are a canary and its retries.

        None of one that was cancelled: nothing waits for it any more.
        """
        canary = NONE
        for plan in reversed(self._plans):
            is_cancelled = self._sweep.cancelled_rest(plan.submission).exists()
            if is_cancelled or (plan.parts and not plan.canary):
                break
            canary |= self._in_order(plan.manifest, plan.indices)
        return canary

    def stalled(self, case_groups: list[tuple[CaseGroup, IndexSet]]) -> dict[int, IndexSet]:
        """Indices by the count of tasks that had them, are over, and began no case.

        A task counts as begun if a later one began a case of its chunk: of each case, the attempt
        that counts is known, not all.
        """
        counts: dict[int, IndexSet] = {}
        over: dict[int, list[int]] = {}
        for (number, reason), chunks in self._ended.items():
            if reason is not Reason.QUOTA:  # which burns no attempt (invariant 12)
                over.setdefault(number, []).extend(chunks)
        for number, ended in over.items():
            plan, _ = self._sweep.plan(number)
            begun = IndexSet.union(
                indices for group, indices in case_groups if group.submission >= number
            )
            idle = [
                chunk
                for chunk in ended
                if self.indices([(plan, IndexSet.of([chunk]))]).isdisjoint(begun)
            ]
            rest = IndexSet.of(_without_busy_nodes(plan, idle))
            _count_once_more(counts, self.indices([(plan, rest)]))
        return counts

    def _in_order(self, fingerprint: str, indices: IndexSet) -> IndexSet:
        """Translate indices of one of the sweep's manifests into indices of this one."""
        return in_order_of(self._version, self._sweep, fingerprint, [indices])[0]


def _without_busy_nodes(plan: Plan, idle: list[int]) -> list[int]:
    """The idle chunks of a submission without those of nodes that ran others of its chunks.

    A job of whole nodes may end before it comes to all of them.
    """
    rest = set(idle)
    for part in plan.parts:
        chunks = range(part.first_chunk, part.first_chunk + part.chunks)
        if part.nodes and not rest.issuperset(chunks):
            rest.difference_update(chunks)
    return sorted(rest)


def _count_once_more(counts: dict[int, IndexSet], indices: IndexSet) -> None:
    """Move indices to the next higher count, or to 1."""
    for count in sorted(counts, reverse=True):
        moved = counts[count] & indices
        if moved:
            counts[count] -= moved
            counts[count + 1] = counts.get(count + 1, NONE) | moved
            indices -= moved
    if indices:
        counts[1] = counts.get(1, NONE) | indices
