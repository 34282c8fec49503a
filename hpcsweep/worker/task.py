"""One array task: find its chunk, compose the parts that run it (DESIGN section 2)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import stat
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hpcsweep.errors import InputError, JournalError, SweepError
from hpcsweep.files import GROUP_FILE
from hpcsweep.journal import now
from hpcsweep.manifest.frozen import FrozenManifest
from hpcsweep.recordcheck import RunningFields
from hpcsweep.records import ALONE, EXIT_STOPPED, IN_TASK, Outcome, Reason, Status
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import WorkerRules
from hpcsweep.sweepdir.version import Version
from hpcsweep.worker.attempt import Attempts
from hpcsweep.worker.cases import CancelledIndices, Cases, Gate, MakeQuery, Queue
from hpcsweep.worker.ingester import Ingester
from hpcsweep.worker.inherited import adopt_orphans, kill_orphans
from hpcsweep.worker.lanes import Lane, Lanes
from hpcsweep.worker.ledger import Ledger
from hpcsweep.worker.leftovers import leftovers_of
from hpcsweep.worker.messages import Request, one_line, write_notice
from hpcsweep.worker.runner import Runner, Steps, Timer
from hpcsweep.worker.slot import CaseEnd, Slot
from hpcsweep.worker.start import Assignment, Start, TakenChunk
from hpcsweep.worker.timelimit import TimeLeft, TimeLimit

if TYPE_CHECKING:
    from hpcsweep.worker.breaker import TaskBreaker
    from hpcsweep.worker.cached import CachedCases
    from hpcsweep.worker.limit_query import LimitQuery

# A user cancelled cases of the chunk before they began.
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
        version = sweep.version(plan.manifest)
        self._manifest = sweep.with_kept_code(version.manifest, document)
        self._cases = _cases_of(version, self._assignment)
        limit = taken.limit if taken else TimeLimit.of_task(os.environ, self._rules)
        self._runner = Runner(limit=limit)
        self._runner.preempt_grace_s = self._rules.get("preempt_grace_s", 0.0)
        # Import all modules before the journal is opened: an import that the file system refuses
        # in the middle of a chunk would end the worker without a record.
        self._execute = _target_executor(self._manifest)
        self._checked = _checker(self._manifest)
        self._open_cache = _cache_opener(self._manifest)
        # hpcsweep's own interpreter; this one may have nothing but the target's packages.
        python = document.get("python", sys.executable)
        self._gate = Gate(
            runner=self._runner,
            rules=self._rules,
            time_left=taken.time_left if taken else TimeLeft(limit),
            breaker=_breaker(python, sweep.path, self._rules, self._runner),
            make_query=_query_maker(start, taken, self._runner.clock),
        )
        self._lanes = Lanes(
            self._assignment, self._manifest, self._cases.work, self._runner, self._rules
        )
        if taken is not None and taken.share is not None:
            self._lanes.share_out([taken.share])
        clock, beat_s = self._runner.clock, self._rules["beat_s"]
        self._ledger = Ledger(self._assignment, leftovers_of(self._assignment), beat_s, clock)
        journal = str(self._ledger.path.relative_to(sweep.journal_root))
        ingester = Ingester(python, sweep.path, journal, self._rules, self._runner)
        self._cancelled = CancelledIndices(sweep, submission, clock)
        self._queue = Queue(
            self._cases, self._ledger.unsettled(), self._gate.may_begin, self._cancelled.has
        )
        self._ledger.on_end = self._gate.note_end
        self._ending = Ending(
            assignment=self._assignment,
            rules=self._rules,
            runner=self._runner,
            gate=self._gate,
            ledger=self._ledger,
            ingester=ingester,
            is_of_node=taken is not None,
        )

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
        timers: list[Timer] = [self._ledger.beat_if_due, *self._gate.timers]
        if not self._assignment.start.is_warned:
            from hpcsweep.worker.warning import OwnWarning  # noqa: PLC0415  # Slurm sends one

            timers.append(OwnWarning(self._runner).send_if_due)
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
            self._ending.stop()
            return EXIT_STOPPED
        self._end()
        if self._gate.full is not None:
            return self._gate.full.exit_code
        return EXIT_STOPPED if self._gate.is_out_of_time else 0

    def fail_setup(self, where: str, exit_code: int) -> int:
        """Record that a setup line failed, for every case of the chunk. Returns the exit code."""
        message = f"the setup line at {where} ended with exit code {exit_code}"
        return self._fail_all(message, where, exit_code)

    def _fail_all(self, message: str, where: str, exit_code: int) -> int:
        """Record that no case of the chunk could begin here. Returns the exit code."""
        error = {"type": "SetupError", "message": message, "where": where}
        maker = self._lanes.open_maker()
        for index in self._ledger.unsettled():
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

    def _serve(self, lane: Lane, attempts: Attempts) -> Steps[None]:
        """Run cases of the chunk one by one, until none is left or the task must stop."""
        while case := (yield from self._queue.next(lane.maker)):
            full = yield from attempts.run(case, lane.slot, lane.outputs)
            if full is not None:
                self._gate.close(full)
            self._queue.end(case)
            self._ending.sync_if_due()

    def _end(self, why: Reason | None = None) -> None:
        """End the chunk with the reason for which cases have not begun.

        `why` overrides the reason of cases that user code could not make.
        """
        first_failure = self._cases.first_failure
        if self._cancelled.has_met:
            self._ending.end(Reason.CANCELLED, CANCELLED)
        elif first_failure is not None:
            self._ending.end(why or first_failure.reason, first_failure.error)
        else:
            self._ending.end()

    def _attempts(self, timers: list[Timer]) -> Attempts:
        execute = self._checked(self._execute)
        if self._open_cache is not None:
            cached = self._open_cache(self._runner, self._rules["beat_s"], execute)
            timers.append(cached.touch_claims_if_due)
            # Again: a result that is there may be of a sweep with another condition.
            execute = self._checked(cached.execute)
        return Attempts(
            assignment=self._assignment,
            manifest=self._manifest,
            runner=self._runner,
            ledger=self._ledger,
            execute=execute,
        )


class Ending(NamedTuple):
    """The end of one task start: a requeue, the last records, the ingest of its journal."""

    assignment: Assignment
    rules: WorkerRules
    runner: Runner
    gate: Gate
    ledger: Ledger
    ingester: Ingester
    # Whether a worker of a whole node has started it.
    is_of_node: bool

    def sync_if_due(self) -> None:
        """Make the records durable after each batch of cases, and ingest them now and then."""
        if self.ledger.is_sync_due:
            self.ledger.sync()
            self.ingester.start_if_due()

    def stop(self) -> None:
        """Close the journal after a stop signal; after a warning, have the task requeued.

        If the task exits before its time limit, Slurm only records its exit code, so the chunk's
        `end` record has the reason. The scheduler knows every other reason.
        """
        self.ingester.kill()
        is_warned = self.runner.stop_signal == signal.SIGUSR2.name
        reason = self.runner.stop_reason
        if is_warned and not self._is_requeued(reason) and reason is Reason.TIMEOUT:
            self.ledger.end_task(Reason.TIMEOUT)
        else:
            self.ledger.close()

    def end(self, reason: Reason | None = None, error: dict[str, Any] | None = None) -> None:
        """Record the end of the chunk, and ingest the journal.

        The reason explains why some cases have not begun, if it was not the gate that kept them.
        """
        obstacle = self.gate.obstacle
        if self.gate.is_out_of_time and "requeue" in self.rules:
            self._leave()
            return
        if obstacle:
            self.ledger.end_task(**obstacle)
        else:
            self.ledger.end_task(reason, error)
        self._finish()

    def _leave(self) -> None:
        """End the chunk before its time limit. A requeue comes last: Slurm then sends TERM."""
        self.ledger.sync()
        self._finish()
        if self._is_requeued(Reason.TIMEOUT):
            self.ledger.close()
        else:
            self.ledger.end_task(**self.gate.obstacle)

    def _is_requeued(self, reason: Reason) -> bool:
        """Have this task requeued for the cases that it leaves. Returns whether Slurm does so.

        Never behind TERM, which may be a user's scancel: a requeue would undo it.
        """
        most = self.rules.get("requeue")
        if most is None or self.runner.is_terminated:
            return False
        self.ledger.sync()
        if self.is_of_node:
            return True  # the worker of the node decides for all of its chunks
        with contextlib.suppress(ImportError, OSError):  # the file system refuses the module
            from hpcsweep.worker import requeue  # noqa: PLC0415  # for these tasks only

            start, journals = self.assignment.start, self.assignment.journals
            stalled = partial(
                requeue.stalled_starts,
                self.assignment.sweep.path,
                journals,
                [self.assignment.chunk],
                start.restart,
            )
            steps = requeue.requeue(requeue.task_name(start), stalled, reason, most, self.runner)
            return self.runner.complete(steps)
        return False

    def _finish(self) -> None:
        """Ingest the journal, and let the circuit breaker finish."""
        self.runner.complete(self.ingester.finish())
        if self.gate.breaker is not None:
            self.runner.complete(self.gate.breaker.finish())


def _cases_of(version: Version, assignment: Assignment) -> Cases:
    """The cases of a manifest. *Raises* SweepError if it has not all of the chunk."""
    cases, indices = Cases(version), assignment.indices
    last = indices.select(indices.count - 1)
    if last >= cases.count:
        fingerprint = assignment.plan.manifest
        raise SweepError(
            f"the plan names index {last}, the last one of the manifest is {cases.count - 1}",
            where=str(assignment.sweep.manifest_dir(fingerprint)),
        )
    return cases


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


def _checker(manifest: FrozenManifest) -> Callable[[Execute], Execute]:
    """Makes what runs a case and checks it by `ok_if`; unchanged without one."""
    if not manifest.ok_if:
        return lambda execute: execute
    from hpcsweep.worker.checked import checked  # noqa: PLC0415  # for sweeps with `ok_if` only

    return partial(checked, ok_if=manifest.ok_if)


def _query_maker(start: Start, taken: TakenChunk | None, clock: Callable[[], float]) -> MakeQuery:
    """Makes what asks for the time limit of the job; nothing outside of one."""
    if taken is not None:
        from hpcsweep.worker.shared_limit import ChunkLimitQuery  # noqa: PLC0415  # its worker has

        return partial(ChunkLimitQuery, taken.shared_limit, clock)
    if "SLURM_JOB_ID" not in os.environ:
        return lambda _: None
    return partial(_limit_query, start, clock)


def _limit_query(
    start: Start, clock: Callable[[], float], use: Callable[[float], None]
) -> LimitQuery:
    from hpcsweep.worker.limit_query import LimitQuery  # noqa: PLC0415  # most manifests say it

    return LimitQuery(use, clock, start.job_id, start.array_task_id)


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


def _open_output_to_group() -> None:
    """Let the group read Slurm's output of this task: Slurm creates the file by the umask."""
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISREG(mode):
                os.fchmod(descriptor, stat.S_IMODE(mode) | GROUP_FILE)


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
    os.environ[IN_TASK] = os.path.abspath(sweep)  # noqa: PTH100
    directory = SweepDirectory.open(Path(sweep))
    if directory.share == "group":
        _open_output_to_group()
    task = Task(directory, int(submission), int(part), start)
    if rest:
        _, where, exit_code = rest
        return task.fail_setup(where, int(exit_code))
    return task.run()
