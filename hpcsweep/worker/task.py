"""One array task: find its chunk, compose the parts that run it (DESIGN section 2)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcsweep.errors import InputError, JournalError, SweepError
from hpcsweep.journal import now
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.recordcheck import RunningFields
from hpcsweep.records import ALONE, EXIT_STOPPED, IN_TASK, Outcome, ParamCase, Reason, Status
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import WorkerRules
from hpcsweep.worker.attempt import Attempts
from hpcsweep.worker.cases import CancelledIndices, Cases, Queue
from hpcsweep.worker.ingester import Ingester
from hpcsweep.worker.inherited import adopt_orphans, kill_orphans
from hpcsweep.worker.lanes import Lane, Lanes
from hpcsweep.worker.ledger import Ledger
from hpcsweep.worker.leftovers import leftovers_of
from hpcsweep.worker.messages import Request, one_line, refusal, write_notice
from hpcsweep.worker.runner import Runner, Steps, Timer
from hpcsweep.worker.slot import CaseEnd, Slot
from hpcsweep.worker.start import Assignment, Start, TakenChunk
from hpcsweep.worker.timelimit import TimeLeft, TimeLimit

if TYPE_CHECKING:
    from hpcsweep.worker.breaker import TaskBreaker
    from hpcsweep.worker.cached import CachedCases
    from hpcsweep.worker.limit_query import LimitQuery

# Why cases have not begun: the sweep's circuit breaker has stopped it, the time limit is near, or a
# user cancelled them.
STOPPED = {
    "reason": Reason.CANCELLED,
    "error": {"type": "Stopped", "message": "stop_after: too many cases of the sweep failed"},
}
OUT_OF_TIME: dict[str, Any] = {
    "reason": Reason.TIMEOUT,
    "error": {
        "type": "TimeLeft",
        "message": "the time left of the job was too short for another case",
    },
}
CANCELLED = {"type": "Cancelled", "message": "a user cancelled these cases"}
# Exit codes besides EXIT_STOPPED and those of the error tree: the journal cannot be written; the
# worker cannot survive another error of the system.
EXIT_UNWRITTEN, EXIT_REFUSED = os.EX_IOERR, os.EX_OSERR

Execute = Callable[[Slot, Request], Steps[CaseEnd]]


class Task:
    """One start of an array task."""

    def __init__(
        self,
        sweep: SweepDirectory,
        submission: int,
        part: int,
        start: Start,
        taken: TakenChunk | None = None,
    ) -> None:
        """*Writes* a new journal. *Raises* SweepError if plan, part and manifest do not match."""
        plan, document = sweep.plan(submission)
        self._rules = taken.rules if taken else document["worker"]
        self._assignment = Assignment.find(sweep, plan, part, start, taken)
        indices = self._assignment.indices
        version = sweep.version(plan.manifest)
        self._manifest = sweep.with_kept_code(version.manifest, document)
        self._cases = Cases(version)
        last = indices.select(indices.count - 1)
        if last >= self._cases.count:
            raise SweepError(
                f"the plan names index {last}, the manifest has {self._cases.count} cases",
                where=str(sweep.manifest_dir(plan.manifest)),
            )
        limit = taken.limit if taken else TimeLimit.of_task(os.environ, self._rules)
        self._runner = Runner(limit=limit)
        self._runner.preempt_grace_s = self._rules.get("preempt_grace_s", 0.0)
        self._time_left = taken.time_left if taken else TimeLeft(limit)
        # Import all modules before the journal is opened: an import that the file system refuses
        # in the middle of a chunk would end the worker without a record.
        self._execute = _target_executor(self._manifest)
        self._open_cache = _cache_opener(self._manifest)
        # The worker of a node asks for all its chunks.
        self._asks_limit = taken is None and "SLURM_JOB_ID" in os.environ
        self._limit_query = None if limit else self._make_limit_query(start)
        self._lanes = Lanes(
            self._assignment, self._manifest, self._cases.work, self._runner, self._rules
        )
        if taken is not None and taken.share is not None:
            self._lanes.share_out([taken.share])
        clock, beat_s = self._runner.clock, self._rules["beat_s"]
        self._ledger = Ledger(self._assignment, leftovers_of(self._assignment), beat_s, clock)
        journal = str(self._ledger.path.relative_to(sweep.journal_root))
        # hpcsweep's own interpreter; this one may have nothing but the target's packages.
        python = document.get("python", sys.executable)
        self._ingester = Ingester(python, sweep.path, journal, self._rules, self._runner)
        self._cancelled = CancelledIndices(sweep, submission, clock)
        self._queue = Queue(self._cases, self._unsettled(), self._may_begin, self._cancelled.has)
        # The error of a full disk or quota, which ends the task.
        self._full: SweepError | None = None
        self._breaker = _breaker(python, sweep.path, self._rules, self._runner)
        # Why cases of the chunk have not begun: the fields of its end.
        self._obstacle: dict[str, Any] = {}
        self._ledger.on_end = self._note_end

    def run(self) -> int:
        """Run the unsettled cases of the chunk. Returns the exit code of the process."""
        unsettled = self._assignment.indices.count - len(self._ledger.settled)
        try:
            lanes = self._lanes.open(unsettled)
        except InputError as error:
            return self._fail_all(error.what, error.where, error.exit_code)
        self._ledger.sync_pack = self._lanes.sync_pack
        slots = [lane.slot for lane in lanes]
        self._ledger.running = partial(_running_fields, slots, self._runner.clock)
        timers: list[Timer] = [self._ledger.beat_if_due]
        if self._limit_query is not None:
            timers.append(self._limit_query.ask_if_due)
        attempts = self._attempts(timers)
        try:
            self._runner.run([self._serve(lane, attempts) for lane in lanes], timers)
            self._runner.run([slot.close() for lane in lanes for slot in lane.slots])
            for lane in lanes:
                lane.outputs.close()
        finally:
            for lane in lanes:
                for slot in lane.slots:
                    slot.kill()
        if self._runner.stop_signal:
            self._stop()
            return EXIT_STOPPED
        self._end()
        if self._full is not None:
            return self._full.exit_code
        return EXIT_STOPPED if self._obstacle == OUT_OF_TIME else 0

    def fail_setup(self, where: str, exit_code: int) -> int:
        """Record that a setup line failed, for every case of the chunk. Returns the exit code."""
        message = f"the setup line at {where} ended with exit code {exit_code}"
        return self._fail_all(message, where, exit_code)

    def _fail_all(self, message: str, where: str, exit_code: int) -> int:
        """Record that no case of the chunk could begin here. Returns the exit code."""
        error = {"type": "SetupError", "message": message, "where": where}
        maker = self._lanes.open_maker()
        for index in self._unsettled():
            case = self._runner.complete(self._cases.get(index, maker))
            if case is not None:
                outcome = Outcome(
                    status=Status.FAILED, reason=Reason.SETUP, error=error, ended=now()
                )
                self._ledger.end(case, outcome)
        if maker is not None:
            self._runner.complete(maker.close())
        self._end(Reason.SETUP)
        return exit_code

    def _unsettled(self) -> Iterator[int]:
        settled = self._ledger.settled
        return (index for index in self._assignment.order if index not in settled)

    def _serve(self, lane: Lane, attempts: Attempts) -> Steps[None]:
        """Run cases of the chunk one by one, until none is left or the task must stop."""
        while case := (yield from self._queue.next(lane.maker)):
            full = yield from attempts.run(case, lane.slot, lane.outputs)
            if full is not None:
                self._full, self._obstacle = full, refusal(full)
            self._queue.end(case)
            if self._ledger.is_sync_due:
                self._ledger.sync()
                self._ingester.start_if_due()

    def _may_begin(self) -> Steps[bool]:
        """Whether a further case may begin."""
        if not self._obstacle and not self._time_left.suffices():
            yield from self._ask_limit_again()
        if self._obstacle:
            return False
        if self._breaker is not None and self._breaker.is_stopped:
            self._obstacle = STOPPED
        elif self._runner.is_warned or not self._time_left.suffices():
            self._obstacle = OUT_OF_TIME
        return not self._obstacle

    def _ask_limit_again(self) -> Steps[None]:
        """Ask for the limit, which an administrator may have extended, until a stop signal."""
        with contextlib.suppress(ImportError, OSError):  # the file system refuses the module
            self._limit_query = self._limit_query or self._make_limit_query(self._assignment.start)
        if self._limit_query is not None:
            for wait in self._limit_query.ask_again():
                if self._runner.is_warned:
                    return
                yield wait

    def _make_limit_query(self, start: Start) -> LimitQuery | None:
        """Asks Slurm for the time limit of the job; None where this process does not."""
        if not self._asks_limit:
            return None
        from hpcsweep.worker.limit_query import LimitQuery  # noqa: PLC0415  # most manifests say it

        return LimitQuery(self._use_limit, self._runner.clock, start.job_id, start.array_task_id)

    def _use_limit(self, limit_s: float) -> None:
        limit = TimeLimit(limit_s=limit_s, warning_s=self._rules.get("warning_s", 0.0))
        self._runner.limit = self._time_left.limit = limit

    def _note_end(self, case: ParamCase, outcome: Outcome) -> None:
        if outcome.wall_seconds is not None and not outcome.from_cache:
            self._time_left.note(outcome.wall_seconds)
        if self._breaker is not None:
            self._breaker.note(case, outcome)

    def _stop(self) -> None:
        """Close the journal after a stop signal; after a warning, have the task requeued.

        If the task exits before its time limit, Slurm only records its exit code, so the chunk's
        `end` record has the reason. The scheduler knows every other reason.
        """
        self._ingester.kill()
        is_warned = self._runner.stop_signal == signal.SIGUSR2.name
        reason = self._runner.stop_reason
        if is_warned and not self._is_requeued(reason) and reason is Reason.TIMEOUT:
            self._ledger.end_task(Reason.TIMEOUT)
        else:
            self._ledger.close()

    def _is_requeued(self, reason: Reason) -> bool:
        """Have this task requeued for the cases that it leaves. Returns whether Slurm does so.

        Never behind TERM, which may be a user's scancel: a requeue would undo it.
        """
        most = self._rules.get("requeue")
        if most is None or self._runner.is_terminated:
            return False
        self._ledger.sync()
        with contextlib.suppress(ImportError, OSError):  # the file system refuses the module
            from hpcsweep.worker.requeue import requeue  # noqa: PLC0415  # for these tasks only

            return self._runner.complete(requeue(self._assignment, reason, most, self._runner))
        return False

    def _end(self, why: Reason | None = None) -> None:
        """Record the end of the chunk, and ingest the journal.

        The record explains why some cases have not begun: an obstacle, or user code could not make
        them. `why` overrides the reason of the latter.
        """
        first_failure = self._cases.first_failure
        if self._obstacle == OUT_OF_TIME and "requeue" in self._rules:
            self._leave()
            return
        if self._obstacle:
            self._ledger.end_task(**self._obstacle)
        elif self._cancelled.has_met:
            self._ledger.end_task(Reason.CANCELLED, CANCELLED)
        elif first_failure is not None:
            self._ledger.end_task(why or first_failure.reason, first_failure.error)
        else:
            self._ledger.end_task()
        self._finish()

    def _leave(self) -> None:
        """End the chunk before its time limit. A requeue comes last: Slurm then sends TERM."""
        self._ledger.sync()
        self._finish()
        if self._is_requeued(Reason.TIMEOUT):
            self._ledger.close()
        else:
            self._ledger.end_task(**OUT_OF_TIME)

    def _finish(self) -> None:
        """Ingest the journal, and let the circuit breaker finish."""
        self._runner.complete(self._ingester.finish())
        if self._breaker is not None:
            self._runner.complete(self._breaker.finish())

    def _attempts(self, timers: list[Timer]) -> Attempts:
        execute = self._execute
        if self._open_cache is not None:
            cached = self._open_cache(self._runner, self._rules["beat_s"], execute)
            timers.append(cached.touch_claims_if_due)
            execute = cached.execute
        return Attempts(
            assignment=self._assignment,
            manifest=self._manifest,
            runner=self._runner,
            ledger=self._ledger,
            execute=execute,
        )


def _running_fields(slots: list[Slot], clock: Callable[[], float]) -> list[RunningFields]:
    """What the running cases use; nothing where the package cannot be read any more."""
    try:
        from hpcsweep.worker.live import running_fields  # noqa: PLC0415  # for long tasks only
    except (ImportError, OSError):
        return []
    return running_fields(slots, clock)


def _target_executor(manifest: FrozenManifest) -> Execute:
    """Runs a case of the target in a slot."""
    if not manifest.target.is_command:
        return Slot.run
    from hpcsweep.worker.report import execute  # noqa: PLC0415  # for commands only

    return execute


def _breaker(python: str, sweep: Path, rules: WorkerRules, runner: Runner) -> TaskBreaker | None:
    """The circuit breaker of a submission; None if its failures stop nothing."""
    if rules.get("stop") is None:
        return None
    from hpcsweep.worker.breaker import TaskBreaker  # noqa: PLC0415  # for sweeps with one only

    return TaskBreaker(python, sweep, rules["stop"], runner)


def _cache_opener(
    manifest: FrozenManifest,
) -> Callable[[Runner, float, Execute], CachedCases] | None:
    """Opens the cache of a manifest; None if it has none."""
    if manifest.cache is None:
        return None
    from hpcsweep.worker.cached import CachedCases  # noqa: PLC0415  # for cached sweeps only

    return partial(CachedCases, manifest.cache, Path(manifest.root))


def main(arguments: list[str]) -> int:
    """Run one array task. Returns the exit code."""
    return exit_code_of(partial(_run, arguments))


def exit_code_of(run: Callable[[], int]) -> int:
    """The exit code of a task, also where it cannot go on. Nothing that it started runs on.

    *Raises* SweepError.
    """
    adopt_orphans()
    try:
        return run()
    except JournalError as error:  # outcomes cannot be recorded any more
        write_notice(str(error))
        return EXIT_UNWRITTEN
    except SweepError:
        raise
    except OSError as error:
        write_notice(f"the worker cannot continue: {one_line(error)}")
        return EXIT_REFUSED
    finally:
        kill_orphans()


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
        return task.fail_setup(where, int(exit_code))
    return task.run()
