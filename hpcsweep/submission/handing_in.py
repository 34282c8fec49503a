"""Submit the parts of a submission, in the one order of writes (DESIGN invariant 8).

Plan and script, then for each part an intent with a unique job name, then sbatch, then the job id,
each a new file: so a kill at any moment is harmless. Every submission calls this while it holds the
sweep's lock, after `reconcile` has resolved the parts without an answer.
"""

from __future__ import annotations

import contextlib
import logging
import math
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from hpcsweep.cluster import registry
from hpcsweep.cluster.base import Cluster
from hpcsweep.cluster.limits import Limits
from hpcsweep.cluster.timelimit import warning_seconds
from hpcsweep.errors import ClusterError, ClusterUnavailable, PartRefused
from hpcsweep.files import json_bytes, write_new
from hpcsweep.journal import now
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.manifest.policies import MAX_ATTEMPTS, Policies
from hpcsweep.provenance import provenance
from hpcsweep.quantities import time_limit_seconds
from hpcsweep.records import Part
from hpcsweep.settings import Settings
from hpcsweep.state.standstill import by_hand
from hpcsweep.store.filesystem import is_local
from hpcsweep.store.ingest import fresh_index
from hpcsweep.store.location import SQLITE
from hpcsweep.submission.arrays import SCRIPT_NAME, array_for, is_requeued, script_for
from hpcsweep.submission.breaker import stop_rules
from hpcsweep.submission.closing import (
    CLOSING_SCRIPT,
    closing_job,
    closing_script,
    submit_closing_job,
)
from hpcsweep.submission.hourly_calls import HourlyCalls
from hpcsweep.submission.limits import calls_on
from hpcsweep.submission.preflight import Checked
from hpcsweep.submission.sweep_lock import SweepLock
from hpcsweep.sweepdir.directory import (
    INDEX_NAME,
    ClosingFact,
    FactKind,
    IntentFact,
    JobFact,
    SweepDirectory,
    VoidFact,
)
from hpcsweep.sweepdir.plan import PROVENANCE, Circumstances, Plan, PlanDocument, WorkerRules
from hpcsweep.undo import UndoLog

_log = logging.getLogger(__name__)

# Largest number of seconds between two `beat` records of a task.
BEAT_S = 60.0
# Share of KillWait that a task's child has to end by itself; in the rest the worker kills it and
# writes its records.
TERM_SHARE = 0.5


class Doubt:
    """True as soon as the cluster may have accepted something."""

    def __init__(self) -> None:
        self.is_raised = False

    def __bool__(self) -> bool:
        return self.is_raised


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitter:
    """Submits plans for one command, which holds the sweep's lock."""

    sweep: SweepDirectory
    manifest: FrozenManifest
    # With replicates.
    n_cases: int
    cluster: Cluster
    limits: Limits
    settings: Settings
    # The user's code and the packages in the fresh interpreter.
    checked: Checked
    notify: Callable[[str], None]
    lock: SweepLock
    # What is undone after an error, unless there is doubt.
    made: UndoLog
    doubt: Doubt

    @property
    def calls(self) -> HourlyCalls:
        """The calls of sbatch in the last hour."""
        own = Policies.from_json(self.manifest.policies).limits
        return calls_on(self.cluster, self.limits, own)

    def submit(self, plan: Plan) -> list[str]:
        """Write the submission and submit its parts. Returns their job ids.

        *Raises* ClusterError; PartRefused if earlier parts were accepted; ClusterUnavailable if it
        is not known whether a part was; SweepBusy if the lock was lost.
        *Writes* the submission's directory, those of its logs and journals, and part facts.
        """
        self._write(plan)
        if plan.closes and not self.has_closing_jobs:
            self.notify(f"There are no closing jobs (closing: false). {by_hand(self.sweep.path)}")
        return [self._submit_part(plan, part) for part in plan.parts]

    @property
    def has_closing_jobs(self) -> bool:
        """Whether a closing job may follow a part."""
        return Policies.from_json(self.manifest.policies).closing is not None

    def _write(self, plan: Plan) -> None:
        """Write plan and script into a directory that appears complete and durable."""
        sweep, made = self.sweep, self.made
        is_sqlite = self.manifest.store == SQLITE
        # On a network file system no task writes a SQLite index (invariant 23); in a container
        # there is no hpcsweep that could write one.
        interpreter = self.manifest.interpreter
        tasks_ingest = (not is_sqlite or is_local(sweep.path)) and not (
            interpreter is not None and interpreter.container
        )
        around = self._circumstances(plan, tasks_ingest=tasks_ingest)
        document: PlanDocument = {**plan.to_json(), **around}
        # Slurm fails a task without an output directory, with exit code 0:53 and no message.
        made.directory(sweep.log_dir(plan.submission))
        made.directory(sweep.journal_dir(plan.submission))
        made.directory(sweep.attempt_root)
        folder = sweep.submission_dir(plan.submission)
        made.directory(folder.parent)
        with made.whole(folder) as temporary:
            requeue = is_requeued(self.manifest, self.limits)
            form = self.cluster.script_form
            script = script_for(self.manifest, sweep.path, plan, form, requeue=requeue)
            write_new(temporary / SCRIPT_NAME, script.encode())
            write_new(temporary / "plan.json", json_bytes(document))
            if plan.closes and self.has_closing_jobs:
                closing = closing_script(self.manifest, sweep.path, plan.submission, form)
                write_new(temporary / CLOSING_SCRIPT, closing.encode())
            checked = self.checked
            origin = provenance(Path(self.manifest.root), checked.packages, checked.python)
            write_new(temporary / PROVENANCE, json_bytes(origin))
        _log.info("wrote %s: %d cases in %d tasks", folder, plan.indices.count, plan.chunks)
        if not tasks_ingest:
            return
        if is_sqlite:
            with contextlib.suppress(FileExistsError):
                made.file(sweep.path / INDEX_NAME, b"")
        with fresh_index(sweep):  # commands create the index, tasks never do
            pass

    def _circumstances(self, plan: Plan, *, tasks_ingest: bool) -> Circumstances:
        """What `plan.json` holds beside the plan."""
        around: Circumstances = {
            "cluster": registry.record(self.cluster, self.limits.cluster_name),
            "code_digest": self.checked.code_digest,
            "code_files": self.checked.code_files,
            "directory": str(self.sweep.path),
            "python": sys.executable,
            "time": now(),
            "worker": self._worker_rules(
                plan.resources(self.manifest.resources).options, tasks_ingest=tasks_ingest
            ),
        }
        if self.limits.caps:
            around["caps"] = self.limits.caps
        if version := self.limits.slurm_version:
            around["slurm_version"] = version
        if self.checked.snapshot is not None:
            around["snapshot"] = self.checked.snapshot
        return around

    def _worker_rules(self, options: Mapping[str, str], *, tasks_ingest: bool) -> WorkerRules:
        settings = self.settings
        limit_s = (
            time_limit_seconds(options["time"]) if "time" in options else self.limits.default_time_s
        )
        rules: WorkerRules = {
            "beat_s": BEAT_S,
            "ingest": tasks_ingest,
            "ingest_interval_s": settings.ingest_interval_s,
            "ingest_deadline_s": settings.ingest_deadline_s,
            "term_grace_s": min(settings.term_grace_s, self.limits.kill_wait_s * TERM_SHARE),
            "warning_s": warning_seconds(limit_s),
        }
        if limit_s is not None:
            step_s = self.limits.time_step_s
            rules["time_limit_s"] = math.ceil(limit_s / step_s) * step_s
        policies = Policies.from_json(self.manifest.policies)
        if is_requeued(self.manifest, self.limits):
            rules["requeue"] = policies.retry.max_attempts if policies.retry else MAX_ATTEMPTS
        if self.limits.preempt_grace_s:
            rules["preempt_grace_s"] = self.limits.preempt_grace_s
        stop = stop_rules(policies, self.n_cases)
        if stop is not None:
            rules["stop"] = stop
        return rules

    def _submit_part(self, plan: Plan, part: Part) -> str:
        sweep, doubt = self.sweep, self.doubt
        closes = plan.closes and self.has_closing_jobs
        array = array_for(sweep.path, sweep.key, self.manifest, plan, part)
        self.lock.check()
        intent: IntentFact = {"job_name": array.job_name, "time": time.time()}
        self.made.file(sweep.part_file(plan.submission, part.number, "intent"), json_bytes(intent))
        was_in_doubt = bool(doubt)
        doubt.is_raised = True
        _log.info("submitting %s: %d array tasks", array.job_name, part.chunks)
        try:
            self.calls.take(1 + closes)
            job_id = self.cluster.submit(array, self.notify)
        except ClusterUnavailable as error:
            error.next_step = (
                "It is not known whether the array was accepted. Run the same command again: it "
                "finds out first, and sends nothing twice."
            )
            raise
        except ClusterError as error:
            doubt.is_raised = was_in_doubt
            if not was_in_doubt:
                error.next_step += " Nothing was submitted."
                raise
            self._record_answer(plan, part, "void", {"why": "refused", "time": time.time()})
            by_itself = ", and so do closing jobs when these are over" if closes else ""
            refused = PartRefused(
                error.what,
                next_step=f"{error.next_step} Parts before number {part.number} of submission "
                f"{plan.submission} were accepted; the same command sends the rest{by_itself}.",
            )
            refused.transient = error.transient
            raise refused from error
        self._record_answer(plan, part, "job", {"job_id": job_id, "time": time.time()})
        _log.info("%s is job %s", array.job_name, job_id)
        if closes:
            self._submit_closing(plan, part, job_id)
        return job_id

    def _submit_closing(self, plan: Plan, part: Part, job_id: str) -> None:
        """Submit the closing job of a part; without one, a user has to go on, and is told how."""
        sweep, job = self.sweep, closing_job(self.sweep, self.manifest, plan, part, job_id)
        try:
            closing_id = submit_closing_job(self.cluster, job, self.manifest, plan, self.calls)
        except ClusterError as error:
            self.notify(
                f"The closing job of part {part.number} of submission {plan.submission} was not "
                f"submitted ({error.what}). {by_hand(sweep.path)}"
            )
            return
        fact: ClosingFact = {"job_id": closing_id, "time": time.time()}
        write_new(sweep.part_file(plan.submission, part.number, "closing"), json_bytes(fact))
        _log.info("%s is job %s, behind job %s", job.name, closing_id, job_id)

    def _record_answer(
        self, plan: Plan, part: Part, kind: FactKind, fact: JobFact | VoidFact
    ) -> None:
        write_new(self.sweep.part_file(plan.submission, part.number, kind), json_bytes(fact))
