"""What to submit, and what a submit did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from hpcsweep.indexset import IndexSet
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.manifest.policies import Policies
from hpcsweep.quantities import counted
from hpcsweep.sources import ParameterSource
from hpcsweep.state.manifest_diff import Difference
from hpcsweep.state.outlook import Outlook
from hpcsweep.state.paused import Paused
from hpcsweep.state.stopped import Stopped
from hpcsweep.submission.policy import Policy
from hpcsweep.submission.replacing import Replaceable
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.followers import followers
from hpcsweep.sweepdir.plan import Plan
from hpcsweep.sweepdir.version import Version

# Job ids that a short text names.
JOBS_NAMED = 5


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
    # Cases that are appended to those of the newest version, unless they are there; None leaves the
    # source as it is.
    appended: Sequence[Mapping[str, Any]] | None = None
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
            node_slots=self.manifest.needs.slots or 1,
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
        # A function was imported, and its arguments were checked. Whole nodes would stay empty. A
        # search goes on after trials that fail, and its first batch tells whether all do.
        is_default = self.manifest.target.is_command and not (self.manifest.nodes or self.at_once)
        is_default = is_default and self.policies.search is None
        return None if canary is None and is_default else canary or 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    """The result of a submit.

    Examples:
        >>> sent = sweep.submit()
        >>> isinstance(sent, hs.Submitted), sent.job_ids
        (True, [])
    """

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

    def __repr__(self) -> str:
        cases = sum(plan.indices.count for plan in self.plans)
        jobs = ", ".join(self.job_ids[:JOBS_NAMED]) + " …" * (len(self.job_ids) > JOBS_NAMED)
        in_jobs = f"in {'job' if len(self.job_ids) == 1 else 'jobs'} {jobs}"
        what = f"{counted(cases, 'case')} {in_jobs}" if self.plans else "nothing"
        return f"<Submitted {self.sweep.name!r}: {what}>"

    def _repr_html_(self) -> str:
        from hpcsweep.html_table import facts_html  # noqa: PLC0415  # for notebooks alone

        count = sum(plan.indices.count for plan in self.plans)
        return facts_html(
            f"{self.sweep.name}: {counted(count, 'case')} submitted",
            [
                ("jobs", ", ".join(self.job_ids)),
                ("under way", self.under_way.count or ""),
                ("without room", self.without_room.count or ""),
                ("behind the canary", self.behind_canary.count or ""),
                ("path", self.sweep.shown_path),
            ],
        )

    def to_json(self) -> dict[str, Any]:
        """The document of `submit --json`.

        Examples:
            >>> sweep.submit().to_json()["complete"]
            2
        """
        job_ids = iter(self.job_ids)
        return {
            "schema": "hpcsweep.submit/1",
            "name": self.sweep.name,
            "path": self.sweep.shown_path,
            "cases": self.outlook.version.source.n_cases,
            "complete": self.outlook.complete.count,
            "failed": self.outlook.failed.count,
            "under_way": self.under_way.count,
            "without_room": self.without_room.count,
            "behind_canary": self.behind_canary.count,
            "changed": None if self.difference is None else str(self.difference),
            "stopped": self.stopped.to_json() if self.stopped else None,
            "paused": self.paused.to_json() if self.paused else None,
            "submissions": [
                {
                    "submission": plan.submission,
                    "cases": plan.indices.count,
                    "indices": str(plan.indices),
                    "tasks": plan.chunks,
                    "later": 0 if plan.goal is None else plan.goal.count - plan.indices.count,
                    "job_ids": list(islice(job_ids, len(plan.parts))),
                }
                for plan in self.plans
            ],
            "stages": [stage.to_json() for stage in self.stages],
        }

    @property
    def plan(self) -> Plan | None:
        """The first one; None when there was nothing to submit.

        Examples:
            >>> sweep.submit().plan is None
            True
        """
        return self.plans[0] if self.plans else None

    @property
    def arrays(self) -> list[str]:
        """The job ids of all arrays that are not known to be over, the oldest first.

        Examples:
            >>> sweep.submit().arrays
            []
        """
        earlier = (sent.job_id for sent in self.outlook.tasks.parts)
        return [*filter(None, earlier), *self.job_ids]

    @property
    def cancelled(self) -> IndexSet:
        """The indices under way in array tasks that were cancelled and may not be over yet.

        Examples:
            >>> sweep.submit().cancelled.count
            0
        """
        return self.under_way & self.outlook.cancelled
