"""The worker of a whole node: it takes chunks of its job, one for each slot, until none is left.

A process of its own runs a chunk as an array task would. The workers of a job agree by the chunks'
journals: all of them give the journal of a chunk the same name, and one of them creates it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NoReturn

from hpcsweep.errors import HpcsweepError, InputError, JournalError
from hpcsweep.journal import journal_name
from hpcsweep.program import signal_name
from hpcsweep.records import EXIT_STOPPED, IN_TASK, Reason
from hpcsweep.sweepdir.directory import SweepDirectory
from hpcsweep.sweepdir.plan import WorkerRules
from hpcsweep.worker.child import die_with_worker, exit_broken, reopened
from hpcsweep.worker.ingester import Ingester
from hpcsweep.worker.limit_query import LimitQuery
from hpcsweep.worker.messages import write_notice
from hpcsweep.worker.process import Share
from hpcsweep.worker.runner import NEVER, Runner, Steps, Wait, reset_signals
from hpcsweep.worker.shared_limit import SharedLimit
from hpcsweep.worker.shared_times import SharedTimeLeft
from hpcsweep.worker.shares import shares_of
from hpcsweep.worker.slurm_program import POLL_S
from hpcsweep.worker.start import Start, TakenChunk
from hpcsweep.worker.task import Task, exit_code_of
from hpcsweep.worker.timelimit import TimeLimit, process_age_s

# Exit code of a process whose chunk another worker has taken; no task ends with it.
EXIT_TAKEN = os.EX_PROTOCOL

# Seconds before the warning of the limit at which a worker asks whether it was extended, and how
# long it waits for the answer from then on.
LEAD_S, PATIENCE_S = 10.0, 2.0
# The argument of a worker that only has its job requeued: those of its nodes have ended.
STOPPED = "--stopped"

Run = Callable[[Task], int]


class NodeWorker:
    """The worker of one node of a job."""

    def __init__(self, sweep: SweepDirectory, submission: int, part: int, start: Start) -> None:
        """Install the signal handlers of the process. *Raises* SweepError."""
        self._sweep, self._start = sweep, start
        plan, document = sweep.plan(submission)
        rules = document["worker"]
        self._plan, self._part = plan, plan.part(part)
        process_age_s()  # the processes of chunks count from the start of this one
        # Of the chunks: they end their cases, not this process.
        self._limit = TimeLimit.of_task(os.environ, rules)
        self._warning_s = rules.get("warning_s", 0.0)
        self._runner = Runner()
        self._time_left = SharedTimeLeft()
        self._shared_limit = SharedLimit()
        self._query = LimitQuery(
            self._use_limit,
            self._runner.clock,
            start.job_id,
            0,
            is_known=self._limit is not None,
        )
        python = document.get("python", sys.executable)
        self._ingester = Ingester(python, sweep.path, "", rules, self._runner)
        self._rules: WorkerRules = {**rules, "ingest": False}
        # Held open by this process alone, which never writes to it: its end ends all chunks.
        self._lifeline, self._lifeline_end = os.pipe()
        # Whether Slurm was asked for the limit since it is near.
        self._is_confirmed = False
        # What each running chunk has of the node, by process id.
        self._running: dict[int, Share | None] = {}
        # The stop signals that the running chunks were sent.
        self._forwarded: set[str] = set()
        # The highest exit code of a chunk. After another than 0 no further chunk begins.
        self._exit_code = 0

    def run(self) -> int:
        """Run chunks until none is left, or until a stop signal. Returns the exit code."""
        manifest = self._sweep.version(self._plan.manifest).manifest
        try:
            shares = shares_of(manifest, os.environ)
        except InputError as error:  # the task of a chunk finds the same, and records it
            return self._fail_chunks(Task.run, error.exit_code)
        steps = self._run_chunks(self._free_chunks(), shares, Task.run)
        self._runner.complete(steps, [self._answer_chunks])
        self._runner.complete(self._ingester.finish())
        is_stopped = self._runner.signals or self._forwarded
        code = EXIT_STOPPED if is_stopped else self._exit_code
        if code == EXIT_STOPPED and self._part.nodes == 1:
            self.requeue()
        return code

    def requeue(self) -> None:
        """Have the job requeued, whose workers have all ended before its chunks were done.

        Never behind TERM, which may be a user's scancel.
        """
        most = self._rules.get("requeue")
        if most is None or self._runner.is_terminated:
            return
        reason = Reason.TIMEOUT
        if self._runner.stop_signal is not None:
            self._runner.limit = self._limit
            reason = self._runner.stop_reason
        with contextlib.suppress(ImportError, OSError):  # the file system refuses the module
            from hpcsweep.worker.node_requeue import StoppedJob  # noqa: PLC0415  # of these only

            job = StoppedJob(self._sweep, self._plan, self._part, self._start)
            self._runner.complete(job.requeue(reason, most, self._runner))

    def fail_setup(self, where: str, exit_code: int) -> int:
        """Record that a setup line failed on this node. Returns the exit code."""
        fail = partial(Task.fail_setup, where=where, exit_code=exit_code)
        return self._fail_chunks(fail, exit_code)

    def _fail_chunks(self, fail: Run, exit_code: int) -> int:
        """Fail one chunk, as of an array task: other nodes of the job may run the rest.

        Without others all chunks. Returns the exit code.
        """
        chunks = islice(self._free_chunks(), 1 if self._part.nodes > 1 else None)
        self._runner.complete(self._run_chunks(chunks, [None], fail, stops=False))
        self._runner.complete(self._ingester.finish())
        return exit_code

    def _run_chunks(
        self, chunks: Iterator[int], shares: Sequence[Share | None], run: Run, *, stops: bool = True
    ) -> Steps[None]:
        """Run chunks, one with each share. `stops`: whether one that went wrong is the last one."""
        idle = list(shares)
        while True:
            while idle and not self._stop_signals() and not (stops and self._exit_code):
                chunk = next(chunks, None)
                if chunk is None:
                    break
                share = idle.pop()
                self._running[self._start_chunk(chunk, share, run)] = share
            if not self._running:
                return
            yield Wait(until=self._warning_at(), descriptor=self._shared_limit.questions)
            self._forward_signals()
            idle += self._ended()

    def _free_chunks(self) -> Iterator[int]:
        """The chunks of the job that no worker seems to have taken.

        The nodes begin at different ones, and so meet late.
        """
        part = self._part
        node = int(os.environ.get("SLURM_NODEID") or 0) % part.nodes
        for step in range(part.chunks):
            offset = (node * part.chunks // part.nodes + step) % part.chunks
            chunk = part.first_chunk + offset
            name = journal_name(chunk, self._start.restart, self._start.token_of(chunk))
            if not (self._sweep.journal_dir(self._plan.submission) / name).exists():
                yield chunk

    def _start_chunk(self, chunk: int, share: Share | None, run: Run) -> int:
        """Fork the process of a chunk. Returns its process id."""
        self._time_left.limit = self._limit
        taken = TakenChunk(
            token=self._start.token_of(chunk),
            rules=self._rules,
            limit=self._limit,
            share=share,
            time_left=self._time_left,
            shared_limit=self._shared_limit,
        )
        worker = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._run_in_fork(worker, chunk, taken, run)
        return pid

    def _run_in_fork(self, worker: int, chunk: int, taken: TakenChunk, run: Run) -> NoReturn:
        try:
            os.setpgid(0, 0)
            reset_signals()
            os.close(self._lifeline_end)
            lifeline = reopened(self._lifeline)
            if lifeline is not None:
                die_with_worker(lifeline)
            if os.getppid() == worker:  # else it died before that
                os._exit(exit_code_of(partial(self._run_chunk, chunk, taken, run)))
        except HpcsweepError as error:
            write_notice(str(error))
            os._exit(error.exit_code)
        finally:  # our own code failed
            exit_broken(2)

    def _run_chunk(self, chunk: int, taken: TakenChunk, run: Run) -> int:
        """Run a chunk, unless another worker has taken it. Returns an exit code."""
        part, submission = self._part, self._plan.submission
        start = self._start._replace(array_task_id=chunk - part.first_chunk)
        try:
            task = Task(self._sweep, submission, part.number, start, taken)
        except JournalError as error:
            if isinstance(error.__cause__, FileExistsError):
                return EXIT_TAKEN
            raise
        return run(task)

    def _use_limit(self, limit_s: float) -> None:
        self._limit = TimeLimit(limit_s=limit_s, warning_s=self._warning_s)

    def _answer_chunks(self) -> float:
        """Ask Slurm for the limit if a chunk asks for it. Returns when to call this again."""
        now = self._runner.clock()
        if self._shared_limit.is_asked() or (self._is_near() and not self._is_confirmed):
            self._query.make_due()
        due = self._query.ask_if_due()
        if due == NEVER:
            limit_s = NEVER if self._limit is None else self._limit.limit_s
            self._shared_limit.answer(limit_s, now)
            self._is_confirmed = self._is_near()
        return due

    def _warning_at(self) -> float:
        """When to look whether chunks have to be warned of the limit, on the runner's clock."""
        left_s = self._left_s()
        if left_s == NEVER or self._stop_signals():
            return NEVER
        return self._runner.clock() + (POLL_S if self._is_near() else left_s - self._lead_s)

    def _left_s(self) -> float:
        """Seconds until this worker warns its chunks of the limit; NEVER if Slurm does.

        Slurm's warning reaches every process of a step, so srun's steps ask for none (22.05): the
        user's programs would die of it.
        """
        if self._limit is None or self._part.nodes == 1:
            return NEVER
        return self._limit.left_s(process_age_s())

    @property
    def _lead_s(self) -> float:
        return LEAD_S if self._limit is None else min(LEAD_S, self._limit.limit_s / 10)

    def _is_near(self) -> bool:
        """Whether it is time to ask if the limit was extended."""
        return self._left_s() <= self._lead_s

    def _stop_signals(self) -> set[str]:
        """The stop signals that arrived, or that the time limit stands for."""
        names, left_s = set(self._runner.signals), self._left_s()
        if left_s <= (0 if self._is_confirmed else -PATIENCE_S):
            names.add(signal.SIGUSR2.name)
        return names

    def _forward_signals(self) -> None:
        for name in self._stop_signals() - self._forwarded:
            self._forwarded.add(name)
            for pid in self._running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.Signals[name])

    def _ended(self) -> Iterator[Share | None]:
        """What the chunks had that have ended."""
        for pid in list(self._running):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if not ended:
                continue
            self._time_left.read()
            self._ingester.start_if_due()
            code = os.waitstatus_to_exitcode(status)
            if code < 0:  # it cost the case that ran: the next chunk may do well
                write_notice(f"the process of a chunk was ended by {signal_name(-code)}")
            elif code != EXIT_TAKEN:
                self._exit_code = max(self._exit_code, code)
            yield self._running.pop(pid)


def main(arguments: list[str]) -> int:
    """Run the worker of a node. Returns the exit code."""
    sweep, submission, part, _, *rest = arguments
    start = Start.from_environment(os.environ, alone=True)
    os.environ[IN_TASK] = os.path.abspath(sweep)  # noqa: PTH100
    node = NodeWorker(SweepDirectory.open(Path(sweep)), int(submission), int(part), start)
    if not rest:
        return node.run()
    if rest == [STOPPED]:
        node.requeue()
        return EXIT_STOPPED
    _, where, exit_code = rest
    return node.fail_setup(where, int(exit_code))
