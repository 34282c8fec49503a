"""Submit: freeze, check, decide, plan, and submit what is missing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from hpcsweep.cluster.base import Cluster, Limits
from hpcsweep.errors import ClusterError, InputError, SweepError
from hpcsweep.files import names, remove_tree, token
from hpcsweep.importing import refuse_while_importing
from hpcsweep.indexset import IndexSet
from hpcsweep.journal import RANKED_MAX
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.manifest.policies import Policies
from hpcsweep.records import ARRAY, SINGLE_JOB, Part
from hpcsweep.settings import Settings
from hpcsweep.sources import ParameterSource
from hpcsweep.state import canary
from hpcsweep.state.manifest_diff import Difference, difference, refuse_mixing, reorders
from hpcsweep.state.outlook import NONE, Outlook, outlook_of, with_lost, with_measured
from hpcsweep.state.paused import Paused
from hpcsweep.state.scheduler import poll
from hpcsweep.state.stopped import Stopped
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission import breaker, policy
from hpcsweep.submission.arrays import SCRIPT_NAME, array_for, script_for
from hpcsweep.submission.handing_in import Doubt, Submitter
from hpcsweep.submission.hourly_calls import CALLS_MIN
from hpcsweep.submission.limits import limits_for, refuse_impossible, refuse_mode
from hpcsweep.submission.policy import Batch, Policy
from hpcsweep.submission.preflight import preflight
from hpcsweep.submission.reconcile import resolve_unanswered
from hpcsweep.submission.replacing import Replaceable, cancel_waiting, replaceable
from hpcsweep.submission.snapshot import keep_code, link_data
from hpcsweep.submission.sweep_lock import created_sweep
from hpcsweep.sweepdir import nodes, notices
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.followers import followers
from hpcsweep.sweepdir.parts import make_node_parts, make_parts
from hpcsweep.sweepdir.plan import Layout, Plan
from hpcsweep.sweepdir.version import Version


@dataclass(frozen=True, kw_only=True, slots=True)
class SubmitRequest:
    """What to submit, and how."""

    manifest: FrozenManifest
    # With replicates.
    source: ParameterSource
    # The sweep directory, which may not exist yet.
    path: Path
    # The manifest's file, if it was read from one just now: no task reads it.
    file: Path | None = None
    # Largest count of array tasks that run at once; 0 for no throttle.
    throttle: int = 0
    # None, or one of RERUNS.
    rerun: str | None = None
    # The indices to which it is limited, in the order of this manifest; None for all.
    selection: IndexSet | None = None
    # Whether another target or seed under the same name is accepted.
    allow_mixed: bool = False
    # Whether queued tasks with other options than this manifest's are cancelled and sent anew.
    replace: bool = False
    # Whether only what earlier submissions left, and what `retry` repeats, is sent.
    advances: bool = False
    # The most that the cluster gives to a retry, as `Limits.caps`.
    caps: Mapping[str, int] = field(default_factory=dict)
    # Whether no case goes first unless the manifest says so.
    at_once: bool = False

    @property
    def version(self) -> Version:
        """The manifest with its cases."""
        return Version.of(self.manifest, self.source)

    @property
    def policies(self) -> Policies:
        """What the manifest says of the sweep's going on."""
        return Policies.from_json(self.manifest.policies)

    @property
    def policy(self) -> Policy:
        """Which of its cases to send."""
        return Policy(
            rerun=self.rerun,
            selection=self.selection,
            chunk=self.manifest.chunk,
            case_seconds=self.policies.case_seconds,
            # A chunk of whole nodes runs in one slot.
            slots=1 if self.manifest.nodes else self.manifest.needs.slots or 1,
            resources=self.manifest.resources,
            node_jobs=self.manifest.node_jobs,
            retry=self.policies.retry,
            caps=self.caps,
            closes=self.policies.closes or bool(followers(self.path)),
            has_closing_jobs=self.policies.closing is not None,
            canary=self._canary,
            sizes=bool(self.policies.canary),
            advances=self.advances,
        )

    @property
    def _canary(self) -> int | None:
        """How many cases go first; None for the default of a command."""
        canary = self.policies.canary
        # A function was imported and its arguments were checked before.
        is_default = canary is None and self.manifest.target.is_command and not self.at_once
        return None if is_default else canary or 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """The result of a submit."""

    sweep: SweepDirectory
    # The outlook before the submit.
    outlook: Outlook
    # Wanted indices that array tasks have already.
    under_way: IndexSet = field(default_factory=IndexSet)
    # Indices that `advance` sends as soon as the queue has room.
    without_room: IndexSet = field(default_factory=IndexSet)
    # Indices that `advance` sends when the canary has passed.
    behind_canary: IndexSet = field(default_factory=IndexSet)
    # Queued tasks that this manifest would send otherwise.
    replaceable: Replaceable | None = None
    # One for each resource class; none when there was nothing to submit.
    plans: tuple[Plan, ...] = ()
    # By part, of all plans.
    job_ids: list[str] = field(default_factory=list)
    # From the cases of the previous submission; None if they are the same.
    difference: Difference | None = None
    # Why the sweep's circuit breaker sends nothing more; None if it is not stopped.
    stopped: Stopped | None = None
    # Why nothing is sent until there is room on the disk; None if there is.
    paused: Paused | None = None
    # What was submitted because the cases are complete: the reduce, and sweeps that follow.
    stages: tuple[Submitted, ...] = ()

    @property
    def plan(self) -> Plan | None:
        """The first one; None when there was nothing to submit."""
        return self.plans[0] if self.plans else None

    @property
    def arrays(self) -> list[str]:
        """The job ids of all arrays that are not known to be over, the oldest first."""
        earlier = (sent.job_id for sent in self.outlook.tasks.parts)
        return [*filter(None, earlier), *self.job_ids]

    @property
    def cancelled(self) -> IndexSet:
        """The indices under way in array tasks that were cancelled and may not be over yet."""
        return self.under_way & self.outlook.cancelled


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
    cluster.prepare(request.manifest.resources.options)
    for note in cluster.check_options(request.manifest.resources.options, request.throttle):
        notify(note)
    limits = limits_for(cluster, request.manifest.resources, request.policies.limits)
    for note in limits.notes:
        notify(note)
    refuse_mode(request.manifest.mode, cluster.kind, limits, request.throttle)
    refuse_impossible(limits)
    request = replace(request, caps=limits.caps)
    doubt = Doubt()
    manifest, source = request.manifest, request.source
    created = created_sweep(request.path, manifest.name, manifest.share, doubt, notify)
    with created as (sweep, lock, made):
        if not request.allow_mixed:
            refuse_mixing(sweep, manifest)
        changed = difference(sweep, request.version)
        if changed is not None:
            notify(str(changed))
        _clean(sweep)
        sweep.freeze(request.version, made)
        checked = preflight(sweep, manifest, source, cluster.environment)
        kept = keep_code(sweep, manifest, checked, made, notify)
        if kept is not None:
            link_data(sweep, manifest, kept, made, unread=request.file)
        submitter = Submitter(
            sweep=sweep,
            manifest=manifest,
            n_cases=source.n_cases,
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


def prepare(
    request: SubmitRequest, cluster: Cluster, notify: Callable[[str], None] = lambda _: None
) -> SweepDirectory:
    """Check a sweep like `submit` and freeze its manifest, to be submitted later.

    *Raises* as `submit`. *Writes* the sweep directory; nothing remains after an error.
    """
    refuse_while_importing("submit")
    manifest = request.manifest
    cluster.prepare(manifest.resources.options)
    for note in cluster.check_options(manifest.resources.options, request.throttle):
        notify(note)
    created = created_sweep(request.path, manifest.name, manifest.share, False, notify)
    with created as (sweep, _, made):
        if not request.allow_mixed:
            refuse_mixing(sweep, manifest)
        sweep.freeze(request.version, made)
        preflight(sweep, manifest, request.source, cluster.environment)
        return sweep


def check(
    request: SubmitRequest, cluster: Cluster, notify: Callable[[str], None] = lambda _: None
) -> str:
    """Check manifest and target like `submit`; leaves no file behind.

    Returns the digest of the user's code. *Raises* TargetError, SweepError, InputError.
    """
    for note in cluster.check_options(request.manifest.resources.options, request.throttle):
        notify(note)
    with tempfile.TemporaryDirectory(prefix="hpcsweep-") as temporary:
        sweep = SweepDirectory.create(Path(temporary) / "sweep", request.manifest.name)
        sweep.freeze(request.version)
        checked = preflight(sweep, request.manifest, request.source, cluster.environment)
        return checked.code_digest


def rehearse(
    request: SubmitRequest, sweep: SweepDirectory | None, plan: Plan, cluster: Cluster
) -> str:
    """Ask the cluster whether it would accept the first part, which is the largest one.

    Returns why it could not be asked, or "". *Raises* ClusterError if it would refuse.
    """
    key = sweep.key if sweep else token()
    with tempfile.TemporaryDirectory(prefix="hpcsweep-") as temporary:
        script = Path(temporary) / SCRIPT_NAME
        script.write_text(script_for(request.manifest, request.path, plan))
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
    if sweep is None or not sweep.submissions():
        return Outlook.of_nothing(request.version)
    with fresh_index(sweep) as sweep_index:
        tasks = poll(sweep, sweep_index, cluster, settings)
        outlook = outlook_of(sweep, sweep_index, tasks, request.version, code_digest)
        outlook = with_measured(outlook, sweep, sweep_index)
        return with_lost(outlook, sweep, sweep_index) if request.rerun == "lost" else outlook


def make_plan(
    request: SubmitRequest, sweep: SweepDirectory | None, batch: Batch, limits: Limits
) -> Plan:
    """The plan of a batch. Reads the sweep's earlier plans, and is pure otherwise."""
    numbers = sweep.submissions() if sweep else []
    previous = sweep.plan(numbers[-1])[0].layout if sweep and numbers else None
    chunks = -(-batch.indices.count // batch.chunk_size)
    number = (numbers[-1] if numbers else 0) + 1
    if max(number, batch.generation) > RANKED_MAX:
        raise SweepError(
            f"has {RANKED_MAX} submissions, and can have no more",
            where=str(request.path),
            next_step="Give the manifest another name.",
        )
    return Plan(
        submission=number,
        manifest=request.manifest.fingerprint,
        indices=batch.indices,
        chunk_size=batch.chunk_size,
        parts=_parts_of(request, batch, chunks, limits),
        layout=Layout.choose(request.manifest.runs, request.source.n_cases, previous),
        generation=batch.generation,
        options=None if batch.resources == request.manifest.resources else batch.resources.options,
        goal=batch.indices | batch.rest if batch.rest else None,
        closes=batch.closes,
        canary=batch.is_canary,
        longest_first=batch.longest_first,
        case_seconds=None if batch.estimate is None else batch.estimate.mean_s,
        seconds_from="" if batch.estimate is None else batch.estimate.source,
    )


def _parts_of(
    request: SubmitRequest, batch: Batch, chunks: int, limits: Limits
) -> tuple[Part, ...]:
    manifest = request.manifest
    if manifest.mode == ARRAY:
        return make_parts(chunks, max_array_size=limits.max_array_size, throttle=request.throttle)
    nodes = manifest.nodes if manifest.mode == SINGLE_JOB else 1
    return make_node_parts(chunks, jobs=batch.tasks, nodes=nodes)


def _submit_missing(request: SubmitRequest, submitter: Submitter) -> Submitted:
    sweep, digest = submitter.sweep, submitter.checked.code_digest
    resolve_unanswered(sweep, submitter.cluster, submitter.settings, submitter.notify)
    outlook = outlook_for(request, sweep, submitter.cluster, submitter.settings, digest)
    waiting = replaceable(sweep, request.manifest, outlook.tasks)
    if request.replace and waiting is not None:
        submitter.lock.check()
        with fresh_index(sweep) as sweep_index:
            count = cancel_waiting(waiting, sweep, sweep_index, submitter.cluster)
        submitter.notify(f"{count} queued array tasks were cancelled, to be sent anew.")
        outlook = outlook_for(request, sweep, submitter.cluster, submitter.settings, digest)
        waiting = replaceable(sweep, request.manifest, outlook.tasks)
    breaker.resume(sweep, request.policies, outlook, submitter.cluster)
    done = Submitted(
        sweep=sweep,
        outlook=outlook,
        under_way=policy.under_way(outlook, request.policy),
        replaceable=waiting,
    )
    batches = policy.decide(outlook, request.policy, submitter.limits)
    if not batches and canary.is_running(outlook):
        return replace(done, behind_canary=_put_behind_canary(request, submitter, outlook))
    if not batches and policy.sendable(outlook, request.policy):
        raise full_queue(submitter)
    if batches:
        notices.forget(sweep.path)
        nodes.forget(sweep.path)
    done = send_batches(request, submitter, done, batches)
    if not batches and reorders(sweep, request.manifest):
        # It says in which order the cases are from now on.
        submitter.submit(_plan_of_nothing(request, submitter, outlook))
    return done


def _put_behind_canary(request: SubmitRequest, submitter: Submitter, outlook: Outlook) -> IndexSet:
    """The missing cases, which are sent when the canary has passed.

    *Writes* a submission if there are more of them than before.
    """
    behind = canary.behind(outlook)
    missing = policy.sendable(outlook, request.policy) - outlook.complete - outlook.failed
    if missing - behind:
        submitter.submit(_plan_of_nothing(request, submitter, outlook, rest=missing))
    return behind | missing


def _plan_of_nothing(
    request: SubmitRequest,
    submitter: Submitter,
    outlook: Outlook,
    rest: IndexSet = NONE,
) -> Plan:
    """A submission without a part; `rest` are indices that `advance` sends."""
    nothing = policy.batch(
        outlook, request.policy, submitter.limits, NONE, request.manifest.resources
    )
    batch = replace(nothing, rest=rest, closes=bool(rest))
    return make_plan(request, submitter.sweep, batch, submitter.limits)


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
