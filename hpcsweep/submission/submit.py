"""Submit: freeze, check, decide, plan, and submit what is missing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from hpcsweep.cluster.base import Cluster
from hpcsweep.errors import ClusterError, InputError
from hpcsweep.files import json_bytes, names, remove_tree, token
from hpcsweep.importing import refuse_while_importing
from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.freezing import missing_files
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.quantities import counted
from hpcsweep.settings import Settings
from hpcsweep.state import canary
from hpcsweep.state.changed_inputs import with_changed_inputs
from hpcsweep.state.manifest_diff import difference, refuse_mixing, reorders
from hpcsweep.state.outlook import Outlook, outlook_of, with_lost, with_measured
from hpcsweep.state.scheduler import poll
from hpcsweep.store.ingest import fresh_index, last_indexed_number
from hpcsweep.submission import breaker, policy
from hpcsweep.submission.appending import with_appended
from hpcsweep.submission.arrays import SCRIPT_NAME, array_for, script_for
from hpcsweep.submission.checked_request import check_elsewhere, checked_request
from hpcsweep.submission.handing_in import Doubt, Submitter
from hpcsweep.submission.hourly_calls import CALLS_MIN
from hpcsweep.submission.limits import check_requests
from hpcsweep.submission.missing_inputs import refuse_missing
from hpcsweep.submission.next_batch import ask_next, with_trials
from hpcsweep.submission.plans import make_plan, plan_of_nothing
from hpcsweep.submission.policy import Batch
from hpcsweep.submission.reconcile import resolve_unanswered
from hpcsweep.submission.replacing import cancel_waiting, replaceable
from hpcsweep.submission.request import SubmitRequest, Submitted
from hpcsweep.submission.snapshot import keep_code, link_data
from hpcsweep.submission.sweep_lock import created_sweep
from hpcsweep.sweepdir import nodes, notices
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import Plan
from hpcsweep.sweepdir.version import Version


def submit(
    request: SubmitRequest,
    cluster: Cluster,
    settings: Settings,
    notify: Callable[[str], None] = lambda _: None,
) -> Submitted:
    """Submit what is missing. *Safe to repeat*: what is finished or under way is not sent again.

    *Raises* every branch of `errors`. *Writes* the sweep directory. After an error, unless the
    cluster may have accepted something, nothing of what it created remains.
    """
    refuse_while_importing("submit")
    if request.replace and request.selection is not None:
        raise InputError(
            "array tasks are replaced as a whole, with cases that are not selected",
            where="--replace",
            next_step="Select no cases, or leave out --replace.",
        )
    limits = check_requests(cluster, request.manifest, request.throttle, notify)
    request = replace(request, caps=limits.caps)
    doubt = Doubt()
    manifest = request.manifest
    created = created_sweep(request.path, manifest.name, manifest.share, doubt, notify)
    with created as (sweep, lock, made):
        restore_manifest(sweep, request.version)
        request = with_appended(with_trials(request), sweep)
        if not request.allow_mixed:
            refuse_mixing(sweep, manifest)
        changed = difference(sweep, request.version)
        if changed is not None:
            notify(str(changed))
        _clean(sweep)
        request, checked = checked_request(request, sweep, cluster.environment, made, notify)
        manifest = request.manifest
        kept = keep_code(sweep, manifest, checked, made, notify)
        if kept is not None:
            link_data(sweep, manifest, kept, made, unread=request.file)
        submitter = Submitter(
            sweep=sweep,
            manifest=manifest,
            n_cases=request.source.n_cases,
            cluster=cluster,
            limits=limits,
            settings=settings,
            checked=replace(checked, snapshot=kept),
            notify=notify,
            lock=lock,
            made=made,
            doubt=doubt,
        )
        return replace(_submit_missing(request, submitter), difference=changed)


def restore_manifest(sweep: SweepDirectory, version: Version) -> None:
    """Write what a site has purged of this version again, if it was submitted before.

    The newest one may continue it: then its cases cannot be read without this one.
    """
    directory = sweep.manifest_dir(version.fingerprint)
    is_newest = bool(sweep.submissions()) and sweep.newest_manifest() == version.fingerprint
    if (is_newest or directory.is_dir()) and missing_files(directory, version.manifest):
        sweep.freeze(version)


def prepare(
    request: SubmitRequest, cluster: Cluster, notify: Callable[[str], None] = lambda _: None
) -> tuple[SweepDirectory, SubmitRequest]:
    """Check a sweep like `submit` and freeze its manifest, to be submitted later.

    Returns the request with the interpreter of its tasks. *Raises* as `submit`. *Writes* the sweep
    directory; nothing remains after an error.
    """
    refuse_while_importing("submit")
    manifest = request.manifest
    check_requests(cluster, manifest, request.throttle, notify)
    created = created_sweep(request.path, manifest.name, manifest.share, False, notify)
    with created as (sweep, _, made):
        request = with_trials(request)
        if not request.allow_mixed:
            refuse_mixing(sweep, manifest)
        request, _ = checked_request(request, sweep, cluster.environment, made, notify)
        return sweep, request


def check(
    request: SubmitRequest, cluster: Cluster, notify: Callable[[str], None] = lambda _: None
) -> tuple[SubmitRequest, str]:
    """Check manifest and target like `submit`; leaves no file behind.

    Returns the request with the interpreter of its tasks, and the digest of the user's code.
    *Raises* TargetError, SweepError, InputError.
    """
    for note in cluster.check_options(request.manifest.resources.options, request.throttle):
        notify(note)
    request, checked = check_elsewhere(request, cluster.environment, notify)
    return request, checked.code_digest


def rehearse(
    request: SubmitRequest, sweep: SweepDirectory | None, plan: Plan, cluster: Cluster
) -> str:
    """Ask the cluster whether it would accept the first part, which is the largest one.

    Returns why it could not be asked, or "". *Raises* ClusterError if it would refuse.
    """
    key = sweep.key if sweep else token()
    with tempfile.TemporaryDirectory(prefix="hpcsweep-") as temporary:
        script = Path(temporary) / SCRIPT_NAME
        script.write_text(script_for(request.manifest, request.path, plan, cluster.script_form))
        array = array_for(request.path, key, request.manifest, plan, plan.parts[0])
        return cluster.test_only(replace(array, script=str(script)))


def outlook_for(
    request: SubmitRequest,
    sweep: SweepDirectory | None,
    cluster: Cluster | None,
    settings: Settings,
    code_digest: str | None = None,
) -> Outlook:
    """The outlook for the manifest of a request. *Writes* the index, verdicts."""
    if sweep is None:
        return Outlook.of_nothing(request.version)
    if not sweep.submissions():
        # Where their files were removed, their journals may remain, or their rows in the index. A
        # submission raises the generation by one at most, so none of their attempts has a higher
        # one than their count.
        known = last_indexed_number(sweep, request.manifest.store)
        return Outlook.of_nothing(request.version, generation=max(sweep.last_number(), known))
    with fresh_index(sweep) as sweep_index:
        tasks = poll(sweep, sweep_index, cluster, settings)
        outlook = outlook_of(sweep, sweep_index, tasks, request.version, code_digest)
        outlook = with_measured(outlook, sweep, sweep_index)
        if not request.advances:
            asked = request.rerun == "stale"
            outlook = with_changed_inputs(outlook, sweep, sweep_index, asked=asked)
        return with_lost(outlook, sweep, sweep_index) if request.rerun == "lost" else outlook


def _submit_missing(request: SubmitRequest, submitter: Submitter) -> Submitted:
    sweep, digest = submitter.sweep, submitter.checked.code_digest
    resolve_unanswered(sweep, submitter.cluster, submitter.settings, submitter.notify)
    outlook = outlook_for(request, sweep, submitter.cluster, submitter.settings, digest)
    waiting = replaceable(sweep, request.manifest, outlook.tasks)
    if request.replace and waiting is not None:
        submitter.lock.check()
        with fresh_index(sweep) as sweep_index:
            count = cancel_waiting(waiting, sweep, sweep_index, submitter.cluster)
        what = counted(count, "queued array task was", "queued array tasks were")
        submitter.notify(f"{what} cancelled, to be sent anew.")
        outlook = outlook_for(request, sweep, submitter.cluster, submitter.settings, digest)
        waiting = replaceable(sweep, request.manifest, outlook.tasks)
    breaker.resume(sweep, request.policies, outlook, submitter.cluster)
    asked = ask_next(request, outlook, sweep, submitter.notify)
    if asked is not None:
        request, version = asked, asked.version
        sweep.freeze(version, submitter.made)
        submitter = replace(submitter, manifest=version.manifest, n_cases=version.source.n_cases)
        outlook = outlook_for(request, sweep, submitter.cluster, submitter.settings, digest)
    done = Submitted(
        sweep=sweep,
        outlook=outlook,
        under_way=policy.under_way(outlook, request.policy),
        replaceable=waiting,
    )
    refuse_missing(request.version, policy.sendable(outlook, request.policy))
    batches = policy.decide(outlook, request.policy, submitter.limits)
    if not batches and canary.is_running(outlook):
        return replace(done, behind_canary=_put_behind_canary(request, submitter, outlook))
    if not batches and policy.sendable(outlook, request.policy):
        raise full_queue(submitter)
    if batches:
        notices.forget(sweep.path)
        nodes.forget(sweep.path)
    done = send_batches(request, submitter, done, batches)
    if not batches and _is_other(sweep, request.manifest):
        # It says in which order the cases are from now on, and how a search goes on.
        submitter.submit(plan_of_nothing(request, sweep, outlook, submitter.limits))
    return done


def _is_other(sweep: SweepDirectory, manifest: FrozenManifest) -> bool:
    """Whether a manifest has its cases in another order, or another search, than the newest one."""
    searches = (one.policies.get("search") for one in (manifest, sweep.newest().manifest))
    return reorders(sweep, manifest) or len({json_bytes(search) for search in searches}) > 1


def _put_behind_canary(request: SubmitRequest, submitter: Submitter, outlook: Outlook) -> IndexSet:
    """The missing cases, which are sent when the canary has passed.

    *Writes* a submission if there are more of them than before.
    """
    behind = canary.behind(outlook)
    missing = policy.sendable(outlook, request.policy) - outlook.complete - outlook.failed
    if missing - behind:
        submitter.submit(
            plan_of_nothing(request, submitter.sweep, outlook, submitter.limits, rest=missing)
        )
    return behind | missing


def send_batches(
    request: SubmitRequest, submitter: Submitter, done: Submitted, batches: Iterable[Batch]
) -> Submitted:
    """Submit batches, each in a submission of its own. *Raises* as `Submitter.submit`."""
    for batch in batches:
        plan = make_plan(request, submitter.sweep, batch, submitter.limits)
        job_ids = submitter.submit(plan)
        done = replace(done, plans=(*done.plans, plan), job_ids=[*done.job_ids, *job_ids])
    return done


def full_queue(submitter: Submitter) -> ClusterError:
    """The error where there is no room, or no call of sbatch, for an array and its closing job."""
    limits = submitter.limits
    if limits.calls is not None and limits.calls < CALLS_MIN:
        return submitter.calls.exhausted()
    error = ClusterError(
        f"the queue has no room for you: {limits.max_jobs_name} is {limits.max_jobs}, and "
        f"{limits.jobs} jobs and array tasks of yours are there",
        next_step="Run the same command again when some of them have ended.",
    )
    error.transient = True
    return error


def _clean(sweep: SweepDirectory) -> None:
    """Remove the unfinished files of killed submits."""
    for parent in (sweep.submission_root, sweep.manifest_root, sweep.code_root):
        for name in names(parent):
            if name.startswith("."):
                remove_tree(parent / name)
