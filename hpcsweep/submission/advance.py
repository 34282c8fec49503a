"""Advance: submit what earlier submissions left for lack of room, and what `retry` repeats.

When every case is complete, that is the manifest's `reduce` and the sweeps that follow this one.
Whoever asks, a user, a closing job or a timer: it decides and submits under the lock of the sweep,
in the write order of every submission. *Safe to repeat*, by any number at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import InputError, TargetError
from hpcsweep.files import read_json
from hpcsweep.importing import refuse_while_importing
from hpcsweep.manifest.policies import Policies
from hpcsweep.room import has_room
from hpcsweep.settings import Settings
from hpcsweep.state import canary
from hpcsweep.state.failing_nodes import excluded_line, nodes_to_exclude, without_nodes
from hpcsweep.state.outlook import Outlook, current_code
from hpcsweep.state.paused import paused
from hpcsweep.state.reduced import current_reduce
from hpcsweep.state.room import room_for
from hpcsweep.state.status import status
from hpcsweep.state.stopped import Stopped
from hpcsweep.state.summary import Summary
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission import policy
from hpcsweep.submission.breaker import CircuitBreaker
from hpcsweep.submission.canary_stop import stop_if_failed
from hpcsweep.submission.followers import send_followers
from hpcsweep.submission.handing_in import Doubt, Submitter
from hpcsweep.submission.limits import limits_for
from hpcsweep.submission.next_batch import ask_next
from hpcsweep.submission.notification import notify_once
from hpcsweep.submission.policy import Batch
from hpcsweep.submission.preflight import Checked
from hpcsweep.submission.reconcile import resolve_unanswered
from hpcsweep.submission.reduce import send_reduce
from hpcsweep.submission.request import SubmitRequest, Submitted
from hpcsweep.submission.settling import settle
from hpcsweep.submission.submit import outlook_for, send_batches
from hpcsweep.submission.sweep_lock import SweepLock, awaited_sweep
from hpcsweep.sweepdir import nodes
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.nodes import NodeFact
from hpcsweep.sweepdir.plan import PROVENANCE
from hpcsweep.sweepdir.stop import stop_fact
from hpcsweep.undo import undo_on_error

# The least count of seconds between two looks for room on the disk.
POLL_S = 1.0


def advance(
    sweep: SweepDirectory,
    cluster: Cluster,
    settings: Settings,
    notify: Callable[[str], None] = lambda _: None,
) -> Submitted:
    """Submit what the policies of the sweep's newest manifest decide; nothing after a `cancel`.

    Without room on the disk it sends nothing, and says so. Whom `notify` of the manifest names is
    told once how the sweep ended. *Raises* every branch of `errors`; TargetError where the user's
    code is not the one that was submitted. *Writes* submissions.
    """
    refuse_while_importing("advance")
    done = _advance(sweep, cluster, settings, notify)
    if not _is_cancelled(sweep):
        notify_once(done, notify)
    return done


def _advance(
    sweep: SweepDirectory, cluster: Cluster, settings: Settings, notify: Callable[[str], None]
) -> Submitted:
    """See `advance`."""
    if not has_room(sweep.path):
        return _without_room(_request(sweep), sweep, cluster, settings)
    settle(sweep, cluster, settings, notify)
    with awaited_sweep(sweep, notify) as lock:
        done = _advance_cases(sweep, lock, cluster, settings, notify)
        waits = done.without_room or done.behind_canary or done.paused
        if done.plans or waits or done.stopped or _is_cancelled(sweep):
            return done
        reduce = _advance_reduce(done, cluster, settings, notify)
        later = send_followers(done, cluster, settings, notify)
        return replace(done, stages=(*([] if reduce is None else [reduce]), *later))


def _advance_cases(
    sweep: SweepDirectory,
    lock: SweepLock,
    cluster: Cluster,
    settings: Settings,
    notify: Callable[[str], None],
) -> Submitted:
    """Submit cases. The caller holds the lock."""
    request, doubt = _request(sweep), Doubt()
    with undo_on_error(doubt) as made:
        resolve_unanswered(sweep, cluster, settings, notify)
        checked = _as_submitted(sweep)
        outlook = outlook_for(request, sweep, cluster, settings, checked.code_digest)
        limits = limits_for(cluster, request.manifest.resources, request.policies.limits)
        request = replace(request, caps=limits.caps)
        done = Submitted(
            sweep=sweep,
            outlook=outlook,
            under_way=policy.under_way(outlook, request.policy),
        )
        if _is_cancelled(sweep):
            return done
        stopped = _stop_if_due(request, done, cluster, notify)
        if stopped is not None:
            return replace(done, stopped=stopped)
        asked = ask_next(request, outlook, sweep, notify)
        if asked is not None:
            request = asked
            sweep.freeze(request.version, made)
            outlook = outlook_for(request, sweep, cluster, settings, checked.code_digest)
            done = replace(done, outlook=outlook)
        batches = policy.decide(outlook, request.policy, limits)
        if not batches:
            left = policy.sendable(outlook, request.policy)
            behind = canary.behind(outlook)
            return replace(done, without_room=left - behind, behind_canary=behind)
        if outlook.paused and not _has_room_for(sweep, outlook, batches):
            return replace(done, paused=paused(sweep, outlook.paused, is_full=True))
        _refuse_other_code(sweep, checked)
        submitter = Submitter(
            sweep=sweep,
            manifest=request.manifest,
            n_cases=request.source.n_cases,
            cluster=cluster,
            limits=limits,
            settings=settings,
            checked=checked,
            notify=notify,
            lock=lock,
            made=made,
            doubt=doubt,
        )
        bad = _failing_nodes(sweep, cluster, notify)
        own = request.manifest.resources.options.get("exclude", "")
        usable = [
            replace(batch, resources=without_nodes(batch.resources, bad, own)) for batch in batches
        ]
        return send_batches(request, submitter, done, usable)


def _failing_nodes(
    sweep: SweepDirectory, cluster: Cluster, notify: Callable[[str], None]
) -> list[NodeFact]:
    """The nodes that get nothing more, with those that are found now. *Writes* a fact of each."""
    facts = nodes.node_facts(sweep.path)
    with fresh_index(sweep) as sweep_index:
        suspects = nodes_to_exclude(sweep_index, facts)
    if not facts and not suspects:
        return []
    try:
        cluster.check_options({"exclude": "n1"}, 0)
    except InputError:  # it cannot leave out a node
        return []
    for suspect in suspects:
        nodes.exclude(sweep.path, suspect.fact)
        notify(excluded_line(suspect.fact))
    return nodes.node_facts(sweep.path)


def _without_room(
    request: SubmitRequest, sweep: SweepDirectory, cluster: Cluster, settings: Settings
) -> Submitted:
    """Why nothing can be sent while nothing can be written; writes nothing."""
    outlook = outlook_for(request, sweep.read_only(), cluster, settings)
    is_ended = _is_cancelled(sweep) or stop_fact(sweep.path) is not None
    waits = not is_ended and bool(policy.sendable(outlook, request.policy))
    why = paused(sweep, outlook.paused, is_full=True) if waits else None
    return Submitted(sweep=sweep, outlook=outlook, paused=why)


def _is_cancelled(sweep: SweepDirectory) -> bool:
    """Whether a user cancelled what the last submission left to later ones."""
    return sweep.cancelled_rest(sweep.submissions()[-1]).exists()


def _has_room_for(sweep: SweepDirectory, outlook: Outlook, batches: tuple[Batch, ...]) -> bool:
    """Whether a case in each array task of these batches would find room on the disk."""
    tasks = sum(batch.tasks for batch in batches)
    with fresh_index(sweep) as sweep_index:
        demand = room_for(sweep, sweep_index, tasks, outlook.tasks.ended)
    return has_room(sweep.path, demand)


def _request(sweep: SweepDirectory) -> SubmitRequest:
    newest = sweep.newest()
    return SubmitRequest(
        manifest=newest.manifest,
        source=newest.source,
        path=sweep.path,
        throttle=_throttle(sweep),
        advances=True,
    )


def _advance_reduce(
    done: Submitted, cluster: Cluster, settings: Settings, notify: Callable[[str], None]
) -> Submitted | None:
    """Submit the reduce, or what `retry` repeats of it; None if nothing was sent."""
    request = _request(done.sweep)
    if request.policies.reduce is None:
        return None
    sent = current_reduce(done.sweep)
    if sent is not None and not status(sent, cluster, settings).is_complete:
        again = advance(sent, cluster, settings, notify)
        if again.plans:
            return again
    return send_reduce(request, done.outlook, cluster, settings, notify)


def _stop_if_due(
    request: SubmitRequest, done: Submitted, cluster: Cluster, notify: Callable[[str], None]
) -> Stopped | None:
    """Stop the sweep if too many of its cases failed, or the whole canary did."""
    stop = request.policies.stop_after
    with fresh_index(done.sweep) as sweep_index:
        failed = stop_if_failed(done.sweep, done.outlook, request.policy, sweep_index)
        if failed is not None or stop is None:
            return failed
        breaker = CircuitBreaker(
            sweep=done.sweep,
            outlook=done.outlook,
            policy=request.policy,
            stop=stop,
            cluster=cluster,
        )
        return breaker.stop_if_due(sweep_index, notify)


def follow(
    sweep: SweepDirectory,
    cluster: Cluster,
    settings: Settings,
    watch: Callable[[], Summary],
    notify: Callable[[str], None] = lambda _: None,
) -> Summary:
    """Wait until nothing more will happen, and advance the sweep meanwhile.

    `watch` polls until nothing more will happen by itself, as `wait`.
    Closing jobs may do the same at the same time. While the disk is full it looks for room once in
    each `query_interval_s`. *Raises* as `advance`.
    """
    is_paused = False
    tells = Policies.from_json(sweep.newest().manifest.policies).notify is not None
    while True:
        before = sweep.submissions()
        summary = watch()
        closes = any(sweep.plan(number)[0].closes for number in sweep.submissions())
        is_over = summary.is_complete and not summary.awaits_stages
        if (is_over and not tells) or not (closes or summary.paused or summary.followers):
            return summary
        done = advance(sweep, cluster, settings, notify)
        if is_over:
            return summary
        if done.paused is not None:
            if not is_paused:
                notify("\n".join(done.paused.lines))
            is_paused = True
            time.sleep(max(POLL_S, settings.query_interval_s))
            continue
        is_paused = False
        if done.stopped is not None and summary.stopped is None:
            return watch()  # with why it is stopped
        if not done.plans and not done.stages:
            summary = status(sweep, cluster, settings)
            # A closing job was faster if there are more of them; theirs may be over, too.
            is_last = sweep.submissions() == before
            if summary.is_settled and is_last and not done.without_room:
                return summary
            if done.without_room:  # of the queue, or of the calls of sbatch in an hour
                time.sleep(max(POLL_S, settings.query_interval_s))


def _throttle(sweep: SweepDirectory) -> int:
    """That of the last submission, over all of its parts."""
    plan, _ = sweep.plan(sweep.submissions()[-1])
    return sum(part.throttle for part in plan.parts)


def _as_submitted(sweep: SweepDirectory) -> Checked:
    """The user's code and packages as the last submission recorded them."""
    number = sweep.submissions()[-1]
    _, document = sweep.plan(number)
    origin = read_json(sweep.submission_dir(number) / PROVENANCE)
    return Checked(
        document.get("code_digest", ""),
        document.get("code_files", []),
        list(origin.get("packages", [])),
        document.get("snapshot"),
        origin.get("python"),
    )


def _refuse_other_code(sweep: SweepDirectory, checked: Checked) -> None:
    """*Raises* TargetError if the code changed, and the last submission kept no copy of it.

    A retry runs the code that was submitted (invariant 27).
    """
    version = sweep.newest()
    if checked.snapshot is not None:
        return
    digest = current_code(sweep, version)
    if digest is not None and digest != checked.code_digest:
        raise TargetError(
            f"its code changed since submission {sweep.submissions()[-1]}, and a retry runs the "
            "code that was submitted",
            where=version.manifest.target.text,
            next_step="Run `hpcsweep submit` to go on with the code as it is now, or restore it.",
        )
