"""Poll a sweep and sum it up, once or until nothing more happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto
from functools import partial
from pathlib import Path

from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import StoreError, SweepError
from hpcsweep.importing import refuse_while_importing
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.policies import COMPLETE, Policies
from hpcsweep.records import Status
from hpcsweep.room import has_room
from hpcsweep.settings import Settings
from hpcsweep.state.changed_inputs import InputCounts, with_changed_inputs
from hpcsweep.state.core_hours import core_hours
from hpcsweep.state.failures import FailureGroup, failure_groups
from hpcsweep.state.outlook import Outlook, State, outlook_of, with_lost
from hpcsweep.state.over import has_settled, is_over
from hpcsweep.state.pace import pace
from hpcsweep.state.paused import paused
from hpcsweep.state.reduced import Reduced, current_reduce
from hpcsweep.state.running import running_cases
from hpcsweep.state.scheduler import poll
from hpcsweep.state.standstill import standstill
from hpcsweep.state.stopped import stopped
from hpcsweep.state.summary import Summary, summarise
from hpcsweep.state.trials import SearchProgress, search_progress, trial_values
from hpcsweep.store import SweepIndex
from hpcsweep.store.ingest import fresh_index
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.followers import followers

# Seconds between two polls of `wait`: ten times the duration of a poll, but at least the first and
# at most the second; for a cluster of the user's own, at most the third.
POLL_S = (0.3, 30.0, 1.0)


class Checks(Enum):
    """What a status looks at besides the index, and on disk of complete cases."""

    # Neither heartbeats of running cases, nor what cases failed for, nor core-hours, until nothing
    # more will happen.
    COUNTS = auto()
    NOTHING = auto()
    # Whether inputs have changed, in a sweep of at most `LOOKED_AT_MAX` cases.
    INPUTS = auto()
    # Whether inputs have changed, and whether the files of every case are there; and the core-hours
    # of any count of cases.
    EVERYTHING = auto()


def status(
    sweep: SweepDirectory,
    cluster: Cluster | None,
    settings: Settings,
    *,
    within: IndexSet | None = None,
    checks: Checks = Checks.NOTHING,
) -> Summary:
    """Bring the index up to date, poll the cluster if that is due, and count.

    `within` limits the counts of cases to these indices.
    *Writes* the index, verdicts, `cluster.json`; on a full disk into copies elsewhere.
    *Safe to repeat.* Only new bytes are read.
    *Raises* SweepError, StoreError; a cluster that does not answer is part of the answer.
    """
    look = partial(_status, within=within, checks=checks)
    try:
        return look(sweep, cluster, settings)
    except (SweepError, StoreError):
        if not sweep.is_writable or has_room(sweep.path):
            raise
    elsewhere = sweep.read_only()
    summary = look(elsewhere, cluster, settings)
    if summary.is_complete:
        return summary
    cases = summary.paused.cases if summary.paused else IndexSet()
    return replace(summary, paused=paused(sweep, cases, is_full=True))


def _status(
    sweep: SweepDirectory,
    cluster: Cluster | None,
    settings: Settings,
    *,
    within: IndexSet | None,
    checks: Checks,
) -> Summary:
    """See `status`."""
    with fresh_index(sweep) as sweep_index, sweep_index.kept_connection():
        tasks = poll(sweep, sweep_index, cluster, settings)
        outlook = outlook_of(sweep, sweep_index, tasks)
        policies = Policies.from_json(outlook.version.manifest.policies)
        if within is not None:
            outlook = outlook.within(within)
        summary = summarise(sweep, outlook, sweep_index.torn())
        if checks is Checks.EVERYTHING:
            lost = with_lost(outlook, sweep, sweep_index).indices(State.LOST)
            summary = replace(summary, lost=lost.count)
        asked = checks is Checks.EVERYTHING
        if asked or checks is Checks.INPUTS:
            seen = with_changed_inputs(outlook, sweep, sweep_index, asked=asked)
            summary = replace(summary, inputs=InputCounts.of(seen))
        summary = replace(
            summary,
            stopped=stopped(sweep, sweep_index),
            pace=pace(sweep, outlook) if within is None else None,
            followers=_followers(sweep),
            search=_search(sweep, sweep_index, outlook, policies) if within is None else None,
        )
        if checks is not Checks.COUNTS or summary.is_settled:
            if within is None:
                hours = core_hours(sweep_index, outlook, asked_for=asked)
                summary = replace(summary, core_hours=hours)
            running = running_cases(sweep, sweep_index, outlook.indices(State.RUNNING))
            failures = _failures(sweep_index, outlook)
            summary = replace(summary, running=running, failures=failures)
    if policies.reduce is not None:
        reduced = _reduced(sweep, policies.reduce.when, cluster, settings)
        summary = replace(summary, reduced=reduced)
    if within is not None or summary.stopped is not None or not summary.is_settled:
        return summary
    due = partial(_due, sweep, outlook, policies, summary.search)
    return replace(summary, standstill=standstill(sweep, outlook, cluster, settings, due))


def _failures(sweep_index: SweepIndex, outlook: Outlook) -> tuple[FailureGroup, ...]:
    """See `Summary.failures`."""
    complete, failed = (
        IndexSet.union(group.indices for group in outlook.groups if group.status is status)
        for status in (Status.COMPLETE, Status.FAILED)
    )
    return failure_groups(sweep_index, failed & outlook.begun, (complete | failed) & outlook.begun)


def _followers(sweep: SweepDirectory) -> dict[str, str]:
    """See `Summary.followers`."""
    return {Path(fact["sweep"]).name: fact.get("when", COMPLETE) for fact in followers(sweep.path)}


def _search(
    sweep: SweepDirectory, sweep_index: SweepIndex, outlook: Outlook, policies: Policies
) -> SearchProgress | None:
    """See `Summary.search`."""
    search, version = policies.search, outlook.version
    if search is None:
        return None
    count, replicates = version.source.n_cases, version.manifest.replicates
    values = trial_values(sweep_index, search, count, replicates)
    return search_progress(search, sweep, outlook, sweep_index, values)


def _due(
    sweep: SweepDirectory, outlook: Outlook, policies: Policies, search: SearchProgress | None
) -> tuple[str, ...]:
    """The names of the stages that are to be sent, and were not."""
    if search is not None and outlook.version.cases_to_come:
        waits = has_settled(outlook, policies.retry) and not search.problem
        return ("the next batch of its search",) if waits else ()
    names = _followers(sweep)
    if policies.reduce is not None and current_reduce(sweep) is None:
        names = {"its reduce": policies.reduce.when, **names}
    return tuple(name for name, when in names.items() if is_over(outlook, policies.retry, when))


def _reduced(
    sweep: SweepDirectory, when: str, cluster: Cluster | None, settings: Settings
) -> Reduced:
    """How far the reduce of a sweep is. *Writes* as `status`."""
    sent = current_reduce(sweep)
    if sent is None:
        return Reduced(sweep=sweep.name, path=sweep.shown_path, when=when)
    summary = status(sent, cluster, settings)
    (only,) = (state for state, count in summary.counts.items() if count)  # it has one case
    return Reduced(
        sweep=sweep.name,
        path=sweep.shown_path,
        when=when,
        status=only,
        reason=next(iter(summary.reasons), ""),
        is_under_way=not summary.is_settled,
    )


def wait(
    sweep: SweepDirectory,
    cluster: Cluster | None,
    settings: Settings,
    show: Callable[[Summary], None] = lambda _: None,
    checks: Checks = Checks.COUNTS,
) -> Summary:
    """Poll until nothing more will happen by itself; `show` gets every summary."""
    refuse_while_importing("wait")
    is_own = cluster is not None and cluster.is_own
    while True:
        begun = time.monotonic()
        summary = status(sweep, cluster, settings, checks=checks)
        show(summary)
        if summary.is_settled:
            return summary
        time.sleep(poll_pause(time.monotonic() - begun, is_own=is_own))


def poll_pause(took_s: float, *, is_own: bool = False) -> float:
    """Seconds from a poll that took so long to the next one; see `POLL_S`."""
    shortest, longest, longest_own = POLL_S
    return min(longest_own if is_own else longest, max(shortest, 10 * took_s))
