"""Submit: freeze, check, decide, plan, and hand in what is missing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from hpcsweep.cluster.base import Cluster, Limits
from hpcsweep.errors import ClusterError, SweepError
from hpcsweep.files import names, remove_tree, token
from hpcsweep.import_guard import refuse_while_importing
from hpcsweep.indexset import IndexSet
from hpcsweep.journal import RANKED_MAX
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.manifest.policies import Policies
from hpcsweep.settings import Settings
from hpcsweep.sources import ParameterSource
from hpcsweep.state.manifest_diff import Difference, difference, refuse_mixing, reorders
from hpcsweep.state.outlook import Outlook, outlook_of
from hpcsweep.state.scheduler import poll
from hpcsweep.store.ingest import fresh_index
from hpcsweep.submission import policy
from hpcsweep.submission.arrays import SCRIPT_NAME, array_for, script_for
from hpcsweep.submission.handing_in import Doubt, HandingIn
from hpcsweep.submission.policy import Batch, Policy
from hpcsweep.submission.preflight import preflight
from hpcsweep.submission.reconcile import resolve_unanswered
from hpcsweep.submission.replacing import Replaceable, cancel_waiting, replaceable
from hpcsweep.submission.turns import changing
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.parts import make_parts
from hpcsweep.sweepdir.plan import Layout, Plan
from hpcsweep.sweepdir.version import Version


@dataclass(frozen=True, kw_only=True, slots=True)
class Wish:
    """What the user wants submitted, and how."""

    manifest: FrozenManifest
    # With replicates.
    source: ParameterSource
    # The sweep directory, which may not exist yet.
    path: Path
    # Highest count of array tasks at once; 0 for no throttle.
    throttle: int = 0
    # None, or one of RERUNS.
    rerun: str | None = None
    # Whether another target or seed under the same name is fine.
    allow_mixed: bool = False
    # Whether queued tasks that this manifest would send otherwise are cancelled and sent anew.
    replace: bool = False
    # Whether only what earlier submissions left, and what `retry` repeats, is sent.
    advances: bool = False

    @property
    def version(self) -> Version:
        """The manifest with its cases."""
        return Version.of(self.manifest, self.source)

    @property
    def policy(self) -> Policy:
        """What of it is to be sent."""
        return Policy(
            rerun=self.rerun,
            chunk=self.manifest.chunk,
            resources=self.manifest.resources,
            retry=Policies.from_json(self.manifest.policies).retry,
            advances=self.advances,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """What a submit did."""

    sweep: SweepDirectory
    # What was known before.
    outlook: Outlook
    # Indices that were wanted, and left to array tasks that have them already.
    under_way: IndexSet = field(default_factory=IndexSet)
    # Indices that `advance` sends as soon as the queue has room.
    without_room: IndexSet = field(default_factory=IndexSet)
    # Queued tasks that this manifest would send otherwise.
    replaceable: Replaceable | None = None
    # One for each resource class; none when there was nothing to submit.
    plans: tuple[Plan, ...] = ()
    # By part, of all plans.
    job_ids: list[str] = field(default_factory=list)
    # From the cases of the submission before; None where they are the same.
    difference: Difference | None = None

    @property
    def plan(self) -> Plan | None:
        """The first one; None when there was nothing to submit."""
        return self.plans[0] if self.plans else None

    @property
    def cancelled(self) -> IndexSet:
        """Those under way in array tasks that were cancelled and are not yet known to be over."""
        return self.under_way & self.outlook.cancelled


def submit(
    wish: Wish, cluster: Cluster, settings: Settings, say: Callable[[str], None] = lambda _: None
) -> Submitted:
    """Submit what is missing. *Safe to repeat*: what is finished or under way is not sent again.

    *Raises* every branch of `errors`. *Writes* the sweep directory; on an error before anything
    can have been accepted it leaves nothing that was not there before.
    """
    refuse_while_importing("submit")
    cluster.prepare(wish.manifest.resources.options)
    for note in cluster.check_options(wish.manifest.resources.options, wish.throttle):
        say(note)
    limits = cluster.with_room(cluster.limits(), wish.manifest.resources.options)
    for note in limits.notes:
        say(note)
    doubt = Doubt()
    manifest, source = wish.manifest, wish.source
    mine = changing(wish.path, manifest.name, manifest.share, doubt, say)
    with mine as (sweep, turn, made):
        if not wish.allow_mixed:
            refuse_mixing(sweep, manifest)
        changed = difference(sweep, wish.version)
        if changed is not None:
            say(str(changed))
        _clean(sweep)
        sweep.freeze(wish.version, made)
        desk = HandingIn(
            sweep=sweep,
            manifest=manifest,
            cluster=cluster,
            limits=limits,
            settings=settings,
            checked=preflight(sweep, manifest, source, cluster.environment),
            say=say,
            turn=turn,
            made=made,
            doubt=doubt,
        )
        return replace(_submit_missing(wish, desk), difference=changed)


def check(wish: Wish, cluster: Cluster, say: Callable[[str], None] = lambda _: None) -> str:
    """Check all that a submit checks of manifest and target, and leave nothing behind.

    Returns the digest of the user's code. *Raises* TargetError, SweepError, InputError.
    """
    for note in cluster.check_options(wish.manifest.resources.options, wish.throttle):
        say(note)
    with tempfile.TemporaryDirectory(prefix="hpcsweep-") as temporary:
        sweep = SweepDirectory.create(Path(temporary) / "sweep", wish.manifest.name)
        sweep.freeze(wish.version)
        checked = preflight(sweep, wish.manifest, wish.source, cluster.environment)
        return checked.code_digest


def rehearse(wish: Wish, sweep: SweepDirectory | None, plan: Plan, cluster: Cluster) -> str:
    """Let the cluster say whether it would take the first part, which is its largest one.

    Returns why it could not be asked, empty when it would. *Raises* ClusterError when it would not.
    """
    key = sweep.key if sweep else token()
    with tempfile.TemporaryDirectory(prefix="hpcsweep-") as temporary:
        script = Path(temporary) / SCRIPT_NAME
        script.write_text(script_for(wish.manifest, wish.path, plan))
        array = array_for(wish.path, key, wish.manifest, plan, plan.parts[0])
        return cluster.test_only(replace(array, script=str(script)))


def outlook_for(
    wish: Wish,
    sweep: SweepDirectory | None,
    cluster: Cluster | None,
    settings: Settings,
    code_digest: str | None = None,
) -> Outlook:
    """What is known of the wanted cases. *Writes* the index, verdicts."""
    if sweep is None or not sweep.submissions():
        return Outlook.of_nothing(wish.version)
    with fresh_index(sweep) as sweep_index:
        tasks = poll(sweep, sweep_index, cluster, settings)
        return outlook_of(sweep, sweep_index, tasks, wish.version, code_digest)


def make_plan(wish: Wish, sweep: SweepDirectory | None, batch: Batch, limits: Limits) -> Plan:
    """The plan that sends a batch. Pure, but for reading the sweep's earlier plans."""
    numbers = sweep.submissions() if sweep else []
    previous = sweep.plan(numbers[-1])[0].layout if sweep and numbers else None
    chunks = -(-batch.indices.count // batch.chunk_size)
    number = (numbers[-1] if numbers else 0) + 1
    if max(number, batch.generation) > RANKED_MAX:
        raise SweepError(
            f"has {RANKED_MAX} submissions, and can have no more",
            where=str(wish.path),
            next_step="Give the manifest another name.",
        )
    return Plan(
        submission=number,
        manifest=wish.manifest.fingerprint,
        indices=batch.indices,
        chunk_size=batch.chunk_size,
        parts=make_parts(chunks, max_array_size=limits.max_array_size, throttle=wish.throttle),
        layout=Layout.choose(wish.manifest.runs, wish.source.n_cases, previous),
        generation=batch.generation,
        options=None if batch.resources == wish.manifest.resources else batch.resources.options,
        goal=batch.indices | batch.rest if batch.rest else None,
        closes=batch.closes,
    )


def _submit_missing(wish: Wish, desk: HandingIn) -> Submitted:
    sweep, digest = desk.sweep, desk.checked.code_digest
    resolve_unanswered(sweep, desk.cluster, desk.settings, desk.say)
    outlook = outlook_for(wish, sweep, desk.cluster, desk.settings, digest)
    waiting = replaceable(sweep, wish.manifest, outlook.tasks)
    if wish.replace and waiting is not None:
        desk.turn.check()
        with fresh_index(sweep) as sweep_index:
            count = cancel_waiting(waiting, sweep, sweep_index, desk.cluster)
        desk.say(f"{count} queued array tasks were cancelled, to be sent anew.")
        outlook = outlook_for(wish, sweep, desk.cluster, desk.settings, digest)
        waiting = replaceable(sweep, wish.manifest, outlook.tasks)
    done = Submitted(
        sweep=sweep,
        outlook=outlook,
        under_way=policy.under_way(outlook, wish.policy),
        replaceable=waiting,
    )
    batches = policy.decide(outlook, wish.policy, desk.limits)
    if not batches and policy.sendable(outlook, wish.policy):
        raise full_queue(desk.limits)
    done = send_batches(wish, desk, done, batches)
    if not batches and reorders(sweep, wish.manifest):
        # A submission without a part: it says in which order the cases are from now on.
        nothing = policy.batch(outlook, wish.policy, desk.limits, IndexSet())
        desk.submit(make_plan(wish, sweep, nothing, desk.limits))
    return done


def send_batches(
    wish: Wish, desk: HandingIn, done: Submitted, batches: Iterable[Batch]
) -> Submitted:
    """Submit batches, each in a submission of its own. *Raises* as `HandingIn.submit`."""
    for batch in batches:
        plan = make_plan(wish, desk.sweep, batch, desk.limits)
        job_ids = desk.submit(plan)
        done = replace(done, plans=(*done.plans, plan), job_ids=[*done.job_ids, *job_ids])
    return done


def full_queue(limits: Limits) -> ClusterError:
    """The error for a queue that has no room for an array task and its closing job."""
    return ClusterError(
        f"the queue has no room for you: {limits.max_jobs_name} is {limits.max_jobs}, and "
        f"{limits.jobs} jobs and array tasks of yours are there",
        next_step="Run the same command again when some of them have ended.",
    )


def _clean(sweep: SweepDirectory) -> None:
    """Remove what a killed submit had only begun to write."""
    for parent in (sweep.submission_root, sweep.manifest_root):
        for name in names(parent):
            if name.startswith("."):
                remove_tree(parent / name)
