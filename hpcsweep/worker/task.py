"""One array task: finds its chunk, runs its cases, journals every outcome (DESIGN section 2)."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsweep import ids
from hpcsweep.errors import JournalError, SweepError
from hpcsweep.files import token, unwritable
from hpcsweep.journal import (
    RANKED_MAX,
    VERSION,
    JournalWriter,
    Record,
    attempt_json,
    attempt_of,
    journal_name,
    journals_of_chunk,
    outcome_json,
    outcome_of,
)
from hpcsweep.logbook import run_directory as rundir
from hpcsweep.manifest import frozen
from hpcsweep.provenance import packages, packages_digest, python_version
from hpcsweep.records import (
    ALONE,
    IN_TASK,
    Attempt,
    Outcome,
    ParamCase,
    Reason,
    Status,
    Word,
)
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import attempt_dir, checkpoint_dir
from hpcsweep.worker import cpus, leftovers
from hpcsweep.worker.attempt import Place, make_run, now, run_case
from hpcsweep.worker.cases import Cases, NewSlot
from hpcsweep.worker.ingester import Ingester
from hpcsweep.worker.messages import refusal, sentence
from hpcsweep.worker.signals import Signals
from hpcsweep.worker.slot import Slot

if TYPE_CHECKING:
    from hpcsweep.manifest.frozen import Cache
    from hpcsweep.worker.cached import Keeping
    from hpcsweep.worker.outputs import Spooled

# The worker's exit code when it was told to end: EX_TEMPFAIL, there is more to do.
EXIT_TOLD = 75
# EX_IOERR: its journal cannot be written. EX_OSERR: the system refuses what it cannot do without.
EXIT_UNWRITTEN, EXIT_REFUSED = 74, 71
# Outcomes are made durable in batches: after this many records, or this many seconds.
SYNC_RECORDS = 100
SYNC_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """Which task start this is, from the environment that Slurm gave it."""

    array_task_id: int
    restart: int
    # Slurm's ids as text: of the array, and of this element.
    array_job_id: str
    job_id: str
    cluster: str
    node: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], *, alone: bool = False) -> Start:
        """Of an array task, or with `alone` of a plain job. *Raises* SweepError outside of one."""
        job_id = environment.get("SLURM_JOB_ID", "")
        try:
            array_task_id = 0 if alone else int(environment["SLURM_ARRAY_TASK_ID"])
        except (KeyError, ValueError) as error:
            raise SweepError(
                "SLURM_ARRAY_TASK_ID is not set",
                next_step="The worker is started by the array's script; to run one case here, "
                "use `hpcsweep run MANIFEST --index I`.",
            ) from error
        # Slurm sets it from the first restart on (22.05).
        restart = int(environment.get("SLURM_RESTART_COUNT") or 0)
        if restart > RANKED_MAX:
            raise SweepError(
                f"Slurm has started this task {restart} times; {RANKED_MAX} is the most",
                next_step="Cancel the array and submit again.",
            )
        return cls(
            array_task_id=array_task_id,
            restart=restart,
            array_job_id=job_id if alone else environment.get("SLURM_ARRAY_JOB_ID", ""),
            job_id=job_id,
            cluster=environment.get("SLURM_CLUSTER_NAME", ""),
            node=environment.get("SLURMD_NODENAME") or os.uname().nodename,
        )


class Task:
    """Everything that one start of an array task does."""

    def __init__(self, sweep: SweepDirectory, submission: int, part: int, start: Start) -> None:
        self._sweep = sweep
        self._plan, document = sweep.plan(submission)
        self._rules: dict[str, Any] = document["worker"]
        self._start = start
        self._chunk = self._plan.part(part).first_chunk + start.array_task_id
        if start.array_task_id >= self._plan.part(part).chunks:
            raise SweepError(
                f"element {start.array_task_id} is beyond part {part} of submission {submission}"
            )
        self._indices = self._plan.chunk(self._chunk)
        directory = sweep.manifest_dir(self._plan.manifest)
        self._manifest = frozen.read(directory)
        self._cases = Cases(directory, self._manifest)
        last = self._indices.select(self._indices.count - 1)
        if last >= self._cases.count:
            raise SweepError(
                f"the plan names index {last}, the manifest has {self._cases.count} cases",
                where=str(directory),
            )
        self._attempt = Attempt(
            generation=self._plan.generation,
            submission=submission,
            restart=start.restart,
            token=token(),
        )
        self._settled = leftovers.settled(self._journals, self._chunk)
        self._spooled: Spooled | None = None
        self._keeping: Keeping | None = None
        # Runs that earlier starts of the chunk packed, by their run ids.
        self._packed: dict[str, leftovers.Left] = {}
        if self._plan.layout.runs in ("packed", "failed"):
            self._open_spool(first=not journals_of_chunk(self._journals, self._chunk))
        keeps = self._plan.layout.runs == "all"
        self._leftovers = leftovers.attempts(sweep.path) if keeps else {}
        # By the ids of complete cases, a digest of their params: two cases might share an id.
        self._seen: dict[str, str] = {}
        name = journal_name(self._chunk, start.restart, self._attempt.token)
        self._journal = JournalWriter(sweep.journal_dir(submission) / name)
        self._unsynced, self._synced = 0, time.monotonic()
        self._write("task", **self._task_fields())

    def run(self) -> int:
        """Run what is missing of the chunk. Returns the process's exit code."""
        cpus_per_case = self._manifest.resources.cpus_per_case
        cpus.limit_threads(os.environ, cpus_per_case)
        cpus.limit_affinity(os.environ, cpus_per_case)
        signals = Signals()
        new_slot = self._new_slot(signals)
        slot = new_slot()
        self._cases.use(new_slot)
        if self._manifest.cache is not None:
            self._keep_results(self._manifest.cache, signals)
        ingester = Ingester(self._sweep.path, self._journal_relative, self._rules)
        try:
            full = self._run_all(slot, signals, ingester)
        finally:
            slot.kill()
        if signals.told:
            self._journal.close()
            ingester.kill()
            return EXIT_TOLD
        self._end_task(stopped=full)
        ingester.last(signals)
        return 0 if full is None else full.exit_code

    def _run_all(self, slot: Slot, signals: Signals, ingester: Ingester) -> SweepError | None:
        """Run the cases; the error that said that the disk or quota is full, which ends it."""
        full = None
        for index in self._indices:
            if signals.told or full:
                break
            if index not in self._settled:
                case = self._cases.made(index)
                if case is not None:
                    full = self._tried(case, slot)
                self._sync_sometimes(ingester)
        slot.close()
        self._cases.close()
        if self._spooled is not None:
            self._spooled.close()
        return full

    def _keep_results(self, cache: Cache, signals: Signals) -> None:
        from hpcsweep.worker.cached import Keeping  # noqa: PLC0415  # few tasks want it

        root, beat_s = Path(self._manifest.root), self._rules["beat_s"]
        self._keeping = Keeping(cache, root, signals, self._beat, beat_s)

    def fail_setup(self, where: str, exit_code: int) -> None:
        """Record that a setup line failed, so that no case of the chunk could be run."""
        message = f"the setup line at {where} ended with exit code {exit_code}"
        error = {"type": "SetupError", "message": message, "where": where}
        signals = Signals()
        self._cases.use(self._new_slot(signals))
        for index in self._indices:
            case = None if index in self._settled else self._cases.made(index)
            if case is not None:
                outcome = Outcome(
                    status=Status.FAILED, reason=Reason.SETUP, error=error, ended=now()
                )
                self._end(case, outcome, self._attempt)
        self._cases.close()
        self._end_task(Reason.SETUP)
        Ingester(self._sweep.path, self._journal_relative, self._rules).last(signals)

    def _new_slot(self, signals: Signals) -> NewSlot:
        return partial(
            Slot,
            self._manifest,
            signals,
            term_grace_s=self._rules["term_grace_s"],
            beat_s=self._rules["beat_s"],
            beat=self._beat,
            shared=() if self._spooled is None else self._spooled.spool.descriptors,
        )

    def _end_task(self, why: Reason | None = None, stopped: SweepError | None = None) -> None:
        """Say that every case of the chunk has ended, so that nobody asks the cluster about it.

        What the user's code could not make has not begun: the chunk says why, `why` at first. So it
        does of what was not begun because it was stopped.
        """
        fields: Record = {"status": Status.COMPLETE.value, "reason": None}
        unmade = self._cases.unmade
        if stopped is not None:
            found = refusal(stopped)
            reason = found["reason"]
            fields = {"status": reason.status.value, "reason": reason.value}
            fields["error"] = found["error"]
        elif unmade is not None and unmade.reason is not None:
            reason = why or unmade.reason
            fields = {"status": reason.status.value, "reason": reason.value, "error": unmade.error}
        self._write("end", word=Word.WORKER.value, **fields, time=now())
        self._journal.close()

    # --- one case ------------------------------------------------------------------------------

    def _tried(self, case: ParamCase, slot: Slot) -> SweepError | None:
        """Run a case. What the system refuses its files is its outcome; returned, if it is space.

        *Raises* JournalError.
        """
        started = now()
        try:
            self._case(case, slot)
        except JournalError:
            raise
        except (OSError, SweepError) as error:
            sys.stderr.write(f"hpcsweep: index {case.index}: {sentence(error)}\n")
            why = refusal(error)
            status = why["reason"].status
            outcome = Outcome(status=status, started=started, ended=now(), **why)
            self._end(case, outcome, self._attempt)
            if why["reason"] is Reason.QUOTA:
                return (
                    error if isinstance(error, SweepError) else unwritable(self._sweep.path, error)
                )
        return None

    def _case(self, case: ParamCase, slot: Slot) -> None:
        run = make_run(self._manifest, case, self._attempt, self._chunk, self._start.node)
        keeps = self._plan.layout.runs == "all"
        run_dir = self._plan.layout.run_dir(case.case_id, run.run_id)
        final = self._sweep.path / run_dir
        if self._published_before(case, final if keeps else None, run.run_id):
            return
        started = now()
        self._write("begin", case, self._attempt, started=started)
        path = self._sweep.path / attempt_dir(case.case_id, self._attempt.token)
        checkpoints = self._sweep.path / checkpoint_dir(case.case_id)
        place = Place(None, None, checkpoints)
        if keeps:
            place = Place(path, run_dir, checkpoints)
        elif self._spooled is not None:
            place = Place(None, None, checkpoints, self._spooled.spool)
        place = replace(place, keeping=self._keeping)
        outcome = run_case(self._manifest, slot, run, started, place)
        if self._spooled is not None:
            outcome = self._spooled.keep(run, outcome, path, run_dir)
        kept = outcome.run_dir == run_dir
        if kept and not rundir.publish(self._sweep.path, path, final, run, outcome.status):
            own = attempt_dir(case.case_id, self._attempt.token)
            outcome = replace(outcome, run_dir=own)
        if outcome.status is Status.COMPLETE:
            rundir.retire(checkpoints)
        self._end(case, outcome, self._attempt)
        if outcome.status is Status.COMPLETE:
            self._seen[case.case_id] = ids.fingerprint(case.params)

    def _published_before(self, case: ParamCase, final: Path | None, run_id: str) -> bool:
        """Whether this case has a complete run of this generation; journals what it finds."""
        if final is None:
            seen = self._seen.get(case.case_id)
            if seen is not None and seen == ids.fingerprint(case.params):
                self._write("same", case, self._attempt)
                return True
            found = self._packed.get(run_id)
            return found is not None and self._adopted(case, found)
        for left in self._leftovers.get(case.case_id, ()):
            self._publish_leftover(case, left, final)
        found = leftovers.in_directory(final)
        return found is not None and self._adopted(case, found)

    def _adopted(self, case: ParamCase, left: leftovers.Left) -> bool:
        """Whether a run that another start left counts for this case; journals it then."""
        if not leftovers.counts(left, case, self._plan.generation):
            return False
        metadata = left.metadata
        # Its start may have been killed before it did so.
        rundir.retire(self._sweep.path / checkpoint_dir(case.case_id))
        other_index = metadata["index"] != case.index
        if metadata["manifest"] == self._plan.manifest and other_index:
            self._write("same", case, self._attempt)
        else:
            outcome = outcome_of({"kind": "end", **metadata["outcome"]})
            outcome = replace(outcome, metrics=left.metrics)
            self._end(case, outcome, attempt_of(metadata), found=metadata)
        self._seen[case.case_id] = ids.fingerprint(case.params)
        return True

    def _publish_leftover(self, case: ParamCase, path: Path, final: Path) -> None:
        """Publish an attempt whose worker was killed between finishing and publishing it."""
        left = leftovers.in_directory(path)
        if left is None or not leftovers.counts(left, case, self._plan.generation):
            return
        metadata = left.metadata
        host = metadata.get("host") or ""
        run = make_run(self._manifest, case, attempt_of(metadata), metadata["chunk"], host)
        rundir.publish(self._sweep.path, path, final, run, Status.COMPLETE)

    def _open_spool(self, *, first: bool) -> None:
        from hpcsweep.worker.outputs import Spooled  # noqa: PLC0415  # few tasks want it

        packs = self._plan.layout.runs == "packed"
        token = self._attempt.token
        self._spooled = Spooled(self._sweep.path, self._chunk, token, packs=packs)
        if packs and not first:
            self._packed = leftovers.packed(self._sweep.path, self._chunk)

    # --- the journal ---------------------------------------------------------------------------

    @property
    def _journals(self) -> Path:
        return self._sweep.journal_dir(self._attempt.submission)

    @property
    def _journal_relative(self) -> str:
        return str(self._journal.path.relative_to(self._sweep.journal_root))

    def _task_fields(self) -> dict[str, Any]:
        return {
            "time": now(),
            "host": os.uname().nodename,
            "node": self._start.node,
            "pid": os.getpid(),
            "python": python_version(),
            "packages": packages_digest(packages()),
            "cluster": self._start.cluster,
            "array_job_id": self._start.array_job_id,
            "array_task_id": self._start.array_task_id,
            "job_id": self._start.job_id,
        }

    def _end(
        self,
        case: ParamCase,
        outcome: Outcome,
        attempt: Attempt,
        found: dict[str, Any] | None = None,
    ) -> None:
        """Journal an outcome; `found` is the metadata of another start's run directory."""
        told = outcome.reason is Reason.TERMINATED
        word = (Word.TERMINATED if told else Word.WORKER).value
        fields: Record = {"word": word} | outcome_json(outcome)
        if found is None:
            fields |= {"host": self._start.node, "job_id": self._start.job_id}
        else:
            fields |= {"host": found.get("host")}
        chunk = found["chunk"] if found else None
        self._write("end", case, attempt, chunk=chunk, **fields)

    def _write(
        self,
        kind: str,
        case: ParamCase | None = None,
        attempt: Attempt | None = None,
        chunk: int | None = None,
        **fields: Any,
    ) -> None:
        record: Record = {
            "kind": kind,
            "v": VERSION,
            "manifest": self._plan.manifest,
            "attempt": attempt_json(attempt or self._attempt),
            "chunk": self._chunk if chunk is None else chunk,
        }
        if case is not None:
            record |= {"index": case.index, "case_id": case.case_id}
        self._journal.append(record | fields)
        self._unsynced += 1

    def _beat(self) -> None:
        """Say that the task lives; a long case keeps no outcome before it from being durable."""
        if self._keeping is not None:
            self._keeping.beat()
        self._write("beat", time=now())
        self._journal.sync()
        self._unsynced, self._synced = 0, time.monotonic()

    def _sync_sometimes(self, ingester: Ingester) -> None:
        now = time.monotonic()
        if self._unsynced >= SYNC_RECORDS or now - self._synced >= SYNC_S:
            if self._spooled is not None:
                self._spooled.sync()
            self._journal.sync()
            self._unsynced, self._synced = 0, now
            ingester.now_and_then(now)


def main(arguments: list[str]) -> int:
    """Run one array task. Returns the exit code."""
    try:
        return _run(arguments)
    except JournalError as error:  # what becomes of its cases cannot be told any more
        sys.stderr.write(f"hpcsweep: {error}\n")
        return EXIT_UNWRITTEN
    except SweepError:
        raise
    except OSError as error:
        sys.stderr.write(f"hpcsweep: the worker cannot go on: {sentence(error)}\n")
        return EXIT_REFUSED


def _run(arguments: list[str]) -> int:
    sweep, submission, part, *rest = arguments
    if rest[:1] == ["--start"]:
        start = Start(**json.loads(rest[1]))
        del rest[:2]
    elif rest[:1] == [ALONE]:
        start = Start.from_environment(os.environ, alone=True)
        del rest[0]
    else:
        start = Start.from_environment(os.environ)
    os.environ[IN_TASK] = "1"
    task = Task(SweepDirectory.open(Path(sweep)), int(submission), int(part), start)
    if rest:
        _, where, exit_code = rest
        task.fail_setup(where, int(exit_code))
        return int(exit_code)
    return task.run()
