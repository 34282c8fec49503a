"""What a submit would send, for `plan` and `submit --dry-run`. Nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.cluster.limits import Limits
from hpcsweep.files import token
from hpcsweep.indexset import IndexSet
from hpcsweep.quantities import counted
from hpcsweep.settings import Settings
from hpcsweep.state import canary
from hpcsweep.state.manifest_diff import Difference, difference
from hpcsweep.state.outlook import Outlook
from hpcsweep.submission import policy
from hpcsweep.submission.arrays import array_for, is_requeued, script_for
from hpcsweep.submission.limits import (
    limit_notes,
    limits_for,
    refuse_impossible,
    refuse_impossible_reduce,
    refuse_mode,
)
from hpcsweep.submission.missing_inputs import refuse_missing
from hpcsweep.submission.next_batch import ask_next
from hpcsweep.submission.notices import (
    changed_notice,
    other_code_notice,
    replaceable_notice,
    short_time_notice,
)
from hpcsweep.submission.plans import make_plan
from hpcsweep.submission.replacing import replaceable
from hpcsweep.submission.request import SubmitRequest
from hpcsweep.submission.submit import check, outlook_for, rehearse
from hpcsweep.sweepdir.directory import MARKER, SweepDirectory
from hpcsweep.sweepdir.parts import MAX_ARRAY_SIZE
from hpcsweep.sweepdir.plan import Plan
from hpcsweep.sweepdir.version import Version

# What `plan` has not asked.
NO_CLUSTER = (
    f"any cluster, neither how large an array may be (MaxArraySize {MAX_ARRAY_SIZE} is Slurm's "
    "default) nor about partition, time, memory and GPUs; `submit --dry-run` asks"
)
# Or has not asked now.
NO_QUEUE = "what is in the queue; `submit --dry-run` asks"

Notify = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedSubmission:
    """One submission that would be made."""

    plan: Plan
    # What the cluster was not asked about it, and why; "" if it would take it.
    not_asked: str
    # The text of its batch script, and the call of each part; empty where nobody asked for them.
    script: str = field(default="", repr=False)
    calls: tuple[str, ...] = field(default=(), repr=False)

    def to_json(self) -> dict[str, Any]:
        """As `plan --json` has it."""
        plan = self.plan
        parts = plan.to_json()["parts"]
        return {
            "submission": plan.submission,
            "cases": plan.indices.count,
            "indices": str(plan.indices),
            "tasks": plan.chunks,
            "chunk_size": plan.chunk_size,
            "arrays": [{"tasks": part["chunks"], "throttle": part["throttle"]} for part in parts],
            "options": plan.options,
            "runs": plan.layout.runs,
            "canary": plan.canary,
            "later": 0 if plan.goal is None else plan.goal.count - plan.indices.count,
            "case_seconds": plan.case_seconds,
            "not_asked": self.not_asked,
            "script": self.script or None,
            "calls": list(self.calls),
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """What a submit would send.

    Examples:
        >>> planned = sweep.plan(notify=None)
        >>> isinstance(planned, hs.Planned), planned.n_planned
        (True, 0)
    """

    name: str
    # The sweep directory, which may not exist yet.
    path: str
    # The manifest with its cases.
    version: Version = field(repr=False)
    # What is known of all of its cases.
    outlook: Outlook = field(repr=False)
    # The indices to which it is limited; None for all.
    selection: IndexSet | None = None
    limits: Limits = field(repr=False)
    # Count of wanted cases that array tasks have already,
    under_way: int
    # and of those that are sent when the canary has passed.
    behind_canary: int
    # From the cases of the last submission; None if they are the same.
    difference: Difference | None
    # What a submit would say besides.
    notices: tuple[str, ...]
    # One for each resource class; none where there is nothing to submit.
    submissions: tuple[PlannedSubmission, ...] = ()

    def __repr__(self) -> str:
        return f"<Planned {self.name!r}: {self.n_planned} of {counted(self.n_cases, 'case')}>"

    def _repr_html_(self) -> str:
        from hpcsweep.html_table import facts_html  # noqa: PLC0415  # for notebooks alone

        plans = [one.plan for one in self.submissions]
        first = self.version.source[plans[0].indices.select(0)] if plans else None
        return facts_html(
            f"{self.name}: {self.n_planned} of {counted(self.n_cases, 'case')} would be submitted",
            [
                ("array tasks", sum(plan.chunks for plan in plans) or ""),
                ("first case", "" if first is None else json.dumps(first.params)),
                ("under way", self.under_way or ""),
                ("behind the canary", self.behind_canary or ""),
                ("path", self.path),
            ],
            self.notices,
        )

    @property
    def n_cases(self) -> int:
        """Count of the cases of the manifest.

        Examples:
            >>> sweep.plan(notify=None).n_cases
            3
        """
        return self.version.source.n_cases

    @property
    def n_planned(self) -> int:
        """Count of the cases that would be sent.

        Examples:
            >>> sweep.plan(rerun="failed", notify=None).n_planned
            1
        """
        return sum(one.plan.indices.count for one in self.submissions)

    @property
    def selected(self) -> Outlook:
        """What is known of the cases to which it is limited.

        Examples:
            >>> sweep.plan(cases=[0], notify=None).selected.complete.count
            1
        """
        return self.outlook if self.selection is None else self.outlook.within(self.selection)

    def to_json(self) -> dict[str, Any]:
        """The document of `plan --json`.

        Examples:
            >>> sweep.plan(notify=None).to_json()["failed"]
            1
        """
        selected = self.selected
        return {
            "schema": "hpcsweep.plan/1",
            "name": self.name,
            "path": self.path,
            "manifest": self.version.fingerprint,
            "cases": self.n_cases,
            "complete": selected.complete.count,
            "failed": selected.failed.count,
            "under_way": self.under_way,
            "behind_canary": self.behind_canary,
            "changed": None if self.difference is None else str(self.difference),
            "notices": list(self.notices),
            "submissions": [one.to_json() for one in self.submissions],
        }


def planned(
    request: SubmitRequest,
    cluster: Cluster | None,
    settings: Settings,
    notify: Notify = lambda _: None,
    *,
    scripts: bool = False,
) -> Planned:
    """What a submit would send.

    A cluster is asked what it would say to it, after the checks of a submit; without one nothing is
    asked. `scripts`: with the texts of the batch scripts. `notify` gets what the limits mean.
    *Raises* as `submit`. *Writes* the index, verdicts.
    """
    code_digest = None
    if cluster is not None:
        cluster.prepare(request.manifest.resources.options)
        request, code_digest = check(request, cluster, notify)
    named = cluster or registry.unstarted(settings.cluster, settings, request.path)
    limits = _limits(request, cluster, named, notify)
    sweep = SweepDirectory.open(request.path) if (request.path / MARKER).is_file() else None
    outlook = outlook_for(request, sweep, cluster, settings, code_digest)
    asked = None if sweep is None else ask_next(request, outlook, sweep, notify)
    if asked is not None:
        request, outlook = asked, outlook_for(asked, sweep, cluster, settings, code_digest)
    waiting = None if sweep is None else replaceable(sweep, request.manifest, outlook.tasks)
    notices = (
        short_time_notice(request),
        replaceable_notice(waiting, request),
        other_code_notice(outlook, request),
        changed_notice(outlook, request),
    )
    sendable = policy.sendable(outlook, request.policy)
    refuse_missing(request.version, sendable)
    submissions = []
    for batch in policy.decide(outlook, request.policy, limits):
        plan = make_plan(request, sweep, batch, limits)
        if cluster is not None:
            not_asked = rehearse(request, sweep, plan, cluster)
        else:
            not_asked = NO_CLUSTER if limits.read_at is None else NO_QUEUE
        script = _script(request, sweep, plan, named, limits) if scripts else {}
        submissions.append(PlannedSubmission(plan=plan, not_asked=not_asked, **script))
    waits = not submissions and canary.is_running(outlook)
    return Planned(
        name=request.manifest.name,
        path=str(request.path),
        version=request.version,
        outlook=outlook,
        selection=request.selection,
        limits=limits,
        under_way=policy.under_way(outlook, request.policy).count,
        behind_canary=sendable.count if waits else 0,
        difference=None if sweep is None else difference(sweep, request.version),
        notices=tuple(filter(None, notices)),
        submissions=tuple(submissions),
    )


def _limits(
    request: SubmitRequest, cluster: Cluster | None, named: Cluster, notify: Notify
) -> Limits:
    resources, own = request.manifest.resources, request.policies.limits
    if cluster is None:
        limits = named.remembered(resources.options, own)
        if limits is None:
            limits = policy.UNASKED.overridden(own, resources.options, 0)
        for excess in limits.impossible:
            notify(f"slurm.{excess.option} {excess.what}")
    else:
        limits = limits_for(cluster, resources, own)
        refuse_impossible(limits)
        refuse_impossible_reduce(cluster, request.manifest, request.policies)
    refuse_mode(request.manifest.mode, named.kind, limits, request.throttle)
    for note in limit_notes(limits, request.manifest):
        notify(note)
    if cluster is not None and limits.room is not None:
        notify(
            f"{limits.max_jobs_name} is {limits.max_jobs}: with {limits.jobs} jobs and array tasks "
            f"in the queue, {counted(limits.room, 'more fits', 'more fit')}"
        )
    return limits


def _script(
    request: SubmitRequest,
    sweep: SweepDirectory | None,
    plan: Plan,
    cluster: Cluster,
    limits: Limits,
) -> dict[str, Any]:
    """The `script` and `calls` of a plan."""
    key = sweep.key if sweep else token()
    arrays = [array_for(request.path, key, request.manifest, plan, part) for part in plan.parts]
    return {
        "script": script_for(
            request.manifest,
            request.path,
            plan,
            cluster.script_form,
            requeue=is_requeued(request.manifest, limits),
        ),
        "calls": tuple(cluster.command(array) for array in arrays),
    }
