"""The policy: which indices a submission sends, and how. Pure: it reads no file, cluster or clock.

`submit` sends, of the selected cases, what is neither complete nor failed, and again what `--rerun`
names. `advance` sends what earlier submissions left for lack of room, what a full disk interrupted,
and what the manifest's `retry` repeats. Neither sends what an array task may still be running, nor
more array tasks than the cluster has room for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from hpcsweep.cluster.limits import Limits
from hpcsweep.errors import InputError
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import Retry
from hpcsweep.records import Reason, Resources
from hpcsweep.state import canary
from hpcsweep.state.escalation import escalated
from hpcsweep.state.outlook import NONE, Group, Outlook, State
from hpcsweep.submission.chunking import (
    Estimate,
    chunk_size,
    estimate_of,
    refuse_too_long,
    shared_chunk_size,
)
from hpcsweep.submission.first_cases import canary_size, spread
from hpcsweep.submission.sizing import with_memory, with_time
from hpcsweep.sweepdir.parts import MAX_ARRAY_SIZE, tasks_per_array

# The least count of jobs in the queue with which closing jobs can go on.
CLOSING_JOBS_MIN = 3
# The limits of a cluster that was not asked: Slurm's defaults.
UNASKED = Limits(
    cluster_name="",
    max_array_size=MAX_ARRAY_SIZE,
    kill_wait_s=30.0,
    requeues=True,
    runs_jobs=True,
    runs_nodes=True,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """What to send, and in which chunks."""

    # One of `records.RERUNS`: the outcomes to compute again.
    rerun: str | None = None
    # The indices to which a submit is limited; None for all.
    selection: IndexSet | None = None
    # Cases per array task; None derives it from how long a case takes, else from the cluster's
    # limits.
    chunk: int | None = None
    # Seconds that a case takes; None if only what was measured says it.
    case_seconds: float | None = None
    # Cases that an array task runs at once.
    slots: int = 1
    # What an array task requests.
    resources: Resources = field(default_factory=Resources)
    # Count of the jobs of whole nodes that run the chunks; 0 for array tasks.
    node_jobs: int = 0
    # Cases that a whole node runs at once at least.
    node_slots: int = 1
    # Whether only what is owed, and what is retried, is sent.
    advances: bool = False
    # None: what did not complete is sent again only if a user asks.
    retry: Retry | None = None
    # Whether something is to be decided when an array is over, as `Policies.closes`.
    closes: bool = False
    # Whether tasks ask for what complete cases used of time and memory, as far as `resources` does
    # not say it.
    sizes: bool = False
    # The most that the cluster gives to a retry, as `Limits.caps`.
    caps: Mapping[str, int] = field(default_factory=dict)
    # Whether closing jobs may do that.
    has_closing_jobs: bool = True
    # How many cases go first, before all others; 0 for none, None for the default of a command.
    canary: int | None = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Indices of one resource class that a submission sends."""

    indices: IndexSet
    # Of the new submission.
    generation: int
    # Cases per array task.
    chunk_size: int
    resources: Resources
    # Count of the jobs of whole nodes that run the chunks, if there are as many chunks; 0 for array
    # tasks.
    node_jobs: int = 0
    # How long its cases take; None if it is not known.
    estimate: Estimate | None = None
    # Indices that were to be sent as well: there was no room, or they wait for the canary.
    rest: IndexSet = NONE
    # Whether something is decided when its arrays are over: by closing jobs, or by hand.
    closes: bool = False
    # Whether its cases go first, and the others wait for them.
    is_canary: bool = False
    # See `Plan.longest_first`.
    longest_first: tuple[int, ...] = ()

    def as_canary(self, indices: IndexSet) -> Batch:
        """Of this batch only these indices, which go first, each in a task of its own."""
        rest = self.indices - indices
        return replace(self, indices=indices, rest=rest, chunk_size=1, is_canary=True)

    @property
    def tasks(self) -> int:
        """Count of array tasks, or of jobs of whole nodes."""
        chunks = -(-self.indices.count // self.chunk_size)
        return min(chunks, self.node_jobs or chunks)


def wanted(outlook: Outlook, policy: Policy) -> IndexSet:
    """The indices that shall be computed, including those in open array tasks."""
    if policy.advances:
        return IndexSet.union(classes(outlook, policy).values())
    every = IndexSet.all(outlook.version.source.n_cases)
    indices = (every - outlook.complete - outlook.failed) | _again(outlook, policy)
    return indices if policy.selection is None else indices & policy.selection


def under_way(outlook: Outlook, policy: Policy) -> IndexSet:
    """The wanted indices in array tasks that the cluster holds, or may hold."""
    return wanted(outlook, policy) & outlook.in_flight


def sendable(outlook: Outlook, policy: Policy) -> IndexSet:
    """Those of them that no array task may be running."""
    return wanted(outlook, policy) - outlook.in_flight


def decide(outlook: Outlook, policy: Policy, limits: Limits) -> tuple[Batch, ...]:
    """The batches to send now, one for each resource class; none if nothing is missing or fits.

    *Raises* InputError for a chunk size that makes more array tasks than the cluster takes, or
    longer ones.
    """
    if canary.is_running(outlook) and (policy.advances or policy.canary != 0):
        return ()
    if policy.node_jobs:  # each of them is an sbatch of its own
        limits = replace(limits, max_array_size=0)
    if policy.sizes:
        sized = with_memory(policy.resources, outlook.measured, policy.slots, limits.caps)
        policy = replace(policy, resources=sized)
    if policy.advances:
        by_class = classes(outlook, policy)
    else:
        by_class = {_key(policy.resources): sendable(outlook, policy)}
        _refuse_too_long(policy, limits, sendable(outlook, policy).count)
    batches = [
        batch(outlook, policy, limits, indices, Resources(options=dict(key)))
        for key, indices in by_class.items()
        if indices
    ]
    return tuple(_within_room(_first_of(batches, outlook, policy, limits), policy, limits))


def _refuse_too_long(policy: Policy, limits: Limits, count: int) -> None:
    """*Raises* InputError if a task with `count` cases or fewer would not end in its time."""
    if count:
        rows = -(-min(count, policy.chunk or 1) // policy.slots)
        refuse_too_long(rows, policy.case_seconds, policy.resources, limits)


def batch(
    outlook: Outlook, policy: Policy, limits: Limits, indices: IndexSet, resources: Resources
) -> Batch:
    """The batch that sends these indices, whatever the room. *Raises* as `decide`."""
    again = _again(outlook, policy) & indices
    # Cases that ask for more than the others are slower or larger than those that were measured.
    is_usual = resources == policy.resources
    # Of a chunk that is not given: as many cases at once as the task has slots, one after another.
    slots = 1 if policy.chunk is not None else policy.slots
    rows = -(-indices.count // slots)
    estimate = None
    if is_usual:
        by_canary = bool(outlook.canary)
        estimate = estimate_of(policy.case_seconds, outlook.measured, by_canary=by_canary)
    if policy.node_jobs:
        size = policy.chunk or shared_chunk_size(indices.count, estimate)
    else:
        size = chunk_size(rows, policy.chunk, estimate, resources, limits)
    if is_usual and policy.sizes and not policy.node_jobs:
        rows_of_task = -(-size * slots // policy.slots)
        resources = with_time(resources, outlook.measured, rows_of_task, limits.caps)
    return Batch(
        indices=indices,
        generation=outlook.generation + bool(again),
        chunk_size=slots * size,
        resources=resources,
        # No more than have a chunk for each slot.
        node_jobs=min(policy.node_jobs, -(-indices.count // (slots * size * policy.node_slots))),
        estimate=estimate,
        longest_first=_longest_first(outlook, indices),
    )


def _longest_first(outlook: Outlook, indices: IndexSet) -> tuple[int, ...]:
    """Those of the indices whose time is known, the longest first."""
    timed = (index for index in outlook.seconds if index in indices)
    return tuple(sorted(timed, key=lambda index: (-outlook.seconds[index], index)))


# --- which indices ---------------------------------------------------------------------------

# sbatch's long options, sorted.
ResourceClass = tuple[tuple[str, str], ...]


def classes(outlook: Outlook, policy: Policy) -> dict[ResourceClass, IndexSet]:
    """The indices that `advance` sends, by what their next attempt asks for."""
    by_class: dict[ResourceClass, IndexSet] = {_key(policy.resources): NONE}  # these go first
    for group in outlook.groups:
        for indices, resources in _next_attempts(group, outlook, policy):
            free = indices - outlook.in_flight - outlook.withdrawn  # invariant 26
            if free:
                key = _key(resources)
                by_class[key] = by_class.get(key, NONE) | free
    return by_class


def _next_attempts(
    group: Group, outlook: Outlook, policy: Policy
) -> Iterator[tuple[IndexSet, Resources]]:
    """The indices of a group that are sent, and what they ask for."""
    if group.state in (State.COMPLETE, State.STALE, State.LOST, State.RUNNING):
        return
    if group.reason is Reason.QUOTA and group.submission is not None:  # which is no attempt
        yield group.indices, outlook.resources[group.submission]
        return
    owed = group.indices & outlook.owed
    if group.state is not State.FAILED:
        yield owed, policy.resources
    retry, reason = policy.retry, group.reason
    if retry is None or reason is None or group.submission is None or reason not in retry.on:
        return
    resources = outlook.resources[group.submission]
    if group.tries:
        more = escalated(resources, reason, retry, group.max_rss_bytes, policy.caps)
        if group.tries < retry.max_attempts and more is not None:
            yield group.indices - owed, more
        return
    # Their task is over and did not come to them: the case before them ran out, not they.
    stalled = IndexSet.union(
        indices for count, indices in outlook.stalled.items() if count >= retry.max_attempts
    )
    yield group.indices - owed - stalled, resources


def _again(outlook: Outlook, policy: Policy) -> IndexSet:
    """Indices that have an outcome and are computed again."""
    match policy.rerun:
        case "stale":
            return outlook.indices(State.STALE) | outlook.changed
        case "failed":
            return outlook.failed
        case "lost":
            return outlook.indices(State.LOST)
        case "all":
            return outlook.complete | outlook.failed
        case _:
            return IndexSet()


# --- how many of them now --------------------------------------------------------------------


def _first_of(
    batches: list[Batch], outlook: Outlook, policy: Policy, limits: Limits
) -> list[Batch]:
    """What goes first of these batches; all of them if nothing needs to."""
    if policy.advances:
        if canary.has_passed(outlook):
            return batches
        firsts = [batch.indices & outlook.canary for batch in batches]
    else:
        goes_on = policy.has_closing_jobs and limits.runs_jobs and not _is_too_narrow(limits)
        sizes = [
            canary_size(outlook, policy.canary, batch.indices.count, goes_on=goes_on)
            for batch in batches
        ]
        if not any(sizes):
            return batches
        firsts = [spread(batch.indices, count) for batch, count in zip(batches, sizes, strict=True)]
    pairs = zip(batches, firsts, strict=True)
    return [batch.as_canary(first) for batch, first in pairs if first]


def _within_room(batches: list[Batch], policy: Policy, limits: Limits) -> Iterator[Batch]:
    """The batches, as far as there is room, and calls of sbatch are left."""
    room, calls = limits.room, limits.calls
    tasks = sum(batch.tasks for batch in batches)
    arrays = sum(_arrays(batch, limits) for batch in batches)
    closes = policy.closes or (room is not None and tasks > room)
    closes = closes or (calls is not None and arrays > calls)
    closes = closes or any(batch.is_canary for batch in batches)
    # The jobs beside the array tasks.
    follows = closes and policy.has_closing_jobs
    if batches and follows and _is_too_narrow(limits):
        raise _too_narrow(limits)
    for batch in batches:
        most = _tasks_within(room, limits, closes=follows)
        if calls is not None:
            in_arrays = calls // (1 + follows) * tasks_per_array(limits.max_array_size)
            most = in_arrays if most is None else min(most, in_arrays)
        now, node_jobs = batch.indices, batch.node_jobs
        if node_jobs and most:  # fewer nodes run all chunks
            node_jobs = min(node_jobs, most)
        elif most is not None:
            now = now.slice(0, most * batch.chunk_size)
        if not now:
            return
        sent = replace(
            batch,
            indices=now,
            node_jobs=node_jobs,
            # What `advance` leaves is found again: owed still, or with the reason for a retry.
            rest=NONE if policy.advances else batch.rest | (batch.indices - now),
            closes=closes,
        )
        yield sent
        if room is not None:
            room -= sent.tasks + follows * _arrays(sent, limits)
        if calls is not None:
            calls -= (1 + follows) * _arrays(sent, limits)


def _arrays(sent: Batch, limits: Limits) -> int:
    """Count of the arrays of a batch."""
    return -(-sent.tasks // tasks_per_array(limits.max_array_size))


def _is_too_narrow(limits: Limits) -> bool:
    """Whether the queue takes too few jobs for a sweep that goes on by closing jobs."""
    return limits.max_jobs is not None and limits.max_jobs < CLOSING_JOBS_MIN


def _too_narrow(limits: Limits) -> InputError:
    return InputError(
        f"{limits.max_jobs_name} is {limits.max_jobs}, and a sweep that goes on by closing jobs "
        f"needs {CLOSING_JOBS_MIN}: one that runs, a task, and the closing job behind it",
        where="chunk",
        next_step="Make `chunk:` so large that all array tasks fit at once, and leave out what "
        "needs closing jobs, such as `retry` and `canary`; or ask the site for a higher limit.",
    )


def _tasks_within(room: int | None, limits: Limits, *, closes: bool) -> int | None:
    """How many array tasks fit, with the closing job of each array; None for any number."""
    if room is None:
        return None
    if not closes:
        return max(0, room)
    largest = tasks_per_array(limits.max_array_size)
    arrays, left = divmod(max(0, room), largest + 1)
    return arrays * largest + max(0, left - 1)


def _key(resources: Resources) -> ResourceClass:
    return tuple(sorted(resources.options.items()))
