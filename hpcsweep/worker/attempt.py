"""One attempt at a case, from its begin to its outcome in the journal."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from errno import ENOSPC
from pathlib import Path
from typing import Any

from hpcsweep import ids
from hpcsweep.errors import JournalError, SweepError
from hpcsweep.files import unwritable
from hpcsweep.journal import now
from hpcsweep.logbook.run_directory import Run, retire_checkpoints
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.records import Attempt, Outcome, ParamCase, Reason, Status
from hpcsweep.sweepdir.plan import checkpoint_dir
from hpcsweep.worker.ledger import Ledger
from hpcsweep.worker.messages import Request, one_line, refusal, write_notice
from hpcsweep.worker.outputs import CaseFiles, Outputs
from hpcsweep.worker.runner import Runner, Steps
from hpcsweep.worker.slot import CaseEnd, Slot, stop_error
from hpcsweep.worker.start import Assignment


class Attempts:
    """Runs the attempts of one task start."""

    def __init__(
        self,
        assignment: Assignment,
        manifest: FrozenManifest,
        runner: Runner,
        ledger: Ledger,
        execute: Callable[[Slot, Request], Steps[CaseEnd]],
    ) -> None:
        """`execute` runs a case in a slot: its function or command, or these under a claim."""
        self._assignment, self._manifest = assignment, manifest
        self._runner, self._ledger, self._execute = runner, ledger, execute

    def run(self, case: ParamCase, slot: Slot, outputs: Outputs) -> Steps[SweepError | None]:
        """Run a case, unless it is complete. Returns the error of a full disk or quota.

        An error on the case's own files becomes its outcome. *Raises* JournalError.
        """
        started = now()
        try:
            outcome = yield from self._run(case, slot, outputs)
        except JournalError:
            raise
        except (OSError, SweepError) as error:
            write_notice(f"index {case.index}: {one_line(error)}")
            fields = refusal(error)
            if fields["reason"] is Reason.QUOTA and not self._is_of_sweep(error):
                fields["reason"] = Reason.ERROR  # a full disk of this node alone
            status = fields["reason"].status
            self._ledger.end(case, Outcome(status=status, started=started, ended=now(), **fields))
            if fields["reason"] is Reason.QUOTA:
                sweep = self._assignment.sweep
                return error if isinstance(error, SweepError) else unwritable(sweep.path, error)
            return None
        if outcome is not None and outcome.reason is Reason.QUOTA:  # the case found it full
            return unwritable(self._assignment.sweep.path, OSError(ENOSPC, os.strerror(ENOSPC)))
        return None

    def _is_of_sweep(self, error: OSError | SweepError) -> bool:
        """Whether an error is one of the sweep directory, as far as its path says."""
        path = error.where if isinstance(error, SweepError) else error.filename
        return not path or str(path).startswith(f"{self._assignment.sweep.path}")

    def _run(self, case: ParamCase, slot: Slot, outputs: Outputs) -> Steps[Outcome | None]:
        """Returns its outcome; None if it is complete already."""
        assignment = self._assignment
        start = assignment.start
        attempt, chunk = assignment.attempt, assignment.chunk
        run = make_run(self._manifest, case, attempt, chunk, start.node)
        run = run._replace(job_id=start.job_id)
        if self._ledger.is_complete(run):
            return None
        started = now()
        self._ledger.begin(case, started)
        checkpoints = assignment.sweep.path / checkpoint_dir(case.case_id)
        inputs = self._input_facts(case)
        if not (yield from self._continue(case, checkpoints)):
            stopped = CaseEnd(reason=self._runner.stop_reason, error=stop_error(self._runner))
            outcome = replace(make_outcome(stopped, started, 0.0), inputs=inputs)
            self._ledger.end(case, outcome)
            return outcome
        begun = self._runner.clock()
        try:
            files = outputs.begin(run, started)
            request = make_request(self._manifest, run, files, checkpoints)
            ended = yield from self._execute(slot, request)
            outcome = make_outcome(ended, started, self._runner.clock() - begun)
            outcome = outputs.publish(run, replace(outcome, inputs=inputs))
        finally:
            outputs.clear()
        if outcome.status is Status.COMPLETE:
            retire_checkpoints(checkpoints)
        self._ledger.end(case, outcome)
        return outcome

    def _input_facts(self, case: ParamCase) -> dict[str, Any] | None:
        """What is known of the files that a case is about to read."""
        if not self._manifest.inputs:
            return None
        from hpcsweep.input_files import facts_of  # noqa: PLC0415  # most sweeps name no inputs

        return facts_of(self._manifest.inputs, case, self._manifest.root)

    def _continue(self, case: ParamCase, checkpoints: Path) -> Steps[bool]:
        """Let a promoted trial of a search begin from the checkpoints of the trial before it.

        Returns whether no stop signal arrived meanwhile.
        """
        search = self._manifest.policies.get("search")  # parsing it would load what most never need
        if search is None or "halving" not in search:
            return True
        from hpcsweep.worker.promoted import copy_checkpoints  # noqa: PLC0415  # as above

        halving, runner = search["halving"], self._runner
        return (
            yield from copy_checkpoints(
                halving, case, checkpoints, lambda: runner.stop_signal is not None
            )
        )


def make_run(
    manifest: FrozenManifest, case: ParamCase, attempt: Attempt, chunk: int, host: str
) -> Run:
    """The identity of an attempt without a job, for its metadata and its request."""
    return Run(
        run_id=ids.run_id(ids.canonical(case.params), case.case_id),
        case=case,
        attempt=attempt,
        chunk=chunk,
        manifest=manifest.fingerprint,
        seed=ids.case_seed(manifest.seed, case.case_id, case.replicate),
        host=host,
    )


def make_request(
    manifest: FrozenManifest, run: Run, files: CaseFiles, checkpoints: Path
) -> Request:
    """The request of a case. `checkpoints`: the directory that all its attempts share."""
    result_file = None
    if manifest.cache is not None:  # in a task, `CachedCases` replaces it
        result_file = f"{files.directory}/result{manifest.cache.file_suffix}"
    return Request(
        index=run.case.index,
        params=run.case.params,
        case_id=run.case.case_id,
        replicate=run.case.replicate,
        tags=run.case.tags,
        written=run.case.written,
        seed=run.seed,
        run_id=run.run_id,
        run_dir=files.directory,
        checkpoints=str(checkpoints),
        spool=files.spool,
        result_file=result_file,
    )


def make_outcome(ended: CaseEnd, started: str, wall_seconds: float) -> Outcome:
    """The outcome of an attempt that ended just now, without the place of its files."""
    return Outcome(
        status=ended.reason.status if ended.reason else Status.COMPLETE,
        reason=ended.reason,
        metrics=ended.metrics,
        error=None if ended.error is None else redact_error(ended.error),
        started=started,
        ended=now(),
        wall_seconds=round(wall_seconds, 6),
        cpu_seconds=None if ended.cpu_seconds is None else round(ended.cpu_seconds, 6),
        max_rss_bytes=ended.max_rss_bytes,
        cgroup_peak_bytes=ended.cgroup_peak_bytes,
        code_digest=ended.code_digest,
        from_cache=ended.from_cache,
    )


def redact_error(error: dict[str, Any]) -> dict[str, Any]:
    """The error without passwords: an exception may quote a database URL (invariant 21)."""
    from hpcsweep.redact import redact  # noqa: PLC0415  # for failed cases only

    return {key: redact(text) if isinstance(text, str) else text for key, text in error.items()}
